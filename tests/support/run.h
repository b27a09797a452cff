/* tests/support/run.h - runs the cases of one test program, on top of cmocka.
 *
 *      int main(int argc, char **argv)
 *      {
 *          static const struct CMUnitTest tests[] = {cmocka_unit_test(adds), cmocka_unit_test(removes)};
 *          return run_tests(argc, argv, tests, ARRAY_LEN(tests));
 *      }
 *
 * Around each case (setup and teardown included) the runner compares the open descriptors and mem_live_count: a case
 * that leaves one behind fails. A case that hangs is aborted after RUN_TIMEOUT_S (environment DM_TEST_TIMEOUT).
 * Fault injection, log sink and log level are reset after each case. SIGPIPE is ignored.
 *
 * Command line:  test_x [--list] [--seed N] [pattern ...]   patterns are parts of case names, or shell patterns.
 * The seed is random and printed; --seed or DM_SEED repeats a run.
 *
 * Threading:  main thread.
 */
#pragma once

#include "server/core/rng.h"
#include "tests/support/test.h"

enum { RUN_TIMEOUT_S = 300 };

/* Returns the exit status: 0, or 1 when a case failed or no case matched. */
int run_tests(int argc, char **argv, const struct CMUnitTest *tests, size_t n);

/* The generator of the running case: depends on the seed and the case's name only. */
void test_rng(struct rng *r);
