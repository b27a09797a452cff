#include "server/core/buf.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "server/core/mem.h"
#include "tests/support/child.h"
#include "tests/support/run.h"

static void appends(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 1000);
    assert_null(b.data); /* nothing is allocated before it is needed */
    buf_put(&b, STR("ab"));
    buf_put(&b, STR_NULL);
    buf_put_c(&b, '-');
    buf_put_i64(&b, -5);
    buf_put_u64(&b, UINT64_MAX);
    buf_printf(&b, "<%s %d>", "x", 7);
    assert_true(buf_ok(&b));
    assert_str_equal(buf_str(&b), "ab--518446744073709551615<x 7>");
    buf_drop_front(&b, 3);
    assert_str_equal(buf_str(&b), "-518446744073709551615<x 7>");
    buf_drop_front(&b, b.len);
    assert_int_equal(b.len, 0);
    buf_deinit(&b);
    buf_deinit(&b);
    assert_null(b.data);
}

static void zeroed_buf_is_fine(void **state)
{
    struct buf b = {0};

    (void)state;
    assert_int_equal(buf_str(&b).len, 0);
    buf_drop_front(&b, 0);
    buf_put_c(&b, 'x'); /* limit 0 */
    assert_false(buf_ok(&b));
    buf_deinit(&b);
}

/* Against a flat array with the same rule: all of it or nothing, and nothing more after the first refusal. */
static void model(void **state)
{
    struct rng r;

    (void)state;
    test_rng(&r);
    for (int round = 0; round < 500; round++) {
        size_t limit = (size_t)rng_below(&r, round % 2 ? 100 : 5000);
        char want[5000];
        size_t len = 0;
        bool failed = false;
        struct buf b;

        buf_init(&b, limit);
        for (int step = 0; step < 100; step++) {
            char piece[128];
            size_t n = 0;

            switch (rng_below(&r, 8)) {
            case 0:
                n = (size_t)rng_below(&r, sizeof(piece));
                memset(piece, 'a' + step % 26, sizeof(piece));
                buf_put(&b, (struct str){piece, n});
                break;
            case 1:
                n = 1;
                piece[0] = (char)step;
                buf_put_c(&b, (char)step);
                break;
            case 2: {
                int64_t v = (int64_t)(rng_u64(&r) >> rng_below(&r, 64));
                n = (size_t)snprintf(piece, sizeof(piece), "%" PRId64, -v);
                buf_put_i64(&b, -v);
                break;
            }
            case 3:
                n = (size_t)snprintf(piece, sizeof(piece), "%0*d", 1 + step, step);
                buf_printf(&b, "%0*d", 1 + step, step);
                break;
            case 4: {
                size_t room = (size_t)rng_below(&r, sizeof(piece));
                char *p = buf_reserve(&b, room);
                bool fits = !failed && room <= limit - len;

                assert_int_equal(p != NULL, fits);
                failed = !fits;
                if (p) {
                    n = (size_t)rng_below(&r, room + 1);
                    memset(piece, 'r', sizeof(piece));
                    memset(p, 'r', n);
                    buf_commit(&b, n);
                }
                break;
            }
            case 5:
                n = 0;
                if (!failed) {
                    size_t drop = (size_t)rng_below(&r, len + 1) / 4;
                    buf_drop_front(&b, drop);
                    memmove(want, want + drop, len - drop);
                    len -= drop;
                }
                break;
            case 6:
                if (rng_below(&r, 30) == 0) {
                    buf_clear(&b);
                    len = 0;
                    failed = false;
                }
                break;
            default:
                buf_put(&b, STR_NULL);
                break;
            }
            if (!failed && n <= limit - len) {
                memcpy(want + len, piece, n);
                len += n;
            } else {
                failed = true;
            }
            assert_int_equal(buf_ok(&b), !failed);
            assert_int_equal(b.len, len);
            assert_true(b.cap <= limit && b.len <= b.cap);
            assert_memory_equal(len ? b.data : want, want, len);
        }
        buf_deinit(&b);
    }
}

static void exact_limit(void **state)
{
    (void)state;
    for (size_t limit = 0; limit < 300; limit++) {
        struct buf b;

        buf_init(&b, limit);
        buf_printf(&b, "%*s", (int)limit, "");
        assert_true(buf_ok(&b));
        assert_int_equal(b.len, limit);
        buf_put(&b, STR_NULL);
        assert_true(buf_ok(&b));
        buf_printf(&b, "%s", "");
        assert_true(buf_ok(&b));
        buf_put_c(&b, 'x');
        assert_false(buf_ok(&b));
        assert_int_equal(b.len, limit);
        buf_clear(&b);
        buf_printf(&b, "%*s", (int)limit + 1, "");
        assert_false(buf_ok(&b));
        assert_int_equal(b.len, 0);
        buf_deinit(&b);
    }
}

static void huge_requests_fail(void **state)
{
    struct buf b;
    char *p;

    (void)state;
    buf_init(&b, SIZE_MAX);
    buf_put(&b, STR("abc"));
    p = buf_reserve(&b, SIZE_MAX);
    assert_null(p);
    assert_false(buf_ok(&b));
    assert_str_equal(buf_str(&b), "abc");
    buf_clear(&b);
    p = buf_reserve(&b, SIZE_MAX / 2 + 5);
    assert_null(p);
    buf_deinit(&b);
}

static void decimals(void **state)
{
    struct buf b;
    struct rng r;

    (void)state;
    test_rng(&r);
    buf_init(&b, 64);
    for (int i = 0; i < 50000; i++) {
        uint64_t v = rng_u64(&r) >> rng_below(&r, 64);
        char want[64];

        if (i < 64) {
            v = UINT64_C(1) << i;
        } else if (i < 84) {
            v = 1;
            for (int k = 64; k < i; k++) {
                v *= 10;
            }
        }
        for (uint64_t x = v - 1; x != v + 2; x++) {
            buf_clear(&b);
            buf_put_u64(&b, x);
            buf_put_c(&b, ' ');
            buf_put_i64(&b, (int64_t)x);
            buf_put_c(&b, ' ');
            buf_put_i64(&b, (int64_t)-x);
            (void)snprintf(want, sizeof(want), "%" PRIu64 " %" PRId64 " %" PRId64, x, (int64_t)x,
                           (int64_t)-x);
            assert_str_equal(buf_str(&b), want);
        }
    }
    buf_deinit(&b);
}

static void take_moves(void **state)
{
    struct buf b;
    size_t len = 5;
    char *p;

    (void)state;
    buf_init(&b, 10);
    p = buf_take(&b, &len);
    assert_null(p);
    assert_int_equal(len, 0);
    buf_put(&b, STR("0123456789"));
    p = buf_take(&b, &len);
    assert_int_equal(len, 10);
    assert_string_equal(p, "0123456789"); /* a NUL follows, even at the limit */
    mem_free(p);
    assert_int_equal(b.limit, 10);
    buf_put(&b, STR("x"));
    assert_true(buf_ok(&b));
    assert_str_equal(buf_str(&b), "x");
    buf_deinit(&b);
}

static void out_of_memory(void **state)
{
    (void)state;
    for (int64_t n = 0; n < 8; n++) {
        struct buf b;
        size_t before;

        buf_init(&b, 10000);
        mem_fault_set(n, 1);
        do {
            before = b.len;
            buf_put(&b, STR("0123456789"));
        } while (buf_ok(&b) && b.len < 10000);
        mem_fault_set(-1, 0);
        assert_int_equal(b.len, buf_ok(&b) ? 10000 : before);
        buf_put(&b, STR("more")); /* a no-op now */
        assert_false(buf_ok(&b));
        for (size_t i = 0; i < b.len; i++) {
            assert_int_equal(b.data[i], '0' + (int)(i % 10));
        }
        buf_deinit(&b);
    }
}

/* What printf itself refuses: a character that the locale "C" cannot write. */
static void bad_format_fails(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    buf_put(&b, STR("abc"));
    buf_printf(&b, "x%ls", L"\x20AC");
    assert_false(buf_ok(&b));
    assert_str_equal(buf_str(&b), "abc");
    buf_deinit(&b);
}

static void commit_too_much(void *ctx)
{
    struct buf *b = ctx;

    buf_commit(b, b->cap - b->len + 1);
}

static void drop_too_much(void *ctx)
{
    struct buf *b = ctx;

    buf_drop_front(b, b->len + 1);
}

static void misuse_aborts(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    buf_put(&b, STR("abc"));
    assert_aborts(commit_too_much, &b, "buf_commit");
    assert_aborts(drop_too_much, &b, "buf_drop_front");
    buf_deinit(&b);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends),       cmocka_unit_test(zeroed_buf_is_fine),
        cmocka_unit_test(model),         cmocka_unit_test(exact_limit),
        cmocka_unit_test(decimals),      cmocka_unit_test(huge_requests_fail),
        cmocka_unit_test(take_moves),    cmocka_unit_test(out_of_memory),
        cmocka_unit_test(misuse_aborts), cmocka_unit_test(bad_format_fails),
    };

    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
