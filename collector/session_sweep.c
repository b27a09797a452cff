#include "collector/session_sweep.h"

#include "collector/writer/writer.h"
#include "server/core/id.h"
#include "server/core/log.h"
#include "server/core/mem.h"
#include "server/db/db.h"
#include "server/loop/loop.h"
#include "server/stats/stats.h"

enum {
    NODES = ID_NODES,
    LOOKS = 5, /* per after_ms, as far as LOOK_MIN_MS allows */
    LOOK_MIN_MS = 1000,
    LOOK_MAX_MS = 60000,
};

struct session_sweep {
    struct loop *loop;
    struct stats *stats;
    struct session_sweep_opts opts;
    struct loop_timer timer;
    int64_t there_ms[NODES]; /* mono: when the node was last there, or nobody could look */
    bool under_way;
};

static void everybody_is_there(struct session_sweep *sw)
{
    for (size_t i = 0; i < NODES; i++) {
        sw->there_ms[i] = loop_now_ms(sw->loop);
    }
}

static void look_again(struct session_sweep *sw)
{
    const int64_t in_ms = sw->opts.after_ms / LOOKS;
    sw->under_way = false;
    loop_timer_start(&sw->timer,
                     in_ms < LOOK_MIN_MS   ? LOOK_MIN_MS
                     : in_ms > LOOK_MAX_MS ? LOOK_MAX_MS
                                           : in_ms,
                     0);
}

static void on_swept(void *ctx, enum err_code code, const struct err *err,
                     const struct db_rows *rows)
{
    struct session_sweep *sw = ctx;
    const int64_t n = code == ERR_OK ? db_i64(rows, 0, 0) : 0;
    if (n > 0) {
        stats_add(sw->stats, STAT_SESSIONS_ABANDONED, n);
        LOG(INFO, "sessions", "open sessions of processes that are gone have ended",
            KV_I64("sessions", n));
    } else if (code == ERR_INVALID || code == ERR_INTERNAL) {
        LOG(WARN, "sessions", "sessions of processes that are gone cannot be ended",
            KV_CSTR("error", err->msg));
    }
    look_again(sw);
}

/* The nodes that nobody has seen for long enough. */
static size_t gone_nodes(const struct session_sweep *sw, int64_t gone[static NODES])
{
    size_t n = 0;
    for (int64_t i = 0; i < NODES; i++) {
        if (i != (int64_t)sw->opts.node &&
            loop_now_ms(sw->loop) - sw->there_ms[i] >= sw->opts.after_ms) {
            gone[n++] = i;
        }
    }
    return n;
}

static void sweep(struct session_sweep *sw)
{
    /* Causes of a link that the process itself has given up: see why_it_left of the app. */
    static const struct db_stmt stmt = {
        .name = "session_sweep",
        .sql =
            "WITH due AS (SELECT s.id, greatest(s.start_id, least(next.start_id - 1, "
            "(coalesce(least(m.alive_ms, CASE WHEN l.to_ms IS NULL THEN l.from_ms END), 0) "
            "- 1577836800000) << 22)) AS end_id "
            "FROM session AS s LEFT JOIN writer_mark AS m ON m.node = s.id >> 16 & 63 "
            "LEFT JOIN LATERAL (SELECT x.start_id FROM session AS x WHERE x.room_id = s.room_id "
            "AND x.start_id > s.start_id ORDER BY x.start_id LIMIT 1) AS next ON true "
            "LEFT JOIN LATERAL (SELECT c.from_ms, c.to_ms, c.node, c.cause FROM coverage_span AS c "
            "WHERE c.room_id = s.room_id AND c.source = 0 ORDER BY c.from_ms DESC LIMIT 1) AS l "
            "ON true WHERE s.end_id IS NULL AND s.id <> ALL ($2::int8[]) AND CASE "
            "WHEN s.id >> 16 & 63 = $1 THEN next.start_id IS NOT NULL "
            "WHEN NOT s.id >> 16 & 63 = ANY ($3::int8[]) THEN false "
            "ELSE next.start_id IS NOT NULL OR l.node IS NULL OR l.node = ANY ($3::int8[]) "
            "OR (l.to_ms IS NULL AND l.cause IN ('removed', 'paused', 'max_rooms', 'stopped', "
            "'down')) END ORDER BY s.id LIMIT $4), "
            "ended AS (UPDATE session AS s SET end_id = due.end_id, end_cause = 'abandoned' "
            "FROM due WHERE s.id = due.id AND s.end_id IS NULL RETURNING 1) "
            "SELECT count(*) FROM ended",
    };
    int64_t gone[NODES];
    const size_t n_gone = gone_nodes(sw, gone);
    const size_t max_held = sw->opts.n_held(sw->opts.ctx);
    int64_t *held = mem_new_array(int64_t, max_held + 1);
    const size_t n_held = sw->opts.held(sw->opts.ctx, held, max_held);
    const struct db_arg args[] = {DB_ARG_I64(sw->opts.node), DB_ARG_I64S(held, n_held),
                                  DB_ARG_I64S(gone, n_gone), DB_ARG_I64(SESSION_SWEEP_STEP)};
    struct err err = {0};
    if (db_query(sw->opts.db, &stmt, args, ARRAY_LEN(args), on_swept, sw, &err) != ERR_OK) {
        look_again(sw);
    }
    mem_free(held);
}

static void on_nodes(void *ctx, enum err_code code, const struct err *err,
                     const struct db_rows *rows)
{
    struct session_sweep *sw = ctx;
    (void)err;
    if (code != ERR_OK) {
        everybody_is_there(sw);
        look_again(sw);
        return;
    }
    for (size_t i = 0; i < db_rows_n(rows); i++) {
        const int64_t node = db_i64(rows, i, 0);
        if (node >= 0 && node < NODES) {
            sw->there_ms[node] = loop_now_ms(sw->loop);
        }
    }
    sweep(sw);
}

static void look(void *ctx)
{
    struct session_sweep *sw = ctx;
    static const struct db_stmt stmt = {
        .name = "session_nodes",
        .sql = "SELECT objid::int8 FROM pg_locks WHERE locktype = 'advisory' AND granted "
               "AND classid = $1::int8::oid AND objsubid = 2 AND database = (SELECT oid "
               "FROM pg_database WHERE datname = current_database())",
    };
    const struct db_arg args[] = {DB_ARG_I64(WRITER_LOCK_CLASS)};
    struct err err = {0};
    if (sw->under_way) {
        return;
    }
    if (sw->opts.after_ms == 0 || !db_is_up(sw->opts.db) ||
        db_query(sw->opts.db, &stmt, args, ARRAY_LEN(args), on_nodes, sw, &err) != ERR_OK) {
        everybody_is_there(sw);
        look_again(sw);
        return;
    }
    sw->under_way = true;
}

void session_sweep_start(struct session_sweep *sw)
{
    everybody_is_there(sw);
    look_again(sw);
}

void session_sweep_set(struct session_sweep *sw, int64_t after_ms)
{
    if (sw->opts.after_ms != after_ms) {
        sw->opts.after_ms = after_ms;
        if (loop_timer_armed(&sw->timer)) {
            look_again(sw);
        }
    }
}

struct session_sweep *session_sweep_new(struct loop *loop, const struct session_sweep_opts *opts,
                                        struct stats *stats)
{
    struct session_sweep *sw = mem_new(struct session_sweep);
    sw->loop = loop;
    sw->stats = stats;
    sw->opts = *opts;
    loop_timer_init(&sw->timer, loop, look, sw);
    return sw;
}

void session_sweep_free(struct session_sweep *sw)
{
    if (sw == NULL) {
        return;
    }
    loop_timer_stop(&sw->timer);
    db_forget(sw->opts.db, sw);
    mem_free(sw);
}
