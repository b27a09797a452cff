#include "server/core/rng.h"

#include <sys/random.h>

#include "server/core/assert.h"
#include "server/core/clock.h"

/* xoshiro256**, its state filled by splitmix64 as its authors advise. */
static uint64_t splitmix(uint64_t *x)
{
    uint64_t z = *x += UINT64_C(0x9E3779B97F4A7C15);

    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static uint64_t rotl(uint64_t x, unsigned k)
{
    return (x << k) | (x >> (64 - k));
}

void rng_seed(struct rng *r, uint64_t seed)
{
    for (unsigned i = 0; i < 4; i++) {
        r->s[i] = splitmix(&seed);
    }
}

void rng_seed_system(struct rng *r)
{
    uint64_t seed = clock_mono_ns();

    /* Jitter needs no strong seed: where getrandom(2) fails, the clock does. */
    (void)!getrandom(&seed, sizeof(seed), 0);
    rng_seed(r, seed);
}

uint64_t rng_u64(struct rng *r)
{
    uint64_t ret = rotl(r->s[1] * 5, 7) * 9;
    uint64_t t = r->s[1] << 17;

    r->s[2] ^= r->s[0];
    r->s[3] ^= r->s[1];
    r->s[1] ^= r->s[2];
    r->s[0] ^= r->s[3];
    r->s[2] ^= t;
    r->s[3] = rotl(r->s[3], 45);
    return ret;
}

uint64_t rng_below(struct rng *r, uint64_t n)
{
    uint64_t tail;
    uint64_t v;

    ASSERT(n > 0);
    /* Values of the incomplete last round would make small results more likely: they are drawn again. */
    tail = -n % n;
    do {
        v = rng_u64(r);
    } while (v < tail);
    return v % n;
}

int64_t rng_between(struct rng *r, int64_t low, int64_t high)
{
    uint64_t span;

    ASSERT(low <= high);
    span = (uint64_t)high - (uint64_t)low + 1; /* 0: all of int64 */
    return (int64_t)((uint64_t)low + (span ? rng_below(r, span) : rng_u64(r)));
}

double rng_unit(struct rng *r)
{
    return (double)(rng_u64(r) >> 11) * 0x1p-53;
}
