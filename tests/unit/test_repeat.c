#include "collector/repeat.h"

#include "server/core/mem.h"
#include "tests/support/run.h"

static void no_memory_before_the_first_key(void **state)
{
    (void)state;
    struct repeat r;
    repeat_init(&r);
    assert_null(r.keys);
    assert_false(repeat_seen(&r, 0));
    assert_null(r.keys);
    assert_false(repeat_seen(&r, 7));
    assert_true(repeat_seen(&r, 7));
    assert_int_equal(r.cap, REPEAT_KEYS_MIN);
    repeat_deinit(&r);
}

static void zero_never_repeats(void **state)
{
    (void)state;
    struct repeat r;
    repeat_init(&r);
    assert_false(repeat_seen(&r, 0));
    assert_false(repeat_seen(&r, 0));
    assert_int_equal(r.n, 0);
    repeat_deinit(&r);
}

static void window_holds_the_newest(void **state)
{
    (void)state;
    struct repeat r;
    repeat_init(&r);
    for (int64_t k = 1; k <= REPEAT_KEYS_MAX; k++) {
        assert_false(repeat_seen(&r, k));
    }
    assert_int_equal(r.cap, REPEAT_KEYS_MAX);
    assert_true(repeat_seen(&r, 1));
    assert_false(repeat_seen(&r, REPEAT_KEYS_MAX + 1)); /* pushes 1 out */
    assert_false(repeat_seen(&r, 1));                   /* pushes 2 out */
    assert_false(repeat_seen(&r, 2));
    assert_true(repeat_seen(&r, 4));
    assert_int_equal(r.n, REPEAT_KEYS_MAX);
    repeat_deinit(&r);
}

/* Against an array that is searched from end to end; keys collide on purpose. */
static void model(void **state)
{
    (void)state;
    struct rng rng;
    struct repeat r;
    int64_t *keys = mem_new_array(int64_t, 200000);
    size_t n = 0;
    test_rng(&rng);
    repeat_init(&r);
    for (int i = 0; i < 60000; i++) {
        const int64_t range = i < 3000 ? 100 : 9000;
        const int64_t key = rng_between(&rng, 1, range) << (rng_below(&rng, 2) * 40);
        const size_t oldest = n > REPEAT_KEYS_MAX ? n - REPEAT_KEYS_MAX : 0;
        bool known = false;
        for (size_t k = n; k > oldest && !known; k--) {
            known = keys[k - 1] == key;
        }
        assert_int_equal(repeat_seen(&r, key), known);
        if (!known) {
            keys[n++] = key;
        }
    }
    assert_true(n > 2 * REPEAT_KEYS_MAX);
    repeat_deinit(&r);
    mem_free(keys);
}

static void without_memory_the_window_stays_small(void **state)
{
    (void)state;
    struct repeat r;
    repeat_init(&r);
    mem_fault_set(0, 1);
    assert_false(repeat_seen(&r, 5));
    assert_int_equal(r.cap, 0);
    assert_false(repeat_seen(&r, 5));
    assert_true(repeat_seen(&r, 5));
    mem_fault_set(0, INT64_MAX);
    for (int64_t k = 100; k < 100 + 2 * REPEAT_KEYS_MIN; k++) {
        assert_false(repeat_seen(&r, k));
    }
    assert_int_equal(r.n, REPEAT_KEYS_MIN);
    mem_fault_set(-1, 0);
    assert_false(repeat_seen(&r, 5));
    assert_int_equal(r.cap, 2 * REPEAT_KEYS_MIN);
    assert_true(repeat_seen(&r, 100 + 2 * REPEAT_KEYS_MIN - 1));
    repeat_deinit(&r);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_memory_before_the_first_key),
        cmocka_unit_test(zero_never_repeats),
        cmocka_unit_test(window_holds_the_newest),
        cmocka_unit_test(model),
        cmocka_unit_test(without_memory_the_window_stays_small),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
