/* server/loop/loop.h - the one libuv loop: timers, deferred work, signals.
 *
 * Timers are ours: a heap behind a single uv_timer_t. So a timer is a plain struct of its owner, stopping it is
 * immediate, and 10,000 rooms cost no handles. A timer may stop or re-arm itself or others, and free its owner, within
 * its callback; what a callback arms with 0 ms fires in the next turn. Timers due at the same ms fire in the order of
 * their start. Deferred work runs once, in order, before the loop polls again; use it to call back "never before
 * returning" and to free an object outside its own callback. Work deferred by deferred work runs after the next poll,
 * which does not block, so that nobody starves I/O.
 *
 * Tests: after loop_set_clock(l, &fake.base) timers fire by the fake mono clock, in the loop_turn that follows
 * clock_fake_advance. loop_run does not look at a fake clock: it would wait for I/O only.
 *
 * Threading:  loop thread only (LOOP_ASSERT).
 * Ownership:  a timer must be stopped before its owner is freed (asserted by loop_free: none may be left armed).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "server/core/attr.h"
#include "server/core/clock.h"
#include "server/core/err.h"

struct loop;

MUST_CHECK struct loop *loop_new(void); /* aborts when libuv cannot start */
void loop_run(struct loop *l);          /* until nothing is left or loop_stop */
void loop_stop(struct loop *l);
bool loop_turn(struct loop *l); /* one non-blocking turn, for tests; false: nothing left to do */
/* Runs dry (closes, requests, deferred work; armed timers alone do not count), then asserts that no timer is armed and
 * uv_loop_close() == 0. Aborts with a list of handles when the loop has not run dry within 20 s. NULL is fine. */
void loop_free(struct loop *l);

uv_loop_t *loop_uv(struct loop *l);
bool loop_is_current(const struct loop *l); /* called from the loop's own thread */
#define LOOP_ASSERT(l) ASSERT(loop_is_current(l))
const struct clock *
loop_clock(struct loop *l); /* mono_ms is uv_now; tests: loop_set_clock while no timer is armed */
void loop_set_clock(struct loop *l, const struct clock *c);
int64_t loop_now_ms(struct loop *l); /* mono */
int64_t loop_wall_ms(struct loop *l);

struct loop_timer {
    struct loop *loop;
    void (*fn)(void *ctx);
    void *ctx;
    int64_t due_ms;    /* private */
    int64_t repeat_ms; /* private */
    uint64_t order;    /* private: of the start */
    size_t index;      /* private: place in the heap + 1, 0 when not armed */
};

void loop_timer_init(struct loop_timer *t, struct loop *l, void (*fn)(void *ctx), void *ctx);
void loop_timer_start(struct loop_timer *t, int64_t in_ms,
                      int64_t repeat_ms);   /* re-arms if armed; repeat 0: once */
void loop_timer_stop(struct loop_timer *t); /* no-op when not armed */
bool loop_timer_armed(const struct loop_timer *t);

/* Calls fn(ctx) once from the loop, later in this turn, never before returning. Cannot be taken back. */
void loop_defer(struct loop *l, void (*fn)(void *ctx), void *ctx);

/* fn for SIGTERM, SIGINT, SIGHUP, SIGUSR1; SIGPIPE is ignored. They do not keep the loop alive. loop_signals_free closes
 * asynchronously like any handle; fn is not called any more. */
struct loop_signals;
typedef void(loop_signal_fn)(void *ctx, int signum);
struct loop_signals *loop_signals_new(struct loop *l, loop_signal_fn *fn, void *ctx);
void loop_signals_free(struct loop_signals *s);

enum err_code err_from_uv(struct err *err, int status, const char *what); /* status < 0 */
