#include <sys/ioctl.h>

#include "server/core/assert.h"
#include "server/db/db_conn_priv.h"
#include "server/db/db_rows_priv.h"
#include "server/db/pg_error.h"

/* LIMIT: COPY data per call of libpq, and per turn of the loop. */
enum { COPY_CHUNK = 64 << 10, COPY_TURN = 1 << 20 };

/* --- the end of an operation --- */

/* The connection broke: what the server said last, if it said something, is the better reason. */
static void broken(struct db_conn *c)
{
    struct err err;

    if (c->code) {
        err = c->op_err;
        err.code = ERR_UNAVAILABLE;
    } else if (c->notice[0]) {
        (void)err_set(&err, ERR_UNAVAILABLE, "%s", c->notice);
    } else {
        (void)pg_error_from_conn(&err, c->pg);
    }
    conn_fail(c, &err);
}

static void fail_with(struct db_conn *c, enum err_code code, const char *text)
{
    struct err err;

    (void)err_set(&err, code, "%s", text);
    conn_fail(c, &err);
}

static void finish(struct db_conn *c)
{
    const struct db_op *op = TAKE_PTR(c->op);
    PGresult *res = TAKE_PTR(c->res);
    struct err err = c->op_err;
    enum err_code code = c->code;
    struct db_rows rows = {.res = res};

    loop_timer_stop(&c->timer);
    fsm_move(&c->fsm, CONN_READY, code ? err_name(code) : "done");
    op->done(op->ctx, code, &err, code ? NULL : &rows);
    PQclear(res);
}

static void set_error(struct db_conn *c, enum err_code code, const char *text)
{
    if (!c->code) {
        c->code = err_set(&c->op_err, code, "%s", text);
    }
}

/* --- sending --- */

static void begin_exchange(struct db_conn *c, enum conn_phase phase)
{
    c->phase = phase;
    c->code = ERR_OK;
    c->op_err = (struct err){0};
    c->wire_bytes = 0;
    c->copying = false;
    c->copy_ended = false;
    c->copied = 0;
}

/* Out with what libpq has buffered. While there is more, reading goes on too: the server may be waiting for that. */
static void flush(struct db_conn *c)
{
    int left = PQflush(c->pg);

    /* A failed write is told by the next read, together with what the server said before. */
    conn_events(c, left > 0 ? UV_READABLE | UV_WRITABLE : UV_READABLE);
}

void conn_send_setup(struct db_conn *c)
{
    begin_exchange(c, PHASE_EXEC);
    if (!PQsendQuery(c->pg, c->setup_sql)) {
        broken(c);
        return;
    }
    flush(c);
}

static bool is_prepared(const struct db_conn *c, const struct db_stmt *stmt)
{
    for (size_t i = 0; i < c->n_prepared; i++) {
        if (c->prepared[i] == stmt || strcmp(c->prepared[i]->name, stmt->name) == 0) {
            DASSERT(strcmp(c->prepared[i]->sql, stmt->sql) == 0);
            return true;
        }
    }
    return false;
}

static int send_exec(struct db_conn *c)
{
    const struct pg_params *p = c->op->params;

    begin_exchange(c, PHASE_EXEC);
    return PQsendQueryPrepared(c->pg, c->op->stmt->name, p->n, p->values, p->lengths, p->formats,
                               0);
}

static int send_prepare(struct db_conn *c)
{
    begin_exchange(c, PHASE_PREPARE);
    return PQsendPrepare(c->pg, c->op->stmt->name, c->op->stmt->sql, 0, NULL);
}

static void on_send_failed(void *ctx)
{
    struct db_conn *c = ctx;

    c->n_open--;
    if (c->fsm.state == CONN_CLOSING) {
        conn_maybe_closed(c);
        return;
    }
    broken(c);
}

void db_conn_start(struct db_conn *c, const struct db_op *op)
{
    int sent;

    LOOP_ASSERT(c->loop);
    ASSERT((op->copy_sql != NULL) + (op->script != NULL) + (op->stmt && op->params) == 1);
    c->op = op;
    c->was_prepared = op->stmt && is_prepared(c, op->stmt);
    loop_timer_start(&c->timer, c->opts.answer_timeout_ms, 0);
    fsm_move(&c->fsm, CONN_BUSY, op->copy_sql ? "copy" : op->script ? "script" : op->stmt->name);
    if (op->copy_sql) {
        begin_exchange(c, PHASE_COPY);
        sent = PQsendQuery(c->pg, op->copy_sql);
    } else if (op->script) {
        begin_exchange(c, PHASE_EXEC);
        sent = PQsendQuery(c->pg, op->script);
    } else {
        sent = c->was_prepared ? send_exec(c) : send_prepare(c);
    }
    if (!sent) {
        /* Not from in here: done must not be called before we return. */
        c->n_open++;
        loop_defer(c->loop, on_send_failed, c);
        return;
    }
    flush(c);
}

/* --- COPY data --- */

/* Hands libpq as much as the socket takes, at most COPY_TURN per turn of the loop. */
static void feed(struct db_conn *c)
{
    struct str data = c->op->copy_data;
    size_t stop = c->copied + COPY_TURN < data.len ? c->copied + COPY_TURN : data.len;
    int left = 0;
    int rc = 1;

    while (c->copied < stop && left == 0 && rc > 0) {
        size_t n = stop - c->copied < COPY_CHUNK ? stop - c->copied : COPY_CHUNK;

        rc = PQputCopyData(c->pg, data.ptr + c->copied, (int)n);
        c->copied += rc > 0 ? n : 0;
        left = PQflush(c->pg);
    }
    if (c->copied == data.len && rc > 0) {
        rc = PQputCopyEnd(c->pg, NULL);
        c->copy_ended = rc > 0;
        left = PQflush(c->pg);
    }
    if (rc < 0) {
        broken(c);
        return;
    }
    conn_events(c, left > 0 || !c->copy_ended ? UV_READABLE | UV_WRITABLE : UV_READABLE);
}

/* --- receiving --- */

/* COMMIT of a failed transaction "succeeds" as ROLLBACK. For us that is a failure; no script asks for one. */
static bool commit_rolled_back(const struct db_conn *c, PGresult *res)
{
    return c->op &&
           (c->op->script ||
            (c->op->stmt && str_starts(str_of(c->op->stmt->sql), STR("COMMIT")))) &&
           strcmp(PQcmdStatus(res), "ROLLBACK") == 0;
}

/* Keeps the result or the first error. False: the connection is not usable and on its way out. */
static bool on_result(struct db_conn *c, PGresult *res)
{
    switch (PQresultStatus(res)) {
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
        if (commit_rolled_back(c, res)) {
            set_error(c, ERR_RETRY, "COMMIT became a ROLLBACK: a statement before it failed");
        }
        PQclear(c->res);
        c->res = res;
        return true;
    case PGRES_COPY_IN:
        PQclear(res);
        if (!c->op || !c->op->copy_sql || c->copying) {
            fail_with(c, ERR_INTERNAL, "a statement turned out to be a COPY");
            return false;
        }
        c->copying = true;
        return true;
    case PGRES_BAD_RESPONSE:
    case PGRES_NONFATAL_ERROR:
    case PGRES_FATAL_ERROR:
        if (!c->code) {
            c->code = pg_error_from_result(&c->op_err, res);
        }
        if (c->was_prepared && PQresultErrorField(res, PG_DIAG_SQLSTATE)) {
            const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

            /* The prepared statement is gone or does not fit the schema any more: a fresh connection prepares anew. */
            if (strcmp(state, "26000") == 0 || strcmp(state, "0A000") == 0) {
                c->op_err.code = ERR_RETRY;
                PQclear(res);
                conn_fail(c, &c->op_err);
                return false;
            }
        }
        PQclear(res);
        return true;
    case PGRES_EMPTY_QUERY:
    case PGRES_COPY_OUT:
    case PGRES_COPY_BOTH:
    case PGRES_SINGLE_TUPLE:
    case PGRES_PIPELINE_SYNC:
    case PGRES_PIPELINE_ABORTED:
        break;
    }
    PQclear(res);
    fail_with(c, ERR_INTERNAL, "the statement gives no result that is known here");
    return false;
}

static void end_exec(struct db_conn *c)
{
    if (c->phase == PHASE_COPY && !c->copy_ended) {
        set_error(c, ERR_INTERNAL, "the statement is no COPY FROM STDIN");
    }
    if (!c->code && PQresultMemorySize(c->res) > c->opts.max_result_bytes) {
        set_error(c, ERR_TOO_BIG, "the result is too big");
    }
    finish(c);
}

/* The server is ready for the next one. */
static void exchange_done(struct db_conn *c)
{
    if (PQstatus(c->pg) != CONNECTION_OK) {
        broken(c);
        return;
    }
    if (!c->code && !c->res) {
        fail_with(c, ERR_INTERNAL, "an answer without a result");
        return;
    }
    if (c->fsm.state == CONN_SETUP) {
        if (c->code) {
            conn_fail(c, &c->op_err);
            return;
        }
        PQclear(TAKE_PTR(c->res));
        loop_timer_stop(&c->timer);
        fsm_move(&c->fsm, CONN_READY, "set up");
        c->opts.ready(c->opts.ctx);
        return;
    }
    if (c->phase == PHASE_PREPARE && !c->code) {
        PQclear(TAKE_PTR(c->res));
        ASSERT(c->n_prepared < STMTS_MAX);
        c->prepared[c->n_prepared++] = c->op->stmt;
        if (send_exec(c)) {
            flush(c);
        } else {
            broken(c);
        }
        return;
    }
    end_exec(c);
}

static void take_results(struct db_conn *c)
{
    while (!PQisBusy(c->pg)) {
        PGresult *res = PQgetResult(c->pg);

        if (!res) {
            exchange_done(c);
            return;
        }
        if (!on_result(c, res)) {
            return;
        }
        if (c->copying && !c->copy_ended) {
            feed(c);
            return;
        }
    }
}

static size_t waiting(const struct db_conn *c)
{
    int n = 0;

    return ioctl(PQsocket(c->pg), FIONREAD, &n) == 0 && n > 0 ? (size_t)n : 0;
}

/* Reads what has come. libpq would collect a result of any size, so its bytes are counted as they leave the socket; what
 * arrives in that moment is missed, so this is a lower bound, and end_exec has the last word. Returns false when the
 * connection is on its way out. */
static bool receive(struct db_conn *c)
{
    size_t before = waiting(c);
    size_t after;

    if (!PQconsumeInput(c->pg)) {
        broken(c);
        return false;
    }
    after = waiting(c);
    c->wire_bytes += before > after ? before - after : 0;
    if (c->phase == PHASE_EXEC && c->op && c->wire_bytes > c->opts.max_result_bytes) {
        fail_with(c, ERR_TOO_BIG, "the result is too big");
        return false;
    }
    return true;
}

void conn_io(struct db_conn *c, int events)
{
    if ((events & UV_READABLE) && !receive(c)) {
        return;
    }
    if (c->fsm.state == CONN_READY) {
        /* Nothing was asked: a notice, or the server's last word, which on_notice keeps. */
        (void)PQisBusy(c->pg);
        if (PQstatus(c->pg) != CONNECTION_OK) {
            broken(c);
        } else {
            conn_events(c, UV_READABLE);
        }
        return;
    }
    if (c->copying && !c->copy_ended) {
        feed(c);
        return;
    }
    if (events & UV_WRITABLE) {
        flush(c);
    }
    take_results(c);
}
