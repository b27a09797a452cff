/* server/core/backoff.h - how long to wait before the next try: min(max, base * 2^k), +- jitter, for ever.
 *
 * Threading:  one user at a time.
 */
#pragma once

#include <stdint.h>

struct rng;

struct backoff {
    int64_t base_ms;
    int64_t max_ms;
    unsigned jitter_pct; /* 25: the delay is uniform in +-25 % */
    unsigned tries;      /* failures in a row so far */
};

void backoff_init(struct backoff *b, int64_t base_ms, int64_t max_ms, unsigned jitter_pct);
int64_t backoff_next_ms(struct backoff *b, struct rng *rng); /* counts one failure */
void backoff_reset(struct backoff *b);                       /* after a healthy stretch */
