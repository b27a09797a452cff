#include "server/core/backoff.h"

#include <limits.h>

#include "tests/support/child.h"
#include "tests/support/run.h"

static void doubles_up_to_the_cap(void **state)
{
    static const int64_t want[] = {100, 200, 400, 800, 1000, 1000, 1000};
    struct backoff b;
    struct rng r;

    (void)state;
    test_rng(&r);
    backoff_init(&b, 100, 1000, 0);
    for (int round = 0; round < 2; round++) {
        for (unsigned i = 0; i < ARRAY_LEN(want); i++) {
            assert_int_equal(b.tries, i);
            assert_int_equal(backoff_next_ms(&b, &r), want[i]);
        }
        backoff_reset(&b);
    }
}

static void jitter_stays_in_its_band(void **state)
{
    struct backoff b;
    struct rng r;
    bool low = false;
    bool high = false;

    (void)state;
    test_rng(&r);
    backoff_init(&b, 1000, 60000, 25);
    for (int i = 0; i < 5000; i++) {
        int64_t ms = backoff_next_ms(&b, &r);

        assert_in_range(ms, 750, 1250);
        low |= ms < 800;
        high |= ms > 1200;
        backoff_reset(&b);
    }
    assert_true(low && high);
    for (int i = 0; i < 5000; i++) {
        (void)backoff_next_ms(&b, &r);
    }
    assert_in_range(backoff_next_ms(&b, &r), 45000, 75000);
    backoff_init(&b, 1, 1, 100);
    for (int i = 0; i < 100; i++) {
        assert_in_range(backoff_next_ms(&b, &r), 0, 2);
    }
}

static void goes_on_for_ever(void **state)
{
    struct backoff b;
    struct rng r;

    (void)state;
    test_rng(&r);
    backoff_init(&b, 1, INT64_MAX / 4, 100);
    for (int i = 0; i < 1000; i++) {
        int64_t ms = backoff_next_ms(&b, &r);

        assert_true(ms >= 0 && ms <= INT64_MAX / 2);
    }
    b.tries = UINT_MAX;
    (void)backoff_next_ms(&b, &r);
    assert_int_equal(b.tries, UINT_MAX);
}

static void bad_values(void *ctx)
{
    struct backoff b;

    backoff_init(&b, *(int64_t *)ctx, 10, 0);
}

static void misuse_aborts(void **state)
{
    int64_t zero = 0;
    int64_t more = 11;

    (void)state;
    assert_aborts(bad_values, &zero, "base_ms > 0");
    assert_aborts(bad_values, &more, "max_ms >= base_ms");
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(doubles_up_to_the_cap),
        cmocka_unit_test(jitter_stays_in_its_band),
        cmocka_unit_test(goes_on_for_ever),
        cmocka_unit_test(misuse_aborts),
    };

    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
