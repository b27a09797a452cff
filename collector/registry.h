/* collector/registry.h - the commands upstream has sent: name, first, last, count, what became of them.
 *
 * Of a command that nobody knows, or whose messages fail to decode, it also keeps what such a message is made of
 * (collector/wire/outline.h): the fullest of a few samples, which get rarer as the count grows.
 *
 * Threading:  loop thread only.
 * Ownership:  names and shapes are copied; entries are lent until the next registry_note or registry_sample.
 * Limits:     max names, fixed at creation; messages with a name past it are counted in registry_overflow.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/wire/decode.h"
#include "server/core/str.h"

struct registry_entry {
    struct str cmd; /* valid UTF-8; empty: messages without a command */
    int64_t first_ms;
    int64_t last_ms;
    uint64_t n[DECODE_BROKEN + 1]; /* by enum decode_status */
    int64_t first_bad_ms;          /* of those that are not DECODE_OK; 0: none */
    int64_t last_bad_ms;
    const char *reason; /* static text: why the newest broken one was; NULL: none was */
    struct str shape;   /* JSON; empty: none */
};

struct registry;
struct registry *registry_new(size_t max);
void registry_free(struct registry *r);
void registry_note(struct registry *r, struct str cmd, enum decode_status status, int64_t wall_ms);
/* After registry_note of a message that is not DECODE_OK: its text, and why it was broken. */
void registry_sample(struct registry *r, struct str cmd, struct str json, const char *reason);
size_t registry_n(const struct registry *r);
uint64_t registry_overflow(const struct registry *r);
const struct registry_entry *registry_at(const struct registry *r,
                                         size_t i); /* order of first sight */
const struct registry_entry *registry_find(const struct registry *r, struct str cmd); /* or NULL */
