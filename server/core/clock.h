/* server/core/clock.h - time comes in through here, so that tests can hold it.
 *
 * Threading:  any thread for the system clock; a fake clock belongs to its test.
 * Units:      milliseconds. wall: since 1970-01-01 UTC. mono: since an arbitrary start, never goes back.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct clock {
    int64_t (*wall_ms)(const struct clock *c);
    int64_t (*mono_ms)(const struct clock *c);
};

const struct clock *clock_system(void);
static inline int64_t clock_wall_ms(const struct clock *c)
{
    return c->wall_ms(c);
}
static inline int64_t clock_mono_ms(const struct clock *c)
{
    return c->mono_ms(c);
}
uint64_t clock_mono_ns(void); /* for measuring our own work */

/* A clock that stands still until it is moved. */
struct clock_fake {
    struct clock base; /* pass &fake.base */
    int64_t wall;
    int64_t mono;
};
void clock_fake_init(struct clock_fake *f, int64_t wall_ms);
void clock_fake_advance(struct clock_fake *f,
                        int64_t ms); /* both; move .wall alone for a clock step */

enum { CLOCK_RFC3339_BYTES = 25 };
/* "2026-11-22T08:09:10.123Z" into out; any int64 in the years 0000-9999, else clamped. Returns the length. */
size_t clock_rfc3339(int64_t wall_ms, char out[static CLOCK_RFC3339_BYTES]);
