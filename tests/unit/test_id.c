#include "server/core/id.h"

#include <string.h>

#include "tests/support/child.h"
#include "tests/support/run.h"

#define NOW (ID_EPOCH_MS + INT64_C(217000000000))
#define MS_MAX ((INT64_C(1) << 41) - 1)

static int64_t make(int64_t ms, uint32_t node, uint32_t seq, uint32_t event)
{
    return ms << 22 | (int64_t)node << 16 | (int64_t)seq << 4 | event;
}

static void layout(void **state)
{
    struct id_gen g;
    int64_t id;

    (void)state;
    id_gen_init(&g, 37);
    id = id_gen_message(&g, NOW);
    assert_true(id == make(NOW - ID_EPOCH_MS, 37, 0, 0));
    assert_true(id_gen_message(&g, NOW) == make(NOW - ID_EPOCH_MS, 37, 1, 0));
    assert_true(id_ts_ms(id + 15) == NOW);
    assert_int_equal(id_node(id + 15), 37);
    assert_true(id_message(id + 15) == id);
    assert_true(id_message(id) == id);
}

static void parts_of_extremes(void **state)
{
    (void)state;
    assert_true(id_ts_ms(0) == ID_EPOCH_MS);
    assert_int_equal(id_node(0), 0);
    assert_true(id_ts_ms(ID_MAX) == ID_EPOCH_MS + MS_MAX);
    assert_int_equal(id_node(ID_MAX), 63);
    assert_true(id_message(ID_MAX) == ID_MAX - 15);
}

/* Ranges of time are ranges of ids: [first(from), first(to)) holds exactly the ids with from <= ts < to. */
static void first_of_ms(void **state)
{
    struct rng r;

    (void)state;
    test_rng(&r);
    for (int i = 0; i < 10000; i++) {
        int64_t ms = rng_between(&r, ID_EPOCH_MS + 1, ID_EPOCH_MS + MS_MAX);
        int64_t first = id_first_of_ms(ms);

        assert_true(id_ts_ms(first) == ms);
        assert_true(id_ts_ms(first - 1) == ms - 1);
    }
    assert_true(id_first_of_ms(ID_EPOCH_MS) == 0);
    assert_true(id_first_of_ms(ID_EPOCH_MS - 1) == 0);
    assert_true(id_first_of_ms(INT64_MIN) == 0);
    assert_true(id_first_of_ms(ID_EPOCH_MS + MS_MAX) == MS_MAX << 22);
    assert_true(id_first_of_ms(ID_EPOCH_MS + MS_MAX + 1) == ID_MAX);
    assert_true(id_first_of_ms(INT64_MAX) == ID_MAX);
}

/* Whatever the clock does, ids rise, keep their node, and leave the event bits free. */
static void strictly_increasing(void **state)
{
    struct rng r;

    (void)state;
    test_rng(&r);
    for (int round = 0; round < 50; round++) {
        struct id_gen g;
        uint32_t node = (uint32_t)rng_below(&r, ID_NODES);
        int64_t wall = NOW;
        int64_t last = 0;

        id_gen_init(&g, node);
        for (int i = 0; i < 5000; i++) {
            int64_t id;

            switch (rng_below(&r, 200)) {
            case 0:
                wall -= rng_between(&r, 0, 100000);
                break;
            case 1:
                wall += rng_between(&r, 0, 100000);
                break;
            case 2:
                wall = ID_EPOCH_MS - rng_between(&r, 0, 1000); /* before the epoch */
                break;
            default:
                wall += rng_between(&r, 0, 1);
                break;
            }
            id = id_gen_message(&g, wall);
            assert_true(id > last);
            assert_int_equal(id & 15, 0);
            assert_int_equal(id_node(id), node);
            assert_true(id_ts_ms(id) >= wall);
            last = id;
            if (rng_below(&r, 1000) == 0) { /* restart */
                id_gen_init(&g, node);
                id_gen_seed(&g, last + (int64_t)rng_below(&r, 16));
            }
        }
    }
}

static void clock_steps_back(void **state)
{
    struct id_gen g;
    int64_t a;
    int64_t b;

    (void)state;
    id_gen_init(&g, 1);
    a = id_gen_message(&g, NOW);
    assert_int_equal(g.clock_back, 0);
    b = id_gen_message(&g, NOW - 60000);
    assert_true(b == a + 16); /* the ms stands still */
    assert_int_equal(g.clock_back, 1);
    assert_true(id_gen_message(&g, NOW) == b + 16);
    assert_int_equal(g.clock_back, 1);
    assert_true(id_gen_message(&g, NOW + 1) == make(NOW + 1 - ID_EPOCH_MS, 1, 0, 0));
    assert_int_equal(g.borrowed, 0);
}

static void overflow_borrows(void **state)
{
    struct id_gen g;
    int64_t last = 0;

    (void)state;
    id_gen_init(&g, 63);
    for (uint32_t i = 0; i < 3 * 4096 + 10; i++) {
        int64_t id = id_gen_message(&g, NOW);

        assert_true(id > last);
        assert_true(id_ts_ms(id) == NOW + i / 4096);
        assert_int_equal(g.borrowed, i / 4096);
        last = id;
    }
    assert_true(id_ts_ms(id_gen_message(&g, NOW + 1)) == NOW + 3);
    assert_true(id_ts_ms(id_gen_message(&g, NOW + 4)) == NOW + 4);
}

/* The numbers of one message are of one ms, whatever is left of it. */
static void several_numbers(void **state)
{
    struct id_gen g;
    struct rng r;
    int64_t next = 0;

    (void)state;
    test_rng(&r);
    id_gen_init(&g, 63);
    for (unsigned i = 0; i < 100000; i++) {
        const uint32_t n = (uint32_t)rng_between(&r, 1, ID_NUMBERS_MAX);
        const int64_t id = id_gen_numbers(&g, NOW + i / 5000, n);
        const int64_t last = id + n * ID_EVENTS_PER_MESSAGE - 1;

        assert_true(id >= next);
        assert_true(id_message(id) == id);
        assert_true(id_ts_ms(last) == id_ts_ms(id) && id_node(last) == 63);
        next = last + 1;
    }
    assert_true(g.borrowed > 0);
}

static void no_id_is_zero(void **state)
{
    struct id_gen g;

    (void)state;
    id_gen_init(&g, 0);
    assert_true(id_gen_message(&g, INT64_MIN) == 16);
    id_gen_init(&g, 0);
    assert_true(id_gen_message(&g, ID_EPOCH_MS) == 16);
}

static void seeding(void **state)
{
    int64_t ms = NOW - ID_EPOCH_MS;

    (void)state;
    for (uint32_t node = 0; node < ID_NODES; node += 21) {
        for (uint32_t other = 0; other < ID_NODES; other += 21) {
            for (uint32_t seq = 0; seq < 4096; seq += 1365) {
                for (uint32_t event = 0; event < 16; event += 15) {
                    for (int64_t step = -2; step <= 2; step++) {
                        int64_t known = make(ms, other, seq, event);
                        struct id_gen g;
                        int64_t id;

                        id_gen_init(&g, node);
                        id_gen_seed(&g, known);
                        id = id_gen_message(&g, NOW + step);
                        assert_true(id > known);
                        assert_true(id_ts_ms(id) <=
                                    NOW + (step > 1 ? step : 1)); /* and no later than needed */
                    }
                }
            }
        }
    }
}

static void seeds_add_up(void **state)
{
    struct id_gen g;
    struct id_gen before;

    (void)state;
    id_gen_init(&g, 5);
    id_gen_seed(&g, make(1000, 5, 7, 3));
    before = g;
    id_gen_seed(&g, make(1000, 5, 6, 15)); /* an older one changes nothing */
    id_gen_seed(&g, make(999, 63, 4095, 15));
    id_gen_seed(&g, make(1000, 4, 4095, 15)); /* a lower node's are smaller */
    id_gen_seed(&g, 0);
    id_gen_seed(&g, -1);
    id_gen_seed(&g, INT64_MIN);
    assert_memory_equal(&g, &before, sizeof(g));
    id_gen_seed(&g, make(1000, 5, 8, 0));
    assert_true(id_gen_message(&g, ID_EPOCH_MS) == make(1000, 5, 9, 0));
    id_gen_seed(
        &g, make(1000, 6, 0, 0)); /* a higher node's ids of that ms are out of reach: the next ms */
    assert_true(id_gen_message(&g, ID_EPOCH_MS) > make(1000, 6, 4095, 15));
}

/* Ids that were shown and never stored lie behind the newest stored one: a start with the clock behind passes them over. */
static void begins_behind_what_was_shown(void **state)
{
    struct id_gen before;
    struct id_gen after;
    int64_t shown = 0;
    (void)state;
    id_gen_init(&before, 3);
    int64_t stored = id_gen_message(&before, ID_EPOCH_MS + 500000);
    for (int i = 0; i < 100000; i++) {
        shown = id_gen_message(&before, ID_EPOCH_MS + 400000); /* the clock went back */
    }
    id_gen_init(&after, 3);
    id_gen_seed(&after, stored);
    id_gen_begin(&after, ID_EPOCH_MS + 410000);
    assert_true(id_gen_message(&after, ID_EPOCH_MS + 410000) > shown);
    id_gen_init(&after, 3);
    id_gen_seed(&after, stored);
    id_gen_begin(&after, ID_EPOCH_MS + 500001); /* all is well: the clock's own ms */
    assert_int_equal(id_ts_ms(id_gen_message(&after, ID_EPOCH_MS + 500001)), ID_EPOCH_MS + 500001);
}

static void bad_node(void *ctx)
{
    id_gen_init(ctx, ID_NODES);
}

static void past_the_end(void *ctx)
{
    for (int i = 0; i < 5000; i++) {
        (void)id_gen_message(ctx, INT64_MAX);
    }
}

static void limits_abort(void **state)
{
    struct id_gen g;

    (void)state;
    assert_aborts(bad_node, &g, "node < ID_NODES");
    id_gen_init(&g, 0);
    assert_true(id_ts_ms(id_gen_message(&g, INT64_MAX)) == ID_EPOCH_MS + MS_MAX);
    assert_aborts(past_the_end, &g, "TIME_MAX_MS");
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(layout),           cmocka_unit_test(parts_of_extremes),
        cmocka_unit_test(first_of_ms),      cmocka_unit_test(strictly_increasing),
        cmocka_unit_test(clock_steps_back), cmocka_unit_test(overflow_borrows),
        cmocka_unit_test(several_numbers),  cmocka_unit_test(no_id_is_zero),
        cmocka_unit_test(seeding),          cmocka_unit_test(begins_behind_what_was_shown),
        cmocka_unit_test(seeds_add_up),     cmocka_unit_test(limits_abort),
    };

    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
