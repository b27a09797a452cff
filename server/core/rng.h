/* server/core/rng.h - randomness for jitter and mask keys; seeded, so that tests repeat. Not for secrets.
 *
 * Threading:  one user at a time.
 */
#pragma once

#include <stdint.h>

struct rng {
    uint64_t s[4];
};

void rng_seed(struct rng *r, uint64_t seed);
void rng_seed_system(struct rng *r); /* from getrandom(2) */
uint64_t rng_u64(struct rng *r);
uint64_t rng_below(struct rng *r, uint64_t n);                 /* 0 .. n-1; n > 0 */
int64_t rng_between(struct rng *r, int64_t low, int64_t high); /* inclusive */
double rng_unit(struct rng *r);                                /* [0, 1) */
