/* Who finds a place: order, and that nobody takes turns at the edge. */
#include "collector/fleet_rank.h"

#include "server/core/rng.h"
#include "tests/support/run.h"

enum { MOST = 400 };

static bool chosen(const struct fleet_candidate *c, size_t n, int64_t id)
{
    for (size_t i = 0; i < n; i++) {
        if (c[i].room_id == id) {
            return c[i].chosen;
        }
    }
    fail_msg("room %lld got lost", (long long)id);
    return false;
}

static void order(void **state)
{
    (void)state;
    struct fleet_candidate c[] = {
        {.room_id = 1, .class = FLEET_CLASS_FOUND, .rank = 1, .settled = true},
        {.room_id = 2, .class = FLEET_CLASS_FOUND, .rank = 0, .settled = true},
        {.room_id = 3, .class = FLEET_CLASS_ASKED},
        {.room_id = 4, .class = FLEET_CLASS_FOUND, .rank = 2},
        {.room_id = 5, .class = FLEET_CLASS_PINNED},
        {.room_id = 6, .class = FLEET_CLASS_ASKED, .settled = true},
    };
    static const int64_t want[] = {5, 6, 3, 1, 4, 2};
    fleet_rank_choose(c, ARRAY_LEN(c), 4);
    for (size_t i = 0; i < ARRAY_LEN(c); i++) {
        assert_int_equal(c[i].room_id, want[i]);
        assert_int_equal(c[i].chosen, i < 4);
    }
    fleet_rank_choose(c, 0, 4);
    fleet_rank_choose(c, ARRAY_LEN(c), 0);
    assert_false(c[0].chosen);
}

/* The drawing of the header. */
static void margin(void **state)
{
    (void)state;
    struct fleet_candidate c[97];
    for (unsigned i = 0; i < 97; i++) {
        c[i] = (struct fleet_candidate){
            .room_id = 1000 + i, .class = FLEET_CLASS_FOUND, .rank = i + 1, .settled = i + 1 != 94};
    }
    c[96].settled = false;
    fleet_rank_choose(c, 97, 95);
    assert_false(chosen(c, 97, 1093));
    assert_true(chosen(c, 97, 1095)); /* rank 96 */
    assert_false(chosen(c, 97, 1096));
    for (unsigned i = 0; i < 97;
         i++) { /* much better than the last of those that are in: comes in */
        c[i] = (struct fleet_candidate){
            .room_id = 1000 + i, .class = FLEET_CLASS_FOUND, .rank = i + 1, .settled = i != 49};
    }
    fleet_rank_choose(c, 97, 96);
    assert_true(chosen(c, 97, 1049));
    assert_false(chosen(c, 97, 1096));
}

/* Ranks are shuffled a little each round: as many are chosen as can be, classes come first, and a room that is chosen
 * in one round and not in the next was overtaken by more than the margin. */
static void rounds(void **state)
{
    (void)state;
    struct rng rng;
    uint64_t swaps = 0;
    test_rng(&rng);
    for (unsigned world = 0; world < 60; world++) {
        struct fleet_candidate c[MOST];
        const size_t n = 20 + rng_below(&rng, MOST - 20);
        const size_t max = 1 + rng_below(&rng, n);
        const size_t n_asked = rng_below(&rng, 10);
        for (size_t i = 0; i < n; i++) {
            c[i] = (struct fleet_candidate){
                .room_id = (int64_t)i + 1,
                .class = i < n_asked ? FLEET_CLASS_ASKED : FLEET_CLASS_FOUND,
                .rank = i < n_asked ? 0 : (unsigned)(i - n_asked) + 1,
            };
        }
        for (unsigned round = 0; round < 30; round++) {
            fleet_rank_choose(c, n, max);
            size_t n_chosen = 0;
            unsigned worst_in = 0; /* of those that came in now */
            for (size_t i = 0; i < n; i++) {
                n_chosen += c[i].chosen;
                assert_true(c[i].class == FLEET_CLASS_FOUND || c[i].chosen || max < n_asked);
                if (c[i].chosen && !c[i].settled && c[i].rank > worst_in) {
                    worst_in = c[i].rank;
                }
            }
            assert_int_equal(n_chosen, max);
            for (size_t i = 0; i < n && round > 0; i++) {
                if (c[i].settled && !c[i].chosen) {
                    swaps++;
                    assert_true(worst_in <= c[i].rank - fleet_rank_margin(c[i].rank));
                }
            }
            for (size_t i = 0; i < n; i++) {
                c[i].settled = c[i].chosen;
            }
            /* Neighbours change places, a few fly far. */
            for (size_t k = 0; k < n; k++) {
                const size_t far = rng_below(&rng, 20) == 0 ? n / 2 + 1 : 3;
                struct fleet_candidate *a = &c[rng_below(&rng, n)];
                struct fleet_candidate *b = &c[rng_below(&rng, n)];
                const unsigned d = a->rank > b->rank ? a->rank - b->rank : b->rank - a->rank;
                if (a->rank > 0 && b->rank > 0 && d <= far) {
                    const unsigned rank = a->rank;
                    a->rank = b->rank;
                    b->rank = rank;
                }
            }
        }
    }
    assert_true(swaps > 100); /* the rule was at work */
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(order),
        cmocka_unit_test(margin),
        cmocka_unit_test(rounds),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
