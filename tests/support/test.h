/* tests/support/test.h - cmocka with the headers it needs before itself.
 *
 * Threading:  any thread.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef run_tests /* a leftover of old cmocka; ours has the name (tests/support/run.h) */

#include "server/core/attr.h"
#include "server/core/str.h"

/* Compares a struct str with a C string and shows both when they differ. */
#define assert_str_equal(s, text) test_str_equal((s), (text), __FILE__, __LINE__)
void test_str_equal(struct str s, const char *text, const char *file, int line);
