/* tests/support/patience.h - how long a test waits for what must come.
 *
 * A number of turns is no measure of time: a machine that is busy or slow spends them before the other side has had its
 * turn. A wait therefore ends only when both the turns and PATIENCE_MS are used up. Nobody waits that long but a test
 * that fails.
 *
 *      struct patience p = {0};
 *      while (!it_is_there() && patience_left(&p, 1000)) { turn(); }
 *
 * Threading:  one user at a time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    PATIENCE_MS = 100000
}; /* less than RUN_TIMEOUT_S, so that the case says what it waited for */

struct patience {
    int64_t since_ms; /* mono; 0: not begun */
    unsigned n;       /* asked so often */
};

/* True: go on waiting. The clock is the system's, also where the code under test runs on a fake one. */
bool patience_left(struct patience *p, unsigned turns);
