#include "server/loop/loop.h"

#include <stdio.h>

#include "server/core/assert.h"
#include "server/core/mem.h"
#include "server/loop/loop_priv.h"

/* LIMIT: longest wait of loop_free for handles and requests that are still active; past it somebody forgot to close. */
enum { DRY_MS = 20000 };

static int64_t own_wall(const struct clock *c ATTR_UNUSED)
{
    return clock_wall_ms(clock_system());
}

static int64_t own_mono(const struct clock *c)
{
    const struct loop *l = (const struct loop *)(const void *)c; /* its first member */

    return (int64_t)uv_now(&l->uv);
}

static void defer_add(struct deferred_list *d, struct deferred item)
{
    if (d->n == d->cap) {
        size_t cap = d->cap ? d->cap * 2 : 64;
        struct deferred *items = mem_new_array(struct deferred, cap);

        for (size_t i = 0; i < d->n; i++) {
            items[i] = d->items[i];
        }
        mem_free(d->items);
        d->items = items;
        d->cap = cap;
    }
    d->items[d->n++] = item;
}

/* What the items defer waits for the next round: a poll lies between, so nobody starves I/O. */
static void run_deferred(struct loop *l)
{
    struct deferred_list batch = l->queue;

    if (batch.n == 0) {
        return;
    }
    l->queue = l->batch;
    l->batch = batch;
    for (size_t i = 0; i < batch.n; i++) {
        batch.items[i].fn(batch.items[i].ctx);
    }
    l->batch.n = 0;
    if (l->queue.n == 0) {
        (void)uv_idle_stop(&l->idle);
    }
}

static void on_prepare(uv_prepare_t *h)
{
    struct loop *l = h->data;

    loop_timers_fire(l);
    run_deferred(l);
}

static void on_check(uv_check_t *h)
{
    run_deferred(h->data);
}

static void on_idle(uv_idle_t *h ATTR_UNUSED)
{
}

struct loop *loop_new(void)
{
    struct loop *l = mem_new(struct loop);
    int rc = uv_loop_init(&l->uv);

    ASSERT(rc == 0);
    l->own = (struct clock){own_wall, own_mono};
    l->clock = &l->own;
    l->thread = uv_thread_self();
    l->uv.data = l;
    rc |= uv_timer_init(&l->uv, &l->wake);
    rc |= uv_prepare_init(&l->uv, &l->prepare);
    rc |= uv_check_init(&l->uv, &l->check);
    rc |= uv_idle_init(&l->uv, &l->idle);
    l->wake.data = l;
    l->prepare.data = l;
    l->check.data = l;
    l->idle.data = l;
    rc |= uv_prepare_start(&l->prepare, on_prepare);
    rc |= uv_check_start(&l->check, on_check);
    ASSERT(rc == 0);
    uv_unref((uv_handle_t *)&l->prepare);
    uv_unref((uv_handle_t *)&l->check);
    return l;
}

static void run(struct loop *l, uv_run_mode mode)
{
    LOOP_ASSERT(l);
    ASSERT(!l->running);
    l->running = true;
    (void)uv_run(&l->uv, mode);
    l->running = false;
}

void loop_run(struct loop *l)
{
    run(l, UV_RUN_DEFAULT);
}

void loop_stop(struct loop *l)
{
    LOOP_ASSERT(l);
    uv_stop(&l->uv);
}

bool loop_turn(struct loop *l)
{
    run(l, UV_RUN_NOWAIT);
    return uv_loop_alive(&l->uv) != 0;
}

/* UNTESTED: a test would take DRY_MS. */
static void on_too_long(uv_timer_t *guard)
{
    struct loop *l = guard->data;

    uv_print_all_handles(&l->uv, stderr);
    assert_fail("loop_free: handles or requests are still active", __FILE__, __LINE__, __func__);
}

/* Lets closes, requests and deferred work finish. Armed timers fire meanwhile but do not count as work. */
static void run_dry(struct loop *l)
{
    uv_timer_t guard;
    int rc = uv_timer_init(&l->uv, &guard);

    guard.data = l;
    uv_update_time(&l->uv);
    rc |= uv_timer_start(&guard, on_too_long, DRY_MS, 0);
    ASSERT(rc == 0);
    uv_unref((uv_handle_t *)&guard);
    uv_unref((uv_handle_t *)&l->wake);
    do {
        run(l, UV_RUN_DEFAULT); /* again if somebody called loop_stop */
    } while (uv_loop_alive(&l->uv));
    uv_close((uv_handle_t *)&guard, NULL);
    run(l, UV_RUN_DEFAULT);
}

void loop_free(struct loop *l)
{
    int rc;

    if (!l) {
        return;
    }
    run_dry(l);
    ASSERT(l->timers.n == 0);
    uv_close((uv_handle_t *)&l->wake, NULL);
    uv_close((uv_handle_t *)&l->prepare, NULL);
    uv_close((uv_handle_t *)&l->check, NULL);
    uv_close((uv_handle_t *)&l->idle, NULL);
    run(l, UV_RUN_DEFAULT);
    rc = uv_loop_close(&l->uv);
    if (rc != 0) {
        uv_print_all_handles(&l->uv, stderr);
    }
    ASSERT(rc == 0);
    mem_free(l->timers.items);
    mem_free(l->queue.items);
    mem_free(l->batch.items);
    mem_free(l);
}

uv_loop_t *loop_uv(struct loop *l)
{
    return &l->uv;
}

bool loop_is_current(const struct loop *l)
{
    uv_thread_t self = uv_thread_self();

    return uv_thread_equal(&self, &l->thread) != 0;
}

const struct clock *loop_clock(struct loop *l)
{
    return l->clock;
}

void loop_set_clock(struct loop *l, const struct clock *c)
{
    ASSERT(l->timers.n == 0);
    l->clock = c ? c : &l->own;
}

int64_t loop_now_ms(struct loop *l)
{
    if (!l->running) {
        uv_update_time(&l->uv); /* uv_now stood still since the last turn */
    }
    return clock_mono_ms(l->clock);
}

int64_t loop_wall_ms(struct loop *l)
{
    return clock_wall_ms(l->clock);
}

void loop_defer(struct loop *l, void (*fn)(void *ctx), void *ctx)
{
    LOOP_ASSERT(l);
    if (l->queue.n == 0) {
        (void)uv_idle_start(&l->idle, on_idle);
    }
    defer_add(&l->queue, (struct deferred){fn, ctx});
}
