#include "collector/wire/embedded.h"

#include "server/core/buf.h"
#include "server/core/json_read.h"
#include "server/core/json_write.h"
#include "server/core/mem.h"
#include "server/core/rng.h"
#include "tests/support/run.h"

enum { TEXT_MAX = 1 << 20, RUNS = 20000 };

/* The value of key in raw, escapes resolved once; "-" if it is not there, "?" if raw is not of the usual form. */
static void check(struct str raw, const char *key, const char *want)
{
    struct embedded_want w = {.key = str_of(key)};
    char out[4096];
    if (!embedded_find(raw, &w, 1)) {
        assert_string_equal("?", want);
    } else if (!w.value.ptr) {
        assert_string_equal("-", want);
    } else {
        assert_str_equal(json_unescape(w.value, out, sizeof(out)), want);
    }
}

#define CHECK(raw, key, want) check(STR(raw), key, want)

static void test_usual(void **state)
{
    (void)state;
    CHECK("{}", "a", "-");
    CHECK(" { } ", "a", "-");
    CHECK("{\\\"a\\\":1}", "a", "1");
    CHECK("{\\\"a\\\":1}", "b", "-");
    CHECK("{\\\"b\\\":{\\\"a\\\":2},\\\"a\\\":1}", "a", "1");
    CHECK("{\\\"b\\\":\\\"a\\\",\\\"a\\\":1}", "a", "1");
    CHECK("{\\\"a\\\":{\\\"x\\\":[1,{}]},\\\"b\\\":2}", "a", "{\"x\":[1,{}]}");
    CHECK("{\\\"a\\\":null,\\\"a\\\":2}", "a", "null");
    CHECK(" { \\\"a\\\" : 1 , \\\"b\\\" : \\\"x\\\" } ", "a", "1");
    CHECK(" { \\\"a\\\" : 1 , \\\"b\\\" : \\\"x\\\" } ", "b", "\"x\"");
    /* quotes, backslashes and brackets within the inner strings */
    CHECK("{\\\"b\\\":\\\"x\\\\\\\",\\\\\\\"a\\\\\\\":9\\\",\\\"a\\\":1}", "a", "1");
    CHECK("{\\\"b\\\":\\\"}{\\\",\\\"a\\\":1}", "a", "1");
    CHECK("{\\\"b\\\":\\\"x\\\\\\\\\\\",\\\"a\\\":1}", "a", "1");
    CHECK("{\\\"b\\\":\\\"x\\\\n\\\\u0022\\\",\\\"a\\\":1}", "a", "1");
    CHECK("{\\\"b\\\":\\\"\\n\\/\\\",\\\"a\\\":1}", "a", "1");
}

static void test_unusual(void **state)
{
    (void)state;
    CHECK("", "a", "?");
    CHECK("x", "a", "?");
    CHECK("[]", "a", "?");
    CHECK("{", "a", "?");
    CHECK("{\\", "a", "?");
    CHECK("{\\\"", "a", "?");
    CHECK("{\\\"a", "a", "?");
    CHECK("{\\\"a\\\"", "a", "?");
    CHECK("{\\\"a\\\":", "a", "?");
    CHECK("{\\\"a\\\":}", "a", "?");
    CHECK("{\\\"a\\\":1", "a", "?");
    CHECK("{\\\"a\\\":1]", "a", "?");
    CHECK("{\\\"a\\\":\\\"x", "a", "?");
    CHECK("{\\\"a\\\" 1}", "a", "?");
    CHECK("{\\\"b\\\":1 \\\"a\\\":1}", "a", "?");
    CHECK("{\\\"b\\\":,\\\"a\\\":1}", "a", "?");
    CHECK("{\\n\\\"a\\\":1}", "a", "?");
    CHECK("{\\u0022a\\u0022:1}", "a", "?");
    CHECK("{\\\"b\\\":\\\"\\u0022,\\\",\\\"a\\\":1}", "a", "?");
    CHECK("{\\\"b\\\":\\\"\\\\\\u0022\\\",\\\"a\\\":1}", "a", "?");
    CHECK("{\\\"\\a\\\":1}", "a", "?");
    /* what follows the last wanted member is not looked at */
    CHECK("{\\\"a\\\":1,\\\"b\\\":\\u0022", "a", "1");
}

/* ---- random objects, compared with resolving everything first ---- */

static void put_blanks(struct rng *r, struct buf *b)
{
    while (rng_below(r, 8) == 0) {
        buf_put_c(b, " \n\t"[rng_below(r, 3)]);
    }
}

static void put_text(struct rng *r, struct buf *b)
{
    static const char *const parts[] = {
        "a", "id_str", "\\\"", "\\\\", "\\n", "\\u0022",      "{", "}",
        "[", "]",      ",",    ":",    " ",   "\xe4\xb8\xad", "x"};
    buf_put_c(b, '"');
    for (uint64_t n = rng_below(r, 12); n > 0; n--) {
        buf_put(b, str_of(parts[rng_below(r, ARRAY_LEN(parts))]));
    }
    buf_put_c(b, '"');
}

static void put_value(struct rng *r, struct buf *b, unsigned depth)
{
    const uint64_t kind = rng_below(r, depth < 3 ? 7 : 5);
    const bool is_object = kind == 5;
    switch (kind) {
    case 0:
        buf_put_i64(b, (int64_t)rng_u64(r));
        return;
    case 1:
        buf_put(b, rng_below(r, 2) ? STR("null") : STR("false"));
        return;
    case 2:
    case 3:
    case 4:
        put_text(r, b);
        return;
    default:
        break;
    }
    buf_put_c(b, is_object ? '{' : '[');
    for (uint64_t n = rng_below(r, 4), i = 0; i < n; i++) {
        buf_put(b, i > 0 ? STR(",") : STR(""));
        put_blanks(r, b);
        if (is_object) {
            put_text(r, b);
            buf_put_c(b, ':');
        }
        put_value(r, b, depth + 1);
        put_blanks(r, b);
    }
    buf_put_c(b, is_object ? '}' : ']');
}

static void put_object(struct rng *r, struct buf *b)
{
    static const char *const keys[] = {"id_str", "a", "emots", "reply_mid", "x"};
    put_blanks(r, b);
    buf_put_c(b, '{');
    for (uint64_t n = rng_below(r, 12), i = 0; i < n; i++) {
        buf_put(b, i > 0 ? STR(",") : STR(""));
        put_blanks(r, b);
        if (rng_below(r, 3) == 0) {
            put_text(r, b);
        } else {
            buf_printf(b, "\"%s\"", keys[rng_below(r, ARRAY_LEN(keys))]);
        }
        put_blanks(r, b);
        buf_put_c(b, ':');
        put_blanks(r, b);
        put_value(r, b, 0);
        put_blanks(r, b);
    }
    buf_put_c(b, '}');
    put_blanks(r, b);
}

/* Newlines and tabs of the inner text become escapes of the outer one, as any encoder would have it. */
static void embed(struct buf *out, struct str inner)
{
    struct json_out w;
    jw_init(&w, out);
    jw_str(&w, inner);
}

static void check_object(struct str inner, struct str raw, unsigned *usual)
{
    struct embedded_want want[] = {
        {.key = STR("id_str")}, {.key = STR("emots")}, {.key = STR("a")}};
    bool seen[ARRAY_LEN(want)] = {false};
    char *out = mem_alloc(raw.len + 1);
    struct json j;
    struct str key, value;
    assert_non_null(out);
    if (embedded_find(raw, want, ARRAY_LEN(want))) {
        (*usual)++;
        json_init(&j, inner);
        assert_true(json_enter_object(&j));
        while (json_next_key(&j, &key)) {
            assert_true(json_raw(&j, &value));
            for (size_t i = 0; i < ARRAY_LEN(want); i++) {
                if (!seen[i] && str_eq(key, want[i].key)) {
                    seen[i] = true;
                    assert_true(str_eq(json_unescape(want[i].value, out, raw.len), value));
                }
            }
        }
        assert_true(json_at_end(&j));
        for (size_t i = 0; i < ARRAY_LEN(want); i++) {
            assert_int_equal(seen[i], want[i].value.ptr != NULL);
        }
    }
    mem_free(out);
}

static void test_random_objects(void **state)
{
    struct rng r;
    struct buf inner, outer;
    unsigned usual = 0;
    (void)state;
    test_rng(&r);
    buf_init(&inner, TEXT_MAX);
    buf_init(&outer, TEXT_MAX);
    for (unsigned i = 0; i < RUNS; i++) {
        buf_clear(&inner);
        buf_clear(&outer);
        put_object(&r, &inner);
        embed(&outer, buf_str(&inner));
        check_object(buf_str(&inner), str_sub(buf_str(&outer), 1, outer.len - 1), &usual);
    }
    assert_true(usual > RUNS / 10);
    buf_deinit(&inner);
    buf_deinit(&outer);
}

/* An allocation of the exact size: with a sanitizer, no byte beside the text is touched. */
static void test_every_cut(void **state)
{
    struct rng r;
    struct buf inner, outer;
    (void)state;
    test_rng(&r);
    buf_init(&inner, TEXT_MAX);
    buf_init(&outer, TEXT_MAX);
    put_object(&r, &inner);
    put_object(&r, &inner);
    embed(&outer, buf_str(&inner));
    for (size_t n = 1; n < outer.len; n++) {
        struct embedded_want want = {.key = STR("not there")};
        char *exact = mem_alloc(n - 1);
        assert_non_null(exact);
        memcpy(exact, outer.data + 1, n - 1);
        (void)embedded_find((struct str){exact, n - 1}, &want, 1);
        mem_free(exact);
    }
    buf_deinit(&inner);
    buf_deinit(&outer);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_usual),
        cmocka_unit_test(test_unusual),
        cmocka_unit_test(test_random_objects),
        cmocka_unit_test(test_every_cut),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
