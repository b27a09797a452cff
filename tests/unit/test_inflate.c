#include "collector/wire/inflate.h"
#include "server/core/mem.h"
#include "server/core/rng.h"
#include "tests/support/frames.h"
#include "tests/support/run.h"

enum { LIMIT = 16 << 20, BIG = 256 << 20 };

static const enum inflate_format formats[] = {INFLATE_ZLIB, INFLATE_BROTLI};

static void pack(struct buf *out, enum inflate_format format, struct str plain)
{
    if (format == INFLATE_ZLIB) {
        frames_zlib(out, plain);
    } else {
        frames_brotli(out, plain);
    }
}

/* n bytes that compress a little, the same for the same seed. */
static void noise(struct buf *out, size_t n, uint64_t seed)
{
    struct rng rng;
    rng_seed(&rng, seed);
    for (size_t i = 0; i < n; i++) {
        buf_put_c(out, (char)('a' + rng_below(&rng, 20)));
    }
}

static void test_round_trip(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 100, 65535, 65536, 65537, 1 << 20, 3 << 20};
    struct inflate *z = inflate_new();
    for (size_t f = 0; f < ARRAY_LEN(formats); f++) {
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
            struct buf plain, packed;
            struct str got = STR_NULL;
            buf_init(&plain, BIG);
            buf_init(&packed, BIG);
            noise(&plain, sizes[i], i);
            pack(&packed, formats[f], buf_str(&plain));
            assert_int_equal(inflate_run(z, formats[f], 0, buf_str(&packed), LIMIT, &got), ERR_OK);
            assert_true(str_eq(got, buf_str(&plain)));
            /* exactly at the limit it fits, one byte less and it does not */
            if (sizes[i] > 0) {
                assert_int_equal(inflate_run(z, formats[f], 1, buf_str(&packed), sizes[i], &got),
                                 ERR_OK);
                assert_true(str_eq(got, buf_str(&plain)));
                assert_int_equal(
                    inflate_run(z, formats[f], 2, buf_str(&packed), sizes[i] - 1, &got),
                    ERR_TOO_BIG);
            }
            buf_deinit(&plain);
            buf_deinit(&packed);
            inflate_trim(z);
        }
    }
    inflate_free(z);
}

static void test_levels_do_not_disturb_each_other(void **state)
{
    (void)state;
    struct inflate *z = inflate_new();
    struct buf a, b;
    struct str got_a = STR_NULL, got_b = STR_NULL;
    buf_init(&a, 1024);
    buf_init(&b, 1024);
    frames_zlib(&a, STR("outer"));
    frames_brotli(&b, STR("inner text"));
    assert_int_equal(inflate_run(z, INFLATE_ZLIB, 0, buf_str(&a), LIMIT, &got_a), ERR_OK);
    assert_int_equal(inflate_run(z, INFLATE_BROTLI, 1, buf_str(&b), LIMIT, &got_b), ERR_OK);
    inflate_trim(z); /* nothing that small is given back */
    assert_true(str_eq(got_a, STR("outer")));
    assert_true(str_eq(got_b, STR("inner text")));
    buf_deinit(&a);
    buf_deinit(&b);
    inflate_free(z);
}

static void test_bomb(void **state)
{
    (void)state;
    struct inflate *z = inflate_new();
    for (size_t f = 0; f < ARRAY_LEN(formats); f++) {
        struct buf plain, packed;
        struct str got = STR_NULL;
        buf_init(&plain, BIG);
        buf_init(&packed, BIG);
        char *at = buf_reserve(&plain, 64 << 20);
        assert_non_null(at);
        memset(at, 'a', 64 << 20);
        buf_commit(&plain, 64 << 20);
        pack(&packed, formats[f], buf_str(&plain));
        assert_true(packed.len < 128 * 1024);
        assert_int_equal(inflate_run(z, formats[f], 0, buf_str(&packed), LIMIT, &got), ERR_TOO_BIG);
        assert_int_equal(inflate_run(z, formats[f], 0, buf_str(&packed), 0, &got), ERR_TOO_BIG);
        assert_null(got.ptr);
        inflate_trim(z);
        buf_deinit(&plain);
        buf_deinit(&packed);
    }
    inflate_free(z);
}

static void test_corrupt(void **state)
{
    (void)state;
    struct inflate *z = inflate_new();
    for (size_t f = 0; f < ARRAY_LEN(formats); f++) {
        struct buf plain, packed;
        struct str got = STR_NULL;
        buf_init(&plain, BIG);
        buf_init(&packed, BIG);
        noise(&plain, 3000, 7);
        pack(&packed, formats[f], buf_str(&plain));
        assert_int_equal(inflate_run(z, formats[f], 0, STR_NULL, LIMIT, &got), ERR_CORRUPT);
        assert_int_equal(inflate_run(z, formats[f], 0, STR("{\"cmd\":1}"), LIMIT, &got),
                         ERR_CORRUPT);
        for (size_t cut = 0; cut < packed.len; cut++) {
            assert_int_equal(
                inflate_run(z, formats[f], 0, (struct str){packed.data, cut}, LIMIT, &got),
                ERR_CORRUPT);
        }
        /* a flipped byte is an error or other text; zlib has a checksum, so there it is always an error */
        for (size_t i = 0; i < packed.len; i += 7) {
            packed.data[i] = (char)(packed.data[i] ^ 0x10);
            const enum err_code err = inflate_run(z, formats[f], 0, buf_str(&packed), LIMIT, &got);
            assert_true(err == ERR_CORRUPT || formats[f] == INFLATE_BROTLI);
            packed.data[i] = (char)(packed.data[i] ^ 0x10);
        }
        buf_put(&packed, STR("trailing"));
        assert_int_equal(inflate_run(z, formats[f], 0, buf_str(&packed), LIMIT, &got), ERR_OK);
        assert_true(str_eq(got, buf_str(&plain)));
        buf_deinit(&plain);
        buf_deinit(&packed);
    }
    inflate_free(z);
}

static void test_out_of_memory(void **state)
{
    (void)state;
    const uint64_t live = mem_live_count();
    for (size_t f = 0; f < ARRAY_LEN(formats); f++) {
        struct buf plain, packed;
        buf_init(&plain, BIG);
        buf_init(&packed, BIG);
        noise(&plain, 200000, 9);
        pack(&packed, formats[f], buf_str(&plain));
        unsigned failed = 0;
        for (int64_t n = 0;; n++) {
            struct inflate *z = inflate_new();
            struct str got = STR_NULL;
            mem_fault_set(n, 1);
            const enum err_code err = inflate_run(z, formats[f], 0, buf_str(&packed), LIMIT, &got);
            mem_fault_set(-1, 0);
            inflate_free(z);
            if (err == ERR_OK) {
                break;
            }
            assert_int_equal(err, ERR_NOMEM);
            failed++;
        }
        assert_true(failed >= 3); /* the state, the buffer, and the buffer growing */
        buf_deinit(&plain);
        buf_deinit(&packed);
    }
    assert_int_equal(mem_live_count(), live);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_levels_do_not_disturb_each_other),
        cmocka_unit_test(test_bomb),
        cmocka_unit_test(test_corrupt),
        cmocka_unit_test(test_out_of_memory),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
