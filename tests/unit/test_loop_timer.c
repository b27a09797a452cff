/* Timers against a model that looks for the next one by scanning an array. */
#include <string.h>

#include "server/core/mem.h"
#include "server/loop/loop.h"
#include "tests/support/loop_until.h"
#include "tests/support/run.h"

enum { N = 60 };

struct model {
    bool armed;
    int64_t due;
    int64_t repeat;
    uint64_t order;
};

struct world;

struct subject {
    struct world *world;
    int i;
    struct loop_timer timer;
    struct model model;
};

struct world {
    struct loop *loop;
    struct clock_fake clock;
    struct rng rng;
    struct subject subjects[N];
    uint64_t started;
    uint64_t limit; /* timers of this order and above wait for the next turn */
    bool in_turn;
    unsigned fired;
};

static void start(struct world *w, int i, int64_t in_ms, int64_t repeat_ms)
{
    struct subject *s = &w->subjects[i];

    loop_timer_start(&s->timer, in_ms, repeat_ms);
    s->model =
        (struct model){true, w->clock.mono + (in_ms < 0 ? 0 : in_ms), repeat_ms, w->started++};
}

static void stop(struct world *w, int i)
{
    loop_timer_stop(&w->subjects[i].timer);
    w->subjects[i].model.armed = false;
}

static void random_step(struct world *w)
{
    int i = (int)rng_below(&w->rng, N);

    if (rng_below(&w->rng, 3) == 0) {
        stop(w, i);
    } else {
        int64_t in_ms = rng_between(&w->rng, -2, rng_below(&w->rng, 4) == 0 ? 200 : 10);

        start(w, i, in_ms, rng_below(&w->rng, 3) == 0 ? rng_between(&w->rng, 1, 30) : 0);
    }
}

/* The timer that must fire next in this turn, or NULL. */
static struct subject *expected(struct world *w)
{
    struct subject *best = NULL;

    for (int i = 0; i < N; i++) {
        struct model *m = &w->subjects[i].model;

        if (m->armed && m->due <= w->clock.mono && m->order < w->limit &&
            (!best || m->due < best->model.due ||
             (m->due == best->model.due && m->order < best->model.order))) {
            best = &w->subjects[i];
        }
    }
    return best;
}

static void on_timer(void *ctx)
{
    struct subject *s = ctx;
    struct world *w = s->world;

    assert_true(w->in_turn);
    assert_ptr_equal(expected(w), s);
    w->fired++;
    if (s->model.repeat > 0) {
        s->model.due += s->model.repeat;
        if (s->model.due <= w->clock.mono) {
            s->model.due = w->clock.mono + s->model.repeat;
        }
        s->model.order = w->started++;
    } else {
        s->model.armed = false;
    }
    assert_int_equal(loop_timer_armed(&s->timer), s->model.armed);
    while (rng_below(&w->rng, 3) == 0) {
        random_step(w); /* stops and re-arms itself or others */
    }
}

static void model(void **state)
{
    struct world w = {.loop = loop_new()};

    (void)state;
    test_rng(&w.rng);
    clock_fake_init(&w.clock, 0);
    w.clock.mono = rng_between(&w.rng, -1000, 1000);
    loop_set_clock(w.loop, &w.clock.base);
    for (int i = 0; i < N; i++) {
        w.subjects[i] = (struct subject){.world = &w, .i = i};
        loop_timer_init(&w.subjects[i].timer, w.loop, on_timer, &w.subjects[i]);
    }
    for (int turn = 0; turn < 20000; turn++) {
        bool any = false;

        for (uint64_t k = rng_below(&w.rng, 4); k > 0; k--) {
            random_step(&w);
        }
        clock_fake_advance(&w.clock, (int64_t)rng_below(&w.rng, turn % 50 == 0 ? 300 : 8));
        w.limit = w.started;
        w.in_turn = true;
        (void)loop_turn(w.loop);
        w.in_turn = false;
        assert_null(expected(&w)); /* none was left out */
        for (int i = 0; i < N; i++) {
            any |= w.subjects[i].model.armed;
            assert_int_equal(loop_timer_armed(&w.subjects[i].timer), w.subjects[i].model.armed);
        }
        assert_int_equal(uv_loop_alive(loop_uv(w.loop)) != 0, any);
    }
    assert_true(w.fired > 1000);
    for (int i = 0; i < N; i++) {
        stop(&w, i);
    }
    loop_free(w.loop);
}

struct tick {
    struct loop *loop;
    struct loop_timer timer;
    struct loop_timer *other;
    unsigned n;
    unsigned stop_at;
    bool done;
};

static void on_tick(void *ctx)
{
    struct tick *t = ctx;

    if (++t->n == t->stop_at) {
        loop_timer_stop(&t->timer);
        t->done = true;
    }
}

static int make_loop(void **state)
{
    *state = loop_new();
    return 0;
}

static int free_loop(void **state)
{
    loop_free(*state);
    return 0;
}

static void real_clock(void **state)
{
    struct tick once = {.loop = *state};
    struct tick often = {.loop = *state, .stop_at = 5};
    int64_t start_ms = loop_now_ms(*state);

    loop_timer_init(&once.timer, once.loop, on_tick, &once);
    loop_timer_init(&often.timer, often.loop, on_tick, &often);
    loop_timer_start(&once.timer, 2, 0);
    loop_timer_start(&often.timer, 1, 1);
    loop_run(*state); /* ends by itself: nothing is armed any more */
    assert_int_equal(once.n, 1);
    assert_int_equal(often.n, 5);
    assert_true(loop_now_ms(*state) - start_ms >= 5); /* none early */
    assert_false(loop_timer_armed(&once.timer));
    assert_false(loop_timer_armed(&often.timer));
}

/* A timer of a loop that has slept for long must not be early, nor is a missed repeat made up for. */
static void fake_repeat_skips_missed_beats(void **state)
{
    struct clock_fake f;
    struct tick t = {.loop = *state};

    clock_fake_init(&f, 0);
    loop_set_clock(t.loop, &f.base);
    loop_timer_init(&t.timer, t.loop, on_tick, &t);
    loop_timer_start(&t.timer, 10, 10);
    assert_true(loop_turn(t.loop));
    assert_int_equal(t.n, 0);
    clock_fake_advance(&f, 9);
    (void)loop_turn(t.loop);
    assert_int_equal(t.n, 0);
    clock_fake_advance(&f, 1);
    (void)loop_turn(t.loop);
    assert_int_equal(t.n, 1);
    clock_fake_advance(&f, 1000);
    for (int i = 0; i < 5; i++) {
        (void)loop_turn(t.loop);
    }
    assert_int_equal(t.n, 2);
    clock_fake_advance(&f, 10);
    (void)loop_turn(t.loop);
    assert_int_equal(t.n, 3);
    loop_timer_stop(&t.timer);
    loop_timer_stop(&t.timer);
}

static void on_tick_stop_other(void *ctx)
{
    struct tick *t = ctx;

    t->n++;
    loop_timer_stop(t->other);
}

/* Two are due in the same turn; the first one stops the second. */
static void a_stopped_timer_does_not_fire(void **state)
{
    struct tick a = {.loop = *state};
    struct tick b = {.loop = *state};

    a.other = &b.timer;
    b.other = &a.timer;
    loop_timer_init(&a.timer, a.loop, on_tick_stop_other, &a);
    loop_timer_init(&b.timer, b.loop, on_tick_stop_other, &b);
    loop_timer_start(&b.timer, 0, 0);
    loop_timer_start(&a.timer, 0, 0);
    loop_run(*state);
    assert_int_equal(b.n, 1); /* started first */
    assert_int_equal(a.n, 0);
}

static void on_tick_free(void *ctx)
{
    struct tick *t = ctx;

    t->other = NULL;
    mem_free(t);
}

static void owner_may_go_in_its_callback(void **state)
{
    for (int i = 0; i < 100; i++) {
        struct tick *t = mem_new(struct tick);

        loop_timer_init(&t->timer, *state, on_tick_free, t);
        loop_timer_start(&t->timer, i % 3, 0);
    }
    loop_run(*state);
}

static void far_away(void **state)
{
    struct clock_fake f;
    struct tick t = {.loop = *state};

    clock_fake_init(&f, 0);
    f.mono = 1000;
    loop_set_clock(t.loop, &f.base);
    loop_timer_init(&t.timer, t.loop, on_tick, &t);
    loop_timer_start(&t.timer, INT64_MAX, 0);
    clock_fake_advance(&f, INT64_MAX / 2);
    (void)loop_turn(t.loop);
    assert_int_equal(t.n, 0);
    loop_timer_start(&t.timer, -5, 0); /* at once, in the next turn */
    (void)loop_turn(t.loop);
    assert_int_equal(t.n, 1);
    assert_false(loop_timer_armed(&t.timer));
}

/* As many as a large fleet has; all fire, in order of their time. */
struct fleet {
    struct loop_timer timers[10000];
    struct clock_fake clock;
    int64_t last_due;
    unsigned n;
};

struct ship {
    struct fleet *fleet;
    int64_t due;
};

static void on_ship(void *ctx)
{
    struct ship *s = ctx;

    assert_true(s->due >= s->fleet->last_due);
    s->fleet->last_due = s->due;
    s->fleet->n++;
}

static void ten_thousand(void **state)
{
    struct fleet *f = mem_new(struct fleet);
    struct ship *ships = mem_new_array(struct ship, ARRAY_LEN(f->timers));
    struct rng r;

    test_rng(&r);
    clock_fake_init(&f->clock, 0);
    loop_set_clock(*state, &f->clock.base);
    mem_fault_set(0, INT64_MAX); /* the heap is control plane */
    for (size_t i = 0; i < ARRAY_LEN(f->timers); i++) {
        ships[i] = (struct ship){f, rng_between(&r, 0, 30000)};
        loop_timer_init(&f->timers[i], *state, on_ship, &ships[i]);
        loop_timer_start(&f->timers[i], ships[i].due, 0);
    }
    mem_fault_set(-1, 0);
    while (loop_turn(*state)) {
        clock_fake_advance(&f->clock, 100);
    }
    assert_int_equal(f->n, ARRAY_LEN(f->timers));
    mem_free(ships);
    mem_free(f);
}

int main(int argc, char **argv)
{
#define WITH_LOOP(f) cmocka_unit_test_setup_teardown(f, make_loop, free_loop)
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(model),
        WITH_LOOP(real_clock),
        WITH_LOOP(fake_repeat_skips_missed_beats),
        WITH_LOOP(a_stopped_timer_does_not_fire),
        WITH_LOOP(owner_may_go_in_its_callback),
        WITH_LOOP(far_away),
        WITH_LOOP(ten_thousand),
    };

    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
