/* Figures: the service as it is now, and series per minute. */
#include "server/stats/stats.h"
#include "api/gate.h"
#include "api/handlers/handlers.h"
#include "api/hub.h"
#include "api/ledger.h"
#include "api/minutes.h"
#include "api/reader.h"
#include "api/reply.h"
#include "api/rooms_named.h"
#include "server/core/id.h"
#include "server/core/json_write.h"
#include "server/core/mem.h"
#include "server/feed/feed.h"

enum { RANGE_PARAMS = PARAM_BIT(FROM) | PARAM_BIT(TO) | PARAM_BIT(SINCE), DEFAULT_MINUTES = 60 };

struct stats_job {
    struct job job; /* first */
    struct params params;
    struct rooms_named named; /* n = 0: all rooms */
    struct minutes minutes;
    int64_t mark;    /* minutes below are final */
    int64_t tail;    /* first minute that has to be counted */
    int64_t tail_to; /* id: how far the database counted it */
    struct ledger ledger;
    bool series; /* of /stats: asked for */
    bool pending;
};

static void stats_job_free(struct job *job)
{
    struct stats_job *j = (struct stats_job *)job;
    minutes_deinit(&j->minutes);
    ledger_deinit(&j->ledger);
    mem_free(j);
}

/* ---- the service as it is now ---- */

struct room_counts {
    int64_t collected;
    int64_t connected;
};

static bool count_room(void *ctx, const struct api_room *room)
{
    struct room_counts *c = ctx;
    c->collected += room->state != NULL;
    c->connected += room->connected_since_ms != 0;
    return true;
}

static void put_id(struct json_out *w, const char *key, int64_t id)
{
    jw_key(w, str_of(key));
    if (id > 0) {
        jw_i64_str(w, id);
    } else {
        jw_null(w);
    }
}

static void put_service(struct api *a, struct json_out *w)
{
    const struct feed *f = a->opts.feed;
    struct room_counts rooms = {0};
    a->opts.ops.each_room(a->opts.ops.ctx, count_room, &rooms);
    jw_ki64(w, "now_ms", api_now_ms(a));
    jw_ki64(w, "started_ms", a->started_ms);
    jw_key(w, STR("rooms"));
    jw_object(w);
    jw_ki64(w, "collected", rooms.collected);
    jw_ki64(w, "connected", rooms.connected);
    jw_object_end(w);
    jw_key(w, STR("events"));
    jw_object(w);
    jw_ki64(w, "published", stats_get(a->opts.stats, STAT_EVENTS_PUBLISHED));
    put_id(w, "head_id", feed_head_id(f));
    put_id(w, "committed_id", api_committed(a));
    jw_object_end(w);
    jw_key(w, STR("ring"));
    jw_object(w);
    jw_ki64(w, "events", (int64_t)(feed_head(f) - feed_tail(f)));
    jw_ki64(w, "bytes", (int64_t)feed_bytes(f));
    put_id(w, "tail_id", feed_tail_id(f));
    jw_object_end(w);
    jw_ki64(w, "streams", (int64_t)hub_n(a->hub));
    jw_key(w, STR("database"));
    jw_object(w);
    jw_kbool(w, "up", db_is_up(a->opts.db));
    jw_object_end(w);
}

/* ---- the answer ---- */

static void put_series(struct stats_job *j, struct json_out *w)
{
    unsigned scopes = gate_scopes(j->job.api, j->job.req);
    minutes_write(&j->minutes, (scopes & SCOPE_REVENUE) != 0, w);
}

static void write_stats(struct stats_job *j)
{
    struct api *a = j->job.api;
    struct buf body;
    struct json_out w;
    buf_init(&body, REPLY_BODY_LIMIT);
    jw_init(&w, &body);
    jw_object(&w);
    jw_key(&w, STR("data"));
    jw_object(&w);
    if (j->named.n > 0) {
        jw_ki64(&w, "room_id", j->named.rooms[0]);
        put_series(j, &w);
    } else {
        put_service(a, &w);
        jw_key(&w, STR("series"));
        if (j->series) {
            jw_object(&w);
            put_series(j, &w);
            jw_object_end(&w);
        } else {
            jw_null(&w);
        }
    }
    jw_object_end(&w);
    bool pending = j->pending || j->minutes.overflow;
    ledger_put_completeness(&j->ledger, &w, pending);
    jw_object_end(&w);
    buf_put_c(&body, '\n');
    if (j->named.n == 0) { /* it tells the time: no two answers are the same */
        reply_json(a, j->job.req, REPLY_OPEN, &body);
        return;
    }
    bool closed = j->minutes.to <= j->mark && !pending && !j->ledger.unknown;
    reply_tagged(a, j->job.req, closed ? REPLY_CLOSED : REPLY_OPEN, &body);
}

static void ledger_rows(void *ctx, enum err_code code, const struct err *err ATTR_UNUSED,
                        const struct db_rows *rows)
{
    struct stats_job *j = ctx;
    ledger_take(&j->ledger, code == ERR_OK ? rows : NULL);
    write_stats(j);
}

/* All is counted; what was missed meanwhile is still to be found out. */
static void reply_stats(struct stats_job *j)
{
    struct api *a = j->job.api;
    bool series = j->named.n > 0 || j->series;
    int64_t now_ms = api_now_ms(a);
    ledger_init(&j->ledger, a, j->named.rooms, j->named.n,
                series ? j->minutes.from * MINUTE_MS : now_ms,
                series ? j->minutes.to * MINUTE_MS : now_ms, true);
    ledger_made_of(&j->ledger, API_KEPT_MINUTES);
    if (!ledger_read(&j->ledger, &j->job, ledger_rows)) {
        write_stats(j);
    }
}

/* ---- counting what is not rolled up ---- */

static int64_t first_id_of(int64_t minute)
{
    return id_first_of_ms(minute * MINUTE_MS);
}

static bool ring_has(const struct stats_job *j, int64_t after_id)
{
    const struct feed *f = j->job.api->opts.feed;
    return after_id >= feed_backfilled(f) &&
           (feed_covers(f, after_id) ||
            (j->named.n > 0 && feed_room_covers(f, j->named.rooms[0], after_id)));
}

/* Counts the ring's events behind after_id. */
static void count_ring(struct stats_job *j, int64_t after_id)
{
    const struct feed *f = j->job.api->opts.feed;
    if (j->named.n > 0) { /* by the room's own links */
        uint64_t seq = feed_room_last(f, j->named.rooms[0]);
        size_t n = 0;
        for (; seq != FEED_NO_SEQ && feed_at(f, seq)->id > after_id && n < READER_RING_MAX; n++) {
            minutes_add_event(&j->minutes, feed_at(f, seq));
            seq = feed_room_prev(f, seq);
        }
        j->pending = j->pending || n == READER_RING_MAX;
        return;
    }
    uint64_t end = feed_head(f);
    uint64_t seq = feed_seek(f, after_id);
    if (end - seq > READER_RING_MAX) { /* too much for one turn of the loop */
        seq = end - READER_RING_MAX;
        j->pending = true;
    }
    for (; seq < end; seq++) {
        minutes_add_event(&j->minutes, feed_at(f, seq));
    }
}

static void tail_counted(void *ctx, enum err_code code, const struct err *err,
                         const struct db_rows *rows)
{
    struct stats_job *j = ctx;
    if (code != ERR_OK) {
        reply_db_failure(j->job.api, j->job.req, err);
        return;
    }
    minutes_add_counted(&j->minutes, rows);
    if (j->tail_to == first_id_of(j->minutes.to)) { /* that was all */
        reply_stats(j);
        return;
    }
    if (!ring_has(j, j->tail_to - 1)) {
        j->pending = true;
        reply_stats(j);
        return;
    }
    /* Senders of the minute that is counted half here and half there cannot be added. */
    int64_t border = id_ts_ms(j->tail_to) / MINUTE_MS;
    bool inside = border >= j->minutes.from && border < j->minutes.to;
    struct minute *half = inside ? &j->minutes.all[border - j->minutes.from] : NULL;
    int64_t before = half != NULL ? half->v[0] : 0;
    count_ring(j, j->tail_to - 1);
    if (half != NULL && before > 0 && half->v[0] > before) {
        half->chatters_unknown = true;
    }
    reply_stats(j);
}

static void count_tail(struct stats_job *j)
{
    struct api *a = j->job.api;
    j->tail = j->mark > j->minutes.from ? j->mark : j->minutes.from;
    if (j->tail >= j->minutes.to) {
        reply_stats(j);
        return;
    }
    int64_t low = first_id_of(j->tail);
    if (ring_has(j, low - 1)) {
        count_ring(j, low - 1);
        reply_stats(j);
        return;
    }
    int64_t high = first_id_of(j->minutes.to);
    int64_t mark = api_committed(a);
    j->tail_to = mark + 1 < high ? mark + 1 : high;
    if (j->tail_to <=
        low) { /* nothing of it is in the database yet, and the ring has not all of it */
        j->pending = true;
        count_ring(j, low - 1);
        reply_stats(j);
        return;
    }
    struct db_arg args[] = {j->named.n > 0 ? DB_ARG_I64(j->named.rooms[0]) : DB_ARG_NULL,
                            DB_ARG_I64(low), DB_ARG_I64(j->tail_to)};
    job_query(&j->job, j->named.n > 0 ? SQL_COUNT_ROOM : SQL_COUNT_ALL, args, ARRAY_LEN(args),
              tail_counted);
}

static void minutes_read(void *ctx, enum err_code code, const struct err *err,
                         const struct db_rows *rows)
{
    struct stats_job *j = ctx;
    if (code != ERR_OK) {
        reply_db_failure(j->job.api, j->job.req, err);
        return;
    }
    j->mark = minutes_add_final(&j->minutes, rows);
    count_tail(j);
}

static void series_begin(struct job *job)
{
    struct stats_job *j = (struct stats_job *)job;
    int64_t now = api_now_ms(job->api) / MINUTE_MS + 1; /* end of the minute that runs */
    int64_t to = j->params.to_ms == INT64_MAX ? now : (j->params.to_ms + MINUTE_MS - 1) / MINUTE_MS;
    to = to > now ? now : to;
    bool begins = params_has(&j->params, PARAM_FROM) || params_has(&j->params, PARAM_SINCE);
    int64_t from = begins ? j->params.from_ms / MINUTE_MS : to - DEFAULT_MINUTES;
    from = from > to ? to : from < 0 ? 0 : from;
    if (!minutes_init(&j->minutes, from, to)) {
        reply_problem(job->api, job->req, PROBLEM_OVERLOADED, NULL);
        return;
    }
    bool away = !db_is_up(job->api->opts.db);
    if (away && ring_has(j, first_id_of(from) - 1)) {
        count_tail(j); /* mark is 0: all of it counts */
        return;
    }
    struct db_arg args[] = {j->named.n > 0 ? DB_ARG_I64(j->named.rooms[0]) : DB_ARG_NULL,
                            DB_ARG_I64(from), DB_ARG_I64(to)};
    job_query(job, j->named.n > 0 ? SQL_MINUTES_ROOM : SQL_MINUTES_ALL, args, ARRAY_LEN(args),
              minutes_read);
}

static struct stats_job *stats_new_job(struct api *a, struct http_req *req)
{
    struct stats_job *j = mem_new(struct stats_job);
    if (!reply_params(a, req, RANGE_PARAMS, &j->params)) {
        mem_free(j);
        return NULL;
    }
    j->named.done = series_begin;
    job_start(&j->job, a, req, stats_job_free);
    return j;
}

void handle_room_stats(void *ctx, struct http_req *req)
{
    struct stats_job *j = stats_new_job(ctx, req);
    if (j != NULL && rooms_named_path(&j->job, &j->named)) {
        rooms_named_find(&j->job, &j->named);
    }
}

void handle_stats(void *ctx, struct http_req *req)
{
    struct stats_job *j = stats_new_job(ctx, req);
    if (j == NULL) {
        return;
    }
    j->series = j->params.given != 0;
    if (j->series) {
        series_begin(&j->job);
    } else {
        reply_stats(j);
    }
}
