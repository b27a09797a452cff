#include "server/db/db_conn.h"

#include <stdio.h>

#include "server/core/assert.h"
#include "server/core/mem.h"
#include "server/db/db_conn_priv.h"

#define TO(state) (UINT32_C(1) << (state))
static const struct fsm_state states[] = {
    [CONN_CLOSED] = {"closed", TO(CONN_RESOLVING), true, true},
    [CONN_RESOLVING] = {"resolving", TO(CONN_CONNECTING) | TO(CONN_CLOSING), false, false},
    [CONN_CONNECTING] = {"connecting", TO(CONN_SETUP) | TO(CONN_CLOSING), false, false},
    [CONN_SETUP] = {"setup", TO(CONN_READY) | TO(CONN_CLOSING), false, false},
    [CONN_READY] = {"ready", TO(CONN_BUSY) | TO(CONN_CLOSING), false, false},
    [CONN_BUSY] = {"busy", TO(CONN_READY) | TO(CONN_CLOSING), false, false},
    [CONN_CLOSING] = {"closing", TO(CONN_CLOSED), false, false},
};
static const struct fsm_table table = {"db_conn", states, ARRAY_LEN(states)};

static bool invariant(void *ctx, unsigned state)
{
    const struct db_conn *c = ctx;
    bool armed = loop_timer_armed(&c->timer);

    switch ((enum conn_state)state) {
    case CONN_CLOSED:
        return !c->pg && !c->op && !armed && c->n_open == 0;
    case CONN_RESOLVING:
    case CONN_CONNECTING:
        return !c->op && armed;
    case CONN_SETUP:
        return c->pg && !c->op && armed;
    case CONN_READY:
        return c->pg && c->poll && !c->op && !armed && !c->res;
    case CONN_BUSY:
        return c->pg && c->poll && c->op && armed;
    case CONN_CLOSING:
        return !c->pg && !c->poll && !c->op && !armed;
    }
    UNREACHABLE();
}

/* --- the socket --- */

static void on_poll_closed(uv_handle_t *h)
{
    struct db_conn *c = h->data;

    CONTAINER_OF(h, struct conn_poll, handle)->open = false;
    c->n_open--;
    conn_maybe_closed(c);
}

static void on_poll(uv_poll_t *h, int status, int events)
{
    struct db_conn *c = h->data;

    LOOP_ASSERT(c->loop);
    if (c->fsm.state == CONN_CLOSING) {
        return;
    }
    if (status < 0) {
        /* libuv has stopped watching; libpq finds the error on the socket itself. */
        c->poll->events = 0;
        events = UV_READABLE | UV_WRITABLE;
    }
    if (c->fsm.state == CONN_CONNECTING) {
        conn_step(c);
    } else {
        conn_io(c, events);
    }
}

void conn_events(struct db_conn *c, int events)
{
    if (c->poll->events != events) {
        int rc = uv_poll_start(&c->poll->handle, events, on_poll);

        ASSERT(rc == 0); /* it only fails for closing handles */
        c->poll->events = events;
    }
}

bool conn_watch(struct db_conn *c, int events)
{
    struct conn_poll *p = c->polls[0].open ? &c->polls[1] : &c->polls[0];

    ASSERT(!c->poll && !p->open);
    if (uv_poll_init(loop_uv(c->loop), &p->handle, PQsocket(c->pg))) {
        return false;
    }
    p->handle.data = c;
    p->open = true;
    p->events = 0;
    c->n_open++;
    c->poll = p;
    conn_events(c, events);
    return true;
}

void conn_unwatch(struct db_conn *c)
{
    if (c->poll) {
        uv_close((uv_handle_t *)&c->poll->handle, on_poll_closed);
        c->poll = NULL;
    }
}

/* --- closing --- */

void conn_maybe_closed(struct db_conn *c)
{
    struct err why;

    if (c->fsm.state != CONN_CLOSING || c->n_open > 0) {
        return;
    }
    why = c->err;
    fsm_move(&c->fsm, CONN_CLOSED, "released");
    c->opts.gone(c->opts.ctx, &why); /* last: it may free c */
}

static void on_deferred(void *ctx)
{
    struct db_conn *c = ctx;

    c->n_open--;
    conn_maybe_closed(c);
}

void conn_fail(struct db_conn *c, const struct err *why)
{
    const struct db_op *op = TAKE_PTR(c->op);
    struct err copy = *why;

    ASSERT(c->fsm.state != CONN_CLOSED && c->fsm.state != CONN_CLOSING);
    c->err = copy;
    loop_timer_stop(&c->timer);
    conn_unwatch(c); /* before libpq closes the socket */
    PQclear(TAKE_PTR(c->res));
    PQfinish(TAKE_PTR(c->pg));
    if (c->looking) {
        (void)uv_cancel((uv_req_t *)&c->lookup); /* or it runs to its end; on_lookup comes anyway */
    }
    c->n_open++;
    loop_defer(c->loop, on_deferred, c);
    fsm_move(&c->fsm, CONN_CLOSING, err_name(copy.code));
    if (op) {
        op->done(op->ctx, copy.code, &copy, NULL);
    }
}

void db_conn_drop(struct db_conn *c, const struct err *why)
{
    if (c->fsm.state != CONN_CLOSED && c->fsm.state != CONN_CLOSING) {
        conn_fail(c, why);
    }
}

static void on_timer(void *ctx)
{
    struct db_conn *c = ctx;
    struct err err;
    bool busy = c->fsm.state == CONN_BUSY;

    (void)err_set(&err, ERR_TIMEOUT, "%s for %lld ms", busy ? "no answer" : fsm_state_name(&c->fsm),
                  (long long)(busy ? c->opts.answer_timeout_ms : c->opts.connect_timeout_ms));
    conn_fail(c, &err);
}

/* --- life --- */

/* What all our sessions want. The statement's limit is a bit below ours, so that the server's own answer is the rule
 * and a closed connection the exception; the server looks every 2 s whether we are still there. A transaction whose
 * owner went silent ends by itself, so that it cannot hold writer_mark for ever. */
static void make_setup(struct db_conn *c)
{
    int64_t answer = c->opts.answer_timeout_ms;
    int64_t statement = answer - (answer / 10 < 500 ? answer / 10 : 500);
    int n = snprintf(c->setup_sql, sizeof(c->setup_sql),
                     "SET timezone TO 'UTC'; SET datestyle TO 'ISO'; SET bytea_output TO 'hex';"
                     "SET jit TO off;"
                     "SELECT set_config('client_connection_check_interval', '2000', false)"
                     " WHERE version() LIKE '%%linux%%';" /* other systems refuse it */
                     "SET statement_timeout TO %lld;"
                     "SET idle_in_transaction_session_timeout TO %lld",
                     (long long)(statement > 0 ? statement : 1), (long long)answer);

    ASSERT(n > 0 && n < SETUP_BYTES);
}

static char *copy_string(const char *s)
{
    char *copy = mem_new_array(char, strlen(s) + 1);

    memcpy(copy, s, strlen(s));
    return copy;
}

struct db_conn *db_conn_new(struct loop *loop, const struct db_conn_opts *opts)
{
    struct db_conn *c = mem_new(struct db_conn);

    ASSERT(opts->answer_timeout_ms > 0 && opts->connect_timeout_ms > 0);
    c->loop = loop;
    c->opts = *opts;
    c->opts.conninfo = copy_string(opts->conninfo);
    c->opts.application_name = copy_string(opts->application_name);
    fsm_init(&c->fsm, &table, CONN_CLOSED, c);
    c->fsm.invariant = invariant;
    loop_timer_init(&c->timer, loop, on_timer, c);
    make_setup(c);
    return c;
}

void db_conn_free(struct db_conn *c)
{
    if (!c) {
        return;
    }
    ASSERT(c->fsm.state == CONN_CLOSED);
    pg_target_deinit(&c->target);
    mem_free((char *)(uintptr_t)c->opts.conninfo);
    mem_free((char *)(uintptr_t)c->opts.application_name);
    mem_free(c);
}

void db_conn_open(struct db_conn *c)
{
    c->n_prepared = 0;
    c->notice[0] = '\0';
    loop_timer_start(&c->timer, c->opts.connect_timeout_ms, 0);
    fsm_move(&c->fsm, CONN_RESOLVING, "open");
    conn_resolve(c);
}

bool db_conn_is_closed(const struct db_conn *c)
{
    return c->fsm.state == CONN_CLOSED;
}

bool db_conn_is_ready(const struct db_conn *c)
{
    return c->fsm.state == CONN_READY;
}

bool db_conn_is_live(const struct db_conn *c)
{
    return c->fsm.state == CONN_READY || c->fsm.state == CONN_BUSY;
}
