/* Asking for the live status: rounds, rooms asked at once, and what happens while nobody answers. */
#include "collector/status_poll.h"

#include <stdio.h>

#include "server/core/log.h"
#include "server/core/mem.h"
#include "server/loop/loop.h"
#include "server/stats/stats.h"
#include "tests/support/run.h"

enum { MINUTE = 60000, ASKED_MAX = 8192 };

struct fixture {
    struct loop *loop;
    struct clock_fake clock;
    struct stats *stats;
    struct status_poll *p;
    size_t n_rooms; /* ids 1 .. n */
    int64_t asked[ASKED_MAX];
    size_t n_asked;
    unsigned n_questions;
    upstream_rooms_fn *done; /* of the question under way */
    void *done_ctx;
    int64_t batch[UPSTREAM_STATUS_MAX];
    size_t n_batch;
    size_t n_answers;
    bool free_in_answer;
};

static size_t rooms(void *ctx, int64_t *ret, size_t max)
{
    struct fixture *f = ctx;
    size_t n = f->n_rooms < max ? f->n_rooms : max;
    for (size_t i = 0; i < n; i++) {
        ret[i] = (int64_t)i + 1;
    }
    return n;
}

static void status(void *ctx, const int64_t *ids, size_t n, upstream_rooms_fn *done, void *done_ctx)
{
    struct fixture *f = ctx;
    assert_null(f->done); /* one at a time */
    assert_in_range(n, 1, UPSTREAM_STATUS_MAX);
    for (size_t i = 0; i < n; i++) {
        assert_true(f->n_asked < ASKED_MAX);
        f->asked[f->n_asked++] = ids[i];
        f->batch[i] = ids[i];
    }
    f->n_batch = n;
    f->n_questions++;
    f->done = done;
    f->done_ctx = done_ctx;
}

static void answer(void *ctx, const struct upstream_room *room, int64_t asked_ms)
{
    struct fixture *f = ctx;
    assert_true(room->room_id > 0 && asked_ms > 0);
    f->n_answers++;
    if (f->free_in_answer) {
        status_poll_free(TAKE_PTR(f->p));
    }
}

static void start(struct fixture *f, size_t n_rooms)
{
    const struct status_poll_opts opts = {.interval_ms = MINUTE,
                                          .rooms = rooms,
                                          .status = status,
                                          .status_ctx = f,
                                          .answer = answer,
                                          .ctx = f};
    f->n_rooms = n_rooms;
    f->p = status_poll_new(f->loop, &opts, f->stats);
    status_poll_start(f->p);
    (void)loop_turn(f->loop);
}

static int setup(void **state)
{
    struct fixture *f = mem_new(struct fixture);
    f->loop = loop_new();
    f->stats = stats_new();
    clock_fake_init(&f->clock, INT64_C(1790000000000));
    loop_set_clock(f->loop, &f->clock.base);
    log_set_level(LOG_LEVEL_ERROR);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    status_poll_free(f->p);
    if (f->done != NULL) { /* upstream ends what is under way, also when nobody waits any more */
        f->done(f->done_ctx, ERR_CANCELED, NULL, 0, &(struct err){0});
    }
    loop_free(f->loop);
    stats_free(f->stats);
    mem_free(f);
    return 0;
}

static void pass(struct fixture *f, int64_t ms)
{
    clock_fake_advance(&f->clock, ms);
    (void)loop_turn(f->loop);
}

static void reply(struct fixture *f, enum err_code code)
{
    struct upstream_room found[UPSTREAM_STATUS_MAX] = {{0}};
    upstream_rooms_fn *done = f->done;
    assert_non_null(done);
    f->done = NULL;
    for (size_t i = 0; i < f->n_batch; i++) {
        found[i].room_id = f->batch[i];
    }
    struct err err = {.code = code};
    done(f->done_ctx, code, code == ERR_OK ? found : NULL, code == ERR_OK ? f->n_batch : 0, &err);
    (void)loop_turn(f->loop);
}

static void test_rounds_in_batches(void **state)
{
    struct fixture *f = *state;
    start(f, 120);
    for (unsigned round = 1; round <= 3; round++) {
        f->n_asked = 0;
        reply(f, ERR_OK);
        reply(f, ERR_OK);
        reply(f, ERR_OK);
        assert_int_equal(f->n_questions, round * 3);
        assert_null(f->done); /* the round is over */
        pass(f, MINUTE - 1);
        assert_null(f->done);
        pass(f, 1);
        assert_non_null(f->done);
    }
    assert_int_equal(f->n_answers, 360);
    assert_true(status_poll_works(f->p));
    assert_int_equal(stats_get(f->stats, STAT_STATUS_POLL_ROOMS), 360);
}

static void test_some_at_once(void **state)
{
    struct fixture *f = *state;
    start(f, 3);
    reply(f, ERR_OK);
    f->n_asked = 0;
    assert_true(status_poll_ask(f->p, 70));
    assert_true(status_poll_ask(f->p, 71));
    assert_true(status_poll_ask(f->p, 70));
    pass(f, 100);
    assert_null(f->done); /* several come together */
    pass(f, 2000);
    assert_int_equal(f->n_asked, 2);
    assert_true(status_poll_ask(f->p, 72)); /* while one is under way */
    reply(f, ERR_OK);
    pass(f, 2000);
    assert_int_equal(f->n_asked, 3);
    reply(f, ERR_OK);
    pass(f, MINUTE); /* rounds go on */
    assert_int_equal(f->n_asked, 6);
}

static void test_a_pause_while_it_fails(void **state)
{
    struct fixture *f = *state;
    start(f, 60);
    reply(f, ERR_OK);
    reply(f, ERR_UNAVAILABLE);
    assert_false(status_poll_works(f->p));
    assert_null(f->done);
    assert_false(status_poll_ask(f->p, 70));
    unsigned before = f->n_questions;
    pass(f, MINUTE - 1);
    assert_int_equal(f->n_questions, before);
    pass(f, 1);
    assert_int_equal(f->n_questions, before + 1);
    int64_t pause = MINUTE;
    for (int i = 0; i < 8; i++) { /* twice as long each time, up to a quarter of an hour */
        reply(f, ERR_UNAVAILABLE);
        before = f->n_questions;
        pause = pause * 2 < 15 * MINUTE ? pause * 2 : 15 * MINUTE;
        pass(f, pause - 1);
        assert_int_equal(f->n_questions, before);
        pass(f, 1);
        assert_int_equal(f->n_questions, before + 1);
    }
    reply(f, ERR_OK);
    assert_true(status_poll_works(f->p));
    reply(f, ERR_OK);
    pass(f, MINUTE);
    assert_non_null(f->done);
}

static void test_nobody_to_ask(void **state)
{
    struct fixture *f = *state;
    const struct status_poll_opts opts = {
        .interval_ms = MINUTE, .rooms = rooms, .answer = answer, .ctx = f};
    f->p = status_poll_new(f->loop, &opts, f->stats);
    status_poll_start(f->p);
    assert_false(status_poll_ask(f->p, 1));
    pass(f, 10 * MINUTE);
    assert_int_equal(f->n_questions, 0);
}

static void test_limits_and_interval(void **state)
{
    struct fixture *f = *state;
    start(f, 0);
    assert_int_equal(f->n_questions, 0);
    for (int64_t i = 1; i <= STATUS_POLL_SOON_MAX; i++) {
        assert_true(status_poll_ask(f->p, i));
    }
    assert_false(status_poll_ask(f->p, 99999));
    assert_int_equal(stats_get(f->stats, STAT_STATUS_POLL_SKIPPED), 1);
    for (int i = 0; i < STATUS_POLL_SOON_MAX / UPSTREAM_STATUS_MAX + 1; i++) {
        pass(f, 1600);
        reply(f, ERR_OK);
    }
    assert_int_equal(f->n_asked, STATUS_POLL_SOON_MAX);
    f->n_rooms = 1;
    status_poll_set_interval(f->p, 2000);
    pass(f, 2000);
    assert_int_equal(f->n_asked, STATUS_POLL_SOON_MAX + 1);
}

static void test_freed_with_a_question_under_way(void **state)
{
    struct fixture *f = *state;
    start(f, 1);
    status_poll_free(TAKE_PTR(f->p));
    reply(f, ERR_OK);
    assert_int_equal(f->n_answers, 0);
    start(f, 3);
    f->free_in_answer = true;
    reply(f, ERR_OK);
    assert_int_equal(f->n_answers, 1);
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        T(test_rounds_in_batches),      T(test_some_at_once),
        T(test_a_pause_while_it_fails), T(test_nobody_to_ask),
        T(test_limits_and_interval),    T(test_freed_with_a_question_under_way),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
