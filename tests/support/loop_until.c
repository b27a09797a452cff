#include "tests/support/loop_until.h"

#include <poll.h>

#include "tests/support/patience.h"

/* Blocks outside the loop, so that no callback can run between the wait and the look at the flag. */
static void wait_for_io(struct loop *l)
{
    struct pollfd p = {.fd = uv_backend_fd(loop_uv(l)), .events = POLLIN};
    int ms = uv_backend_timeout(loop_uv(l)); /* 0: deferred work or closes are due */

    if (ms < 0 || ms > LOOP_UNTIL_WAIT_MS) {
        ms = LOOP_UNTIL_WAIT_MS;
    }
    (void)poll(&p, 1, ms);
}

bool loop_run_until(struct loop *l, const bool *flag, unsigned max_turns)
{
    struct patience p = {0};

    for (unsigned i = 0; !*flag; i++) {
        if (max_turns < LOOP_UNTIL_SURE ? i >= max_turns : !patience_left(&p, max_turns)) {
            break;
        }
        bool more = loop_turn(l);

        if (!more || *flag) {
            break;
        }
        wait_for_io(l);
    }
    return *flag;
}

void loop_run_turns(struct loop *l, unsigned n)
{
    for (unsigned i = 0; i < n && loop_turn(l); i++) {
    }
}
