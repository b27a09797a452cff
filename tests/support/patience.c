#include "tests/support/patience.h"

#include "server/core/clock.h"

bool patience_left(struct patience *p, unsigned turns)
{
    if (p->n++ < turns) {
        return true;
    }
    const int64_t now_ms = clock_mono_ms(clock_system());
    if (p->since_ms == 0) {
        p->since_ms = now_ms; /* the turns so far were quick */
    }
    return now_ms - p->since_ms < PATIENCE_MS;
}
