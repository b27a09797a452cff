#include "server/core/mem.h"

#include <string.h>

#include "tests/support/child.h"
#include "tests/support/run.h"

struct thing {
    int64_t a[5];
};

static void control_plane_is_zeroed(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        struct thing *t = mem_new(struct thing);
        int *many = mem_new_array(int, 1000);

        for (size_t k = 0; k < ARRAY_LEN(t->a); k++) {
            assert_int_equal(t->a[k], 0);
        }
        for (size_t k = 0; k < 1000; k++) {
            assert_int_equal(many[k], 0);
        }
        memset(t, 0xFF, sizeof(*t)); /* so that reused memory would show */
        memset(many, 0xFF, 1000 * sizeof(*many));
        mem_free(t);
        mem_free(many);
    }
}

static void ask_too_much(void *ctx)
{
    (void)mem_zero_or_abort(SIZE_MAX / 2, *(size_t *)ctx);
}

static void control_plane_aborts(void **state)
{
    size_t eight = 8; /* the product overflows */

    (void)state;
    assert_aborts(ask_too_much, &eight, "out of memory");
}

static void live_count(void **state)
{
    uint64_t start = mem_live_count();
    void *a = mem_new(int);
    char *b = mem_alloc(10);
    char *c = mem_dup("xyz", 3);
    char *d = mem_realloc(NULL, 5);

    (void)state;
    assert_int_equal(mem_live_count() - start, 4);
    d = mem_realloc(d, 5000);
    assert_non_null(d);
    assert_int_equal(mem_live_count() - start, 4);
    mem_free(NULL);
    mem_free(a);
    mem_free(b);
    mem_free(c);
    mem_free(d);
    assert_int_equal(mem_live_count(), start);
}

static void zero_sizes(void **state)
{
    char *a = mem_alloc(0);
    char *b = mem_dup(NULL, 0);
    char *c = mem_new_array(char, 0);

    (void)state;
    assert_non_null(a);
    a = mem_realloc(a, 0); /* does not free */
    assert_non_null(a);
    assert_non_null(b);
    assert_string_equal(b, "");
    assert_non_null(c);
    mem_free(a);
    mem_free(b);
    mem_free(c);
}

static void dup_copies(void **state)
{
    char *p = mem_dup("ab\0cd", 5);

    (void)state;
    assert_non_null(p);
    assert_memory_equal(p, "ab\0cd", 6);
    mem_free(p);
}

static void cleanup_frees(void **state)
{
    uint64_t start = mem_live_count();

    (void)state;
    {
        CLEANUP(mem_free_ptr) char *p = mem_alloc(10);
        CLEANUP(mem_free_ptr) struct thing *null = NULL;

        assert_non_null(p);
        assert_null(null);
    }
    assert_int_equal(mem_live_count(), start);
}

/* Which of ten data-plane allocations fail, as a bit set. */
static unsigned failures(void)
{
    unsigned set = 0;

    for (unsigned i = 0; i < 10; i++) {
        char *p = i % 3 == 0 ? mem_alloc(1) : i % 3 == 1 ? mem_realloc(NULL, 1) : mem_dup("x", 1);
        void *control = mem_new(int); /* never counts, never fails */

        set |= p ? 0 : 1U << i;
        mem_free(p);
        mem_free(control);
    }
    return set;
}

static void faults(void **state)
{
    (void)state;
    assert_int_equal(failures(), 0);
    for (int64_t n = 0; n < 12; n++) {
        for (int64_t repeat = 1; repeat < 12; repeat++) {
            unsigned want = ((1U << repeat) - 1) << n;

            mem_fault_set(n, repeat);
            assert_int_equal(failures(), want & 0x3FF);
            mem_fault_set(-1, 0);
            assert_int_equal(failures(), 0);
        }
    }
    mem_fault_set(2, 3);
    assert_int_equal(failures(), 0x1C);
    assert_int_equal(failures(), 0); /* used up */
    mem_fault_set(0, 0);
    assert_int_equal(failures(), 0);
}

/* A failed realloc leaves the old block as it was. */
static void failed_realloc_keeps(void **state)
{
    char *p = mem_dup("keep", 4);
    char *q;

    (void)state;
    assert_non_null(p);
    mem_fault_set(0, 1);
    q = mem_realloc(p, 100);
    assert_null(q);
    assert_string_equal(p, "keep");
    mem_free(p);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(control_plane_is_zeroed),
        cmocka_unit_test(control_plane_aborts),
        cmocka_unit_test(live_count),
        cmocka_unit_test(zero_sizes),
        cmocka_unit_test(dup_copies),
        cmocka_unit_test(cleanup_frees),
        cmocka_unit_test(faults),
        cmocka_unit_test(failed_realloc_keeps),
    };

    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
