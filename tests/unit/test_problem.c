/* Problem documents, and the table of their codes. */
#include <stdio.h>
#include <string.h>

#include "api/encode/problem.h"
#include "tests/support/run.h"

enum { OUT_LIMIT = 4096 };

static void expect(const struct problem *p, const char *want)
{
    struct buf b;
    buf_init(&b, OUT_LIMIT);
    problem_write(p, &b);
    buf_put_c(&b, '\0');
    assert_true(buf_ok(&b));
    assert_string_equal(b.data, want);
    buf_deinit(&b);
}

static void test_write(void **state)
{
    (void)state;
    struct problem p = {.code = PROBLEM_NOT_FOUND};
    expect(&p, "{\"type\":\"urn:danmakud:problem:not_found\",\"title\":\"There is no such "
               "resource\",\"status\":404,"
               "\"code\":\"not_found\"}\n");
    const struct problem_error errors[] = {{STR("li\"mit"), "limit_too_large", "is more than 1000"},
                                           {STR("x"), "unknown_parameter", "is not known here"}};
    p = (struct problem){.code = PROBLEM_LIMIT_TOO_LARGE,
                         .detail = "2 parameters are wrong",
                         .request_id = STR("abc"),
                         .errors = errors,
                         .n_errors = 2};
    expect(
        &p,
        "{\"type\":\"urn:danmakud:problem:limit_too_large\",\"title\":\"The limit is too "
        "large\",\"status\":400,"
        "\"detail\":\"2 parameters are "
        "wrong\",\"instance\":\"abc\",\"code\":\"limit_too_large\",\"errors\":["
        "{\"param\":\"li\\\"mit\",\"code\":\"limit_too_large\",\"reason\":\"is more than 1000\"},"
        "{\"param\":\"x\",\"code\":\"unknown_parameter\",\"reason\":\"is not known here\"}]}\n");
}

static void test_table(void **state)
{
    (void)state;
    for (enum problem_code a = 0; a < PROBLEMS; a++) {
        enum problem_code found;
        assert_true(problem_by_name(problem_name(a), &found));
        assert_int_equal(found, a); /* names are unique */
        assert_in_range(problem_status(a), 400, 503);
        for (const char *c = problem_name(a); *c != '\0'; c++) {
            assert_true(*c == '_' || (*c >= 'a' && *c <= 'z'));
        }
    }
    enum problem_code none;
    assert_false(problem_by_name("no_such_code", &none));
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(test_write),
                                              cmocka_unit_test(test_table)};
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
