#include "server/core/assert.h"
#include "server/core/mem.h"
#include "server/loop/loop_priv.h"

#define NEVER_MS (UINT64_C(1) << 60)

static bool before(const struct loop_timer *a, const struct loop_timer *b)
{
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->order < b->order;
}

static void place(struct timer_heap *h, size_t i, struct loop_timer *t)
{
    h->items[i] = t;
    t->index = i + 1;
}

static void sift_up(struct timer_heap *h, size_t i)
{
    struct loop_timer *t = h->items[i];

    while (i > 0 && before(t, h->items[(i - 1) / 2])) {
        place(h, i, h->items[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    place(h, i, t);
}

static void sift_down(struct timer_heap *h, size_t i)
{
    struct loop_timer *t = h->items[i];

    for (;;) {
        size_t child = 2 * i + 1;

        if (child + 1 < h->n && before(h->items[child + 1], h->items[child])) {
            child++;
        }
        if (child >= h->n || !before(h->items[child], t)) {
            break;
        }
        place(h, i, h->items[child]);
        i = child;
    }
    place(h, i, t);
}

static void heap_add(struct timer_heap *h, struct loop_timer *t)
{
    if (h->n == h->cap) {
        size_t cap = h->cap ? h->cap * 2 : 64;
        struct loop_timer **items = mem_new_array(struct loop_timer *, cap);

        for (size_t i = 0; i < h->n; i++) {
            items[i] = h->items[i];
        }
        mem_free(h->items);
        h->items = items;
        h->cap = cap;
    }
    t->order = h->started++;
    place(h, h->n, t);
    h->n++;
    sift_up(h, h->n - 1);
}

static void heap_remove(struct timer_heap *h, struct loop_timer *t)
{
    size_t i = t->index - 1;
    struct loop_timer *last;

    ASSERT(i < h->n && h->items[i] == t);
    h->n--;
    last = h->items[h->n];
    t->index = 0;
    if (last != t) {
        place(h, i, last);
        sift_up(h, i);
        sift_down(h, last->index - 1);
    }
}

static void on_wake(uv_timer_t *wake ATTR_UNUSED)
{
    /* The poll has ended; due timers fire in this turn's prepare phase. Not here: libuv 1.44 would run a timer that is
     * re-armed with 0 ms over and over without polling. */
}

void loop_timers_wake(struct loop *l)
{
    int64_t in_ms;
    int rc;

    if (l->firing) {
        return; /* once, when the round is over */
    }
    if (l->timers.n == 0) {
        (void)uv_timer_stop(&l->wake);
        return;
    }
    if (__builtin_sub_overflow(l->timers.items[0]->due_ms, loop_now_ms(l), &in_ms)) {
        in_ms = INT64_MAX;
    }
    if (in_ms < 0) {
        in_ms = 0;
    }
    /* A clock of a test says nothing about when to wake up; the handle then only keeps the loop alive. */
    rc = uv_timer_start(&l->wake, on_wake, l->clock == &l->own ? (uint64_t)in_ms : NEVER_MS, 0);
    ASSERT(rc == 0);
}

void loop_timers_fire(struct loop *l)
{
    struct timer_heap *h = &l->timers;
    uint64_t limit = h->started;
    int64_t now;

    if (h->n == 0) {
        return;
    }
    now = loop_now_ms(l);
    if (h->items[0]->due_ms > now) {
        return;
    }
    l->firing = true;
    /* What a callback arms is due at `now` at the earliest and has a later order: it sorts behind all that is left of
     * this round, and waits for the next one. */
    while (h->n > 0 && h->items[0]->due_ms <= now && h->items[0]->order < limit) {
        struct loop_timer *t = h->items[0];

        heap_remove(h, t);
        if (t->repeat_ms > 0) {
            t->due_ms += t->repeat_ms;
            if (t->due_ms <= now) {
                t->due_ms = now + t->repeat_ms; /* missed beats are not made up for */
            }
            heap_add(h, t);
        }
        t->fn(t->ctx);
    }
    l->firing = false;
    loop_timers_wake(l);
}

void loop_timer_init(struct loop_timer *t, struct loop *l, void (*fn)(void *ctx), void *ctx)
{
    *t = (struct loop_timer){.loop = l, .fn = fn, .ctx = ctx};
}

void loop_timer_start(struct loop_timer *t, int64_t in_ms, int64_t repeat_ms)
{
    struct loop *l = t->loop;
    struct timer_heap *h = &l->timers;
    int64_t now = loop_now_ms(l);
    bool was_first = t->index == 1;

    LOOP_ASSERT(l);
    ASSERT(repeat_ms >= 0);
    if (t->index > 0) {
        heap_remove(h, t);
    }
    if (in_ms < 0) {
        in_ms = 0;
    }
    if (__builtin_add_overflow(now, in_ms, &t->due_ms)) {
        t->due_ms = INT64_MAX;
    }
    t->repeat_ms = repeat_ms;
    heap_add(h, t);
    if (was_first || t->index == 1) {
        loop_timers_wake(l);
    }
}

void loop_timer_stop(struct loop_timer *t)
{
    bool was_first = t->index == 1;

    if (t->index == 0) {
        return;
    }
    LOOP_ASSERT(t->loop);
    heap_remove(&t->loop->timers, t);
    if (was_first) {
        loop_timers_wake(t->loop);
    }
}

bool loop_timer_armed(const struct loop_timer *t)
{
    return t->index > 0;
}
