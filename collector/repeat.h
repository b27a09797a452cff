/* collector/repeat.h - the newest keys of one room's messages, so that repeats are recognised.
 *
 *      keys   [ oldest ... newest | free ]     a ring: the oldest key leaves when the window is full
 *      slots  [ .. place of a key + 1, 0 .. ]  open addressing, twice as many slots as keys, linear probing
 *
 * 8 + 4 bytes a key. Nothing is allocated before the first key; the window doubles with use up to REPEAT_KEYS_MAX,
 * so an idle room costs one struct.
 *
 * Threading:  one user at a time.
 * Limits:     REPEAT_KEYS_MAX keys. When memory is short the window stays as large as it is.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { REPEAT_KEYS_MIN = 32, REPEAT_KEYS_MAX = 4096 };

struct repeat {
    int64_t *keys;   /* owned */
    uint16_t *slots; /* owned, 2 * cap */
    uint32_t cap;    /* a power of two, or 0 */
    uint32_t n;
    uint32_t oldest; /* place in keys */
};

void repeat_init(struct repeat *r);
void repeat_deinit(struct repeat *r);
/* True if the key is in the window; else it is added. 0 is no key and never repeats. */
bool repeat_seen(struct repeat *r, int64_t key);
