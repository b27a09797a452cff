/* server/core/hash.h - hashes that stay the same for ever, because they are stored.
 *
 * hash64 is not keyed and not for adversaries: a collision can only make two messages of one room look alike within
 * the bounded window of repeats.
 *
 * Threading:  any thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "server/core/str.h"

struct hash64 {
    uint64_t state;
};

void hash64_init(struct hash64 *h, uint64_t domain); /* domain: keeps families of keys apart */
void hash64_str(struct hash64 *h,
                struct str s); /* length is hashed too: ("ab","c") differs from ("a","bc") */
void hash64_i64(struct hash64 *h, int64_t v);
int64_t hash64_done(const struct hash64 *h); /* never 0 */

uint32_t hash_crc32(struct str s); /* IEEE, as upstream hashes uids */
uint32_t hash_crc32c(uint32_t crc, const void *p,
                     size_t n); /* Castagnoli; start with 0; SSE4.2 when present */
uint32_t hash_crc32c_portable(uint32_t crc, const void *p,
                              size_t n); /* the same without SSE4.2, for tests */
