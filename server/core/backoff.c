#include "server/core/backoff.h"

#include <limits.h>

#include "server/core/assert.h"
#include "server/core/rng.h"

void backoff_init(struct backoff *b, int64_t base_ms, int64_t max_ms, unsigned jitter_pct)
{
    ASSERT(base_ms > 0 && max_ms >= base_ms && jitter_pct <= 100);
    *b = (struct backoff){.base_ms = base_ms, .max_ms = max_ms, .jitter_pct = jitter_pct};
}

int64_t backoff_next_ms(struct backoff *b, struct rng *rng)
{
    int64_t delay = b->base_ms;
    int64_t spread;

    for (unsigned k = 0; k < b->tries && delay < b->max_ms; k++) {
        delay = delay > b->max_ms / 2 ? b->max_ms : delay * 2;
    }
    if (b->tries < UINT_MAX) {
        b->tries++;
    }
    spread = delay / 100 * b->jitter_pct + delay % 100 * b->jitter_pct / 100;
    return delay + rng_between(rng, -spread, spread);
}

void backoff_reset(struct backoff *b)
{
    b->tries = 0;
}
