/* tests/fuzz/decode_check.h - what must hold of the drafts of any message, and the one target of all command families.
 *
 * Threading:  main thread.
 */
#pragma once

#include <stdbool.h>

#include "collector/wire/decode.h"
#include "tests/fuzz/fuzz.h"

enum { DECODE_CHECK_ROOM = 1000, DECODE_CHECK_MESSAGE_MAX = 1 << 24 };

/* Decodes the message twice: drafts that may be stored and shown, the same every time. */
void decode_check(struct decoder *d, struct str json);

/* Where in a message the subject stands; as base64 if it is protobuf. */
struct decode_wrap {
    const char *before;
    const char *after;
    bool is_pb;
};
/* The first choice is the wrap, the second one which allocations of a first run fail. Returns 0. */
int decode_check_wrapped(const uint8_t *data, size_t size, const struct decode_wrap *wraps,
                         size_t n);

#define DECODE_FUZZ(...)                                                                           \
    int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)                                   \
    {                                                                                              \
        static const struct decode_wrap wraps[] = {{"", "", false}, __VA_ARGS__};                  \
        return decode_check_wrapped(data, size, wraps, sizeof(wraps) / sizeof(wraps[0]));          \
    }                                                                                              \
    int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
#define DECODE_FUZZ_DATA(cmd)                                                                      \
    {                                                                                              \
        "{\"cmd\":\"" cmd "\",\"data\":", "}", false                                               \
    }
#define DECODE_FUZZ_TOP(cmd)                                                                       \
    {                                                                                              \
        "{\"cmd\":\"" cmd "\",", "}", false                                                        \
    }
#define DECODE_FUZZ_PB(cmd)                                                                        \
    {                                                                                              \
        "{\"cmd\":\"" cmd "\",\"data\":{\"pb\":\"", "\"}}", true                                   \
    }
