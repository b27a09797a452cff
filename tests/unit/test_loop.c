/* The loop: deferred work, clocks, signals, errors, the end. Timers are in test_loop_timer.c. */
#include "server/loop/loop.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "server/core/assert.h"
#include "server/core/buf.h"
#include "server/core/mem.h"
#include "tests/support/child.h"
#include "tests/support/loop_until.h"
#include "tests/support/run.h"

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

/* --- deferred work --- */

struct script {
    struct loop *loop;
    struct buf trace;
    char name;
    unsigned left;
};

static void write_name(void *ctx)
{
    struct script *s = ctx;

    buf_put_c(&s->trace, s->name++);
}

static void defer_runs_later_in_order(void **state)
{
    struct script s = {.loop = *state, .name = 'a'};

    buf_init(&s.trace, 100);
    for (int i = 0; i < 5; i++) {
        loop_defer(s.loop, write_name, &s);
    }
    assert_int_equal(s.trace.len, 0); /* never before returning */
    assert_false(loop_turn(s.loop));
    assert_str_equal(buf_str(&s.trace), "abcde");
    loop_run(s.loop);
    assert_int_equal(s.trace.len, 5);
    buf_deinit(&s.trace);
}

static void defer_again(void *ctx)
{
    struct script *s = ctx;

    buf_put_c(&s->trace, '.');
    if (s->left > 0) {
        s->left--;
        loop_defer(s->loop, defer_again, s);
    }
}

static void loop_runs_until_all_is_done(void **state)
{
    struct script s = {.loop = *state, .left = 1000};

    buf_init(&s.trace, 2000);
    loop_defer(s.loop, defer_again, &s);
    loop_run(s.loop); /* with nothing but deferred work, the loop neither ends early nor blocks */
    assert_int_equal(s.trace.len, 1001);
    buf_deinit(&s.trace);
}

static void many_at_once(void **state)
{
    struct script s = {.loop = *state, .name = 0};

    buf_init(&s.trace, 10000);
    mem_fault_set(0, 1000); /* bookkeeping is control plane: a fault does not reach it */
    for (int i = 0; i < 1000; i++) {
        loop_defer(s.loop, write_name, &s);
    }
    mem_fault_set(-1, 0);
    loop_run(s.loop);
    for (size_t i = 0; i < 1000; i++) {
        assert_int_equal((unsigned char)s.trace.data[i], i & 0xFF);
    }
    buf_deinit(&s.trace);
}

/* A pipe whose bytes are read by the loop while something else wants all of its time. */
struct reader {
    struct loop *loop;
    uv_poll_t poll;
    int fds[2];
    unsigned n_read;
    unsigned n_other;     /* calls of the greedy part */
    bool deferred_behind; /* work deferred by the poll callback has run ... */
    unsigned other_then;  /* ... when so many greedy calls had been made */
    bool closed;
    struct loop_timer timer;
};

static void on_closed(uv_handle_t *h)
{
    struct reader *r = h->data;

    r->closed = true;
}

static void behind_poll(void *ctx)
{
    struct reader *r = ctx;

    r->deferred_behind = true;
    r->other_then = r->n_other;
}

static void on_readable(uv_poll_t *h, int status, int events)
{
    struct reader *r = h->data;
    char c;

    assert_int_equal(status, 0);
    assert_int_equal(events, UV_READABLE);
    assert_int_equal(read(r->fds[0], &c, 1), 1);
    r->n_read++;
    if (r->n_read == 3) {
        r->n_other = 0;
        loop_defer(r->loop, behind_poll, r);
        uv_close((uv_handle_t *)h, on_closed);
    }
}

static void reader_start(struct reader *r, struct loop *l)
{
    memset(r, 0, sizeof(*r));
    r->loop = l;
    assert_return_code(pipe(r->fds), errno);
    assert_int_equal(write(r->fds[1], "abc", 3), 3);
    assert_return_code(uv_poll_init(loop_uv(l), &r->poll, r->fds[0]), 0);
    r->poll.data = r;
    assert_return_code(uv_poll_start(&r->poll, UV_READABLE, on_readable), 0);
}

static void reader_end(struct reader *r)
{
    assert_int_equal(close(r->fds[0]), 0);
    assert_int_equal(close(r->fds[1]), 0);
}

static void greedy_defer(void *ctx)
{
    struct reader *r = ctx;

    if (++r->n_other < 1000 && !r->closed) {
        loop_defer(r->loop, greedy_defer, r);
    }
}

static void deferred_work_starves_nobody(void **state)
{
    struct reader r;

    reader_start(&r, *state);
    loop_defer(r.loop, greedy_defer, &r);
    loop_run(r.loop);
    assert_int_equal(r.n_read, 3);
    assert_true(r.closed);
    assert_true(r.n_other < 20); /* not 1000: I/O came in between */
    assert_true(r.deferred_behind);
    reader_end(&r);
}

static void greedy_timer(void *ctx)
{
    struct reader *r = ctx;

    if (++r->n_other < 1000 && !r->closed) {
        loop_timer_start(&r->timer, 0, 0);
    }
}

static void timers_of_no_time_starve_nobody(void **state)
{
    struct reader r;

    reader_start(&r, *state);
    loop_timer_init(&r.timer, r.loop, greedy_timer, &r);
    loop_timer_start(&r.timer, 0, 0);
    loop_run(r.loop);
    assert_int_equal(r.n_read, 3);
    assert_true(r.n_other < 20);
    /* Deferred by the poll callback: it ran before the next turn's timers. */
    assert_true(r.deferred_behind);
    assert_int_equal(r.other_then, 0);
    reader_end(&r);
}

static void free_ctx(void *ctx)
{
    mem_free(ctx);
}

static void on_closed_free_later(uv_handle_t *h)
{
    loop_defer(h->data, free_ctx, h);
}

/* Deferred from a close callback, at the very end of a turn and of the loop. */
static void defer_frees_an_object_outside_its_callback(void **state)
{
    struct loop *l = *state;
    uv_idle_t *h = mem_new(uv_idle_t);

    assert_return_code(uv_idle_init(loop_uv(l), h), 0);
    h->data = l;
    uv_close((uv_handle_t *)h, on_closed_free_later);
    loop_run(l);
}

/* --- clocks --- */

static void fake_clock(void **state)
{
    struct loop *l = *state;
    struct clock_fake f;

    clock_fake_init(&f, 123456789);
    loop_set_clock(l, &f.base);
    assert_ptr_equal(loop_clock(l), &f.base);
    assert_int_equal(loop_wall_ms(l), 123456789);
    clock_fake_advance(&f, 1000);
    assert_int_equal(loop_wall_ms(l), 123457789);
    assert_int_equal(loop_now_ms(l), f.mono);
    loop_set_clock(l, NULL);
    assert_ptr_not_equal(loop_clock(l), &f.base);
}

static void own_clock(void **state)
{
    struct loop *l = *state;
    int64_t start = clock_mono_ms(clock_system());
    int64_t now;
    int64_t wall;

    /* Outside of a turn the time is fresh, however long the loop has not run. */
    while (clock_mono_ms(clock_system()) < start + 3) {
    }
    now = loop_now_ms(l);
    assert_true(now >= start + 2);
    assert_int_equal(clock_mono_ms(loop_clock(l)), now);
    wall = loop_wall_ms(l) - clock_wall_ms(clock_system());
    assert_true(wall > -60000 && wall < 60000);
}

/* --- stop, turn, end --- */

static void stop_now(void *ctx)
{
    loop_stop(ctx);
}

static void nothing(void *ctx ATTR_UNUSED)
{
}

static void stop_leaves_work_for_later(void **state)
{
    struct loop *l = *state;
    struct loop_timer t;

    loop_timer_init(&t, l, nothing, NULL);
    loop_timer_start(&t, 3600000, 0);
    loop_defer(l, stop_now, l);
    loop_run(l);
    assert_true(loop_timer_armed(&t));
    assert_true(loop_turn(l));
    loop_timer_stop(&t);
    assert_false(loop_turn(l));
}

static void free_with_timer(void *ctx)
{
    struct loop *l = ctx;
    struct loop_timer t;

    loop_timer_init(&t, l, nothing, NULL);
    loop_timer_start(&t, 3600000, 0);
    loop_free(l);
}

static void free_with_handle(void *ctx)
{
    uv_timer_t forgotten;

    (void)uv_timer_init(loop_uv(ctx), &forgotten);
    loop_free(ctx);
}

static void run_in_run(void *ctx)
{
    loop_defer(ctx, (void (*)(void *))loop_run, ctx);
    loop_run(ctx);
}

static void clock_while_armed(void *ctx)
{
    struct loop_timer t;

    loop_timer_init(&t, ctx, nothing, NULL);
    loop_timer_start(&t, 1, 0);
    loop_set_clock(ctx, NULL);
}

static void misuse_aborts(void **state)
{
    assert_aborts(free_with_timer, *state, "timers.n == 0");
    assert_aborts(free_with_handle, *state, "rc == 0");
    assert_aborts(run_in_run, *state, "!l->running");
    assert_aborts(clock_while_armed, *state, "timers.n == 0");
}

struct late {
    struct loop *loop;
    uv_work_t work;
    struct loop_timer timer;
    uv_idle_t handle;
    unsigned n;
};

static void work(uv_work_t *w ATTR_UNUSED)
{
}

static void on_late_closed(uv_handle_t *h)
{
    struct late *x = h->data;

    x->n++;
    loop_timer_stop(&x->timer); /* only now; an owner may keep one while it closes */
}

static void work_done(uv_work_t *w, int status ATTR_UNUSED)
{
    struct late *x = w->data;

    x->n++;
    uv_close((uv_handle_t *)&x->handle, on_late_closed);
}

static void free_runs_dry(void **state)
{
    struct late x = {.loop = loop_new()};

    (void)state;
    x.work.data = &x;
    x.handle.data = &x;
    assert_return_code(uv_idle_init(loop_uv(x.loop), &x.handle), 0);
    assert_return_code(uv_queue_work(loop_uv(x.loop), &x.work, work, work_done), 0);
    loop_timer_init(&x.timer, x.loop, nothing, NULL);
    loop_timer_start(&x.timer, 1, 1);
    loop_stop(x.loop); /* does not cut it short */
    loop_free(x.loop);
    assert_int_equal(x.n, 2);
    loop_free(NULL);
}

/* --- threads --- */

static void ask_current(void *arg)
{
    struct script *s = arg;

    s->left = loop_is_current(s->loop);
}

static void assert_elsewhere(void *arg)
{
    LOOP_ASSERT((struct loop *)arg);
}

static void use_elsewhere(void *ctx)
{
    uv_thread_t thread;

    assert_return_code(uv_thread_create(&thread, assert_elsewhere, ctx), 0);
    (void)uv_thread_join(&thread);
}

static void own_thread_only(void **state)
{
    struct script s = {.loop = *state, .left = 7};
    uv_thread_t thread;

    assert_true(loop_is_current(s.loop));
    LOOP_ASSERT(s.loop);
    assert_return_code(uv_thread_create(&thread, ask_current, &s), 0);
    assert_return_code(uv_thread_join(&thread), 0);
    assert_int_equal(s.left, 0);
    assert_aborts(use_elsewhere, s.loop, "loop_is_current");
}

/* --- signals --- */

struct seen {
    struct loop_signals *signals;
    int last;
    bool any;
    bool free_in_callback;
};

static void on_signal(void *ctx, int signum)
{
    struct seen *s = ctx;

    s->last = signum;
    s->any = true;
    if (s->free_in_callback) {
        loop_signals_free(s->signals);
        loop_signals_free(s->signals); /* no harm before the closes are through */
    }
}

static void signals_arrive(void **state)
{
    static const int all[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
    struct loop *l = *state;
    struct seen s = {0};
    struct loop_timer keep;

    s.signals = loop_signals_new(l, on_signal, &s);
    assert_false(loop_turn(l)); /* they do not keep the loop alive */
    loop_timer_init(&keep, l, nothing, NULL);
    loop_timer_start(&keep, 3600000, 0);
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        s.any = false;
        assert_return_code(raise(all[i]), errno);
        assert_true(loop_run_until(l, &s.any, 1000));
        assert_int_equal(s.last, all[i]);
    }
    assert_return_code(raise(SIGPIPE), errno);
    s.any = false;
    s.free_in_callback = true;
    assert_return_code(raise(SIGTERM), errno);
    assert_true(loop_run_until(l, &s.any, 1000));
    loop_timer_stop(&keep);
    loop_run(l);
    loop_signals_free(NULL);
}

static void freed_signals_are_quiet(void **state)
{
    struct loop *l = *state;
    struct seen s = {0};
    /* A second set stays, so that the signal is caught at all. */
    struct seen other = {0};

    s.signals = loop_signals_new(l, on_signal, &s);
    other.signals = loop_signals_new(l, on_signal, &other);
    assert_return_code(raise(SIGHUP), errno); /* under way when the set is freed */
    loop_signals_free(s.signals);
    while (!other.any) {
        (void)loop_turn(l);
    }
    assert_false(s.any);
    loop_signals_free(other.signals);
    loop_run(l);
}

/* --- errors --- */

static void errors(void **state)
{
    struct err e;

    (void)state;
    assert_int_equal(err_from_uv(&e, UV_ECONNREFUSED, "connect"), ERR_UNAVAILABLE);
    assert_int_equal(e.code, ERR_UNAVAILABLE);
    assert_int_equal(e.sys, UV_ECONNREFUSED);
    assert_string_equal(e.msg, "connect: connection refused");
    assert_int_equal(err_from_uv(&e, UV_EOF, "read"), ERR_IO);
    assert_string_equal(e.msg, "read: end of file");
    assert_int_equal(err_from_uv(NULL, UV_ECANCELED, "x"), ERR_CANCELED);
    assert_int_equal(err_from_uv(&e, UV_ETIMEDOUT, "x"), ERR_TIMEOUT);
    assert_int_equal(err_from_uv(&e, UV_ENOSPC, "x"), ERR_FULL);
    assert_int_equal(err_from_uv(&e, UV_ENOENT, "x"), ERR_NOT_FOUND);
    assert_int_equal(err_from_uv(&e, UV_EAI_NONAME, "x"), ERR_UNAVAILABLE);
    assert_int_equal(err_from_uv(&e, -9999, "x"), ERR_IO); /* unknown to libuv, too */
    for (int status = -1; status > -5000; status--) {
        enum err_code code = err_from_uv(&e, status, "x");

        assert_true(code != ERR_OK && code == e.code && e.sys == status);
    }
}

static void no_error(void *ctx)
{
    (void)err_from_uv(NULL, *(int *)ctx, "x");
}

static void success_is_no_error(void **state)
{
    int zero = 0;

    (void)state;
    assert_aborts(no_error, &zero, "status < 0");
}

/* --- the helper of the other loop tests --- */

struct job {
    uv_work_t work;
    bool done;
};

static void job_done(uv_work_t *w, int status)
{
    struct job *j = w->data;

    assert_int_equal(status, 0);
    j->done = true;
}

static void until(void **state)
{
    struct loop *l = *state;
    struct job j = {0};
    struct loop_timer t;
    bool never = false;

    assert_false(loop_run_until(l, &never, 1000)); /* nothing left to do */
    j.work.data = &j;
    assert_return_code(uv_queue_work(loop_uv(l), &j.work, work, job_done), 0);
    assert_true(loop_run_until(l, &j.done, 1000)); /* waits for another thread */
    loop_timer_init(&t, l, nothing, NULL);
    loop_timer_start(&t, 3600000, 0);
    assert_false(loop_run_until(l, &never, 3));
    assert_true(loop_run_until(l, &j.done, 0));
    loop_timer_stop(&t);
}

static void turns(void **state)
{
    struct script s = {.loop = *state, .left = 1000};

    buf_init(&s.trace, 2000);
    loop_defer(s.loop, defer_again, &s);
    loop_run_turns(s.loop, 0);
    assert_int_equal(s.trace.len, 0);
    loop_run_turns(s.loop, 3);
    assert_int_equal(s.trace.len, 6); /* a turn has two rounds: before and behind the poll */
    loop_run_turns(s.loop, 100000);
    assert_int_equal(s.trace.len, 1001);
    buf_deinit(&s.trace);
}

int main(int argc, char **argv)
{
#define WITH_LOOP(f) cmocka_unit_test_setup_teardown(f, make_loop, free_loop)
    static const struct CMUnitTest tests[] = {
        WITH_LOOP(defer_runs_later_in_order),
        WITH_LOOP(loop_runs_until_all_is_done),
        WITH_LOOP(many_at_once),
        WITH_LOOP(deferred_work_starves_nobody),
        WITH_LOOP(timers_of_no_time_starve_nobody),
        WITH_LOOP(defer_frees_an_object_outside_its_callback),
        WITH_LOOP(fake_clock),
        WITH_LOOP(own_clock),
        WITH_LOOP(stop_leaves_work_for_later),
        WITH_LOOP(misuse_aborts),
        cmocka_unit_test(free_runs_dry),
        WITH_LOOP(own_thread_only),
        WITH_LOOP(signals_arrive),
        WITH_LOOP(freed_signals_are_quiet),
        cmocka_unit_test(errors),
        cmocka_unit_test(success_is_no_error),
        WITH_LOOP(until),
        WITH_LOOP(turns),
    };

    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
