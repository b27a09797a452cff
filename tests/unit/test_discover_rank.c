/* Lists over time: who belongs to the first N, and that nobody flaps. */
#include "collector/discover_rank.h"

#include <string.h>

#include "collector/discover_select.h"
#include "collector/upstream/upstream.h"
#include "tests/support/run.h"

enum { TOP = 20, GRACE = 1000, ROOMS = 60 };

static const struct discover_rank_entry *entry(const struct discover_rank *d, int64_t id)
{
    size_t n;
    const struct discover_rank_entry *e = discover_rank_entries(d, &n);
    for (size_t i = 0; i < n; i++) {
        assert_true(i == 0 || e[i - 1].room_id < e[i].room_id);
        if (e[i].room_id == id) {
            return &e[i];
        }
    }
    return NULL;
}

static bool is_member(const struct discover_rank *d, int64_t id)
{
    const struct discover_rank_entry *e = entry(d, id);
    return e != NULL && e->member;
}

/* Rooms 1..n in order, with room `id` at place `rank` (0: nowhere). */
static void update(struct discover_rank *d, int64_t id, size_t rank, int64_t now)
{
    int64_t ids[ROOMS];
    size_t n = 0;
    for (int64_t other = 1; n < ROOMS; other++) {
        if (rank > 0 && n == rank - 1) {
            ids[n++] = id;
        } else if (other != id) {
            ids[n++] = other;
        }
    }
    discover_rank_update(d, ids, discover_rank_band(TOP), now);
}

static void comes_and_leaves(void **state)
{
    (void)state;
    struct discover_rank *d = discover_rank_new(TOP, GRACE);
    assert_int_equal(discover_rank_band(TOP), 23);
    update(d, 500, 21, 0);
    assert_false(is_member(d, 500)); /* in the band is not in */
    update(d, 500, 20, 100);
    assert_true(is_member(d, 500));
    for (int64_t now = 200; now < 10 * GRACE; now += 100) {
        update(d, 500, 21 + (size_t)(now / 100 % 3), now);
        assert_true(is_member(d, 500)); /* the band keeps it, however long */
    }
    update(d, 500, 0, 10 * GRACE);
    update(d, 500, 23, 10 * GRACE + 900);
    update(d, 500, 0, 10 * GRACE + 1000);
    update(d, 500, 0, 10 * GRACE + 1999);
    assert_true(is_member(d, 500)); /* the break began the grace anew */
    assert_int_equal(entry(d, 500)->rank, 0);
    update(d, 500, 0, 10 * GRACE + 2000);
    assert_null(entry(d, 500));
    discover_rank_free(d);
}

static void settled(void **state)
{
    (void)state;
    struct discover_rank *d = discover_rank_new(TOP, GRACE);
    update(d, 500, 22, 0);
    update(d, 600, 20, 100); /* from nowhere into the first 20; 500 is gone */
    assert_true(discover_rank_settled(d, entry(d, 600), 100));
    update(d, 500, 22, 200);
    update(d, 500, 20, 300); /* from the band: only after its time */
    assert_false(discover_rank_settled(d, entry(d, 500), 300));
    assert_false(discover_rank_settled(d, entry(d, 500), 1299));
    update(d, 500, 19, 1300);
    assert_true(discover_rank_settled(d, entry(d, 500), 1300));
    update(d, 500, 21, 1400);
    update(d, 500, 20, 1500);
    assert_false(discover_rank_settled(d, entry(d, 500), 1500));
    discover_rank_restore(d, 700, 1500);
    assert_true(is_member(d, 700));
    update(d, 500, 20, 2499);
    assert_true(is_member(d, 700));
    update(d, 500, 20, 2500);
    assert_false(is_member(d, 700));
    discover_rank_free(d);
}

/* Random lists against what the header says, room by room. */
static void random_lists(void **state)
{
    (void)state;
    struct rng rng;
    size_t n_left = 0;
    test_rng(&rng);
    for (unsigned world = 0; world < 40; world++) {
        struct discover_rank *d = discover_rank_new(TOP, GRACE);
        int64_t order[ROOMS];
        int64_t banded_ms[ROOMS + 1]; /* when it was in the band last */
        bool was[ROOMS + 1] = {false};
        int64_t now = 0;
        for (size_t i = 0; i < ROOMS; i++) {
            order[i] = (int64_t)i + 1;
        }
        memset(banded_ms, 0, sizeof(banded_ms));
        for (unsigned round = 0; round < 200; round++) {
            for (unsigned k = 0; k < 6; k++) {
                const size_t a = rng_below(&rng, ROOMS);
                const size_t b =
                    rng_below(&rng, 10) == 0 ? rng_below(&rng, ROOMS) : (a + 1 < ROOMS ? a + 1 : a);
                const int64_t id = order[a];
                order[a] = order[b];
                order[b] = id;
            }
            const size_t n = rng_below(&rng, 5) == 0 ? rng_below(&rng, ROOMS) : ROOMS;
            now += rng_between(&rng, 1, 400);
            discover_rank_update(d, order, n, now);
            for (size_t i = 0; i < ROOMS; i++) {
                const int64_t id = order[i];
                const bool member = is_member(d, id);
                const bool in_band = i < n && i < discover_rank_band(TOP);
                assert_true(member || !(i < n && i < TOP));
                assert_true(!member || was[id] || (i < n && i < TOP));
                assert_true(!(was[id] && !member) || (!in_band && now - banded_ms[id] >= GRACE));
                n_left += was[id] && !member;
                banded_ms[id] = in_band ? now : banded_ms[id];
                was[id] = member;
            }
        }
        size_t n_entries;
        (void)discover_rank_entries(d, &n_entries);
        assert_true(n_entries <= ROOMS);
        discover_rank_free(d);
    }
    assert_true(n_left > 100);
}

/* ---- what to look for ---- */

static void selections(void **state)
{
    (void)state;
    struct discover_select s;
    struct err err;
    static const char *const bad[] = {"",        "top",      "top:",     "top:0",      "top:-1",
                                      "top:x",   "top:1@",   "top:5001", "top:1@a/",   "top:1@/",
                                      "top:1@0", "bottom:3", "top:1@-5", "top:1@1/-1", "top:1@a/0",
                                      "auto",    "top:1 2@a"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (discover_select_parse(str_of(bad[i]), &s, &err) == ERR_OK) {
            fail_msg("%s was taken", bad[i]);
        }
    }
    assert_int_equal(discover_select_parse(STR("top:100"), &s, &err), ERR_OK);
    assert_true(s.top == 100 && s.parent_id == 0 && s.area_id == 0 && discover_select_named(&s));
    assert_int_equal(discover_select_parse(STR("top:5@9/371"), &s, &err), ERR_OK);
    assert_true(s.parent_id == 9 && s.area_id == 371 && discover_select_named(&s));
    assert_int_equal(discover_select_parse(STR("top:50@ 虚拟主播 / 虚拟日常 "), &s, &err), ERR_OK);
    assert_string_equal(s.parent, "虚拟主播");
    assert_string_equal(s.area, "虚拟日常");
    assert_false(discover_select_named(&s));

    const struct upstream_area areas[] = {
        {.id = 2, .parent_id = 0, .name = STR("网游")},
        {.id = 9, .parent_id = 0, .name = STR("虚拟主播")},
        {.id = 86, .parent_id = 2, .name = STR("虚拟日常")}, /* of another parent */
        {.id = 744, .parent_id = 9, .name = STR("虚拟日常")},
    };
    assert_int_equal(discover_select_name(&s, areas, 3, &err), ERR_NOT_FOUND);
    assert_true(s.parent_id == 9 && !discover_select_named(&s));
    assert_int_equal(discover_select_name(&s, areas, 4, &err), ERR_OK);
    assert_true(s.area_id == 744 && discover_select_named(&s));
    struct discover_select same;
    assert_int_equal(discover_select_parse(STR("top:50@虚拟主播/虚拟日常"), &same, &err), ERR_OK);
    assert_true(discover_select_same(&s, &same));
    same.top++;
    assert_false(discover_select_same(&s, &same));
}

static void restored_in_any_order(void **state)
{
    (void)state;
    static const int64_t ids[] = {5, 9, 7, 7, 12, 1, 9, 30};
    struct discover_rank *d = discover_rank_new(TOP, GRACE);
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        discover_rank_restore(d, ids[i], 100);
        for (size_t k = 0; k <= i; k++) {
            assert_true(is_member(d, ids[k]));
        }
    }
    size_t n;
    (void)discover_rank_entries(d, &n);
    assert_int_equal(n, 6);
    discover_rank_free(d);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_and_leaves),      cmocka_unit_test(settled),
        cmocka_unit_test(random_lists),          cmocka_unit_test(selections),
        cmocka_unit_test(restored_in_any_order),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
