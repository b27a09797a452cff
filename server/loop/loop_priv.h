/* server/loop/loop_priv.h - what loop.c and loop_timer.c share. Only for this folder.
 *
 * One turn of the loop (libuv 1.44), with our part in brackets:
 *
 *      clock, uv timers, pending -> prepare [due timers, deferred work] -> poll -> check [deferred work] -> closing
 *
 * Threading:  loop thread only.
 */
#pragma once

#include "server/loop/loop.h"

struct deferred {
    void (*fn)(void *ctx);
    void *ctx; /* borrowed until called */
};

struct deferred_list {
    struct deferred *items; /* owned */
    size_t n;
    size_t cap;
};

struct timer_heap {
    struct loop_timer **items; /* owned array of borrowed timers; [0] is due first */
    size_t n;
    size_t cap;
    uint64_t started; /* timers armed so far: equal due times fire in the order of their start */
};

struct loop {
    struct clock own; /* first member: wall clock of the system, mono = uv_now */
    const struct clock *clock;
    uv_loop_t uv;
    uv_thread_t thread;
    uv_timer_t wake;      /* ends the poll when the first timer is due */
    uv_prepare_t prepare; /* unreferenced, as is check */
    uv_check_t check;
    uv_idle_t idle; /* active while something is deferred: the poll then does not block */
    struct timer_heap timers;
    struct deferred_list queue; /* to run in the next round */
    struct deferred_list batch; /* running */
    bool running;               /* within uv_run */
    bool firing;
};

void loop_timers_fire(struct loop *l); /* those that are due, and were armed before the call */
void loop_timers_wake(struct loop *l); /* sets l->wake to the first due time */
