#include "collector/pacer.h"

#include "server/core/clock.h"
#include "server/core/rng.h"
#include "server/loop/loop.h"
#include "tests/support/loop_until.h"
#include "tests/support/run.h"

enum { SLOTS = 200 };

struct fixture {
    struct clock_fake clock;
    struct loop *loop;
    struct rng rng;
    struct pacer_slot slots[SLOTS];
    int64_t at[SLOTS]; /* when each went, -1: not yet */
    int order[SLOTS];
    int n;
};

static struct fixture *of(void **state)
{
    return *state;
}

struct who {
    struct fixture *f;
    int i;
};
static struct who whos[SLOTS];

static void go(void *ctx)
{
    struct who *w = ctx;
    assert_int_equal(w->f->at[w->i], -1);
    w->f->at[w->i] = loop_now_ms(w->f->loop);
    w->f->order[w->f->n++] = w->i;
}

static int setup(void **state)
{
    struct fixture *f = test_calloc(1, sizeof *f);
    clock_fake_init(&f->clock, 1000000);
    f->loop = loop_new();
    loop_set_clock(f->loop, &f->clock.base);
    test_rng(&f->rng);
    for (int i = 0; i < SLOTS; i++) {
        whos[i] = (struct who){f, i};
        f->slots[i].go = go;
        f->slots[i].ctx = &whos[i];
        f->at[i] = -1;
    }
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = of(state);
    loop_free(f->loop);
    test_free(f);
    return 0;
}

static void advance(struct fixture *f, int64_t ms)
{
    clock_fake_advance(&f->clock, ms);
    loop_run_turns(f->loop, 2);
}

static void starts_are_spaced(void **state)
{
    struct fixture *f = of(state);
    struct pacer *p = pacer_new(f->loop, 1000, &f->rng);
    for (int i = 0; i < 50; i++) {
        pacer_join(p, &f->slots[i]);
        assert_int_equal(f->n, 0);
    }
    for (int t = 0; t < 200 * 10 && f->n < 50; t++) {
        advance(f, 100);
    }
    assert_int_equal(f->n, 50);
    bool differ = false;
    for (int i = 1; i < 50; i++) {
        assert_int_equal(f->order[i], i);
        const int64_t gap = f->at[i] - f->at[i - 1];
        assert_true(gap >= 1000 && gap <= 1500);
        differ = differ || gap != f->at[1] - f->at[0];
    }
    assert_true(differ);
    assert_true(f->at[49] - f->at[0] <= 49 * 1500);
    pacer_free(p);
}

static void late_comers_wait_too(void **state)
{
    struct fixture *f = of(state);
    struct pacer *p = pacer_new(f->loop, 1000, &f->rng);
    pacer_join(p, &f->slots[0]);
    loop_run_turns(f->loop, 2);
    assert_int_equal(f->n, 1);
    pacer_join(p, &f->slots[1]);
    advance(f, 900);
    assert_int_equal(f->n, 1);
    advance(f, 500);
    assert_int_equal(f->n, 2);
    advance(f, 100000);
    pacer_join(p, &f->slots[2]);
    loop_run_turns(f->loop, 2);
    assert_int_equal(f->n, 3);
    pacer_free(p);
}

static void who_leaves_does_not_start(void **state)
{
    struct fixture *f = of(state);
    struct pacer *p = pacer_new(f->loop, 10, &f->rng);
    for (int i = 0; i < 3; i++) {
        pacer_join(p, &f->slots[i]);
    }
    assert_true(pacer_is_waiting(&f->slots[1]));
    pacer_leave(p, &f->slots[1]);
    pacer_leave(p, &f->slots[1]);
    assert_int_equal(pacer_n(p), 2);
    for (int t = 0; t < 10; t++) {
        advance(f, 10);
    }
    assert_int_equal(f->n, 2);
    assert_int_equal(f->at[1], -1);
    pacer_free(p);
}

static void without_interval_all_go_soon(void **state)
{
    struct fixture *f = of(state);
    struct pacer *p = pacer_new(f->loop, 0, &f->rng);
    for (int i = 0; i < SLOTS; i++) {
        pacer_join(p, &f->slots[i]);
    }
    loop_run_turns(f->loop, 1);
    assert_int_equal(f->n, PACER_TURN_MAX);
    loop_run_turns(f->loop, 10);
    assert_int_equal(f->n, SLOTS);
    pacer_free(p);
    pacer_free(NULL);
}

static void shorter_interval_takes_effect(void **state)
{
    struct fixture *f = of(state);
    struct pacer *p = pacer_new(f->loop, 60000, &f->rng);
    pacer_join(p, &f->slots[0]);
    pacer_join(p, &f->slots[1]);
    loop_run_turns(f->loop, 2);
    assert_int_equal(f->n, 1);
    pacer_set_interval(p, 100);
    advance(f, 100);
    assert_int_equal(f->n, 2);
    pacer_free(p);
}

int main(int argc, char **argv)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    static const struct CMUnitTest tests[] = {
        CASE(starts_are_spaced),
        CASE(late_comers_wait_too),
        CASE(who_leaves_does_not_start),
        CASE(without_interval_all_go_soon),
        CASE(shorter_interval_takes_effect),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
