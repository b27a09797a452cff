/* Query parameters: times, durations, lists, all errors at once; and the filter they make. */
#include <stdio.h>
#include <string.h>

#include "api/encode/problem.h"
#include "api/query/filter.h"
#include "api/query/params.h"
#include "api/query/time_text.h"
#include "tests/support/run.h"

#define NOW INT64_C(1764000000000)
#define DAY INT64_C(86400000)
#define LIST_PARAMS                                                                                \
    (PARAM_BIT(FROM) | PARAM_BIT(TO) | PARAM_BIT(SINCE) | PARAM_BIT(KINDS) | PARAM_BIT(ROOMS) |    \
     PARAM_BIT(MIN_VALUE) | PARAM_BIT(LIMIT) | PARAM_BIT(ORDER) | PARAM_BIT(CURSOR))

/* "a=1&b=2" without any decoding. */
static bool parse(struct params *p, uint32_t known, const char *query)
{
    struct str rest = str_of(query);
    struct str pair;
    params_init(p, known);
    while (str_split(&rest, '&', &pair)) {
        struct str value = pair;
        struct str name = STR_NULL;
        (void)str_split(&value, '=', &name);
        params_add(p, name, value);
    }
    return params_finish(p, NOW);
}

static void expect_error(const char *query, const char *param, const char *code)
{
    struct params p;
    assert_false(parse(&p, LIST_PARAMS, query));
    assert_true(p.n_errors >= 1);
    assert_string_equal(p.errors[0].param, param);
    assert_string_equal(p.errors[0].code, code);
    assert_true(strlen(p.errors[0].reason) > 0);
    enum problem_code problem;
    assert_true(problem_by_name(p.errors[0].code, &problem));
    assert_int_equal(problem_status(problem), 400);
}

static void test_times(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2020-01-01T00:00:00Z", INT64_C(1577836800000)},
        {"2024-02-29T23:59:59.999Z", INT64_C(1709251199999)},
        {"2026-11-22T08:09:10.123456789Z", INT64_C(1795334950123)},
        {"2026-11-22T16:09:10.123+08:00", INT64_C(1795334950123)},
        {"2026-11-22T16:09:10.123 08:00", INT64_C(1795334950123)},
        {"2026-11-22t02:39:10.1-05:30", INT64_C(1795334950100)},
        {"2016-12-31T23:59:60z", INT64_C(1483228800000)},
        {"1795334950123", INT64_C(1795334950123)},
        {"9999-12-31T23:59:59Z", INT64_C(253402300799000)},
    };
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        int64_t ms = -1;
        const char *reason = NULL;
        assert_true(time_text_parse(str_of(good[i].text), &ms, &reason));
        assert_int_equal(ms, good[i].ms);
    }
    static const struct {
        const char *text;
        const char *reason;
    } bad[] = {
        {"1795334950", "seconds"},
        {"0", "seconds"},
        {"-5", "range"},
        {"99999999999999999", "range"},
        {"2026-11-22", "no time of day"},
        {"2026-02-29T00:00:00Z", "does not exist"},
        {"2026-13-01T00:00:00Z", "does not exist"},
        {"2026-11-22T24:00:00Z", "no valid time"},
        {"2026-11-22T08:09:10.Z", "no valid time"},
        {"2026-11-22T08:09:10", "offset"},
        {"2026-11-22T08:09:10+0800", "offset"},
        {"2026-11-22T08:09:10Zx", "offset"},
        {"1970-01-01T00:00:00+01:00", "range"},
        {"yesterday", "neither"},
        {"", "neither"},
        {"1795334950.123", "neither"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        int64_t ms = -1;
        const char *reason = NULL;
        assert_false(time_text_parse(str_of(bad[i].text), &ms, &reason));
        assert_int_equal(ms, -1);
        assert_non_null(strstr(reason, bad[i].reason));
    }
}

static void test_durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {{"90s", 90000},      {"15m", 900000}, {"6h", 21600000}, {"2d", 2 * DAY},
                 {"1w", 7 * DAY},     {"0m", -1},      {"-1h", -1},      {"15", -1},
                 {"m", -1},           {"1.5h", -1},    {"1M", -1},       {"", -1},
                 {"99999999999d", -1}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t ms = -1;
        const char *reason;
        assert_int_equal(duration_text_parse(str_of(cases[i].text), &ms, &reason),
                         cases[i].ms >= 0);
        assert_int_equal(ms, cases[i].ms);
    }
}

static void test_values(void **state)
{
    (void)state;
    struct params p;
    assert_true(parse(&p, LIST_PARAMS, ""));
    assert_int_equal(p.num[PARAM_LIMIT], 100);
    assert_int_equal(p.order, ORDER_DESC);
    assert_int_equal(p.from_ms, 0);
    assert_true(p.to_ms == INT64_MAX);

    assert_true(parse(&p, LIST_PARAMS,
                      "limit=1000&order=asc&kinds=gift,danmaku&rooms=9,3,9,7&min_value_mcny=1500"));
    assert_int_equal(p.num[PARAM_LIMIT], 1000);
    assert_int_equal(p.order, ORDER_ASC);
    assert_int_equal(p.kinds, 1u << EVENT_GIFT | 1u << EVENT_DANMAKU);
    assert_int_equal(p.n_rooms, 3);
    assert_int_equal(p.rooms[0], 3);
    assert_int_equal(p.rooms[1], 7);
    assert_int_equal(p.rooms[2], 9);
    assert_int_equal(p.num[PARAM_MIN_VALUE], 1500);

    assert_true(parse(&p, LIST_PARAMS, "since=15m"));
    assert_true(p.from_ms == NOW - 900000);
    assert_true(p.to_ms == INT64_MAX);
    assert_true(parse(&p, LIST_PARAMS, "since=31d"));
    assert_true(parse(&p, LIST_PARAMS, "from=1763000000000&to=1763000000001"));
    assert_true(p.from_ms == INT64_C(1763000000000));
    assert_true(p.to_ms == INT64_C(1763000000001));
    /* Newest first up to a point in time: no begin, so no range to bound. */
    assert_true(parse(&p, LIST_PARAMS, "to=1600000000000"));
}

static void test_refused(void **state)
{
    (void)state;
    expect_error("limt=5", "limt", "unknown_parameter");
    expect_error("=5", "", "unknown_parameter");
    expect_error("backlog=5", "backlog", "unknown_parameter"); /* exists, but not here */
    expect_error("limit=1001", "limit", "limit_too_large");
    expect_error("limit=0", "limit", "invalid_parameter");
    expect_error("limit=ten", "limit", "invalid_parameter");
    expect_error("limit=", "limit", "invalid_parameter");
    expect_error("limit=5&limit=6", "limit", "invalid_parameter");
    expect_error("limit=99999999999999999999", "limit", "invalid_parameter");
    expect_error("order=newest", "order", "invalid_parameter");
    expect_error("kinds=danmaku,danmuku", "kinds", "invalid_parameter");
    expect_error("kinds=", "kinds", "invalid_parameter");
    expect_error("rooms=1,x", "rooms", "invalid_parameter");
    expect_error("rooms=0", "rooms", "invalid_parameter");
    expect_error("rooms=", "rooms", "invalid_parameter");
    expect_error("min_value_mcny=-1", "min_value_mcny", "invalid_parameter");
    expect_error("from=1795334950", "from", "bad_time");
    expect_error("since=15", "since", "bad_time");
    expect_error("since=32d", "since", "range_too_large");
    expect_error("since=1h&from=1763000000000", "since", "invalid_parameter");
    expect_error("from=1763000000000&to=1763000000000", "to", "bad_time");
    expect_error("from=1700000000000&to=1764000000000", "to", "range_too_large");
    expect_error("from=1700000000000", "from", "range_too_large");
    expect_error("cursor=", "cursor", "bad_cursor");

    char many[1200] = "rooms=1";
    for (int i = 2; i <= 101; i++) {
        size_t len = strlen(many);
        (void)snprintf(many + len, sizeof(many) - len, ",%d", i);
    }
    expect_error(many, "rooms", "too_many_rooms");
}

static void test_all_errors_at_once(void **state)
{
    (void)state;
    struct params p;
    assert_false(parse(&p, LIST_PARAMS, "limit=0&x=1&from=zzz&order=up"));
    assert_int_equal(p.n_errors, 4);
    assert_string_equal(p.errors[1].param, "x");
    assert_string_equal(p.errors[3].code, "invalid_parameter");

    char many[400] = "";
    for (int i = 0; i < 40; i++) {
        size_t len = strlen(many);
        (void)snprintf(many + len, sizeof(many) - len, "p%d=1&", i);
    }
    assert_false(parse(&p, LIST_PARAMS, many));
    assert_int_equal(p.n_errors, PARAMS_ERRORS_MAX);
}

/* What is echoed from the client is valid, short UTF-8. */
static void test_echo_is_clean(void **state)
{
    (void)state;
    struct params p;
    char name[200];
    memset(name, 0xe6, sizeof(name));
    params_init(&p, LIST_PARAMS);
    params_add(&p, (struct str){name, sizeof(name)}, STR("1"));
    params_add(&p, STR("a\0b"), STR("1"));
    params_add(&p, STR("kinds"), STR("gift,\xff\xfe\""));
    assert_false(params_finish(&p, NOW));
    assert_int_equal(p.n_errors, 3);
    assert_true(strlen(p.errors[0].param) <= PARAMS_NAME_BYTES);
    assert_string_equal(p.errors[1].param, "ab");
    for (size_t i = 0; i < p.n_errors; i++) {
        assert_null(strchr(p.errors[i].param, '\xff'));
        assert_null(strchr(p.errors[i].reason, '\xff'));
    }
}

static void test_filter(void **state)
{
    (void)state;
    const int64_t rooms[] = {3, 7, 9};
    struct event e = {.room_id = 7, .kind = EVENT_GIFT, .value_mcny = 500};
    struct filter all = {0};
    struct filter some = {
        .rooms = rooms, .n_rooms = 3, .kinds = 1u << EVENT_GIFT, .min_value = 500};
    assert_true(filter_match(&all, &e));
    assert_true(filter_match(&some, &e));
    e.value_mcny = 499;
    assert_false(filter_match(&some, &e));
    e.value_mcny = 500;
    e.room_id = 8;
    assert_false(filter_match(&some, &e));
    e.room_id = 9;
    assert_true(filter_match(&some, &e));
    e.kind = EVENT_DANMAKU;
    assert_false(filter_match(&some, &e));
    e.kind = 77; /* a row of a later release */
    assert_false(filter_match(&some, &e));
    assert_true(filter_match(&all, &e));

    assert_false(filter_is_rare(&all));
    assert_true(filter_is_rare(&some));
    some.kinds |= 1u << EVENT_DANMAKU;
    assert_true(filter_is_rare(&some)); /* by the value */
    some.min_value = 0;
    assert_false(filter_is_rare(&some));
    int64_t kinds[EVENT_KIND_END];
    assert_int_equal(filter_kinds(&some, kinds), 2);
    assert_int_equal(kinds[0], EVENT_DANMAKU);
    assert_int_equal(kinds[1], EVENT_GIFT);
    /* The claim that filter_is_rare rests on. */
    for (unsigned k = 1; k < EVENT_KIND_END; k++) {
        assert_true(!event_kind_is_paid((enum event_kind)k) ||
                    event_kind_is_rare((enum event_kind)k));
    }
}

static void test_filter_hash(void **state)
{
    (void)state;
    const int64_t rooms[] = {3, 7};
    struct filter f = {.rooms = rooms, .n_rooms = 2, .kinds = 6, .min_value = 1};
    int64_t hash = filter_hash(&f, 1, 2, 3);
    assert_true(hash == filter_hash(&f, 1, 2, 3));
    assert_true(hash != filter_hash(&f, 2, 2, 3));
    assert_true(hash != filter_hash(&f, 1, 3, 3));
    assert_true(hash != filter_hash(&f, 1, 2, 4));
    f.n_rooms = 1;
    assert_true(hash != filter_hash(&f, 1, 2, 3));
    f.n_rooms = 2;
    f.kinds = 4;
    assert_true(hash != filter_hash(&f, 1, 2, 3));
    f.kinds = 6;
    f.min_value = 0;
    assert_true(hash != filter_hash(&f, 1, 2, 3));
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_all_errors_at_once),
        cmocka_unit_test(test_echo_is_clean),
        cmocka_unit_test(test_filter),
        cmocka_unit_test(test_filter_hash),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
