#include "server/core/arena.h"

#include <string.h>

#include "server/core/mem.h"
#include "tests/support/run.h"

static void aligned_and_apart(void **state)
{
    enum { N = 500 };
    struct arena a;
    unsigned char *p[N];
    size_t len[N];
    struct rng r;

    (void)state;
    test_rng(&r);
    arena_init(&a, 10 << 20);
    for (int round = 0; round < 20; round++) {
        for (unsigned i = 0; i < N; i++) {
            len[i] = (size_t)rng_below(&r, rng_below(&r, 10) == 0 ? 9000 : 100);
            p[i] = arena_alloc(&a, len[i]);
            assert_non_null(p[i]);
            assert_int_equal((uintptr_t)p[i] % 16, 0);
            memset(p[i], (int)(i & 0xFF), len[i]);
        }
        for (unsigned i = 0; i < N; i++) {
            for (size_t k = 0; k < len[i]; k++) {
                assert_int_equal(p[i][k], i & 0xFF);
            }
        }
        arena_reset(&a);
        assert_int_equal(a.used, 0);
    }
    arena_deinit(&a);
    arena_deinit(&a); /* once more is fine */
}

static void empty_requests_differ(void **state)
{
    struct arena a;
    void *p;
    void *q;

    (void)state;
    arena_init(&a, 100);
    p = arena_alloc(&a, 0);
    q = arena_alloc(&a, 0);
    assert_non_null(p);
    assert_non_null(q);
    assert_ptr_not_equal(p, q);
    arena_deinit(&a);
}

static void limit_holds(void **state)
{
    static const size_t limits[] = {0, 1, 15, 16, 17, 4096, 5000, 100000};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        struct arena a;
        size_t n = 0;
        void *p;

        arena_init(&a, limits[i]);
        while (arena_alloc(&a, 16)) {
            n++;
            assert_true(n * 16 <= limits[i]);
        }
        assert_int_equal(n, limits[i] / 16);
        arena_reset(&a);
        p = arena_alloc(&a, limits[i] + 1);
        assert_null(p);
        p = arena_alloc(&a, SIZE_MAX);
        assert_null(p);
        p = arena_alloc(&a, SIZE_MAX - 7);
        assert_null(p);
        p = arena_alloc(&a, limits[i] / 16 * 16);
        assert_int_equal(p != NULL, limits[i] >= 16);
        arena_deinit(&a);
    }
}

/* A phase that fits the first block allocates nothing from the second time on; a larger one gives the rest back. */
static void blocks_across_resets(void **state)
{
    struct arena a;
    uint64_t start = mem_live_count();
    void *p;

    (void)state;
    arena_init(&a, 1 << 20);
    assert_int_equal(mem_live_count(), start);
    for (int i = 0; i < 10; i++) {
        if (i > 0) {
            mem_fault_set(0, 1); /* would hit the first allocation */
        }
        for (int k = 0; k < 36; k++) {
            p = arena_alloc(&a, 100);
            assert_non_null(p);
        }
        mem_fault_set(-1, 0);
        arena_reset(&a);
        assert_int_equal(mem_live_count(), start + 1);
    }
    for (int k = 0; k < 1000; k++) {
        p = arena_alloc(&a, 1000);
        assert_non_null(p);
    }
    assert_true(mem_live_count() > start + 2);
    arena_reset(&a);
    assert_int_equal(mem_live_count(), start + 1);
    arena_deinit(&a);
}

static void out_of_memory(void **state)
{
    (void)state;
    for (int64_t n = 0; n < 6; n++) {
        struct arena a;
        int failed = 0;

        arena_init(&a, 1 << 20);
        mem_fault_set(n, 1);
        for (int k = 0; k < 100; k++) {
            char *p = arena_alloc(&a, 3000);

            failed += p == NULL;
            if (p) {
                memset(p, 1, 3000);
            }
        }
        mem_fault_set(-1, 0);
        assert_int_equal(failed, 1); /* and the arena goes on */
        assert_int_equal(a.used, 99 * 3008);
        arena_deinit(&a);
    }
}

static void dup_copies(void **state)
{
    struct arena a;
    char *p;

    (void)state;
    arena_init(&a, 32);
    p = arena_dup(&a, STR("hello"));
    assert_non_null(p);
    assert_string_equal(p, "hello");
    p = arena_dup(&a, STR_NULL);
    assert_non_null(p);
    assert_string_equal(p, "");
    p = arena_dup(&a, STR_NULL);
    assert_null(p);
    arena_deinit(&a);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(aligned_and_apart), cmocka_unit_test(empty_requests_differ),
        cmocka_unit_test(limit_holds),       cmocka_unit_test(blocks_across_resets),
        cmocka_unit_test(out_of_memory),     cmocka_unit_test(dup_copies),
    };

    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
