/* The pull reader: values, types, errors, skipping, strings. Built a second time with the portable scanner. */
#include "server/core/json_read.h"

#include <stdio.h>
#include <stdlib.h>

#include "server/core/buf.h"
#include "server/core/utf8.h"
#include "tests/support/run.h"

static struct json open_text(const char *text)
{
    struct json j;
    json_init(&j, str_of(text));
    return j;
}

static void assert_str(struct str got, const char *want)
{
    if (!str_eq(got, str_of(want))) {
        fail_msg("got <" STR_FMT ">, want <%s>", STR_ARG(got), want);
    }
}

static void test_walk(void **state)
{
    (void)state;
    struct json j =
        open_text(" { \"a\" : [ 1 , [2,3], {\"x\":4} , \"s\" ] ,\t\"b\":true,\r\n\"c\":null } ");
    struct str key;
    int64_t v;
    bool yes = false;
    assert_int_equal(json_peek(&j), JSON_OBJECT);
    assert_true(json_enter_object(&j));
    assert_int_equal(json_peek(&j), JSON_NONE);
    assert_true(json_next_key(&j, &key));
    assert_str(key, "a");
    assert_int_equal(json_peek(&j), JSON_ARRAY);
    assert_true(json_enter_array(&j));
    assert_true(json_next_elem(&j));
    assert_true(json_int(&j, &v));
    assert_int_equal(v, 1);
    assert_true(json_next_elem(&j)); /* [2,3] stays unread */
    assert_true(json_next_elem(&j));
    assert_true(json_enter_object(&j));
    assert_true(json_next_key(&j, &key));
    assert_true(json_int(&j, &v));
    assert_int_equal(v, 4);
    assert_false(json_next_key(&j, &key));
    assert_true(json_next_elem(&j));
    assert_int_equal(json_peek(&j), JSON_STRING);
    assert_false(json_int(&j, &v)); /* "s" is no integer: skipped, the walk goes on */
    assert_false(json_next_elem(&j));
    assert_true(json_next_key(&j, &key));
    assert_true(json_bool(&j, &yes));
    assert_true(yes);
    assert_true(json_next_key(&j, &key));
    assert_str(key, "c");
    assert_int_equal(json_peek(&j), JSON_NULL);
    assert_false(json_at_end(&j));
    assert_false(json_next_key(&j, &key));
    assert_true(json_at_end(&j));
    assert_int_equal(json_error(&j), JSON_ERR_NONE);
}

static void test_wrong_type_is_skipped(void **state)
{
    (void)state;
    static const char *const values[] = {"{\"a\":[]}", "[1,{}]", "\"x\\\"y\"", "-1.5e3",
                                         "true",       "false",  "null"};
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        for (int access = 0; access < 6; access++) {
            char text[64];
            char out[16];
            int64_t v = 77;
            bool b;
            struct str s;
            (void)snprintf(text, sizeof(text), "[%s,7]", values[i]);
            struct json j = open_text(text);
            assert_true(json_enter_array(&j));
            assert_true(json_next_elem(&j));
            enum json_type type = json_peek(&j);
            bool got = false;
            switch (access) {
            case 0:
                got = json_enter_object(&j);
                assert_int_equal(got, type == JSON_OBJECT);
                break;
            case 1:
                got = json_enter_array(&j);
                assert_int_equal(got, type == JSON_ARRAY);
                break;
            case 2:
                assert_int_equal(json_int(&j, &v), type == JSON_NUMBER);
                break;
            case 3:
                assert_int_equal(json_bool(&j, &b),
                                 type == JSON_NUMBER || type == JSON_TRUE || type == JSON_FALSE);
                break;
            case 4:
                assert_int_equal(json_str(&j, out, sizeof(out), &s),
                                 type == JSON_STRING || type == JSON_NUMBER);
                break;
            default:
                assert_int_equal(json_str_raw(&j, &s), type == JSON_STRING);
                break;
            }
            if (got) {
                json_leave(&j);
            }
            assert_true(json_next_elem(&j));
            assert_true(json_int(&j, &v));
            assert_int_equal(v, 7);
            assert_false(json_next_elem(&j));
            assert_true(json_at_end(&j));
        }
    }
}

/* The frame is one of ours with one %s; -Wformat wants a literal, so the parts are joined by hand. */
static void put_into(char *out, size_t size, const char *frame, const char *value)
{
    const char *at = strstr(frame, "%s");
    (void)snprintf(out, size, "%.*s%s%s", (int)(at - frame), frame, value, at + 2);
}

struct int_case {
    const char *text;
    bool ok;
    int64_t v;
};

/* clang-format off */
static const struct int_case int_cases[] = {
    {"0", true, 0}, {"-0", true, 0}, {"7", true, 7},
    {"999999999999999999", true, INT64_C(999999999999999999)},
    {"1000000000000000000", true, INT64_C(1000000000000000000)},
    {"9007199254740993", true, INT64_C(9007199254740993)}, {"9223372036854775807", true, INT64_MAX},
    {"9223372036854775808", false, 0}, {"-9223372036854775808", true, INT64_MIN},
    {"-9223372036854775809", false, 0}, {"18446744073709551616", false, 0},
    {"99999999999999999999999", false, 0}, {"1.5", true, 1}, {"-1.99", true, -1}, {"-0.5", true, 0},
    {"9223372036854775807.9", true, INT64_MAX}, {"1e3", true, 1000}, {"1.5e1", true, 15}, {"15e-1", false, 0},
    {"1500e-2", true, 15}, {"1.55E+1", false, 0}, {"-2E2", true, -200}, {"0e999999999999", true, 0},
    {"0.0e-5", true, 0}, {"1e18", true, INT64_C(1000000000000000000)}, {"1e19", false, 0},
    {"1e999999999999999999999", false, 0}, {"1e-999999999999999999999", false, 0}, {"\"123\"", true, 123},
    {"\"-9223372036854775808\"", true, INT64_MIN}, {"\"007\"", true, 7}, {"\"1.9\"", true, 1},
    {"\"1e2\"", true, 100}, {"\"\"", false, 0}, {"\"-\"", false, 0}, {"\" 7\"", false, 0},
    {"\"+7\"", false, 0}, {"\"7a\"", false, 0}, {"\"0x10\"", false, 0}, {"\"1\\u0030\"", false, 0},
    {"true", false, 0}, {"null", false, 0},
};
/* clang-format on */

static void test_integers(void **state)
{
    (void)state;
    /* Near the end of the text numbers are read byte by byte, elsewhere in one step. */
    static const char *const frames[] = {"%s", "[%s]", "[%s , 0]", "[%s,\"0123456789abcdef\"]",
                                         "[%s                          ]"};
    for (size_t i = 0; i < ARRAY_LEN(int_cases); i++) {
        for (size_t k = 0; k < ARRAY_LEN(frames); k++) {
            char text[128];
            int64_t v = 4711;
            put_into(text, sizeof(text), frames[k], int_cases[i].text);
            struct json j = open_text(text);
            if (k > 0) {
                assert_true(json_enter_array(&j));
                assert_true(json_next_elem(&j));
            }
            bool ok = json_int(&j, &v);
            if (ok != int_cases[i].ok || v != (ok ? int_cases[i].v : 4711)) {
                fail_msg("%s: %d %lld", text, ok, (long long)v);
            }
            while (k > 0 && json_next_elem(&j)) {
            }
            assert_true(json_at_end(&j));
        }
    }
}

/* Every length of integer, read and skipped, at every distance from the end of the text. */
static void test_integer_lengths(void **state)
{
    (void)state;
    static const char digits[] = "1234567890123456789";
    for (int n = 1; n <= 19; n++) {
        for (int negative = 0; negative < 2; negative++) {
            for (int pad = 0; pad < 24; pad++) {
                char text[128];
                int64_t want = 0;
                int64_t v = 0;
                int len = snprintf(text, sizeof(text), "[%s%.*s,%s%.*s%*s]", negative ? "-" : "", n,
                                   digits, negative ? "-" : "", n, digits, pad, "");
                char *exact = malloc((size_t)len);
                assert_non_null(exact);
                memcpy(exact, text, (size_t)len);
                for (int i = 0; i < n; i++) {
                    want = want * 10 + (digits[i] - '0');
                }
                struct json j;
                json_init(&j, (struct str){exact, (size_t)len});
                assert_true(json_enter_array(&j) && json_next_elem(&j) && json_next_elem(&j));
                assert_true(json_int(&j, &v));
                assert_int_equal(v, negative ? -want : want);
                assert_false(json_next_elem(&j));
                assert_true(json_at_end(&j));
                free(exact);
            }
        }
    }
}

/* Enters and reads everything, so that nothing is only skipped. */
static void read_all(struct json *j)
{
    struct str text;
    int levels = 0;
    for (;;) {
        enum json_type type = json_peek(j);
        if (type == JSON_OBJECT) {
            levels += json_enter_object(j);
        } else if (type == JSON_ARRAY) {
            levels += json_enter_array(j);
        } else if (type != JSON_NONE) {
            (void)json_raw(j, &text);
        }
        while (levels > 0) {
            bool object = (j->in_object >> (j->depth - 1) & 1) != 0;
            if (object ? json_next_key(j, &text) : json_next_elem(j)) {
                break;
            }
            if (json_error(j) != JSON_ERR_NONE) {
                return;
            }
            levels--;
        }
        if (levels == 0 || json_error(j) != JSON_ERR_NONE) {
            return;
        }
    }
}

/* clang-format off */
static const char *const bad[] = {
    "", " ", "x", "{", "[", "}", "]", "{]", "[}", "[1,]", "[,1]", "[1 2]", "[1,,2]", "{,}",
    "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{\"a\" 1}", "{1:2}", "{a:1}", "{\"a\":1 \"b\":2}",
    "\"", "\"\\\"", "[\"a]", "tru", "trux", "nul", "falsy", "nullnull", "NaN", "'a'",
    "-", "01", "1.", "1.e2", "1e", "1e+", "+1", ".5", "--1", "0x1", "1 2", "{} {}", "[] x", "\x01",
    "[1}", "{\"a\":1]", "[[[]", "\"a\" b", "[\\\"]", "{\"a\":1}}", "[1]]", "[\"a\"1]", "[1\"a\"]",
    "{\"a\":tr}", "\xef\xbb\xbf{}", "[1.                    ]", "[1e                    ]",
    "[01                    ]", "[-                    ]", "[1-2                   ]",
};
static const char *const good[] = {
    "{}", "[]", " [ ] ", "1", "\"\"", "[{},[],\"\\\\\"]", "{\"\":{\"\":[]}}", "-0.0e-0", "[true,false,null]",
    "[-0.0e-0                    ]", "[0,1                    ]",
};
/* clang-format on */

static void test_syntax_errors(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct json j = open_text(bad[i]);
        read_all(&j);
        if (json_at_end(&j)) {
            fail_msg("accepted: %s", bad[i]);
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct json j = open_text(good[i]);
        read_all(&j);
        if (!json_at_end(&j)) {
            fail_msg("refused: %s", good[i]);
        }
    }
}

static void test_errors_are_sticky(void **state)
{
    (void)state;
    struct str s;
    int64_t v;
    bool b;
    char out[8];
    struct json j = open_text("[1 2]");
    assert_true(json_enter_array(&j));
    assert_true(json_next_elem(&j));
    assert_true(json_next_elem(&j) == false);
    assert_int_equal(json_error(&j), JSON_ERR_SYNTAX);
    assert_false(json_next_elem(&j));
    assert_false(json_next_key(&j, &s));
    assert_false(json_int(&j, &v));
    assert_false(json_bool(&j, &b));
    assert_false(json_str(&j, out, sizeof(out), &s));
    assert_false(json_raw(&j, &s));
    assert_false(json_enter_array(&j));
    assert_int_equal(json_peek(&j), JSON_NONE);
    json_skip(&j);
    json_leave(&j);
    assert_false(json_at_end(&j));
    assert_int_equal(json_error(&j), JSON_ERR_SYNTAX);

    j = open_text("[[1,2");
    json_skip(&j);
    assert_int_equal(json_error(&j), JSON_ERR_TRUNCATED);
    j = open_text("[]");
    assert_false(json_next_key(&j, &s)); /* skips the array; no container to ask */
    assert_int_equal(json_error(&j), JSON_ERR_SYNTAX);
    j = open_text("{\"a\":1}");
    assert_true(json_enter_object(&j));
    assert_false(json_next_elem(&j));
    assert_int_equal(json_error(&j), JSON_ERR_SYNTAX);
}

static void test_depth(void **state)
{
    (void)state;
    for (int object = 0; object < 2; object++) {
        for (int depth = 1; depth <= 40; depth++) {
            char text[512] = "";
            size_t n = 0;
            for (int i = 0; i < depth; i++) {
                n += (size_t)snprintf(text + n, sizeof(text) - n, object ? "{\"k\":" : "[");
            }
            n += (size_t)snprintf(text + n, sizeof(text) - n, object ? "1" : "");
            for (int i = 0; i < depth; i++) {
                text[n++] = object ? '}' : ']';
            }
            struct json j;
            json_init(&j, (struct str){text, n});
            json_skip(&j);
            enum json_err want = depth <= JSON_DEPTH_MAX ? JSON_ERR_NONE : JSON_ERR_DEPTH;
            assert_int_equal(json_error(&j), want);
            json_init(&j, (struct str){text, n});
            read_all(&j);
            assert_int_equal(json_error(&j), want);
            assert_int_equal(json_at_end(&j), want == JSON_ERR_NONE);
        }
    }
}

static void test_leave_and_copy(void **state)
{
    (void)state;
    struct str key;
    int64_t v;
    struct json j = open_text("{\"a\":{\"b\":[1,[2,{\"}\":\"]\"}],3],\"c\":4},\"d\":5}");
    assert_true(json_enter_object(&j) && json_next_key(&j, &key));
    struct json back = j; /* a value: come back later */
    assert_true(json_enter_object(&j) && json_next_key(&j, &key));
    assert_true(json_enter_array(&j) && json_next_elem(&j));
    json_leave(&j); /* the array, its first element unread */
    assert_true(json_next_key(&j, &key));
    assert_str(key, "c");
    json_leave(&j); /* a key has been read, its value not */
    assert_true(json_next_key(&j, &key));
    assert_str(key, "d");
    assert_true(json_int(&j, &v));
    assert_int_equal(v, 5);
    json_leave(&j); /* the last value has been read */
    assert_true(json_at_end(&j));
    struct str raw;
    assert_true(json_raw(&back, &raw));
    assert_str(raw, "{\"b\":[1,[2,{\"}\":\"]\"}],3],\"c\":4}");
    j = open_text("[]");
    assert_true(json_enter_array(&j));
    json_leave(&j); /* nothing was asked for yet */
    assert_true(json_at_end(&j));
}

static void test_skip_is_shallow(void **state)
{
    (void)state;
    struct str key;
    int64_t v = 0;
    struct json j = open_text("{\"a\":[1 2,,x],\"b\":3}");
    assert_true(json_enter_object(&j) && json_next_key(&j, &key) && json_next_key(&j, &key));
    assert_true(json_int(&j, &v));
    assert_int_equal(v, 3);
    j = open_text("{\"a\":[{]},\"b\":3}"); /* brackets of the wrong kind are noticed */
    assert_true(json_enter_object(&j) && json_next_key(&j, &key));
    assert_false(json_next_key(&j, &key));
    assert_int_equal(json_error(&j), JSON_ERR_SYNTAX);
}

/* Strings whose closing quote and escapes fall on every place of the scanner's blocks. */
static void test_strings_at_every_offset(void **state)
{
    (void)state;
    static const char *const tails[] = {
        "", "\\\"", "\\\\", "\\\\\\\"", "\\\\\\\\", "]}[{,", "\\\\\\\\\\\\\\\"x"};
    for (size_t pad = 0; pad < 150; pad++) {
        for (size_t i = 0; i < ARRAY_LEN(tails); i++) {
            char filler[160];
            char text[400];
            memset(filler, i % 2 ? 'x' : '{', pad);
            filler[pad] = '\0';
            int n = snprintf(text, sizeof(text), "[[%zu,\"%s%s\"],\"%s%s\",8]", pad, filler,
                             tails[i], filler, tails[i]);
            char *exact =
                malloc((size_t)n); /* no byte behind it: the sanitizer sees a read too far */
            assert_non_null(exact);
            memcpy(exact, text, (size_t)n);
            struct json j;
            struct str raw;
            int64_t v = 0;
            json_init(&j, (struct str){exact, (size_t)n});
            assert_true(json_enter_array(&j) && json_next_elem(&j) && json_next_elem(&j));
            assert_true(json_str_raw(&j, &raw));
            assert_int_equal(raw.len, pad + strlen(tails[i]));
            assert_true(json_next_elem(&j) && json_int(&j, &v));
            assert_int_equal(v, 8);
            assert_false(json_next_elem(&j));
            assert_true(json_at_end(&j));
            for (int cut = 0; cut < n; cut++) {
                json_init(&j, (struct str){exact, (size_t)cut});
                json_skip(&j);
                assert_int_equal(json_error(&j), JSON_ERR_TRUNCATED);
            }
            free(exact);
        }
    }
}

struct text_case {
    const char *raw;
    const char *want;
};

static void test_unescape(void **state)
{
    (void)state;
    static const struct text_case cases[] = {
        {"", ""},
        {"plain", "plain"},
        {"\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t"},
        {"\\u0041\\u00e9\\u4F60\\uff01", "A\xc3\xa9\xe4\xbd\xa0\xef\xbc\x81"},
        {"\\ud83d\\ude00", "\xf0\x9f\x98\x80"},
        {"\\uD83D\\uDE00!", "\xf0\x9f\x98\x80!"},
        {"a\\ud83db", "a\xef\xbf\xbd"
                      "b"},
        {"\\ude00", "\xef\xbf\xbd"},
        {"\\ud83d\\ud83d\\ude00", "\xef\xbf\xbd\xf0\x9f\x98\x80"},
        {"\\ud83d\\u0041", "\xef\xbf\xbd"
                           "A"},
        {"\\ud83d\\n", "\xef\xbf\xbd\n"},
        {"a\\u0000b", "ab"},
        {"\\u12", "\xef\xbf\xbd"
                  "12"},
        {"\\uzzzz", "\xef\xbf\xbdzzzz"},
        {"\\q\\'\\0", "q'0"},
        {"end\\", "end"},
        {"tab\tbell\x07", "tab\tbell\x07"},
        {"\x7f", "\x7f"},
        {"\xe4\xbd\xa0\xe5\xa5\xbd\xef\xbc\x81", "\xe4\xbd\xa0\xe5\xa5\xbd\xef\xbc\x81"},
        {"a\xff"
         "b",
         "a\xef\xbf\xbd"
         "b"},
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xe4\\u00bd", "\xef\xbf\xbd\xc2\xbd"},
        {"\xf0\x9f\x98", "\xef\xbf\xbd"},
        {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"\\\xe4\xbd\xa0", "\xe4\xbd\xa0"},
    };
    static const char behind[] = "ghijklmnopqrstuvwxyzghijklmnopqrstuvwxyzghijklmnopqrstuvwxyz"
                                 "ghijklmnopqrstuvwxyzghijklmnopqrstuvwxyzghijklmnopqrstuvwxyz";
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char out[512];
        for (size_t pad = 0; pad < 70; pad++) {
            char raw[256];
            char want[256];
            memset(raw, 'x', pad);
            memset(want, 'x', pad);
            (void)snprintf(raw + pad, sizeof(raw) - pad, "%s", cases[i].raw);
            (void)snprintf(want + pad, sizeof(want) - pad, "%s", cases[i].want);
            assert_str(json_unescape(str_of(raw), out, sizeof(out)), want);
            if (raw[0] != '\0' && raw[strlen(raw) - 1] == '\\') {
                continue; /* what follows would be escaped */
            }
            /* Again with enough text behind it for whole blocks. */
            (void)snprintf(raw + pad, sizeof(raw) - pad, "%s%s", cases[i].raw, behind);
            (void)snprintf(want + pad, sizeof(want) - pad, "%s%s", cases[i].want, behind);
            assert_str(json_unescape(str_of(raw), out, sizeof(out)), want);
        }
    }
    char nul[] = {'a', '\0', 'b', '\\', 'u', '0', '0', '0', '0', '\0'};
    char out[16];
    assert_str(json_unescape((struct str){nul, sizeof(nul)}, out, sizeof(out)), "ab");
}

static void test_cut(void **state)
{
    (void)state;
    static const char raw[] =
        "ab\\n\\u4f60\xe5\xa5\xbd\\ud83d\\ude00z0123456789abcdef0123456789abcdef";
    char whole[128];
    struct str all = json_unescape(str_of(raw), whole, sizeof(whole));
    for (size_t max = 0; max <= all.len + 1; max++) {
        char *out = malloc(max + 1);
        assert_non_null(out);
        out[max] = '#';
        struct str got = json_unescape(str_of(raw), out, max);
        assert_true(str_eq(got, utf8_cut(all, max)));
        assert_int_equal(out[max], '#');
        free(out);
    }
}

static void test_json_str(void **state)
{
    (void)state;
    char out[8];
    struct str s;
    struct json j = open_text("[\"a\\tb\", 12345678901, -1.50e3, true]");
    assert_true(json_enter_array(&j) && json_next_elem(&j));
    assert_true(json_str(&j, out, sizeof(out), &s));
    assert_str(s, "a\tb");
    assert_ptr_equal(s.ptr, out);
    assert_true(json_next_elem(&j) && json_str(&j, out, sizeof(out), &s));
    assert_str(s, "12345678");
    assert_true(json_next_elem(&j) && json_str(&j, out, sizeof(out), &s));
    assert_str(s, "-1.50e3");
    assert_true(json_next_elem(&j));
    assert_false(json_str(&j, out, sizeof(out), &s));
    assert_str(s, "-1.50e3"); /* untouched */
}

static void test_bool(void **state)
{
    (void)state;
    static const struct int_case cases[] = {
        {"true", true, 1},    {"false", true, 0}, {"0", true, 0},   {"1", true, 1},
        {"-0.00", true, 0},   {"0e7", true, 0},   {"0.1", true, 1}, {"null", false, -1},
        {"\"1\"", false, -1}, {"[]", false, -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        bool b = false;
        struct json j = open_text(cases[i].text);
        assert_int_equal(json_bool(&j, &b), cases[i].ok);
        assert_int_equal(b, cases[i].ok && cases[i].v == 1);
        assert_true(json_at_end(&j));
    }
}

enum { RANDOM_MAX = 300 };

static char random_byte(struct rng *rng, int style)
{
    static const char alphabet[] = "a\\\"u0dD8\xe4\xbd\xa0\xed\xa0\xf0\x9f\xc3n/";
    switch (style) {
    case 0:
        return (char)rng_below(rng, 256);
    case 1:
        return alphabet[rng_below(rng, sizeof(alphabet))];
    default: /* mostly plain, as JSON inside JSON is */
        return rng_below(rng, 12) ? (char)rng_between(rng, ' ', '[')
                                  : "\\\"\x80"[rng_below(rng, 3)];
    }
}

static void put_clean(struct buf *b, const char *p, size_t n)
{
    char clean[UTF8_CLEAN_MAX(RANDOM_MAX)];
    bool changed;
    buf_put(b, (struct str){clean, utf8_clean((struct str){p, n}, clean, &changed)});
}

static long hex_of(const char *p, const char *end)
{
    char digits[5] = "";
    if (end - p < 4 || strspn(memcpy(digits, p, 4), "0123456789abcdefABCDEF") != 4) {
        return -1;
    }
    return strtol(digits, NULL, 16);
}

/* The contract again, one byte at a time. */
static void unescape_slowly(struct str raw, struct buf *b)
{
    static const char letters[] = "b\bf\fn\nr\rt\t";
    const char *p = raw.ptr;
    const char *end = p + raw.len;
    while (p < end) {
        const char *plain = p;
        /* An escape that is only its character begins the next run of plain text with it. */
        p += *p == '\\' ? 0 : 1;
        while (p < end && *p != '\\') {
            p++;
        }
        put_clean(b, plain, (size_t)(p - plain));
        if (p == end || ++p == end) {
            return;
        }
        const char *letter = *p != '\0' && *p >= 'a' ? strchr(letters, *p) : NULL;
        if (*p == 'u') {
            char bytes[4];
            long v = hex_of(p + 1, end);
            long low = v >= 0xD800 && v < 0xDC00 && end - p > 6 && p[5] == '\\' && p[6] == 'u'
                           ? hex_of(p + 7, end)
                           : -1;
            bool pair = low >= 0xDC00 && low < 0xE000;
            unsigned cp = v < 0  ? 0xFFFD
                          : pair ? (unsigned)(0x10000 + ((v - 0xD800) << 10) + low - 0xDC00)
                                 : (unsigned)v;
            p += v < 0 ? 1 : pair ? 11 : 5;
            if (cp != 0) {
                buf_put(b, (struct str){bytes, utf8_encode(cp, bytes)});
            }
        } else if (letter != NULL) {
            buf_put_c(b, letter[1]);
            p++;
        } else {
            size_t n = *p == '\\';
            buf_put(b, (struct str){p, n});
            p += n;
        }
    }
}

static void test_random_strings(void **state)
{
    (void)state;
    struct rng rng;
    struct buf want;
    test_rng(&rng);
    buf_init(&want, 1 << 16);
    for (int round = 0; round < 30000; round++) {
        char raw[RANDOM_MAX];
        char out[UTF8_CLEAN_MAX(RANDOM_MAX)];
        size_t n = rng_below(&rng, sizeof(raw) + 1);
        for (size_t i = 0; i < n; i++) {
            raw[i] = random_byte(&rng, round % 3);
        }
        buf_clear(&want);
        unescape_slowly((struct str){raw, n}, &want);
        size_t max = rng_below(&rng, 2) ? sizeof(out) : rng_below(&rng, want.len + 2);
        struct str got = json_unescape((struct str){raw, n}, out, max);
        assert_true(utf8_valid(got));
        assert_true(got.len == 0 || memchr(got.ptr, '\0', got.len) == NULL);
        assert_true(str_eq(got, utf8_cut(buf_str(&want), max)));
    }
    buf_deinit(&want);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_walk),
        cmocka_unit_test(test_wrong_type_is_skipped),
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_integer_lengths),
        cmocka_unit_test(test_syntax_errors),
        cmocka_unit_test(test_errors_are_sticky),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_leave_and_copy),
        cmocka_unit_test(test_skip_is_shallow),
        cmocka_unit_test(test_strings_at_every_offset),
        cmocka_unit_test(test_unescape),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_json_str),
        cmocka_unit_test(test_bool),
        cmocka_unit_test(test_random_strings),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
