#include "collector/retention.h"

#include "server/core/log.h"
#include "server/core/mem.h"
#include "server/db/db.h"
#include "server/loop/loop.h"
#include "server/stats/stats.h"

enum {
    HOUR_MS = 3600 * 1000,
    AGAIN_MS = 60 * 1000,
    REST_MS = 100, /* between two statements that dropped something */
    DAY_MS = 24 * HOUR_MS,
};

/* $1: what is before this ms may go, $2: rows of a statement. One row: how many went, and before when. */
#define DAY_OF(ms) "(timestamp '1970-01-01' + " ms " * interval '1 ms')::date"
#define NOTED(what)                                                                                \
    ", noted AS (INSERT INTO kept AS k (what, from_ms) SELECT '" what                              \
    "', ms FROM gone WHERE n > 0 "                                                                 \
    "ON CONFLICT (what) DO UPDATE SET from_ms = greatest(k.from_ms, excluded.from_ms)) "           \
    "SELECT n, ms FROM gone"
#define SOME_OF(table, where)                                                                      \
    "(DELETE FROM " table " WHERE ctid = ANY (ARRAY(SELECT ctid FROM " table " AS c WHERE " where  \
    " LIMIT $2)) RETURNING 1)"

static const struct step {
    struct db_stmt stmt;
    enum retention_what what;
    enum stats_row stat;
} steps[] = {
    {{"retention_event",
      "WITH upto AS (SELECT least($1::int8, (SELECT minute::int8 * 60000 FROM rollup_mark)) / "
      "86400000 * "
      "86400000 AS ms), gone AS MATERIALIZED (SELECT partition_drop_before('event', " DAY_OF(
          "ms") ", least(1, $2)::int4)::int8 AS n, ms FROM upto WHERE ms > 0)" NOTED("events")},
     RETENTION_events,
     STAT_RETENTION_EVENT_DAYS},
    {{"retention_amend",
      "WITH upto AS (SELECT least($1::int8, (SELECT from_ms FROM kept WHERE what = 'events')) AS "
      "ms), "
      "a AS " SOME_OF(
          "amend", "target_id < (SELECT (ms - 1577836800000) << 22 FROM upto)") "SELECT count(*), "
                                                                                "0::int8 FROM a"},
     RETENTION_events,
     STAT_RETENTION_AMENDS},
    {{"retention_minute",
      "WITH a AS " SOME_OF("room_minute", "minute < $1::int8 / 60000") ", b AS " SOME_OF(
          "room_minute_kind",
          "minute < $1::int8 / 60000") ", gone AS (SELECT (SELECT count(*) FROM a) + (SELECT "
                                       "count(*) "
                                       "FROM b) AS n, $1::int8 AS ms)" NOTED("minutes")},
     RETENTION_minutes,
     STAT_RETENTION_MINUTES},
    {{"retention_audience",
      "WITH gone AS MATERIALIZED (SELECT partition_drop_before('audience', " DAY_OF(
          "$1::int8") ", least(1, $2)::int4)::int8 AS n, $1::int8 AS ms)" NOTED("audience")},
     RETENTION_audience,
     STAT_RETENTION_AUDIENCE_DAYS},
    {{"retention_coverage",
      "WITH a AS " SOME_OF(
          "coverage_span",
          "int8range(from_ms, to_ms) << int8range($1::int8, NULL) AND (source <> 0 OR "
          "EXISTS (SELECT FROM coverage_span AS x WHERE x.room_id = c.room_id "
          "AND x.source = 0 AND x.from_ms < c.from_ms))") ", gone AS (SELECT (SELECT count(*) FROM "
                                                          "a) AS n, $1::int8 AS ms)" NOTED("coverag"
                                                                                           "e")},
     RETENTION_coverage,
     STAT_RETENTION_SPANS},
};

struct retention {
    struct loop *loop;
    struct stats *stats;
    struct retention_opts opts;
    struct loop_timer timer;
    int64_t from_ms[RETENTION_N];
    size_t step;      /* next of steps; ARRAY_LEN(steps): what was dropped before is read first */
    uint64_t dropped; /* by the step, since it began */
};

static const char *const names[RETENTION_N] = {
#define X(name) [RETENTION_##name] = #name,
    RETENTION_TABLE(X)
#undef X
};

static void note(struct retention *r, enum retention_what what, int64_t ms)
{
    r->from_ms[what] = ms > r->from_ms[what] ? ms : r->from_ms[what];
}

static void next_step(struct retention *r)
{
    r->dropped = 0;
    r->step++;
    loop_timer_start(&r->timer, r->step < ARRAY_LEN(steps) ? 0 : HOUR_MS, 0);
}

static void failed(struct retention *r, enum err_code code, const struct err *err)
{
    stats_inc(r->stats, STAT_RETENTION_FAILURES);
    if (code == ERR_INVALID || code == ERR_INTERNAL) {
        LOG(WARN, "retention", "what is old is not dropped, trying again",
            KV_CSTR("what", r->step < ARRAY_LEN(steps) ? names[steps[r->step].what] : "known"),
            KV_CSTR("error", err->msg));
        if (r->step < ARRAY_LEN(steps)) { /* it must not keep the others from their turn */
            next_step(r);
            return;
        }
    }
    loop_timer_start(&r->timer, AGAIN_MS, 0);
}

static void on_dropped(void *ctx, enum err_code code, const struct err *err,
                       const struct db_rows *rows)
{
    struct retention *r = ctx;
    if (code != ERR_OK) {
        failed(r, code, err);
        return;
    }
    const struct step *s = &steps[r->step];
    const int64_t n = db_rows_n(rows) > 0 ? db_i64(rows, 0, 0) : 0;
    if (n > 0) {
        note(r, s->what, db_i64(rows, 0, 1));
        stats_add(r->stats, s->stat, n);
        r->dropped += (uint64_t)n;
        loop_timer_start(&r->timer, REST_MS, 0);
        return;
    }
    if (r->dropped > 0) {
        LOG(INFO, "retention", "what is older than its retention was dropped",
            KV_CSTR("what", names[s->what]), KV_I64("dropped", r->dropped));
    }
    next_step(r);
}

static void on_known(void *ctx, enum err_code code, const struct err *err,
                     const struct db_rows *rows)
{
    struct retention *r = ctx;
    if (code != ERR_OK) {
        failed(r, code, err);
        return;
    }
    for (size_t i = 0; i < db_rows_n(rows); i++) {
        for (unsigned what = 0; what < RETENTION_N; what++) {
            if (str_eq(db_text(rows, i, 0), str_of(names[what]))) {
                note(r, (enum retention_what)what, db_i64(rows, i, 1));
            }
        }
    }
    r->step = 0;
    loop_timer_start(&r->timer, 0, 0);
}

static void on_timer(void *ctx)
{
    static const struct db_stmt known = {"retention_known", "SELECT what, from_ms FROM kept"};
    struct retention *r = ctx;
    struct err err = {0};
    enum err_code code;
    if (r->step == ARRAY_LEN(steps)) {
        code = db_query(r->opts.db, &known, NULL, 0, on_known, r, &err);
    } else {
        const int64_t keep_ms = r->opts.keep_ms(r->opts.ctx, steps[r->step].what);
        const int64_t from_ms = loop_wall_ms(r->loop) - keep_ms;
        if (keep_ms == 0 || from_ms <= 0) {
            next_step(r);
            return;
        }
        const struct db_arg args[] = {DB_ARG_I64(from_ms - from_ms % DAY_MS),
                                      DB_ARG_I64(RETENTION_ROWS)};
        code =
            db_query(r->opts.db, &steps[r->step].stmt, args, ARRAY_LEN(args), on_dropped, r, &err);
    }
    if (code != ERR_OK) {
        failed(r, code, &err);
    }
}

int64_t retention_from(const struct retention *r, enum retention_what what)
{
    return r->from_ms[what];
}

void retention_start(struct retention *r)
{
    loop_timer_start(&r->timer, 0, 0);
}

struct retention *retention_new(struct loop *loop, const struct retention_opts *opts,
                                struct stats *stats)
{
    struct retention *r = mem_new(struct retention);
    r->loop = loop;
    r->stats = stats;
    r->opts = *opts;
    r->step = ARRAY_LEN(steps);
    loop_timer_init(&r->timer, loop, on_timer, r);
    return r;
}

void retention_free(struct retention *r)
{
    if (r == NULL) {
        return;
    }
    loop_timer_stop(&r->timer);
    db_forget(r->opts.db, r);
    mem_free(r);
}
