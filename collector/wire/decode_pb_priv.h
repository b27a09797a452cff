/* collector/wire/decode_pb_priv.h - messages whose contents are protobuf in base64 (data.pb); only for collector/wire/decode*.c.
 *
 *      const struct pb_message m = pb_open(d, j, &status);
 *      Pb__Interact *i = status == DECODE_OK ? pb__interact__unpack(&m.memory, m.len, m.bytes) : NULL;
 *
 * Threading:  one user at a time per decoder.
 * Ownership:  everything lives in the decoder's arena until the next pb_open; nothing is freed one by one.
 * Limits:     DECODE_PB_MEMORY for the bytes and what they unpack to; past it unpacking fails.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>

#include "collector/wire/decode_util_priv.h"
#include "collector/wire/uinfo.pb-c.h"

struct pb_message {
    ProtobufCAllocator memory;
    const uint8_t *bytes;
    size_t len;
    struct envelope env;
};

/* Reads the message. *ret_status is DECODE_BROKEN with a reason when there is nothing to unpack. */
struct pb_message pb_open(struct decoder *d, struct json *j, enum decode_status *ret_status);

struct str pb_str(struct decoder *d, ProtobufCBinaryData s, size_t max);    /* cleaned, cut */
void pb_uinfo(struct decoder *d, const Pb__Uinfo *from, struct uinfo *ret); /* from may be NULL */
