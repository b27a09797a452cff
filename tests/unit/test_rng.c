#include "server/core/rng.h"

#include "tests/support/child.h"
#include "tests/support/run.h"

static void reference_values(void **state)
{
    struct rng r = {{1, 2, 3, 4}};

    (void)state;
    /* The first outputs of xoshiro256** for this state, by hand from its definition. */
    assert_true(rng_u64(&r) == 11520);
    assert_true(rng_u64(&r) == 0);
    assert_true(rng_u64(&r) == 1509978240);
    assert_true(rng_u64(&r) == UINT64_C(1215971899390074240));
}

static void seeds(void **state)
{
    struct rng a;
    struct rng b;
    struct rng c;

    (void)state;
    rng_seed(&a, 0);
    /* splitmix64 from 0 */
    assert_true(a.s[0] == UINT64_C(0xE220A8397B1DCDAF) && a.s[1] == UINT64_C(0x6E789E6AA1B965F4));
    rng_seed(&a, 42);
    rng_seed(&b, 42);
    rng_seed(&c, 43);
    for (int i = 0; i < 100; i++) {
        uint64_t x = rng_u64(&a);

        assert_true(x == rng_u64(&b));
        assert_true(x != rng_u64(&c));
    }
    rng_seed_system(&a);
    rng_seed_system(&b);
    assert_true(rng_u64(&a) != rng_u64(&b));
}

static void below_is_even(void **state)
{
    struct rng r;

    (void)state;
    rng_seed(&r, 1);
    for (uint64_t n = 1; n <= 20; n++) {
        unsigned seen[20] = {0};

        for (int i = 0; i < 20000; i++) {
            uint64_t x = rng_below(&r, n);

            assert_true(x < n);
            seen[x]++;
        }
        for (uint64_t k = 0; k < n; k++) {
            /* Six standard deviations (about sqrt(mean)) of a fixed seed. */
            double mean = 20000.0 / (double)n;
            double off = (double)seen[k] - mean;

            assert_true(off * off <= 36 * mean);
        }
    }
    for (int i = 0; i < 1000; i++) {
        uint64_t n = UINT64_MAX - (uint64_t)i;

        assert_true(rng_below(&r, n) < n);
        assert_true(rng_below(&r, (UINT64_C(1) << 63) + 1) <= UINT64_C(1) << 63);
    }
}

static void between_holds(void **state)
{
    static const int64_t ends[][2] = {{0, 0},
                                      {-3, 3},
                                      {INT64_MIN, INT64_MAX},
                                      {INT64_MIN, INT64_MIN},
                                      {INT64_MAX - 1, INT64_MAX},
                                      {-1, INT64_MAX}};
    struct rng r;

    (void)state;
    test_rng(&r);
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        bool low = false;
        bool high = false;

        for (int k = 0; k < 1000; k++) {
            int64_t x = rng_between(&r, ends[i][0], ends[i][1]);

            assert_true(x >= ends[i][0] && x <= ends[i][1]);
            low |= x == ends[i][0];
            high |= x == ends[i][1];
        }
        if ((uint64_t)ends[i][1] - (uint64_t)ends[i][0] < 10) {
            assert_true(low && high);
        }
    }
}

static void unit_is_half_open(void **state)
{
    struct rng r;
    double sum = 0;

    (void)state;
    rng_seed(&r, 2);
    for (int i = 0; i < 100000; i++) {
        double x = rng_unit(&r);

        assert_true(x >= 0 && x < 1);
        sum += x;
    }
    assert_true(sum > 49000 && sum < 51000);
}

static void below_zero(void *ctx)
{
    (void)rng_below(ctx, 0);
}

static void between_reversed(void *ctx)
{
    (void)rng_between(ctx, 1, 0);
}

static void misuse_aborts(void **state)
{
    struct rng r;

    (void)state;
    test_rng(&r);
    assert_aborts(below_zero, &r, "rng_below");
    assert_aborts(between_reversed, &r, "rng_between");
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_values),  cmocka_unit_test(seeds),
        cmocka_unit_test(below_is_even),     cmocka_unit_test(between_holds),
        cmocka_unit_test(unit_is_half_open), cmocka_unit_test(misuse_aborts),
    };

    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
