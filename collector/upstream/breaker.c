#include "collector/upstream/breaker.h"

#include "server/core/assert.h"

void breaker_init(struct breaker *b, int64_t base_ms)
{
    ASSERT(base_ms > 0);
    *b = (struct breaker){.base_ms = base_ms, .cause = ""};
}

enum breaker_state breaker_state(const struct breaker *b, int64_t now_ms)
{
    return b->state == BREAKER_OPEN && now_ms >= b->until_ms ? BREAKER_HALF_OPEN : b->state;
}

bool breaker_trip(struct breaker *b, int64_t now_ms, const char *cause)
{
    const enum breaker_state state = breaker_state(b, now_ms);
    const int64_t max_ms = b->base_ms > BREAKER_MAX_MS ? b->base_ms : BREAKER_MAX_MS;
    if (state == BREAKER_OPEN) {
        return false;
    }
    const bool again = state == BREAKER_HALF_OPEN ||
                       (b->length_ms > 0 && now_ms - b->closed_ms < b->base_ms * BREAKER_CALM);
    b->length_ms = again ? b->length_ms * 2 : b->base_ms;
    if (b->length_ms > max_ms) {
        b->length_ms = max_ms;
    }
    b->state = BREAKER_OPEN;
    b->until_ms = now_ms + b->length_ms;
    b->cause = cause;
    return true;
}

bool breaker_ok(struct breaker *b, int64_t now_ms)
{
    if (breaker_state(b, now_ms) != BREAKER_HALF_OPEN) {
        return false;
    }
    b->state = BREAKER_CLOSED;
    b->closed_ms = now_ms;
    b->cause = "";
    return true;
}
