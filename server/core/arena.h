/* server/core/arena.h - memory of one phase (a packet, a request): allocate often, reset once.
 *
 * Blocks are kept across resets up to the first one, so a busy phase allocates nothing.
 *
 * Threading:  one user at a time.
 * Limits:     `limit` bytes in total; arena_alloc returns NULL past it.
 */
#pragma once

#include <stddef.h>

#include "server/core/attr.h"
#include "server/core/str.h"

struct arena_block;

struct arena {
    struct arena_block *first; /* owned */
    struct arena_block *cur;
    size_t used; /* bytes handed out since the last reset */
    size_t limit;
};

void arena_init(struct arena *a, size_t limit);
void arena_deinit(struct arena *a);
void arena_reset(struct arena *a);
MUST_CHECK void *arena_alloc(struct arena *a, size_t size); /* aligned to 16; not zeroed */
MUST_CHECK char *arena_dup(struct arena *a, struct str s);  /* NUL-terminated copy */
