#include "server/db/db_session.h"

#include "server/core/assert.h"
#include "server/core/backoff.h"
#include "server/core/mem.h"
#include "server/core/rng.h"
#include "server/db/db_conn.h"
#include "server/db/db_stats.h"
#include "server/loop/loop.h"
#include "server/stats/stats.h"

/* LIMIT: as of the pool; a session that lasted this long tries again at once. */
enum { HEALTHY_MS = 1000, BACKOFF_MS = 200, BACKOFF_MAX_MS = 2000, JITTER_PCT = 25 };

enum told { TOLD_NOTHING, TOLD_UP, TOLD_DOWN };

struct db_session {
    struct loop *loop;
    struct stats *stats; /* may be NULL */
    struct db_session_opts opts;
    struct db_conn *conn; /* owned */
    struct db_op op;
    struct pg_params params;
    bool busy;
    db_done_fn *done;
    void *done_ctx;
    enum told told; /* what the owner knows */
    bool was_live;
    int64_t live_since_ms;
    struct backoff backoff;
    struct rng rng;
    struct loop_timer reconnect;
    void (*closed)(void *ctx); /* not NULL: closing */
    bool close_begun;
    void *closed_ctx;
};

static void tell_down(struct db_session *s, const struct err *why)
{
    if (s->told != TOLD_DOWN) {
        s->told = TOLD_DOWN;
        if (s->opts.on_down) {
            s->opts.on_down(s->opts.ctx, why);
        }
    }
}

static void free_session(struct db_session *s)
{
    void (*closed)(void *ctx) = s->closed;
    void *ctx = s->closed_ctx;

    db_conn_free(s->conn);
    mem_free(s);
    closed(ctx);
}

static void on_ready(void *ctx)
{
    struct db_session *s = ctx;

    s->was_live = true;
    s->live_since_ms = loop_now_ms(s->loop);
    stats_inc(s->stats, STAT_DB_CONNECTS);
    s->told = TOLD_UP;
    if (s->opts.on_up) {
        s->opts.on_up(s->opts.ctx);
    }
}

static void on_gone(void *ctx, const struct err *why)
{
    struct db_session *s = ctx;
    int64_t in_ms = 0;

    if (s->closed) {
        if (s->close_begun) {
            free_session(s);
        } /* else begin_close is still to come */
        return;
    }
    stats_inc(s->stats, s->was_live ? STAT_DB_LOST : STAT_DB_CONNECT_FAILURES);
    if (s->was_live && loop_now_ms(s->loop) - s->live_since_ms >= HEALTHY_MS) {
        backoff_reset(&s->backoff);
    }
    if (!s->was_live || s->backoff.tries > 0 || why->code == ERR_TIMEOUT) {
        in_ms = backoff_next_ms(&s->backoff, &s->rng);
    } else {
        s->backoff.tries = 1; /* at once, but not over and over */
    }
    s->was_live = false;
    loop_timer_start(&s->reconnect, in_ms, 0);
    tell_down(s, why);
}

static void on_reconnect(void *ctx)
{
    struct db_session *s = ctx;

    db_conn_open(s->conn);
}

static void on_op_done(void *ctx, enum err_code code, const struct err *err,
                       const struct db_rows *rows)
{
    struct db_session *s = ctx;

    s->busy = false;
    pg_params_deinit(&s->params);
    db_count_error(s->stats, code);
    if (code == ERR_UNAVAILABLE || code == ERR_TIMEOUT) {
        /* Also when the server answered so: the owner has to find out what holds, and a fresh connection tells. */
        db_conn_drop(s->conn, err);
    }
    s->done(s->done_ctx, code, err, rows);
}

struct db_session *db_session_new(struct loop *loop, const struct db_session_opts *opts,
                                  struct stats *stats)
{
    struct db_session *s = mem_new(struct db_session);
    const struct db_conn_opts conn = {
        .conninfo = opts->conninfo,
        .application_name = opts->application_name,
        .connect_timeout_ms = opts->connect_timeout_ms,
        .answer_timeout_ms = opts->timeout_ms,
        .max_result_bytes = DB_SESSION_RESULT_MAX,
        .ready = on_ready,
        .gone = on_gone,
        .ctx = s,
    };

    s->loop = loop;
    s->stats = stats;
    s->opts = *opts;
    s->opts.conninfo = NULL; /* the connection has its copy */
    s->opts.application_name = NULL;
    s->op.done = on_op_done;
    s->op.ctx = s;
    backoff_init(&s->backoff, BACKOFF_MS, BACKOFF_MAX_MS, JITTER_PCT);
    rng_seed_system(&s->rng);
    loop_timer_init(&s->reconnect, loop, on_reconnect, s);
    s->conn = db_conn_new(loop, &conn);
    db_conn_open(s->conn);
    return s;
}

static void begin_close(void *ctx)
{
    struct db_session *s = ctx;
    struct err why;

    s->close_begun = true;
    (void)err_set(&why, ERR_CANCELED, "the session is being closed");
    loop_timer_stop(&s->reconnect);
    if (db_conn_is_closed(s->conn)) {
        free_session(s);
    } else {
        db_conn_drop(s->conn, &why);
    }
}

void db_session_close(struct db_session *s, void (*closed)(void *ctx), void *ctx)
{
    LOOP_ASSERT(s->loop);
    ASSERT(!s->closed);
    s->closed = closed;
    s->closed_ctx = ctx;
    s->opts.on_up = NULL;
    s->opts.on_down = NULL;
    loop_defer(s->loop, begin_close, s);
}

bool db_session_is_up(const struct db_session *s)
{
    return db_conn_is_live(s->conn);
}

static enum err_code may_start(const struct db_session *s, struct err *err)
{
    LOOP_ASSERT(s->loop);
    if (s->closed) {
        return err_set(err, ERR_CANCELED, "the session is being closed");
    }
    if (!db_conn_is_live(s->conn)) {
        return err_set(err, ERR_UNAVAILABLE, "not connected");
    }
    ASSERT(!s->busy);
    return ERR_OK;
}

static void start(struct db_session *s, db_done_fn *done, void *ctx)
{
    s->busy = true;
    s->done = done;
    s->done_ctx = ctx;
    db_conn_start(s->conn, &s->op);
}

enum err_code db_session_exec(struct db_session *s, const struct db_stmt *stmt,
                              const struct db_arg *args, size_t n_args, db_done_fn *done, void *ctx,
                              struct err *err)
{
    enum err_code code = may_start(s, err);

    if (!code) {
        code = pg_params_init(&s->params, args, n_args, err);
    }
    if (!code) {
        s->op.stmt = stmt;
        s->op.params = &s->params;
        s->op.script = NULL;
        s->op.copy_sql = NULL;
        s->op.copy_data = STR_NULL;
        start(s, done, ctx);
    }
    return code;
}

enum err_code db_session_script(struct db_session *s, const char *sql, db_done_fn *done, void *ctx,
                                struct err *err)
{
    enum err_code code = may_start(s, err);

    if (!code) {
        s->op.stmt = NULL;
        s->op.params = NULL;
        s->op.script = sql;
        s->op.copy_sql = NULL;
        s->op.copy_data = STR_NULL;
        start(s, done, ctx);
    }
    return code;
}

enum err_code db_session_copy(struct db_session *s, const char *sql, struct str data,
                              db_done_fn *done, void *ctx, struct err *err)
{
    enum err_code code = may_start(s, err);

    if (!code) {
        s->op.stmt = NULL;
        s->op.params = NULL;
        s->op.script = NULL;
        s->op.copy_sql = sql;
        s->op.copy_data = data;
        start(s, done, ctx);
    }
    return code;
}
