#include "collector/writer/upkeep.h"

#include "server/core/assert.h"
#include "server/core/id.h"
#include "server/core/log.h"
#include "server/core/mem.h"
#include "server/db/db_session.h"
#include "server/loop/loop.h"
#include "server/stats/stats.h"

enum {
    TICK_MS = 2000,
    MINUTE_MS = 60000,
    HOUR_MS = 3600000,
    CLOSE_AFTER_MS = 2000, /* a minute is rolled up this long after its end */
    ROLLUP_STEP = 60,      /* minutes per statement */
    DAYS_AHEAD = 3,
    DAYS_BACK_MAX = 60, /* a mark older than this does not ask for partitions */
    CONNECT_TIMEOUT_MS = 10000,
};

enum task {
    TASK_NONE,
    TASK_PARTITIONS,
    TASK_ALARM,
    TASK_ROLLUP_INIT,
    TASK_ROLLUP_READ,
    TASK_ROLLUP,
    TASK_SUMMARIZE
};

struct upkeep {
    struct loop *loop;
    struct stats *stats;
    struct upkeep_opts opts;
    struct db_session *session; /* owned */
    struct loop_timer tick;
    enum task running;
    bool started;
    bool ready;                /* on_ready was called */
    bool failing;              /* the last task failed: log the next success */
    bool rollup_begun;         /* the mark exists */
    bool rollup_known;         /* rollup_next is what the database says */
    int32_t rollup_next;       /* first minute that is not rolled up */
    int32_t rollup_to;         /* end of the running step */
    int64_t partitions_due_ms; /* mono */
    int64_t alarm_due_ms;
    int64_t summarize_due_ms;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

static const struct db_stmt partitions_stmt = {
    .name = "upkeep_partitions",
    .sql = "SELECT count(*) FILTER (WHERE event_make_day(day)) FROM (SELECT "
           "(timestamp '2020-01-01' + $1::int8 * interval '1 day')::date + n::int4 AS day "
           "FROM generate_series(0, $2::int8) AS n) AS days",
};
static const struct db_stmt alarm_stmt = {
    .name = "upkeep_alarm",
    .sql = "SELECT count(*) FROM (SELECT 1 FROM event_default LIMIT 10000) AS x",
};
static const struct db_stmt rollup_init_stmt = {
    .name = "upkeep_rollup_init",
    .sql = "INSERT INTO rollup_mark (minute) VALUES ($1::int8) ON CONFLICT DO NOTHING",
};
static const struct db_stmt rollup_read_stmt = {
    .name = "upkeep_rollup_read",
    .sql = "SELECT minute FROM rollup_mark",
};
/* $1, $2: minutes [from, to); $3, $4: the same as ids. Atomic: the mark and the rows, or neither. */
static const struct db_stmt rollup_stmt = {
    .name = "upkeep_rollup",
    .sql = "WITH mark AS (UPDATE rollup_mark SET minute = $2::int8 WHERE minute = $1::int8 "
           "RETURNING 1) "
           "INSERT INTO room_minute (room_id, minute, n_danmaku, n_mirror, n_gift, n_guard, "
           "n_superchat, "
           "n_redpacket, n_other, chatters, v_gift, v_guard, v_superchat, v_redpacket) "
           "SELECT room_id, (((id >> 22) + 1577836800000) / 60000)::int4, "
           "count(*) FILTER (WHERE kind = 1), count(*) FILTER (WHERE kind = 2), "
           "count(*) FILTER (WHERE kind = 3), count(*) FILTER (WHERE kind = 5), "
           "count(*) FILTER (WHERE kind = 6), count(*) FILTER (WHERE kind = 8), "
           "count(*) FILTER (WHERE kind NOT IN (1, 2, 3, 5, 6, 8)), "
           "count(DISTINCT actor) FILTER (WHERE kind = 1), "
           "coalesce(sum(value_mcny) FILTER (WHERE kind = 3), 0), "
           "coalesce(sum(value_mcny) FILTER (WHERE kind = 5), 0), "
           "coalesce(sum(value_mcny) FILTER (WHERE kind = 6), 0), "
           "coalesce(sum(value_mcny) FILTER (WHERE kind = 8), 0) "
           "FROM event, mark WHERE id >= $3 AND id < $4 GROUP BY 1, 2 "
           "ON CONFLICT (room_id, minute) DO UPDATE SET n_danmaku = excluded.n_danmaku, "
           "n_mirror = excluded.n_mirror, n_gift = excluded.n_gift, n_guard = excluded.n_guard, "
           "n_superchat = excluded.n_superchat, n_redpacket = excluded.n_redpacket, "
           "n_other = excluded.n_other, chatters = excluded.chatters, v_gift = excluded.v_gift, "
           "v_guard = excluded.v_guard, v_superchat = excluded.v_superchat, "
           "v_redpacket = excluded.v_redpacket",
};
static const struct db_stmt summarize_stmt = {
    .name = "upkeep_summarize",
    .sql = "SELECT coalesce(sum(brin_summarize_new_values(i.inhrelid)), 0) FROM pg_inherits AS i "
           "JOIN pg_index AS x ON x.indexrelid = i.inhrelid "
           "WHERE i.inhparent = 'event_id_brin'::regclass AND x.indrelid IN "
           "(to_regclass('event_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')), "
           "to_regclass('event_' || to_char((now() AT TIME ZONE 'UTC') - interval '1 day', "
           "'YYYYMMDD')))",
};

static const char *const task_names[] = {"none",          "partitions",   "default partition",
                                         "roll-up start", "roll-up mark", "roll-up",
                                         "summarize"};
static_assert(ARRAY_LEN(task_names) == TASK_SUMMARIZE + 1, "one name per task");

static void next_task(struct upkeep *u);

static void failed(struct upkeep *u, enum task task, const struct err *err)
{
    stats_inc(u->stats, STAT_UPKEEP_FAILURES);
    if (!u->failing) {
        LOG(WARN, "upkeep", "a task failed, trying again", KV_CSTR("task", task_names[task]),
            KV_CSTR("error", err->msg));
    }
    u->failing = true;
    u->rollup_known = false;
}

static void succeeded(struct upkeep *u, enum task task, const struct db_rows *rows)
{
    switch (task) {
    case TASK_PARTITIONS:
        u->partitions_due_ms = loop_now_ms(u->loop) + HOUR_MS;
        if (!u->ready) {
            u->ready = true;
            u->opts.on_ready(u->opts.ctx);
        }
        break;
    case TASK_ALARM:
        u->alarm_due_ms = loop_now_ms(u->loop) + HOUR_MS;
        stats_set(u->stats, STAT_EVENTS_IN_DEFAULT, db_i64(rows, 0, 0));
        if (db_i64(rows, 0, 0) > 0) {
            LOG(WARN, "upkeep",
                "rows in partition event_default: their day had no partition, move them",
                KV_I64("rows", db_i64(rows, 0, 0)));
        }
        break;
    case TASK_ROLLUP_READ:
        if (db_rows_n(rows) == 1) {
            u->rollup_next = (int32_t)db_i64(rows, 0, 0);
            u->rollup_known = true;
        }
        break;
    case TASK_ROLLUP:
        u->rollup_next = u->rollup_to;
        stats_add(u->stats, STAT_MINUTES_ROLLED, (int64_t)db_rows_affected(rows));
        break;
    case TASK_SUMMARIZE:
        u->summarize_due_ms = loop_now_ms(u->loop) + MINUTE_MS;
        break;
    case TASK_ROLLUP_INIT:
        u->rollup_begun = true;
        break;
    case TASK_NONE:
        break;
    }
}

static void on_task(void *ctx, enum err_code code, const struct err *err,
                    const struct db_rows *rows)
{
    struct upkeep *u = ctx;
    enum task task = u->running;
    u->running = TASK_NONE;
    if (u->closed != NULL) {
        return;
    }
    if (code != ERR_OK) {
        failed(u, task, err);
        return; /* the next tick tries again */
    }
    if (u->failing) {
        u->failing = false;
        LOG0(INFO, "upkeep", "works again");
    }
    succeeded(u, task, rows);
    next_task(u);
}

static void run(struct upkeep *u, enum task task, const struct db_stmt *stmt,
                const struct db_arg *args, size_t n)
{
    struct err err = {0};
    u->running = task;
    if (db_session_exec(u->session, stmt, args, n, on_task, u, &err) != ERR_OK) {
        u->running = TASK_NONE;
        failed(u, task, &err);
    }
}

static void run_partitions(struct upkeep *u)
{
    int64_t today = (loop_wall_ms(u->loop) - ID_EPOCH_MS) / (24 * (int64_t)HOUR_MS);
    int64_t mark = u->opts.mark_id(u->opts.ctx);
    int64_t first = mark > 0 ? (id_ts_ms(mark) - ID_EPOCH_MS) / (24 * (int64_t)HOUR_MS) : today;
    if (first > today) {
        first = today;
    }
    if (first < today - DAYS_BACK_MAX) {
        first = today - DAYS_BACK_MAX;
    }
    const struct db_arg args[] = {DB_ARG_I64(first), DB_ARG_I64(today - first + DAYS_AHEAD)};
    run(u, TASK_PARTITIONS, &partitions_stmt, args, ARRAY_LEN(args));
}

/* Minutes below are over and completely written. */
static int32_t closed_minutes(struct upkeep *u)
{
    int64_t complete_ms = id_ts_ms(u->opts.complete_id(u->opts.ctx));
    int64_t over_ms = loop_wall_ms(u->loop) - CLOSE_AFTER_MS;
    return (int32_t)((complete_ms < over_ms ? complete_ms : over_ms) / MINUTE_MS);
}

static void run_rollup(struct upkeep *u)
{
    int32_t to = closed_minutes(u);
    if (to > u->rollup_next + ROLLUP_STEP) {
        to = u->rollup_next + ROLLUP_STEP;
    }
    u->rollup_to = to;
    const struct db_arg args[] = {
        DB_ARG_I64(u->rollup_next),
        DB_ARG_I64(to),
        DB_ARG_I64(id_first_of_ms((int64_t)u->rollup_next * MINUTE_MS)),
        DB_ARG_I64(id_first_of_ms((int64_t)to * MINUTE_MS)),
    };
    run(u, TASK_ROLLUP, &rollup_stmt, args, ARRAY_LEN(args));
}

static void next_task(struct upkeep *u)
{
    if (u->running != TASK_NONE || !u->started || u->closed != NULL ||
        !db_session_is_up(u->session)) {
        return;
    }
    int64_t now = loop_now_ms(u->loop);
    if (now >= u->partitions_due_ms) {
        run_partitions(u);
    } else if (now >= u->alarm_due_ms) {
        run(u, TASK_ALARM, &alarm_stmt, NULL, 0);
    } else if (!u->rollup_begun) {
        /* Nothing was ever written: minutes begin now. Otherwise where the oldest unwritten event may be. */
        int64_t mark = u->opts.mark_id(u->opts.ctx);
        int64_t from_ms = mark > 0 ? id_ts_ms(mark) : loop_wall_ms(u->loop);
        const struct db_arg args[] = {DB_ARG_I64(from_ms / MINUTE_MS)};
        run(u, TASK_ROLLUP_INIT, &rollup_init_stmt, args, ARRAY_LEN(args));
    } else if (now >= u->summarize_due_ms) {
        run(u, TASK_SUMMARIZE, &summarize_stmt, NULL, 0);
    } else if (!u->rollup_known) {
        run(u, TASK_ROLLUP_READ, &rollup_read_stmt, NULL, 0);
    } else if (closed_minutes(u) > u->rollup_next) {
        run_rollup(u);
    }
}

static void on_tick(void *ctx)
{
    next_task(ctx);
}

static void on_up(void *ctx)
{
    struct upkeep *u = ctx;
    u->rollup_known = false;
    next_task(u);
}

static void on_down(void *ctx, const struct err *err)
{
    struct upkeep *u = ctx;
    (void)err; /* the writer tells of the database */
    u->rollup_known = false;
}

struct upkeep *upkeep_new(struct loop *loop, const struct upkeep_opts *opts, struct stats *stats)
{
    struct upkeep *u = mem_new(struct upkeep);
    u->loop = loop;
    u->stats = stats;
    u->opts = *opts;
    loop_timer_init(&u->tick, loop, on_tick, u);
    const struct db_session_opts session = {
        .conninfo = opts->conninfo,
        .application_name = "danmakud upkeep",
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .timeout_ms = opts->timeout_ms,
        .on_up = on_up,
        .on_down = on_down,
        .ctx = u,
    };
    u->session = db_session_new(loop, &session, stats);
    return u;
}

void upkeep_start(struct upkeep *u)
{
    if (u->started) {
        return;
    }
    u->started = true;
    u->partitions_due_ms = u->alarm_due_ms = u->summarize_due_ms = loop_now_ms(u->loop);
    loop_timer_start(&u->tick, TICK_MS, TICK_MS);
    next_task(u);
}

static void on_session_closed(void *ctx)
{
    struct upkeep *u = ctx;
    void (*closed)(void *ctx2) = u->closed;
    void *closed_ctx = u->closed_ctx;
    mem_free(u);
    closed(closed_ctx);
}

void upkeep_close(struct upkeep *u, void (*closed)(void *ctx), void *ctx)
{
    ASSERT(u->closed == NULL && closed != NULL);
    u->closed = closed;
    u->closed_ctx = ctx;
    loop_timer_stop(&u->tick);
    db_session_close(u->session, on_session_closed, u);
}
