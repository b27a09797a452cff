/* tests/support/loop_until.h - steps a loop until something has happened; no sleeps.
 *
 * Threading:  loop thread only.
 */
#pragma once

#include "server/loop/loop.h"

/* Turns the loop until *flag is set; false after max_turns, or when nothing is left to do. Between turns it waits for
 * the loop's descriptors, at most LOOP_UNTIL_WAIT_MS, so that other threads and processes get on; 1000 turns
 * are therefore up to 10 s. Works with fake and real clocks. */
enum { LOOP_UNTIL_WAIT_MS = 10 };
MUST_CHECK bool loop_run_until(struct loop *l, const bool *flag, unsigned max_turns);

/* Exactly n turns (fewer when nothing is left), without waiting: "close after k turns". */
void loop_run_turns(struct loop *l, unsigned n);
