#include "server/db/db.h"

#include "server/core/assert.h"
#include "server/core/backoff.h"
#include "server/core/list.h"
#include "server/core/log.h"
#include "server/core/mem.h"
#include "server/core/rng.h"
#include "server/db/db_conn.h"
#include "server/db/db_stats.h"
#include "server/loop/loop.h"
#include "server/stats/stats.h"

/* LIMIT: a connection that lasted this long was healthy; when it breaks, the first try is at once. */
enum { HEALTHY_MS = 1000, BACKOFF_MS = 200, BACKOFF_MAX_MS = 2000, JITTER_PCT = 25 };
enum { LOG_PERIOD_MS = 60000 };

struct query {
    struct list_node node; /* in db.queue while it waits */
    struct db *db;
    const struct db_stmt *stmt;
    struct pg_params params;
    db_done_fn *done; /* NULL: forgotten or answered; then it only occupies its connection */
    void *ctx;
    struct loop_timer deadline;
};

struct slot {
    struct db *db;
    struct db_conn *conn; /* owned */
    struct query *query;  /* owned while in flight */
    struct db_op op;
    bool was_live;
    int64_t live_since_ms;
};

struct db {
    struct loop *loop;
    struct stats *stats; /* may be NULL */
    int64_t timeout_ms;
    size_t max_queue;
    struct slot *slots; /* owned */
    unsigned n_slots;
    struct list queue;
    bool up;
    bool unreachable; /* the last try to connect failed, and nothing has worked since */
    bool pumping;     /* pump is deferred */
    bool closing;
    bool close_begun;
    struct err last_err; /* why it is unreachable */
    struct backoff backoff;
    struct rng rng;
    struct loop_timer reconnect;
    struct log_limit log_limit;
    db_state_fn *on_state;
    void *state_ctx;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* --- state --- */

static unsigned count_live(const struct db *db)
{
    unsigned n = 0;

    for (unsigned i = 0; i < db->n_slots; i++) {
        n += db_conn_is_live(db->slots[i].conn);
    }
    return n;
}

static void set_up(struct db *db, bool up)
{
    stats_set(db->stats, STAT_DB_CONNECTIONS, count_live(db));
    if (db->up == up) {
        return;
    }
    db->up = up;
    stats_set(db->stats, STAT_DB_UP, up);
    if (db->on_state && !db->closing) {
        db->on_state(db->state_ctx, up);
    }
}

static void log_trouble(struct db *db, const char *what, const struct err *err)
{
    uint64_t held;

    if (log_limit(&db->log_limit, loop_now_ms(db->loop), LOG_PERIOD_MS, &held)) {
        LOG(WARN, "db", what, KV_CSTR("err", err->msg), KV_I64("held_back", held));
    }
}

/* --- queries --- */

static void free_query(struct query *q)
{
    loop_timer_stop(&q->deadline);
    pg_params_deinit(&q->params);
    mem_free(q);
}

static void answer(struct query *q, enum err_code code, const struct err *err,
                   const struct db_rows *rows)
{
    db_done_fn *done = TAKE_PTR(q->done);

    if (done) {
        db_count_error(q->db->stats, code);
        done(q->ctx, code, err, rows);
    }
}

static void unqueue(struct db *db, struct query *q)
{
    list_remove(&db->queue, &q->node);
    stats_set(db->stats, STAT_DB_QUEUE, (int64_t)db->queue.n);
}

/* In flight, the query is only answered: its connection gets free when the server has stopped working on it, which
 * statement_timeout bounds. */
static void on_deadline(void *ctx)
{
    struct query *q = ctx;
    struct db *db = q->db;
    bool waiting = list_linked(&q->node);
    struct err err;
    enum err_code code =
        err_set(&err, ERR_TIMEOUT, "%s within %lld ms",
                waiting ? "no free connection" : "no answer", (long long)db->timeout_ms);

    if (waiting) {
        unqueue(db, q);
    }
    answer(q, code, &err, NULL);
    if (waiting) {
        free_query(q);
    }
}

static void fail_queue(struct db *db, const struct err *why)
{
    struct list_node *first;

    /* What the callbacks ask anew is refused or waits for the next try; it is not failed in here for ever. */
    for (size_t n = db->queue.n; n > 0 && (first = list_first(&db->queue)); n--) {
        struct query *q = CONTAINER_OF(first, struct query, node);

        unqueue(db, q);
        answer(q, why->code, why, NULL);
        free_query(q);
    }
}

static struct slot *idle_slot(struct db *db)
{
    for (unsigned i = 0; i < db->n_slots; i++) {
        if (db_conn_is_ready(db->slots[i].conn)) {
            return &db->slots[i];
        }
    }
    return NULL;
}

static void pump(struct db *db)
{
    struct slot *slot;

    while (!db->closing && db->queue.n > 0 && (slot = idle_slot(db))) {
        struct query *q = CONTAINER_OF(list_first(&db->queue), struct query, node);

        unqueue(db, q);
        slot->query = q;
        slot->op.stmt = q->stmt;
        slot->op.params = &q->params;
        db_conn_start(slot->conn, &slot->op);
    }
}

static void maybe_closed(struct db *db);

static void on_pump(void *ctx)
{
    struct db *db = ctx;

    db->pumping = false;
    pump(db);
    maybe_closed(db);
}

enum err_code db_query(struct db *db, const struct db_stmt *stmt, const struct db_arg *args,
                       size_t n_args, db_done_fn *done, void *ctx, struct err *err)
{
    struct query *q;
    enum err_code code;
    size_t n_idle = 0;

    LOOP_ASSERT(db->loop);
    if (db->closing) {
        return err_set(err, ERR_CANCELED, "the database is being closed");
    }
    if (db->unreachable) {
        if (err) {
            *err = db->last_err;
        }
        db_count_error(db->stats, ERR_UNAVAILABLE);
        return ERR_UNAVAILABLE;
    }
    for (unsigned i = 0; i < db->n_slots; i++) {
        n_idle += db_conn_is_ready(db->slots[i].conn);
    }
    if (db->queue.n >= db->max_queue + n_idle) {
        stats_inc(db->stats, STAT_DB_QUEUE_FULL);
        return err_set(err, ERR_FULL, "%zu queries are waiting", db->queue.n);
    }
    q = mem_new(struct query);
    code = pg_params_init(&q->params, args, n_args, err);
    if (code) {
        mem_free(q);
        return code;
    }
    q->db = db;
    q->stmt = stmt;
    q->done = done;
    q->ctx = ctx;
    loop_timer_init(&q->deadline, db->loop, on_deadline, q);
    loop_timer_start(&q->deadline, db->timeout_ms, 0);
    list_push_back(&db->queue, &q->node);
    stats_inc(db->stats, STAT_DB_QUERIES);
    stats_set(db->stats, STAT_DB_QUEUE, (int64_t)db->queue.n);
    if (!db->pumping && n_idle > 0) {
        db->pumping = true;
        loop_defer(db->loop, on_pump, db);
    }
    return ERR_OK;
}

void db_forget(struct db *db, const void *ctx)
{
    struct list_node *node = list_first(&db->queue);

    while (node) {
        struct query *q = CONTAINER_OF(node, struct query, node);

        node = list_next(&db->queue, node);
        if (q->ctx == ctx) {
            unqueue(db, q);
            free_query(q);
        }
    }
    for (unsigned i = 0; i < db->n_slots; i++) {
        if (db->slots[i].query && db->slots[i].query->ctx == ctx) {
            db->slots[i].query->done = NULL;
        }
    }
}

/* --- connections --- */

/* One try at a time: a server that comes back is not stormed, and one that is away is not asked n times. */
static void connect_next(struct db *db)
{
    struct slot *closed = NULL;

    if (db->closing || loop_timer_armed(&db->reconnect)) {
        return;
    }
    for (unsigned i = 0; i < db->n_slots; i++) {
        struct db_conn *c = db->slots[i].conn;

        if (db_conn_is_closed(c)) {
            closed = closed ? closed : &db->slots[i];
        } else if (!db_conn_is_live(c)) {
            return; /* on its way up or down */
        }
    }
    if (closed) {
        db_conn_open(closed->conn);
    }
}

static void on_reconnect(void *ctx)
{
    connect_next(ctx);
}

static void on_ready(void *ctx)
{
    struct slot *slot = ctx;
    struct db *db = slot->db;

    slot->was_live = true;
    slot->live_since_ms = loop_now_ms(db->loop);
    stats_inc(db->stats, STAT_DB_CONNECTS);
    db->unreachable = false;
    if (!db->up) {
        LOG0(INFO, "db", "connected");
        db->log_limit = (struct log_limit){0};
    }
    set_up(db, true);
    connect_next(db);
    pump(db);
}

static void connect_later(struct db *db)
{
    if (!loop_timer_armed(&db->reconnect)) {
        loop_timer_start(&db->reconnect, backoff_next_ms(&db->backoff, &db->rng), 0);
    }
}

static void on_lost(struct db *db, const struct slot *slot, const struct err *why)
{
    bool healthy = loop_now_ms(db->loop) - slot->live_since_ms >= HEALTHY_MS;
    /* Given up because of what one query did; the server is fine. */
    bool ours = why->code == ERR_TOO_BIG || why->code == ERR_RETRY || why->code == ERR_INTERNAL;

    stats_inc(db->stats, STAT_DB_LOST);
    log_trouble(db, "connection lost, connecting again", why);
    if (healthy || ours) {
        backoff_reset(&db->backoff);
    }
    set_up(db, db->up && (ours || count_live(db) > 0));
    if (why->code == ERR_TIMEOUT || !(healthy || ours)) {
        connect_later(db);
    } else {
        connect_next(db);
    }
}

static void on_connect_failed(struct db *db, const struct err *why)
{
    stats_inc(db->stats, STAT_DB_CONNECT_FAILURES);
    log_trouble(db, "cannot connect, trying again", why);
    connect_later(db);
    if (count_live(db) > 0) {
        return;
    }
    set_up(db, false);
    db->unreachable = true;
    db->last_err = *why;
    db->last_err.code = ERR_UNAVAILABLE;
    fail_queue(db, &db->last_err);
}

static void on_gone(void *ctx, const struct err *why)
{
    struct slot *slot = ctx;
    struct db *db = slot->db;
    bool was_live = slot->was_live;

    slot->was_live = false;
    if (db->closing) {
        maybe_closed(db);
        return;
    }
    if (was_live) {
        on_lost(db, slot, why);
    } else {
        on_connect_failed(db, why);
    }
}

/* A server that does not answer one connection will not answer the idle ones either: they have to connect again, which
 * shows whether it is there. */
static void drop_idle(struct db *db, const struct err *why)
{
    struct slot *slot;

    while ((slot = idle_slot(db))) {
        db_conn_drop(slot->conn, why);
    }
}

static void on_op_done(void *ctx, enum err_code code, const struct err *err,
                       const struct db_rows *rows)
{
    struct slot *slot = ctx;
    struct db *db = slot->db;
    struct query *q = TAKE_PTR(slot->query);

    if (db_conn_is_live(slot->conn)) {
        set_up(db, true);
    } else if (code == ERR_TIMEOUT) {
        set_up(db, false);
        drop_idle(db, err);
    } else if (code == ERR_UNAVAILABLE && count_live(db) == 0) {
        set_up(db, false);
    }
    answer(q, code, err, rows);
    free_query(q);
    pump(db);
}

/* --- life --- */

static void init_slot(struct db *db, struct slot *slot, const struct db_opts *opts)
{
    const struct db_conn_opts conn = {
        .conninfo = opts->conninfo,
        .application_name = opts->application_name,
        .connect_timeout_ms = opts->connect_timeout_ms,
        .answer_timeout_ms = opts->timeout_ms,
        .max_result_bytes = opts->max_result_bytes,
        .ready = on_ready,
        .gone = on_gone,
        .ctx = slot,
    };

    slot->db = db;
    slot->op.done = on_op_done;
    slot->op.ctx = slot;
    slot->conn = db_conn_new(db->loop, &conn);
}

struct db *db_new(struct loop *loop, const struct db_opts *opts, struct stats *stats)
{
    struct db *db = mem_new(struct db);

    ASSERT(opts->pool > 0 && opts->timeout_ms > 0);
    db->loop = loop;
    db->stats = stats;
    db->timeout_ms = opts->timeout_ms;
    db->max_queue = opts->max_queue;
    db->n_slots = opts->pool;
    db->slots = mem_new_array(struct slot, opts->pool);
    list_init(&db->queue);
    backoff_init(&db->backoff, BACKOFF_MS, BACKOFF_MAX_MS, JITTER_PCT);
    rng_seed_system(&db->rng);
    loop_timer_init(&db->reconnect, loop, on_reconnect, db);
    for (unsigned i = 0; i < db->n_slots; i++) {
        init_slot(db, &db->slots[i], opts);
    }
    if (opts->held) {
        db->unreachable = true;
        (void)err_set(&db->last_err, ERR_UNAVAILABLE, "the database has not answered yet");
    } else {
        connect_next(db);
    }
    return db;
}

void db_release(struct db *db)
{
    LOOP_ASSERT(db->loop);
    db->unreachable = false; /* nobody has tried: queries wait for the first connection */
    connect_next(db);
}

static void maybe_closed(struct db *db)
{
    void (*closed)(void *ctx) = db->closed;
    void *ctx = db->closed_ctx;

    if (!db->close_begun || db->pumping) {
        return;
    }
    for (unsigned i = 0; i < db->n_slots; i++) {
        if (!db_conn_is_closed(db->slots[i].conn)) {
            return;
        }
    }
    for (unsigned i = 0; i < db->n_slots; i++) {
        db_conn_free(db->slots[i].conn);
    }
    mem_free(db->slots);
    mem_free(db);
    closed(ctx);
}

static void begin_close(void *ctx)
{
    struct db *db = ctx;
    struct err why;

    (void)err_set(&why, ERR_CANCELED, "the database is being closed");
    fail_queue(db, &why);
    loop_timer_stop(&db->reconnect);
    for (unsigned i = 0; i < db->n_slots; i++) {
        db_conn_drop(db->slots[i].conn, &why);
    }
    set_up(db, false);
    db->close_begun = true;
    maybe_closed(db);
}

void db_close(struct db *db, void (*closed)(void *ctx), void *ctx)
{
    LOOP_ASSERT(db->loop);
    ASSERT(!db->closing);
    db->closing = true;
    db->closed = closed;
    db->closed_ctx = ctx;
    loop_defer(db->loop, begin_close, db);
}

bool db_is_up(const struct db *db)
{
    return db->up;
}

void db_on_state(struct db *db, db_state_fn *fn, void *ctx)
{
    db->on_state = fn;
    db->state_ctx = ctx;
}
