/* collector/registry.h - the commands upstream has sent: name, first, last, count, what became of them.
 *
 * Threading:  loop thread only.
 * Ownership:  names are copied; entries are lent until the next registry_note.
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
};

struct registry;
struct registry *registry_new(size_t max);
void registry_free(struct registry *r);
void registry_note(struct registry *r, struct str cmd, enum decode_status status, int64_t wall_ms);
size_t registry_n(const struct registry *r);
uint64_t registry_overflow(const struct registry *r);
const struct registry_entry *registry_at(const struct registry *r,
                                         size_t i); /* order of first sight */
const struct registry_entry *registry_find(const struct registry *r, struct str cmd); /* or NULL */
