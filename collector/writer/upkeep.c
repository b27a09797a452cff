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
    SUMMARIZE_ROWS = 50000, /* about 7 MB of the table: some ms to read */
    SUMMARIZE_MIN_MS = 500, /* between two of them */
    CLOSE_AFTER_MS = 2000,  /* a minute is rolled up this long after its end */
    ROLLUP_STEP = 60,       /* minutes per statement */
    DIRTY_STEP = 500,       /* minutes of rooms per statement */
    DIRTY_MS = 5000,
    DAYS_AHEAD = 3,
    DAYS_BACK_MAX = 60, /* a mark older than this does not ask for partitions */
    CONNECT_TIMEOUT_MS = 10000,
};

enum task {
    TASK_NONE,
    TASK_PARTITIONS,
    TASK_ALARM,
    TASK_HEAL,
    TASK_ROLLUP_INIT,
    TASK_BEGIN, /* a roll-up is a transaction: BEGIN, LOCK, COUNT, MARK, COMMIT */
    TASK_LOCK,
    TASK_COUNT,
    TASK_MARK,
    TASK_COMMIT,
    TASK_DIRTY_BEGIN, /* so is counting dirty minutes again */
    TASK_DIRTY_LOCK,
    TASK_DIRTY,
    TASK_DIRTY_COMMIT,
    TASK_ROLLBACK,
    TASK_SUMMARIZE,
    TASK_ANALYZE,
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
    bool heal;                 /* rows are in the default partition */
    bool analyze;              /* is due */
    bool healed;               /* tried since the last regular alarm */
    bool rollup_begun;         /* the mark exists */
    bool rollup_known;         /* rollup_next is what the database says */
    bool rewound;              /* since the running roll-up began */
    int32_t rollup_next;       /* first minute that is not rolled up */
    int32_t rollup_to;         /* end of the running step; rollup_next when there is none */
    bool in_transaction;       /* and the task that would go on failed: it is rolled back first */
    int64_t partitions_due_ms; /* mono */
    int64_t alarm_due_ms;
    int64_t summarize_due_ms;
    int64_t dirty_due_ms;
    size_t dirty_n; /* minutes of the transaction under way */
    int64_t summarize_not_before_ms;
    size_t unsummarized;     /* rows written since the last one began */
    size_t being_summarized; /* so many of them by the running one */
    size_t written;          /* rows since start, or since a day began */
    size_t analyze_at;       /* so many of them; doubles */
    int64_t written_day;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

static const struct db_stmt partitions_stmt = {
    .name = "upkeep_partitions",
    .sql = "SELECT count(*) FILTER (WHERE partition_make_day('event', day)) FROM (SELECT "
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
static const struct db_stmt begin_stmt = {.name = "upkeep_begin", .sql = "BEGIN"};
static const struct db_stmt commit_stmt = {.name = "upkeep_commit", .sql = "COMMIT"};
static const struct db_stmt rollback_stmt = {.name = "upkeep_rollback", .sql = "ROLLBACK"};
static const struct db_stmt lock_stmt = {
    .name = "upkeep_lock",
    .sql = "SELECT minute FROM rollup_mark FOR UPDATE",
};
static const struct db_stmt mark_stmt = {
    .name = "upkeep_mark",
    .sql = "UPDATE rollup_mark SET minute = $1::int8::int4",
};
static const struct db_stmt heal_stmt = {
    .name = "upkeep_heal",
    .sql = "SELECT count(*) FILTER (WHERE partition_make_day('event', day)) FROM (SELECT DISTINCT "
           "(timestamp '2020-01-01' + ((id >> 22) / 86400000) * interval '1 day')::date AS day "
           "FROM (SELECT id FROM event_default LIMIT 100000) AS x ORDER BY day LIMIT 8) AS days",
};
#define MINUTE_INSERT                                                                              \
    "INSERT INTO room_minute (room_id, minute, n_danmaku, n_mirror, n_gift, n_guard, "             \
    "n_superchat, "                                                                                \
    "n_redpacket, n_other, chatters, v_gift, v_guard, v_superchat, v_redpacket) "
#define MINUTE_COUNTS                                                                              \
    "count(*) FILTER (WHERE kind = 1), count(*) FILTER (WHERE kind = 2), "                         \
    "count(*) FILTER (WHERE kind = 3), count(*) FILTER (WHERE kind = 5), "                         \
    "count(*) FILTER (WHERE kind = 6), count(*) FILTER (WHERE kind = 8), "                         \
    "count(*) FILTER (WHERE kind NOT IN (1, 2, 3, 5, 6, 8)), "                                     \
    "count(DISTINCT actor) FILTER (WHERE kind = 1), "                                              \
    "coalesce(sum(value_mcny) FILTER (WHERE kind = 3), 0), "                                       \
    "coalesce(sum(value_mcny) FILTER (WHERE kind = 5), 0), "                                       \
    "coalesce(sum(value_mcny) FILTER (WHERE kind = 6), 0), "                                       \
    "coalesce(sum(value_mcny) FILTER (WHERE kind = 8), 0) "
#define MINUTE_UPSERT                                                                              \
    "ON CONFLICT (room_id, minute) DO UPDATE SET n_danmaku = excluded.n_danmaku, "                 \
    "n_mirror = excluded.n_mirror, n_gift = excluded.n_gift, n_guard = excluded.n_guard, "         \
    "n_superchat = excluded.n_superchat, n_redpacket = excluded.n_redpacket, "                     \
    "n_other = excluded.n_other, chatters = excluded.chatters, v_gift = excluded.v_gift, "         \
    "v_guard = excluded.v_guard, v_superchat = excluded.v_superchat, "                             \
    "v_redpacket = excluded.v_redpacket"
/* $1, $2: ids [from, to) of whole minutes. A statement of its own behind LOCK: its snapshot shows all that was
 * committed by who held the mark before us. */
static const struct db_stmt count_stmt = {
    .name = "upkeep_count",
    .sql =
        MINUTE_INSERT "SELECT room_id, (((id >> 22) + 1577836800000) / 60000)::int4, " MINUTE_COUNTS
                      "FROM event WHERE id >= $1 AND id < $2 GROUP BY 1, 2 " MINUTE_UPSERT,
};
/* Who adds to a minute that is dirty already leaves no lock on its row: the table's keeps us out until it has committed. */
static const struct db_stmt dirty_lock_stmt = {
    .name = "upkeep_dirty_lock",
    .sql = "LOCK TABLE minute_dirty IN SHARE ROW EXCLUSIVE MODE",
};
/* Up to $1 minutes that were counted before something came into them or went; those that are not rolled up yet wait for that.
 * A statement of its own behind the lock: its snapshot shows all that was added before. What the writer adds meanwhile
 * takes the mark back, and is counted after it. A minute whose events were dropped (retention.h) keeps its counts. */
static const struct db_stmt dirty_stmt = {
    .name = "upkeep_dirty",
    .sql = "WITH due AS (DELETE FROM minute_dirty AS d USING (SELECT room_id, minute "
           "FROM minute_dirty WHERE minute < (SELECT minute FROM rollup_mark) "
           "ORDER BY room_id, minute LIMIT $1) AS x "
           "WHERE d.room_id = x.room_id AND d.minute = x.minute RETURNING d.room_id, "
           "d.minute) " MINUTE_INSERT
           "SELECT due.room_id, due.minute, c.* FROM (SELECT * FROM due WHERE minute >= coalesce("
           "(SELECT from_ms / 60000 FROM kept WHERE what = 'events'), 0)) AS due CROSS JOIN "
           "LATERAL (SELECT " MINUTE_COUNTS "FROM event WHERE event.room_id = due.room_id "
           "AND id >= (due.minute::int8 * 60000 - 1577836800000) << 22 "
           "AND id < ((due.minute::int8 + 1) * 60000 - 1577836800000) << 22) AS c " MINUTE_UPSERT,
};
static const struct db_stmt summarize_stmt = {
    .name = "upkeep_summarize",
    .sql = "SELECT coalesce(sum(brin_summarize_new_values(i.inhrelid)), 0) FROM pg_inherits AS i "
           "JOIN pg_index AS x ON x.indexrelid = i.inhrelid "
           "WHERE i.inhparent = 'event_id_brin'::regclass AND x.indrelid IN "
           "(to_regclass('event_' || to_char(timestamp '2020-01-01' + ($1::int8 >> 22) * "
           "interval '1 ms', 'YYYYMMDD')), "
           "to_regclass('event_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')), "
           "to_regclass('event_' || to_char((now() AT TIME ZONE 'UTC') - interval '1 day', "
           "'YYYYMMDD')))",
};

/* A utility statement takes no parameters: the day of the mark is looked up. */
static const struct db_stmt analyze_stmt = {
    .name = "upkeep_analyze",
    .sql =
        "DO $$ DECLARE part regclass; BEGIN FOR part IN SELECT DISTINCT c FROM (SELECT to_regclass("
        "'event_' || to_char(timestamp '2020-01-01' + (last_id >> 22) * interval '1 ms', "
        "'YYYYMMDD')) AS c "
        "FROM writer_mark) AS x WHERE c IS NOT NULL "
        "LOOP EXECUTE format('ANALYZE %s (id)', part); END LOOP; END $$",
};

static const char *const task_names[] = {
    [TASK_NONE] = "none",
    [TASK_PARTITIONS] = "partitions",
    [TASK_ALARM] = "default partition",
    [TASK_HEAL] = "empty the default partition",
    [TASK_ROLLUP_INIT] = "roll-up start",
    [TASK_BEGIN] = "roll-up",
    [TASK_LOCK] = "roll-up",
    [TASK_COUNT] = "roll-up",
    [TASK_MARK] = "roll-up",
    [TASK_COMMIT] = "roll-up",
    [TASK_DIRTY_BEGIN] = "minutes to be counted again",
    [TASK_DIRTY_LOCK] = "minutes to be counted again",
    [TASK_DIRTY] = "minutes to be counted again",
    [TASK_DIRTY_COMMIT] = "minutes to be counted again",
    [TASK_ROLLBACK] = "roll-back",
    [TASK_SUMMARIZE] = "summarize",
    [TASK_ANALYZE] = "analyze",
};
static_assert(ARRAY_LEN(task_names) == TASK_ANALYZE + 1, "one name per task");

static void next_task(struct upkeep *u);
static bool go_on(struct upkeep *u, enum task done);

static void failed(struct upkeep *u, enum task task, const struct err *err)
{
    stats_inc(u->stats, STAT_UPKEEP_FAILURES);
    if (!u->failing) {
        LOG(WARN, "upkeep", "a task failed, trying again", KV_CSTR("task", task_names[task]),
            KV_CSTR("error", err->msg));
    }
    u->failing = true;
    u->rollup_known = false;
    u->rollup_to = u->rollup_next;
    u->in_transaction = (task >= TASK_LOCK && task <= TASK_COMMIT) ||
                        (task >= TASK_DIRTY_LOCK && task <= TASK_DIRTY_COMMIT);
    if (task == TASK_ANALYZE) {
        u->analyze = false; /* with the next minute: it must not keep the roll-up from running */
    } else if (task == TASK_SUMMARIZE) {
        u->summarize_due_ms = loop_now_ms(u->loop) + MINUTE_MS;
        u->summarize_not_before_ms = u->summarize_due_ms;
    }
}

/* A regular look may order the rows to be moved; the look after that only says what is left. */
static void default_partition_seen(struct upkeep *u, int64_t n)
{
    u->alarm_due_ms = loop_now_ms(u->loop) + HOUR_MS;
    stats_set(u->stats, STAT_EVENTS_IN_DEFAULT, n);
    u->heal = n > 0 && !u->healed;
    if (u->heal) {
        LOG(WARN, "upkeep", "rows in partition event_default: their days get partitions now",
            KV_I64("rows", n));
    } else if (n > 0) {
        LOG(ERROR, "upkeep", "rows stay in partition event_default", KV_I64("rows", n));
    }
    u->healed = false;
}

static void succeeded(struct upkeep *u, enum task task, const struct db_rows *rows)
{
    switch (task) {
    case TASK_PARTITIONS:
        u->partitions_due_ms = loop_now_ms(u->loop) + HOUR_MS;
        break;
    case TASK_ALARM:
        default_partition_seen(u, db_i64(rows, 0, 0));
        break;
    case TASK_HEAL:
        u->heal = false;
        u->healed = true;
        u->alarm_due_ms = loop_now_ms(u->loop); /* look again */
        break;
    case TASK_COUNT:
        stats_add(u->stats, STAT_MINUTES_ROLLED, (int64_t)db_rows_affected(rows));
        break;
    case TASK_COMMIT:
        u->rollup_next = u->rollup_to;
        u->rollup_known = !u->rewound;
        break;
    case TASK_ROLLBACK:
        u->in_transaction = false;
        break;
    case TASK_LOCK:
        u->rollup_begun = db_rows_n(rows) == 1;
        u->rollup_next = u->rollup_begun ? (int32_t)db_i64(rows, 0, 0) : INT32_MAX;
        u->rollup_to = u->rollup_next;
        break;
    case TASK_DIRTY:
        u->dirty_n = db_rows_affected(rows);
        break;
    case TASK_DIRTY_COMMIT:
        stats_add(u->stats, STAT_MINUTES_ROLLED, (int64_t)u->dirty_n);
        u->dirty_due_ms = loop_now_ms(u->loop) + (u->dirty_n < DIRTY_STEP ? DIRTY_MS : 0);
        break;
    case TASK_SUMMARIZE:
        u->summarize_due_ms = loop_now_ms(u->loop) + MINUTE_MS;
        u->summarize_not_before_ms = loop_now_ms(u->loop) + SUMMARIZE_MIN_MS;
        u->unsummarized -= u->being_summarized;
        u->analyze = u->written >= u->analyze_at;
        break;
    case TASK_ANALYZE:
        u->analyze = false;
        stats_inc(u->stats, STAT_UPKEEP_ANALYZED);
        u->analyze_at = u->written > SUMMARIZE_ROWS / 2 ? u->written * 2 : SUMMARIZE_ROWS;
        break;
    case TASK_ROLLUP_INIT:
        u->rollup_begun = true;
        u->rollup_known = false;
        if (!u->ready) {
            /* Not earlier: the first batches take the mark back to where they begin. */
            u->ready = true;
            u->opts.on_ready(u->opts.ctx);
        }
        break;
    case TASK_NONE:
    case TASK_BEGIN:
    case TASK_MARK:
    case TASK_DIRTY_BEGIN:
    case TASK_DIRTY_LOCK:
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
    if (!go_on(u, task)) {
        next_task(u);
    }
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

static void count_minutes(struct upkeep *u)
{
    int32_t to = closed_minutes(u);
    if (to - ROLLUP_STEP > u->rollup_next) {
        to = u->rollup_next + ROLLUP_STEP;
    }
    if (to <= u->rollup_next) {
        run(u, TASK_COMMIT, &commit_stmt, NULL, 0);
        return;
    }
    u->rollup_to = to;
    const struct db_arg args[] = {
        DB_ARG_I64(id_first_of_ms((int64_t)u->rollup_next * MINUTE_MS)),
        DB_ARG_I64(id_first_of_ms((int64_t)to * MINUTE_MS)),
    };
    run(u, TASK_COUNT, &count_stmt, args, ARRAY_LEN(args));
}

/* The next step of the transaction whose step `done` has worked. False: it was the last. */
static bool go_on(struct upkeep *u, enum task done)
{
    const struct db_arg to = DB_ARG_I64(u->rollup_to);
    const struct db_arg most = DB_ARG_I64(DIRTY_STEP);
    switch (done) {
    case TASK_BEGIN:
        run(u, TASK_LOCK, &lock_stmt, NULL, 0);
        return true;
    case TASK_LOCK:
        count_minutes(u);
        return true;
    case TASK_COUNT:
        run(u, TASK_MARK, &mark_stmt, &to, 1);
        return true;
    case TASK_MARK:
        run(u, TASK_COMMIT, &commit_stmt, NULL, 0);
        return true;
    case TASK_DIRTY_BEGIN:
        run(u, TASK_DIRTY_LOCK, &dirty_lock_stmt, NULL, 0);
        return true;
    case TASK_DIRTY_LOCK:
        run(u, TASK_DIRTY, &dirty_stmt, &most, 1);
        return true;
    case TASK_DIRTY:
        run(u, TASK_DIRTY_COMMIT, &commit_stmt, NULL, 0);
        return true;
    case TASK_NONE:
    case TASK_PARTITIONS:
    case TASK_ALARM:
    case TASK_HEAL:
    case TASK_ROLLUP_INIT:
    case TASK_COMMIT:
    case TASK_DIRTY_COMMIT:
    case TASK_ROLLBACK:
    case TASK_SUMMARIZE:
    case TASK_ANALYZE:
        break;
    }
    return false;
}

static bool summarize_is_due(const struct upkeep *u, int64_t now)
{
    return now >= u->summarize_due_ms ||
           (u->unsummarized >= SUMMARIZE_ROWS && now >= u->summarize_not_before_ms);
}

static void next_task(struct upkeep *u)
{
    if (u->running != TASK_NONE || !u->started || u->closed != NULL ||
        !db_session_is_up(u->session)) {
        return;
    }
    int64_t now = loop_now_ms(u->loop);
    if (u->in_transaction) {
        run(u, TASK_ROLLBACK, &rollback_stmt, NULL, 0);
    } else if (now >= u->partitions_due_ms) {
        run_partitions(u);
    } else if (!u->rollup_begun) {
        /* Nothing was ever written: minutes begin now. Otherwise where the oldest unwritten event may be. */
        int64_t mark = u->opts.mark_id(u->opts.ctx);
        int64_t from_ms = mark > 0 ? id_ts_ms(mark) : loop_wall_ms(u->loop);
        const struct db_arg args[] = {DB_ARG_I64(from_ms / MINUTE_MS)};
        run(u, TASK_ROLLUP_INIT, &rollup_init_stmt, args, ARRAY_LEN(args));
    } else if (now >= u->alarm_due_ms) {
        run(u, TASK_ALARM, &alarm_stmt, NULL, 0);
    } else if (u->heal) {
        run(u, TASK_HEAL, &heal_stmt, NULL, 0);
    } else if (u->analyze) {
        run(u, TASK_ANALYZE, &analyze_stmt, NULL, 0);
    } else if (summarize_is_due(u, now)) {
        int64_t mark = u->opts.mark_id(u->opts.ctx);
        const struct db_arg args[] = {DB_ARG_I64(mark > 0 ? mark : 0)};
        u->being_summarized = u->unsummarized;
        run(u, TASK_SUMMARIZE, &summarize_stmt, args, ARRAY_LEN(args));
    } else if (!u->rollup_known || closed_minutes(u) > u->rollup_next) {
        u->rewound = false;
        run(u, TASK_BEGIN, &begin_stmt, NULL, 0);
    } else if (now >= u->dirty_due_ms) {
        run(u, TASK_DIRTY_BEGIN, &begin_stmt, NULL, 0);
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
    u->in_transaction = false;
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

int32_t upkeep_rolled_to(const struct upkeep *u)
{
    const bool counting = u->running >= TASK_COUNT && u->running <= TASK_COMMIT;
    if (counting) {
        return u->rollup_to;
    }
    return u->rollup_known ? u->rollup_next : INT32_MAX;
}

void upkeep_written(struct upkeep *u, size_t rows)
{
    int64_t day =
        u->opts.mark_id(u->opts.ctx) / (id_first_of_ms(ID_EPOCH_MS + 24 * (int64_t)HOUR_MS));
    if (day != u->written_day) { /* a new partition, without statistics */
        u->written_day = day;
        u->written = 0;
        u->analyze_at = SUMMARIZE_ROWS;
    }
    u->unsummarized += rows;
    u->written += rows;
    if (u->unsummarized >= SUMMARIZE_ROWS) {
        next_task(u);
    }
}

void upkeep_rewound(struct upkeep *u)
{
    u->rollup_known = false;
    u->rewound = true; /* what runs now does not make it known either */
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
