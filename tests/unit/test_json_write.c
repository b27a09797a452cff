/* The JSON writer: exact bytes, and a real parser reads back what it wrote. */
#include "server/core/json_write.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <cjson/cJSON.h>

#include "server/core/json_read.h"
#include "tests/support/run.h"

struct fixture {
    struct buf b;
    struct json_out w;
};

static void begin(struct fixture *f)
{
    buf_init(&f->b, 1 << 20);
    jw_init(&f->w, &f->b);
}

static void end(struct fixture *f, const char *want)
{
    assert_true(buf_ok(&f->b));
    if (!str_eq(buf_str(&f->b), str_of(want))) {
        fail_msg("got <" STR_FMT ">, want <%s>", STR_ARG(buf_str(&f->b)), want);
    }
    buf_deinit(&f->b);
}

static void test_structure(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    jw_object(&f.w);
    jw_kstr(&f.w, "s", STR("x"));
    jw_ki64(&f.w, "i", -5);
    jw_kbool(&f.w, "t", true);
    jw_kbool(&f.w, "f", false);
    jw_key(&f.w, STR("n"));
    jw_null(&f.w);
    jw_key(&f.w, STR("a"));
    jw_array(&f.w);
    jw_array(&f.w);
    jw_array_end(&f.w);
    jw_object(&f.w);
    jw_object_end(&f.w);
    jw_u64(&f.w, UINT64_MAX);
    jw_raw(&f.w, STR("[1,2]"));
    jw_array_end(&f.w);
    jw_key(&f.w, STR("o"));
    jw_object(&f.w);
    jw_object_end(&f.w);
    jw_ki64(&f.w, "z", 0);
    jw_object_end(&f.w);
    end(&f, "{\"s\":\"x\",\"i\":-5,\"t\":true,\"f\":false,\"n\":null,\"a\":[[],{},"
            "18446744073709551615,[1,2]],"
            "\"o\":{},\"z\":0}");
}

static void test_integers(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    jw_array(&f.w);
    jw_i64(&f.w, INT64_MIN);
    jw_i64(&f.w, INT64_MAX);
    jw_i64(&f.w, 5000000000000001);
    jw_i64_str(&f.w, INT64_MIN);
    jw_i64_str(&f.w, 7);
    jw_array_end(&f.w);
    end(&f, "[-9223372036854775808,9223372036854775807,5000000000000001,\"-9223372036854775808\","
            "\"7\"]");
}

static void test_doubles(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    jw_array(&f.w);
    jw_double(&f.w, 0.1);
    jw_double(&f.w, 1.0 / 3);
    jw_double(&f.w, -2);
    jw_double(&f.w, 1e300);
    jw_double(&f.w, (double)NAN);
    jw_double(&f.w, -(double)INFINITY);
    jw_array_end(&f.w);
    end(&f, "[0.1,0.3333333333333333,-2,1e+300,null,null]");
}

static void test_members(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    jw_object(&f.w);
    jw_members(&f.w, STR("{}"));
    jw_members(&f.w, STR("{\"a\":1}"));
    jw_members(&f.w, STR(" { } "));
    jw_members(&f.w, STR(""));
    jw_members(&f.w, STR_NULL);
    jw_members(&f.w, STR("[1]"));
    jw_members(&f.w, STR("{\"b\":2,\"c\":{}}"));
    jw_ki64(&f.w, "d", 4);
    jw_object_end(&f.w);
    end(&f, "{\"a\":1,\"b\":2,\"c\":{},\"d\":4}");
}

static void test_escapes_at_every_offset(void **state)
{
    (void)state;
    for (size_t pad = 0; pad < 70; pad++) {
        struct fixture f;
        char text[160];
        char want[260];
        memset(text, 'y', pad);
        (void)snprintf(text + pad, sizeof(text) - pad, "%s",
                       "\"\\/\b\f\n\r\t\x01\x1f\x7f\xe4\xbd\xa0");
        want[0] = '"';
        memset(want + 1, 'y', pad);
        (void)snprintf(want + 1 + pad, sizeof(want) - 1 - pad, "%s",
                       "\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\xe4\xbd\xa0\"");
        begin(&f);
        jw_str(&f.w, str_of(text));
        end(&f, want);
    }
}

static void test_limit(void **state)
{
    (void)state;
    for (size_t limit = 0; limit < 40; limit++) {
        struct buf b;
        struct json_out w;
        buf_init(&b, limit);
        jw_init(&w, &b);
        jw_object(&w);
        jw_kstr(&w, "key", STR("a\"b"));
        jw_ki64(&w, "n", 12345);
        jw_key(&w, STR("m"));
        jw_array(&w);
        jw_array_end(&w);
        jw_object_end(&w);
        assert_int_equal(buf_ok(&b), limit >= 31);
        assert_true(b.len <= limit);
        buf_deinit(&b);
    }
}

static void test_levels(void **state)
{
    (void)state;
    struct fixture f;
    char want[65] = "";
    begin(&f);
    for (int i = 0; i < 32; i++) {
        jw_array(&f.w);
        want[i] = '[';
        want[63 - i] = ']';
    }
    for (int i = 0; i < 32; i++) {
        jw_array_end(&f.w);
    }
    end(&f, want);
}

/* Any text of ours comes back from two parsers as it went in. */
static void test_round_trip(void **state)
{
    (void)state;
    static const char *const pieces[] = {"\"",
                                         "\\",
                                         "\n",
                                         "\x01",
                                         "\x1f",
                                         "a",
                                         "bcd",
                                         "/",
                                         "\xe4\xbd\xa0",
                                         "\xf0\x9f\x98\x80",
                                         "\x7f",
                                         "u0041",
                                         "0123456789abcdef"};
    struct rng rng;
    test_rng(&rng);
    for (int round = 0; round < 3000; round++) {
        struct fixture f;
        char text[600] = "";
        size_t n = 0;
        for (uint64_t left = rng_below(&rng, 30); left > 0; left--) {
            const char *piece = pieces[rng_below(&rng, ARRAY_LEN(pieces))];
            memcpy(text + n, piece, strlen(piece));
            n += strlen(piece);
        }
        begin(&f);
        jw_object(&f.w);
        jw_kstr(&f.w, "t", (struct str){text, n});
        jw_object_end(&f.w);
        cJSON *tree = cJSON_ParseWithLength(f.b.data, f.b.len);
        assert_non_null(tree);
        assert_memory_equal(cJSON_GetStringValue(cJSON_GetObjectItem(tree, "t")), text, n + 1);
        cJSON_Delete(tree);
        struct json j;
        struct str key;
        struct str got;
        char out[600];
        json_init(&j, buf_str(&f.b));
        assert_true(json_enter_object(&j) && json_next_key(&j, &key));
        assert_true(json_str(&j, out, sizeof(out), &got));
        assert_true(str_eq(got, (struct str){text, n}));
        buf_deinit(&f.b);
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_structure),
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_doubles),
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_escapes_at_every_offset),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_round_trip),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
