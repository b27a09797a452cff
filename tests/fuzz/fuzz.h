/* tests/fuzz/fuzz.h - what a fuzz target gives and may use.
 *
 * A target checks with ASSERT (tests only: here the bytes of the peer are the test) and must behave the same for the
 * same bytes: seeds come from the input.
 *
 * Threading:  main thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "server/core/assert.h"
#include "server/core/str.h"

/* The one entry of a target; returns 0. The name is libFuzzer's. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Splits the input: its first byte says how many of the next bytes are choices, what follows is the subject. */
struct fuzz_input {
    const uint8_t *choices; /* borrowed from the input */
    size_t n;
    size_t used;
    struct str subject; /* borrowed from the input */
};

static inline struct fuzz_input fuzz_split(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {.choices = data, .subject = {(const char *)data, size}};
    if (size > 0) {
        in.n = data[0] < size - 1 ? data[0] : size - 1;
        in.choices = data + 1;
        in.subject = str_sub(in.subject, 1 + in.n, size);
    }
    return in;
}

/* The next choice, below `below`; the choices repeat, 0 if there are none. */
static inline unsigned fuzz_choose(struct fuzz_input *in, unsigned below)
{
    return in->n > 0 ? in->choices[in->used++ % in->n] % below : 0;
}
