#include "server/core/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/core/utf8.h"
#include "tests/support/child.h"
#include "tests/support/run.h"

/* The last line, and how many there were. */
struct sink {
    char line[2 * LOG_LINE_BYTES];
    size_t len;
    unsigned n;
};

static void keep(void *ctx, struct str line)
{
    struct sink *s = ctx;

    assert_true(line.len < sizeof(s->line));
    memcpy(s->line, line.ptr, line.len);
    s->line[line.len] = '\0';
    s->len = line.len;
    s->n++;
}

static void sink_init(struct sink *s)
{
    memset(s, 0, sizeof(*s));
    log_set_sink(keep, s);
}

/* Checks the time and hides it: "ts=... level=..." -> "level=..." */
static const char *behind_ts(const struct sink *s)
{
    static const char form[] = "ts=dddd-dd-ddTdd:dd:dd.dddZ ";

    for (size_t i = 0; i < sizeof(form) - 1; i++) {
        char c = s->line[i];

        if (form[i] == 'd' ? c < '0' || c > '9' : c != form[i]) {
            fail_msg("bad time: %s", s->line);
        }
    }
    return s->line + sizeof(form) - 1;
}

static void form_of_a_line(void **state)
{
    struct sink s;

    (void)state;
    sink_init(&s);
    LOG(INFO, "room", "live", KV_CSTR("host", "10.0.0.1:2243"), KV_I64("room", 123),
        KV_I64("n", -5));
    assert_string_equal(behind_ts(&s),
                        "level=info mod=room room=123 msg=\"live\" host=10.0.0.1:2243 n=-5\n");
    LOG0(ERROR, "app", "the end");
    assert_string_equal(behind_ts(&s), "level=error mod=app msg=\"the end\"\n");
    LOG(WARN, "db", "x", KV_I64("min", INT64_MIN), KV_I64("max", INT64_MAX));
    assert_string_equal(
        behind_ts(&s),
        "level=warn mod=db msg=\"x\" min=-9223372036854775808 max=9223372036854775807\n");
    assert_int_equal(s.n, 3);
}

static void quoting(void **state)
{
    static const struct {
        struct str value;
        const char *want;
    } rows[] = {
        {{"plain", 5}, "plain"},
        {{"a.b:c/d-e_f", 11}, "a.b:c/d-e_f"},
        {{"", 0}, "\"\""},
        {{NULL, 0}, "\"\""},
        {{"a b", 3}, "\"a b\""},
        {{"a=b", 3}, "\"a=b\""},
        {{"say \"hi\"", 8}, "\"say \\\"hi\\\"\""},
        {{"a\\b", 3}, "\"a\\\\b\""},
        {{"a\nb\r\tc", 6}, "\"a\\nb\\r\\tc\""},
        {{"a\nlevel=error msg=forged", 24}, "\"a\\nlevel=error msg=forged\""},
        {{"\0\x01\x1B[31m\x7F", 8}, "\"\\u0000\\u0001\\u001b[31m\\u007f\""},
        {{"弹幕", 6}, "\"弹幕\""},
        {{"a\xFFz", 3}, "\"a\\ufffdz\""},
        {{"\xE5\xBC", 2}, "\"\\ufffd\\ufffd\""},
        {{"\xC2\x9B", 2}, "\"\\ufffd\""}, /* a terminal's CSI */
        {{"\xC2\xA0", 2}, "\"\xC2\xA0\""},
        {{"\xF0\x9F\x98\x80", 4}, "\"\xF0\x9F\x98\x80\""},
        {{"\xED\xA0\x80", 3}, "\"\\ufffd\\ufffd\\ufffd\""},
    };
    struct sink s;

    (void)state;
    sink_init(&s);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *at;

        LOG(INFO, "t", "m", KV_STR("k", rows[i].value));
        at = strstr(s.line, " k=");
        assert_non_null(at);
        assert_int_equal(s.line[s.len - 1], '\n');
        s.line[s.len - 1] = '\0';
        assert_string_equal(at + 3, rows[i].want);
    }
    log_line(LOG_LEVEL_INFO, "t", "say \"x\"\n", NULL, 0);
    assert_non_null(strstr(s.line, " msg=\"say \\\"x\\\"\\n\"\n"));
}

/* A reader of logfmt that knows nothing of the writer: key=bare or key="quoted", blanks between, newline at the end.
 * Returns the number of pairs, -1 if it is not that. */
static int parse(const char *p, size_t len)
{
    const char *end = p + len - 1;
    int pairs = 0;

    if (len == 0 || *end != '\n' || memchr(p, '\n', len - 1)) {
        return -1;
    }
    while (p < end) {
        const char *key = p;

        while (p < end && ((*p >= 'a' && *p <= 'z') || *p == '_')) {
            p++;
        }
        if (p == key || p == end || *p++ != '=') {
            return -1;
        }
        if (p < end && *p == '"') {
            for (p++; p < end && *p != '"'; p++) {
                p += *p == '\\';
            }
            if (p++ >= end) {
                return -1;
            }
        } else {
            const char *value = p;

            while (p<end && * p> ' ' && *p < 0x7F && *p != '"' && *p != '=') {
                p++;
            }
            if (p == value) {
                return -1;
            }
        }
        pairs++;
        if (p < end && *p++ != ' ') {
            return -1;
        }
    }
    return pairs;
}

/* Any bytes at any length give one well-formed line of valid UTF-8 within the limit. */
static void any_bytes(void **state)
{
    struct sink s;
    struct rng r;

    (void)state;
    sink_init(&s);
    test_rng(&r);
    for (int i = 0; i < 5000; i++) {
        char a[3000];
        char b[3000];
        size_t len_a = (size_t)rng_below(&r, i % 2 ? sizeof(a) : 40);
        size_t len_b = (size_t)rng_below(&r, i % 3 ? sizeof(b) : 40);
        int pairs;

        for (size_t k = 0; k < sizeof(a); k++) {
            uint64_t x = rng_u64(&r);

            a[k] = i % 5 < 2 ? (char)x : (char)('a' + x % 26);
            b[k] = i % 7 < 4 ? "\xE5\xBC\xB9"[k % 3] : (char)(x >> 8);
        }
        LOG(WARN, "test", "m", KV_STR("a", ((struct str){a, len_a})), KV_I64("i", i),
            KV_STR("b", ((struct str){b, len_b})), KV_I64("room", 7));
        assert_in_range(s.len, 1, LOG_LINE_BYTES);
        assert_true(utf8_valid((struct str){s.line, s.len}));
        pairs = parse(s.line, s.len);
        if (pairs < 5 || pairs > 8 || (len_a < 40 && len_b < 40 && pairs != 8)) {
            fail_msg("%d pairs: %s", pairs, s.line);
        }
    }
}

/* Cut at each possible place. */
static void cut_lines(void **state)
{
    static char text[2 * LOG_LINE_BYTES];
    struct sink s;

    (void)state;
    sink_init(&s);
    memset(text, 'x', sizeof(text));
    for (size_t n = LOG_LINE_BYTES - 120; n < LOG_LINE_BYTES + 20; n++) {
        for (int quoted = 0; quoted < 2; quoted++) {
            text[0] = quoted ? ' ' : 'x';
            LOG(INFO, "t", "m", KV_STR("long", ((struct str){text, n})), KV_I64("after", 1234567),
                KV_CSTR("last", "a b"));
            assert_in_range(s.len, 1, LOG_LINE_BYTES);
            assert_in_range(parse(s.line, s.len), 4, 7);
        }
    }
    text[sizeof(text) - 1] = '\0';
    text[0] = 'x';
    LOG(INFO, "t", text, KV_I64("n", 1), KV_I64("room", 5));
    assert_int_equal(s.len, LOG_LINE_BYTES);
    assert_int_equal(parse(s.line, s.len), 5);
    LOG(INFO, text, text, KV_I64("n", 1), KV_I64("room", 5));
    assert_true(parse(s.line, s.len) >= 2);
}

static unsigned evaluated;

static int64_t count_evaluation(void)
{
    return ++evaluated;
}

static void levels(void **state)
{
    enum log_level level = LOG_LEVEL_WARN;
    struct sink s;

    (void)state;
    sink_init(&s);
    evaluated = 0;
    assert_int_equal(log_min_level(), LOG_LEVEL_INFO);
    LOG(DEBUG, "t", "m", KV_I64("n", count_evaluation()));
    LOG0(DEBUG, "t", "m");
    assert_int_equal(evaluated, 0); /* what is not logged costs nothing */
    assert_int_equal(s.n, 0);
    log_set_level(LOG_LEVEL_DEBUG);
    LOG(DEBUG, "t", "m", KV_I64("n", count_evaluation()));
    assert_int_equal(evaluated, 1);
    assert_int_equal(s.n, 1);
    log_set_level(LOG_LEVEL_ERROR);
    LOG0(WARN, "t", "m");
    LOG0(ERROR, "t", "m");
    assert_int_equal(s.n, 2);
    assert_int_equal(log_level_parse(STR("loud"), &level), -1);
    assert_int_equal(log_level_parse(STR(""), &level), -1);
    assert_int_equal(log_level_parse(STR("INFO"), &level), -1);
    assert_int_equal(level, LOG_LEVEL_WARN);
    assert_int_equal(log_level_parse(STR("debug"), &level), 0);
    assert_int_equal(level, LOG_LEVEL_DEBUG);
    assert_int_equal(log_level_parse(STR("error"), &level), 0);
    assert_int_equal(level, LOG_LEVEL_ERROR);
}

static void log_one(void *ctx)
{
    log_set_sink(NULL, NULL);
    LOG(INFO, "t", "to stderr", KV_CSTR("k", ctx));
}

static void stderr_is_the_default(void **state)
{
    static char text[] = "v";
    struct child c;

    (void)state;
    child_call(&c, log_one, text);
    assert_int_equal(c.status, 0);
    assert_non_null(strstr(c.text, " level=info mod=t msg=\"to stderr\" k=v\n"));
}

static void close_and_log(void *ctx)
{
    (void)close(STDERR_FILENO);
    log_one(ctx);
}

static void no_stderr_is_no_harm(void **state)
{
    static char text[] = "v";
    struct child c;

    (void)state;
    child_call(&c, close_and_log, text);
    assert_int_equal(c.status, 0);
}

static void repeating_errors(void **state)
{
    struct log_limit l = {0};
    uint64_t held = 99;

    (void)state;
    assert_int_equal(log_limit(&l, 0, 1000, &held), 1); /* the first at once */
    assert_int_equal(held, 0);
    for (int64_t ms = 0; ms < 1000; ms += 100) {
        assert_int_equal(log_limit(&l, ms, 1000, &held), 0);
    }
    assert_int_equal(log_limit(&l, 1000, 1000, &held), 1);
    assert_int_equal(held, 10);
    assert_int_equal(log_limit(&l, 1999, 1000, &held), 0);
    assert_int_equal(log_limit(&l, 50000, 1000, &held), 1);
    assert_int_equal(held, 1);
    assert_int_equal(log_limit(&l, 51000, 1000, &held), 1);
    assert_int_equal(held, 0);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(form_of_a_line),
        cmocka_unit_test(quoting),
        cmocka_unit_test(any_bytes),
        cmocka_unit_test(cut_lines),
        cmocka_unit_test(levels),
        cmocka_unit_test(stderr_is_the_default),
        cmocka_unit_test(no_stderr_is_no_harm),
        cmocka_unit_test(repeating_errors),
    };

    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
