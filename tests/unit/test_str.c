#include "server/core/str.h"

#include <inttypes.h>
#include <stdio.h>

#include "server/core/attr.h"
#include "tests/support/run.h"

static void views(void **state)
{
    char text[16];

    (void)state;
    assert_int_equal(STR("abc").len, 3);
    assert_int_equal(STR("a\0b").len, 3);
    assert_int_equal(STR_NULL.len, 0);
    assert_int_equal(str_of(NULL).len, 0);
    assert_int_equal(str_of("xy").len, 2);
    (void)snprintf(text, sizeof(text), "[" STR_FMT "]", STR_ARG(STR_NULL));
    assert_string_equal(text, "[]");
    (void)snprintf(text, sizeof(text), "[" STR_FMT "]", STR_ARG(str_sub(STR("abcdef"), 1, 3)));
    assert_string_equal(text, "[bc]");
    assert_true(str_eq(STR_NULL, STR("")));
    assert_true(str_eq(STR("a\0b"), STR("a\0b")));
    assert_false(str_eq(STR("a\0b"), STR("a\0c")));
    assert_false(str_eq(STR("ab"), STR("abc")));
    assert_true(str_starts(STR("abc"), STR("ab")));
    assert_true(str_starts(STR("abc"), STR_NULL));
    assert_true(str_starts(STR_NULL, STR_NULL));
    assert_false(str_starts(STR("ab"), STR("abc")));
    assert_false(str_starts(STR("xbc"), STR("ab")));
}

static int sign(int x)
{
    return (x > 0) - (x < 0);
}

/* A total order: the index in this sorted list tells the result. */
static void compare(void **state)
{
    const struct str sorted[] = {STR_NULL,    STR("\0"),   STR("A"),     STR("AA"),
                                 STR("AB"),   STR("a"),    STR("ab"),    STR("\x7F"),
                                 STR("\x80"), STR("\xFF"), STR("\xFF\0")};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sorted); i++) {
        for (size_t k = 0; k < ARRAY_LEN(sorted); k++) {
            assert_int_equal(sign(str_cmp(sorted[i], sorted[k])), sign((int)i - (int)k));
        }
    }
}

static void ignore_case(void **state)
{
    (void)state;
    assert_true(str_ieq(STR("Content-Type"), STR("cONTENT-tYPE")));
    assert_true(str_ieq(STR_NULL, STR("")));
    assert_false(str_ieq(STR("a"), STR("ab")));
    assert_false(str_ieq(STR("@"), STR("`")));       /* next to A and a */
    assert_false(str_ieq(STR("["), STR("{")));       /* next to Z and z */
    assert_false(str_ieq(STR("\xC4"), STR("\xE4"))); /* ASCII only */
}

static void trim(void **state)
{
    (void)state;
    assert_str_equal(str_trim(STR("  a b \t\r\n\v\f")), "a b");
    assert_str_equal(str_trim(STR("a")), "a");
    assert_str_equal(str_trim(STR(" \t ")), "");
    assert_str_equal(str_trim(STR_NULL), "");
    assert_int_equal(str_trim(STR("\xC2\xA0")).len, 2);
    assert_int_equal(str_trim(STR("\0a\0")).len, 3);
}

static void split_into(const char *text, const char *want)
{
    struct str rest = str_of(text);
    struct str part;
    char got[128] = "";
    size_t len = 0;

    while (str_split(&rest, ',', &part)) {
        len += (size_t)snprintf(got + len, sizeof(got) - len, "[" STR_FMT "]", STR_ARG(part));
    }
    assert_string_equal(got, want);
}

static void split(void **state)
{
    struct str rest = STR_NULL;
    struct str part = STR("untouched");

    (void)state;
    split_into("a,b,cc", "[a][b][cc]");
    split_into("abc", "[abc]");
    split_into(",", "[]");
    split_into(",,a", "[][][a]");
    split_into("a,,b,", "[a][][b]");
    split_into("", "");
    assert_false(str_split(&rest, ',', &part));
    assert_str_equal(part, "untouched");
}

static void numbers(void **state)
{
    static const struct {
        const char *text;
        bool i64;
        bool u64;
        int64_t value;
    } rows[] = {
        {"0", true, true, 0},
        {"-0", true, false, 0},
        {"007", true, true, 7},
        {"9223372036854775807", true, true, INT64_MAX},
        {"-9223372036854775808", true, false, INT64_MIN},
        {"00000000000000000000000000000000000001", true, true, 1},
        {"9223372036854775808", false, true, 0},
        {"-9223372036854775809", false, false, 0},
        {"18446744073709551616", false, false, 0},
        {"99999999999999999999999", false, false, 0},
        {"-99999999999999999999999", false, false, 0},
        {"", false, false, 0},
        {"-", false, false, 0},
        {"--1", false, false, 0},
        {"+1", false, false, 0},
        {" 1", false, false, 0},
        {"1 ", false, false, 0},
        {"1.0", false, false, 0},
        {"1e3", false, false, 0},
        {"0x1", false, false, 0},
        {"\xD9\xA1", false, false, 0},
    };
    uint64_t u = 5;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t v = 77;

        assert_int_equal(str_to_i64(str_of(rows[i].text), &v), rows[i].i64);
        assert_int_equal(v, rows[i].i64 ? rows[i].value : 77);
        assert_int_equal(str_to_u64(str_of(rows[i].text), &u), rows[i].u64);
    }
    assert_true(str_to_u64(STR("18446744073709551615"), &u));
    assert_true(u == UINT64_MAX);
    assert_false(str_to_u64(STR("1\0"), &u));
    assert_false(str_to_u64(STR_NULL, &u));
}

static void numbers_round_trip(void **state)
{
    struct rng r;

    (void)state;
    test_rng(&r);
    for (int i = 0; i < 20000; i++) {
        uint64_t x = rng_u64(&r) >> rng_below(&r, 64);
        char text[32];
        int64_t back_i;
        uint64_t back_u;

        (void)snprintf(text, sizeof(text), "%" PRIu64, x);
        assert_true(str_to_u64(str_of(text), &back_u));
        assert_true(back_u == x);
        (void)snprintf(text, sizeof(text), "%" PRId64, (int64_t)x);
        assert_true(str_to_i64(str_of(text), &back_i));
        assert_true(back_i == (int64_t)x);
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(views),
        cmocka_unit_test(compare),
        cmocka_unit_test(ignore_case),
        cmocka_unit_test(trim),
        cmocka_unit_test(split),
        cmocka_unit_test(numbers),
        cmocka_unit_test(numbers_round_trip),
    };

    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
