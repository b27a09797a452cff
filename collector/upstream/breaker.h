/* collector/upstream/breaker.h - after a ban nothing is sent for a while; then one tries, then all may again.
 *
 *      closed --trip--> open --time--> half-open --ok--> closed
 *                        ^                 `--trip--> open, twice as long
 *
 * A trip that follows soon after a closing doubles too; only BREAKER_CALM times the base without any starts afresh.
 *
 * Threading:  one user at a time.
 * Units:      milliseconds of a monotonic clock, handed in.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { BREAKER_MAX_MS = 3600 * 1000, BREAKER_CALM = 3 };
enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };

struct breaker {
    enum breaker_state state;
    int64_t base_ms;
    int64_t length_ms; /* of the newest opening; 0 none */
    int64_t until_ms;  /* of it */
    int64_t closed_ms; /* when it closed last */
    const char *cause; /* static; "" closed */
};

void breaker_init(struct breaker *b, int64_t base_ms);
/* The state now: open becomes half-open by time alone. */
enum breaker_state breaker_state(const struct breaker *b, int64_t now_ms);
/* A ban. False: it is open already (an answer to what was sent before). */
bool breaker_trip(struct breaker *b, int64_t now_ms, const char *cause);
/* An answer that shows that we are welcome. True: this closed it. */
bool breaker_ok(struct breaker *b, int64_t now_ms);
