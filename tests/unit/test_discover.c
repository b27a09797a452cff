/* Runs of discovery over doubles: upstream answers from a script, the fleet is noted. */
#include "collector/discover.h"

#include "collector/discover_rank.h"
#include "collector/fleet.h"
#include "collector/room_facts.h"
#include "server/core/clock.h"
#include "server/core/mem.h"
#include "server/loop/loop.h"
#include "server/stats/stats.h"
#include "tests/support/run.h"

enum { MOST = 400, INTERVAL = 60000, GRACE = 300000 };

struct world {
    struct loop *loop;
    struct clock_fake clock;
    struct stats *stats;
    struct discover *d;
    /* Upstream */
    int64_t list[2][MOST]; /* of the site, of parent area 9 */
    size_t n_list[2];
    size_t page_max;     /* rooms on a page, whatever is asked for */
    unsigned fail_page;  /* this page of any list fails; 0: none */
    enum err_code areas; /* what the question for areas gets */
    size_t n_asked, n_areas;
    upstream_rooms_fn *done; /* the question under way; NULL: none */
    upstream_areas_fn *areas_done;
    void *done_ctx;
    int64_t parent;
    unsigned page, page_size;
    /* The fleet */
    int64_t restored[8];
    size_t n_restored;
    int64_t found[MOST];
    unsigned rank[MOST];
    bool has_facts[MOST];
    size_t n_found, n_told;
};

static struct world *the_world; /* of the doubles that have no ctx of ours */

/* ---- the fleet ---- */

void fleet_each(struct fleet *f, bool (*fn)(void *ctx, const struct fleet_info *info), void *ctx)
{
    (void)f;
    for (size_t i = 0; i < the_world->n_restored; i++) {
        const struct fleet_info info = {.room_id = the_world->restored[i], .discovered = i != 1};
        assert_true(fn(ctx, &info));
    }
}

void fleet_discovered(struct fleet *f, const struct fleet_found *found, size_t n)
{
    (void)f;
    struct world *w = the_world;
    w->n_found = n;
    w->n_told++;
    for (size_t i = 0; i < n; i++) {
        assert_true(i == 0 || found[i - 1].room_id < found[i].room_id);
        w->found[i] = found[i].room_id;
        w->rank[i] = found[i].rank;
        w->has_facts[i] = found[i].facts != NULL && found[i].facts->title != NULL;
    }
}

static unsigned rank_of(const struct world *w, int64_t id)
{
    for (size_t i = 0; i < w->n_found; i++) {
        if (w->found[i] == id) {
            return w->rank[i];
        }
    }
    return 0;
}

/* ---- upstream ---- */

static void ask_list(void *ctx, int64_t parent, int64_t area, unsigned page, unsigned page_size,
                     upstream_rooms_fn *done, void *done_ctx)
{
    struct world *w = ctx;
    assert_true(w->done == NULL && w->areas_done == NULL && area == 0 && page > 0);
    assert_true(page_size > 0 && page_size <= UPSTREAM_PAGE_MAX);
    w->n_asked++;
    w->parent = parent;
    w->page = page;
    w->page_size = page_size;
    w->done = done;
    w->done_ctx = done_ctx;
}

static void ask_areas(void *ctx, upstream_areas_fn *done, void *done_ctx)
{
    struct world *w = ctx;
    assert_true(w->done == NULL && w->areas_done == NULL);
    w->n_areas++;
    w->areas_done = done;
    w->done_ctx = done_ctx;
}

static void answer_areas(struct world *w)
{
    const struct upstream_area areas[] = {{.id = 9, .parent_id = 0, .name = STR("nine")}};
    static const struct err err = {.code = ERR_UNAVAILABLE, .msg = "away"};
    upstream_areas_fn *const done = w->areas_done;
    w->areas_done = NULL;
    if (w->areas == ERR_OK) {
        done(w->done_ctx, ERR_OK, areas, 1, NULL);
    } else {
        done(w->done_ctx, w->areas, NULL, 0, &err);
    }
}

static void answer_list(struct world *w)
{
    struct upstream_room rooms[UPSTREAM_PAGE_MAX];
    const struct err err = {.code = ERR_UNAVAILABLE, .msg = "away"};
    const size_t which = w->parent == 9;
    const size_t size = w->page_size < w->page_max ? w->page_size : w->page_max;
    upstream_rooms_fn *const done = w->done;
    size_t n = 0;
    for (size_t i = (w->page - 1) * size; i < w->n_list[which] && n < size; i++) {
        rooms[n++] = (struct upstream_room){
            .room_id = w->list[which][i], .live_status = 1, .title = STR("t")};
    }
    w->done = NULL;
    if (w->page == w->fail_page) {
        done(w->done_ctx, ERR_UNAVAILABLE, NULL, 0, &err);
    } else {
        done(w->done_ctx, ERR_OK, rooms, n, NULL);
    }
}

/* Answers until nothing is asked. */
static void answer_all(struct world *w)
{
    loop_turn(w->loop);
    for (int i = 0; i < 1000 && (w->done != NULL || w->areas_done != NULL); i++) {
        if (w->areas_done != NULL) {
            answer_areas(w);
        } else {
            answer_list(w);
        }
        loop_turn(w->loop);
    }
    assert_true(w->done == NULL && w->areas_done == NULL);
}

/* The next look at the lists. */
static void next_run(struct world *w)
{
    const size_t told = w->n_told;
    clock_fake_advance(&w->clock, INTERVAL + INTERVAL / 10);
    answer_all(w);
    assert_int_equal(w->n_told, told + 1);
}

/* ---- up and down ---- */

static int setup(void **state)
{
    struct world *w = mem_new(struct world);
    the_world = w;
    w->loop = loop_new();
    clock_fake_init(&w->clock, INT64_C(1764000000000));
    loop_set_clock(w->loop, &w->clock.base);
    w->stats = stats_new();
    w->page_max = UPSTREAM_PAGE_MAX;
    for (size_t i = 0; i < MOST; i++) {
        w->list[0][i] = 1000 + (int64_t)i;
        w->list[1][i] = 9000 + (int64_t)i;
    }
    w->n_list[0] = w->n_list[1] = MOST;
    w->d = discover_new(&(struct discover_opts){.loop = w->loop,
                                                .stats = w->stats,
                                                .list = ask_list,
                                                .areas = ask_areas,
                                                .ctx = w,
                                                .seed = 1});
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    static const struct err canceled = {.code = ERR_CANCELED, .msg = "stopping"};
    const size_t told = w->n_told;
    discover_stop(w->d);
    if (w->done != NULL) {
        w->done(w->done_ctx, ERR_CANCELED, NULL, 0, &canceled);
    }
    if (w->areas_done != NULL) {
        w->areas_done(w->done_ctx, ERR_CANCELED, NULL, 0, &canceled);
    }
    assert_int_equal(w->n_told, told);
    discover_free(w->d);
    stats_free(w->stats);
    loop_free(w->loop);
    mem_free(w);
    return 0;
}

static void look_for(struct world *w, const char *a, const char *b)
{
    struct discover_select s[2];
    assert_int_equal(discover_select_parse(str_of(a), &s[0], NULL), ERR_OK);
    assert_int_equal(discover_select_parse(str_of(b != NULL ? b : a), &s[1], NULL), ERR_OK);
    discover_configure(w->d, s, b != NULL ? 2 : 1, INTERVAL, GRACE);
}

/* ---- cases ---- */

static void pages(void **state)
{
    struct world *w = *state;
    look_for(w, "top:100", NULL);
    answer_all(w);
    assert_int_equal(w->n_asked, 2);
    assert_int_equal(w->n_found, 100);
    assert_int_equal(rank_of(w, 1000), 1);
    assert_int_equal(rank_of(w, 1099), 100);
    assert_true(w->has_facts[0]);
    w->page_max = 30; /* pages shorter than asked for */
    next_run(w);
    assert_int_equal(w->n_asked, 6);
    assert_int_equal(w->n_found, 100);
    w->n_list[0] = 40; /* fewer rooms than asked for: the empty page ends it */
    next_run(w);
    assert_int_equal(w->n_asked, 9);
    assert_int_equal(w->n_found, 100); /* grace */
    /* The order moves between pages: a room comes twice, and counts once, by its better place. */
    w->n_list[0] = MOST;
    w->list[0][31] = 1005;
    next_run(w);
    assert_int_equal(rank_of(w, 1005), 6);
    w->page_max = 1; /* a list that never ends is left where it is */
    next_run(w);
    assert_true(w->n_asked < 30);
}

static void nothing_is_lost_by_a_failure(void **state)
{
    struct world *w = *state;
    look_for(w, "top:50", "top:20@9");
    answer_all(w);
    assert_int_equal(w->n_found, 70);
    static const unsigned failing[] = {1, 2};
    for (size_t i = 0; i < ARRAY_LEN(failing); i++) {
        w->fail_page = failing[i];
        w->page_max = 30;
        for (int run = 0; run < 20; run++) {
            next_run(w);
            assert_int_equal(w->n_found, 70);
        }
    }
    w->fail_page = 0;
    w->n_list[0] = 0; /* an empty list */
    for (int run = 0; run < 20; run++) {
        next_run(w);
        assert_int_equal(w->n_found, 70);
    }
    assert_true(stats_get(w->stats, STAT_DISCOVER_FAILED) >= 60);
    w->n_list[0] = MOST;
    for (size_t i = 0; i < MOST; i++) {
        w->list[0][i] = 5000 + (int64_t)i; /* and now all of them are others */
    }
    next_run(w);
    assert_int_equal(w->n_found, 120);
    for (int run = 0; run < 5; run++) {
        next_run(w);
    }
    assert_int_equal(w->n_found, 70);
    assert_int_equal(rank_of(w, 5000), 1);
}

static void lists_are_united(void **state)
{
    struct world *w = *state;
    w->list[1][2] = 1049; /* 50th of the site, 3rd of the area */
    look_for(w, "top:50", "top:20@nine");
    answer_all(w);
    assert_int_equal(w->n_areas, 1);
    assert_int_equal(w->n_found, 69);
    assert_int_equal(rank_of(w, 1049), 3);
    next_run(w);
    assert_int_equal(w->n_areas, 1);
}

static void names_that_are_not_there(void **state)
{
    struct world *w = *state;
    w->areas = ERR_UNAVAILABLE;
    look_for(w, "top:5", "top:5@nine");
    answer_all(w);
    assert_int_equal(w->n_found, 5);
    w->areas = ERR_OK;
    next_run(w);
    assert_int_equal(w->n_areas, 2);
    assert_int_equal(w->n_found, 10);
    look_for(w, "top:5@ten", NULL);
    answer_all(w);
    assert_int_equal(w->n_areas, 3);
    next_run(w); /* not each time: upstream has answered */
    assert_int_equal(w->n_areas, 3);
    for (int run = 0; run < 60; run++) {
        next_run(w);
    }
    assert_int_equal(w->n_areas, 4);
}

/* What was found before a restart, or under another configuration, stays for the grace once upstream answers. */
static void from_before(void **state)
{
    struct world *w = *state;
    w->restored[0] = 77;
    w->restored[1] = 78; /* nobody found it */
    w->restored[2] = 1001;
    w->n_restored = 3;
    w->fail_page = 1;
    look_for(w, "top:3", NULL);
    answer_all(w);
    for (int run = 0; run < 20; run++) {
        next_run(w);
        assert_true(w->n_found == 2 && rank_of(w, 77) > 3);
    }
    look_for(w, "top:4", NULL); /* its grace begins with the configuration */
    answer_all(w);
    w->fail_page = 0;
    next_run(w);
    assert_true(w->n_found == 5 && rank_of(w, 77) > 4 && rank_of(w, 1001) == 2 &&
                rank_of(w, 78) == 0);
    for (int run = 0; run < 5; run++) {
        next_run(w);
    }
    assert_int_equal(w->n_found, 4);
    discover_configure(w->d, NULL, 0, INTERVAL, GRACE);
    assert_int_equal(w->n_found, 0);
    clock_fake_advance(&w->clock, 10 * INTERVAL);
    loop_turn(w->loop);
    assert_null(w->done);
}

/* A question of the old configuration is answered under the new one. */
static void configured_in_between(void **state)
{
    struct world *w = *state;
    look_for(w, "top:3", NULL);
    loop_turn(w->loop);
    assert_non_null(w->done);
    look_for(w, "top:2@9", NULL);
    loop_turn(w->loop);
    answer_list(w);
    assert_int_equal(w->n_told, 0);
    answer_all(w);
    assert_int_equal(w->n_told, 1);
    assert_true(w->n_found == 2 && rank_of(w, 9000) == 1);
    look_for(w, "top:3", NULL);
    loop_turn(w->loop); /* stopped with a question under way */
    assert_non_null(w->done);
}

/* The same while areas are asked for: what was found before stays for its grace. */
static void configured_while_areas_are_asked(void **state)
{
    struct world *w = *state;
    w->restored[0] = 77;
    w->n_restored = 1;
    look_for(w, "top:3@nine", NULL);
    loop_turn(w->loop);
    assert_non_null(w->areas_done);
    look_for(w, "top:3", NULL);
    loop_turn(w->loop); /* the question is still under way */
    answer_areas(w);
    assert_int_equal(w->n_told, 0);
    answer_all(w);
    assert_int_equal(w->n_told, 1);
    assert_true(w->n_found == 4 && rank_of(w, 77) > 3 && rank_of(w, 1000) == 1);
}

int main(int argc, char **argv)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    static const struct CMUnitTest tests[] = {
        CASE(pages),
        CASE(nothing_is_lost_by_a_failure),
        CASE(lists_are_united),
        CASE(names_that_are_not_there),
        CASE(from_before),
        CASE(configured_in_between),
        CASE(configured_while_areas_are_asked),
    };
#undef CASE
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
