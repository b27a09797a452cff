#include "collector/wire/decode_util_priv.h"

#include "server/core/mem.h"
#include "tests/support/run.h"

#define assert_str(s, lit)                                                                         \
    do {                                                                                           \
        const struct str got_ = (s);                                                               \
        assert_int_equal(got_.len, sizeof(lit) - 1);                                               \
        assert_true(str_eq(got_, STR(lit)));                                                       \
    } while (0)

static void test_clock(void **state)
{
    (void)state;
    assert_true(decode_clock_to_ms(STR("1970-01-01 08:00:01")) == 1000);
    assert_true(decode_clock_to_ms(STR("2019-06-30 03:57:04")) == INT64_C(1561838224000));
    assert_true(decode_clock_to_ms(STR("2024-02-29 23:59:59")) == INT64_C(1709222399000));
    assert_true(decode_clock_to_ms(STR("2024-03-01 00:00:00")) == INT64_C(1709222400000));
    assert_true(decode_clock_to_ms(STR("2100-12-31 23:59:59")) == INT64_C(4133951999000));
    assert_true(decode_clock_to_ms(STR("9999-12-31 23:59:59")) == INT64_C(253402271999000));
}

static void test_no_clock(void **state)
{
    static const char *const bad[] = {
        "",
        "2024-02-29",
        "0000-00-00 00:00:00",
        "2024-13-01 00:00:00",
        "2024-00-01 00:00:00",
        "2024-01-32 00:00:00",
        "2024-01-01 24:00:00",
        "2024-01-01 00:60:00",
        "2024-01-01 00:00:61",
        "2024-01-01T00:00:00",
        "2024-01-01 00:00:0x",
        "-024-01-01 00:00:00",
        "2024/01/01 00:00:00",
        "2024-01-01 00:00:00Z",
        "1970-01-01 08:00:00", /* 0 is no time */
        "1970-01-01 00:00:00",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_true(decode_clock_to_ms(str_of(bad[i])) == 0);
    }
    assert_true(decode_clock_to_ms(STR_NULL) == 0);
}

static void test_nanoseconds(void **state)
{
    (void)state;
    assert_true(decode_ns_to_ms(INT64_C(1790000099868013600)) == INT64_C(1790000099868));
    assert_true(decode_ns_to_ms(999999) == 0);
    assert_true(decode_ns_to_ms(0) == 0);
    assert_true(decode_ns_to_ms(-1790000099868013600) == 0);
    assert_true(decode_ns_to_ms(INT64_MAX) == INT64_MAX / 1000000);
}

static void test_names(void **state)
{
    (void)state;
    assert_str(decode_name_in(STR("a <% b c %> d")), "b c");
    assert_str(decode_name_in(STR("<%b%>")), "b");
    assert_str(decode_name_in(STR("<%a%><%b%>")), "a");
    assert_str(decode_name_in(STR("<^icon^> <%a%> x")), "a");
    assert_str(decode_name_in(STR("<%%>")), "");
    assert_str(decode_name_in(STR("<%>")), "");
    assert_str(decode_name_in(STR("%>a<%")), "");
    assert_str(decode_name_in(STR("<%a")), "");
    assert_str(decode_name_in(STR("a%>")), "");
    assert_str(decode_name_in(STR("<")), "");
    assert_str(decode_name_in(STR_NULL), "");
    assert_str(decode_after_name(STR("<%a%> b ")), "b");
    assert_str(decode_after_name(STR("x <%a%> b <%c%> d")), "b <%c%> d");
    assert_str(decode_after_name(STR(" no name ")), "no name");
    assert_str(decode_after_name(STR("<%a%>")), "");
    assert_str(decode_after_name(STR_NULL), "");
}

static void test_keys(void **state)
{
    struct envelope e = {0};
    (void)state;
    assert_true(decode_key(EVENT_ROOM, STR("a"), 1, 2) == decode_key(EVENT_ROOM, STR("a"), 1, 2));
    assert_true(decode_key(EVENT_ROOM, STR("a"), 1, 2) != decode_key(EVENT_ROOM, STR("a"), 2, 1));
    assert_true(decode_key(EVENT_ROOM, STR("a"), 1, 2) != decode_key(EVENT_ROOM, STR("b"), 1, 2));
    assert_true(decode_key(EVENT_ROOM, STR("a"), 1, 2) != decode_key(EVENT_LIVE, STR("a"), 1, 2));
    assert_true(decode_key_of_envelope(EVENT_ROOM, &e) == 0);
    e.msg_id = STR("1:2:3");
    assert_true(decode_key_of_envelope(EVENT_ROOM, &e) != 0);
    assert_true(decode_key_of_envelope(EVENT_ROOM, &e) != decode_key_of_envelope(EVENT_LIVE, &e));
}

/* A list takes what fits, and the object around it stays whole. */
static void put_list(struct decoder *d, size_t item_bytes, int items, struct event_draft *e)
{
    struct extra x;
    static char text[EVENT_EXTRA_MAX];
    memset(text, 'a', sizeof(text));
    d->used = 0;
    extra_begin(&x, d);
    extra_i64(&x, "before", 1);
    struct extra_list l = extra_list(&x, "list");
    for (int i = 0; i < items; i++) {
        extra_item(&l);
        jw_str(&x.w, (struct str){text, item_bytes});
        if (!extra_item_end(&l)) {
            break;
        }
    }
    extra_list_end(&l);
    extra_i64(&x, "after", 2);
    event_draft_init(e, EVENT_ROOM, 1);
    extra_end(&x, e);
}

static void test_lists(void **state)
{
    struct event_draft e;
    struct decoder *d = decoder_new();
    (void)state;
    put_list(d, 3, 2, &e);
    assert_str(e.extra, "{\"before\":1,\"list\":[\"aaa\",\"aaa\"],\"after\":2}");
    put_list(d, 3, 0, &e);
    assert_str(e.extra, "{\"before\":1,\"after\":2}");
    assert_int_equal(d->n_left_out, 0);
    put_list(d, EVENT_EXTRA_MAX, 1, &e);
    assert_str(e.extra, "{\"before\":1,\"after\":2}");
    assert_int_equal(d->n_left_out, 1);
    for (size_t bytes = 1; bytes < 200; bytes++) {
        struct json j;
        put_list(d, bytes, 10000, &e);
        assert_true(e.extra.len <= EVENT_EXTRA_MAX && e.extra.len + bytes + 16 > EVENT_EXTRA_MAX);
        json_init(&j, e.extra);
        json_skip(&j);
        assert_true(json_at_end(&j));
    }
    mem_fault_set(0, 1000);
    buf_deinit(&d->extra);
    put_list(d, 3, 2, &e);
    mem_fault_set(-1, 0);
    assert_int_equal(e.extra.len, 0);
    decoder_free(d);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clock),       cmocka_unit_test(test_no_clock),
        cmocka_unit_test(test_nanoseconds), cmocka_unit_test(test_names),
        cmocka_unit_test(test_keys),        cmocka_unit_test(test_lists),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
