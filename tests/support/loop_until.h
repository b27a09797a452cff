/* tests/support/loop_until.h - steps a loop until something has happened; no sleeps.
 *
 * Threading:  loop thread only.
 */
#pragma once

#include "server/loop/loop.h"

/* Turns the loop until *flag is set; false after max_turns, or when nothing is left to do. Between turns it waits for
 * the loop's descriptors, at most LOOP_UNTIL_WAIT_MS, so that other threads and processes get on. Who allows
 * LOOP_UNTIL_SURE turns or more waits for what must come, and gives up only with tests/support/patience.h. Works with
 * fake and real clocks. */
enum { LOOP_UNTIL_WAIT_MS = 10, LOOP_UNTIL_SURE = 100 };
MUST_CHECK bool loop_run_until(struct loop *l, const bool *flag, unsigned max_turns);

/* Exactly n turns (fewer when nothing is left), without waiting: "close after k turns". */
void loop_run_turns(struct loop *l, unsigned n);
