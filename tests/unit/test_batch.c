#include "collector/writer/batch.h"

#include <string.h>

#include "server/core/id.h"
#include "server/db/db_session.h"
#include "tests/support/run.h"

static void line_of(struct buf *out, int64_t ts, const struct event_draft *d)
{
    struct event *e = event_new(id_first_of_ms(ts), d);
    assert_non_null(e);
    buf_init(out, 65536);
    batch_put(out, e);
    assert_true(buf_ok(out));
    event_unref(&e);
}

enum { COLUMNS = 20 };
static const int64_t ts = INT64_C(1790000000000);

static void expect(const struct event_draft *d, const char *text)
{
    struct buf out;
    line_of(&out, ts, d);
    assert_str_equal(buf_str(&out), text);
    buf_deinit(&out);
}

/* id_first_of_ms(ts) */
#define ID "889876958412800000"

static void defaults_are_null(void **state)
{
    (void)state;
    struct event_draft d;
    event_draft_init(&d, EVENT_DANMAKU, 5);
    expect(&d, "5\t" ID "\t0\t0\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t1\t0\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t"
               "\\N\t\\N\n");
}

static void everything_set(void **state)
{
    (void)state;
    struct event_draft d;
    event_draft_init(&d, EVENT_SUPERCHAT, INT64_MAX);
    d.nkey = INT64_MIN + 1;
    d.actor = -9;
    d.value_mcny = 30000;
    d.sent_ms = ts - 250;
    d.item_id = 12;
    d.medal_uid = 13;
    d.color = 0;
    d.num = 14;
    d.flags = EVENT_F_MASKED | EVENT_F_ADMIN;
    d.guard = 3;
    d.medal_lv = 21;
    d.mode = 5;
    d.wealth = 30;
    d.uname = STR("甲");
    d.text = STR("a\tb\\c\nd\re");
    d.medal = STR("\\N");
    d.extra = STR("{\"k\":\"\\n\"}");
    expect(&d, "9223372036854775807\t" ID "\t-9223372036854775807\t-9\t30000\t12\t13\t-250\t0\t14\t"
               "6\t3\t3\t21\t5\t30\t甲\ta\\tb\\\\c\\nd\\re\t\\\\N\t{\"k\":\"\\\\n\"}\n");
}

/* What upstream says of time is far off: stored as unknown, never as a number that does not fit. */
static void senseless_times_are_unknown(void **state)
{
    (void)state;
    static const struct {
        int64_t sent_ms;
        const char *column;
    } cases[] = {
        {0, "\\N"},
        {1, "\\N"},
        {INT64_MAX, "\\N"},
        {INT64_MIN, "\\N"},
        {-1, "\\N"},
        {INT64_C(1790000000000) + INT32_MAX, "2147483647"},
        {INT64_C(1790000000000) + INT32_MAX + 1, "\\N"},
        {INT64_C(1790000000000) - INT32_MAX, "-2147483647"},
        {INT64_C(1790000000000) - INT32_MAX - 1, "\\N"},
        {INT64_C(1790000000000), "0"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct event_draft d;
        struct buf out;
        event_draft_init(&d, EVENT_DANMAKU, 5);
        d.sent_ms = cases[i].sent_ms;
        line_of(&out, ts, &d);
        struct str rest = buf_str(&out);
        struct str column = STR_NULL;
        unsigned n = 0;
        for (; n < 8; n++) {
            assert_true(str_split(&rest, '\t', &column));
        }
        assert_str_equal(column, cases[i].column);
        buf_deinit(&out);
    }
}

/* Whatever the bytes of the text: one line, and as many columns as the table has. */
static void one_line_of_all_columns(void **state)
{
    (void)state;
    struct rng rng;
    test_rng(&rng);
    for (int round = 0; round < 2000; round++) {
        static const char alphabet[] = "\t\n\r\\N.x\"\b\f\v";
        char text[40];
        struct event_draft d;
        struct buf out;
        for (size_t i = 0; i < sizeof text; i++) {
            text[i] = alphabet[rng_below(&rng, sizeof alphabet - 1)];
        }
        event_draft_init(&d, EVENT_DANMAKU, 5);
        d.text = (struct str){text, rng_below(&rng, sizeof text)};
        d.uname = (struct str){text, rng_below(&rng, sizeof text)};
        line_of(&out, ts, &d);
        unsigned tabs = 0;
        unsigned lines = 0;
        for (size_t i = 0; i < out.len; i++) {
            tabs += out.data[i] == '\t';
            lines += out.data[i] == '\n';
        }
        assert_int_equal(tabs, COLUMNS - 1);
        assert_int_equal(lines, 1);
        buf_deinit(&out);
    }
}

/* The same as byte by byte, wherever in a word of eight a byte stands. */
static void text_as_byte_by_byte(void **state)
{
    (void)state;
    struct rng rng;
    test_rng(&rng);
    for (int round = 0; round < 20000; round++) {
        char text[40];
        char want[2 * sizeof text];
        char got[2 * sizeof text];
        const size_t n = rng_below(&rng, sizeof text + 1);
        size_t at = 0;
        for (size_t i = 0; i < n; i++) {
            static const char special[] = "\t\n\r\\\x1f []\x7f\x80\xdc\xff";
            text[i] = rng_below(&rng, 6) == 0 ? special[rng_below(&rng, sizeof special - 1)]
                                              : (char)rng_below(&rng, 256);
            static const char escaped[] = "\t\n\r\\";
            const char *const place = memchr(escaped, text[i], sizeof escaped - 1);
            if (place != NULL) {
                want[at++] = '\\';
            }
            want[at++] = place != NULL ? "tnr\\"[place - escaped] : text[i];
        }
        const char *const end = db_copy_text_at(got, (struct str){text, n});
        assert_int_equal(end - got, at);
        assert_memory_equal(got, want, at);
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_null),           cmocka_unit_test(everything_set),
        cmocka_unit_test(senseless_times_are_unknown), cmocka_unit_test(one_line_of_all_columns),
        cmocka_unit_test(text_as_byte_by_byte),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
