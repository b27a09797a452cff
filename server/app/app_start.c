/* What a start asks the database, in order:
 *
 *      schema -> writer's mark -> clock, tokens, ids -> coverage -> rooms -> sessions -> events of the last minutes, spool -> ready
 *
 * Each step begins from the callback of the one before; one that fails begins anew with the check of the clock, later. HTTP and
 * rooms begin behind the last step, or before the first if the database does not answer (app_early.c); then the last one
 * only tells the sessions what has come meanwhile. */
#include "server/app/app_priv.h"

#include <stdio.h>

#include "api/query/event_row.h"
#include "api/query/window.h"
#include "collector/fleet.h"

enum {
    WARM_MS = 10 * 60 * 1000, /* how far back the ring and the windows of repeats are refilled */
    WARM_PAGE = 5000,
    WARM_FIRST_MS = 10 * 1000, /* of ids; then as wide as the rows before suggest */
    WARM_LEARN_ROWS = 16,
    WARM_PAGE_BYTES = 8 << 20,
    PROGRESS_EVENTS = 500000,
    CLOCK_OFF_MAX_MS = APP_CLOCK_OFF_MAX_MS,
    RETRY_MS = 5000,
    MS_PER_MINUTE = 60000,
};

static void check_again(void *ctx)
{
    app_start_check(ctx);
}

void app_start_retry(struct app *app, const char *why)
{
    LOG(WARN, "app", "not starting yet, trying again in 5 s", KV_CSTR("reason", why));
    loop_timer_stop(&app->start_retry); /* a start without the database may have armed it */
    loop_timer_init(&app->start_retry, app->loop, check_again, app);
    loop_timer_start(&app->start_retry, RETRY_MS, 0);
}

bool app_id_is_of_the_future(const struct app *app, int64_t id)
{
    return id_ts_ms(id) - loop_wall_ms(app->loop) > CLOCK_OFF_MAX_MS;
}

/* Ids are times: one of the future, seeded, would date every event into it, and near the end of the range none is left. */
bool app_seed_ids(struct app *app, int64_t id, const char *source)
{
    const int64_t ahead_ms = id_ts_ms(id) - loop_wall_ms(app->loop);
    if (app_id_is_of_the_future(app, id)) {
        LOG(ERROR, "app",
            "an id that is stored is of the future: correct or remove it if it is wrong, set this "
            "machine's clock if that is, or wait until then (ids are times)",
            KV_CSTR("source", source), KV_I64("id", id), KV_I64("ahead_ms", ahead_ms));
        app_start_retry(app, "an id of the future");
        return false;
    }
    id_gen_seed(&app->ids, id);
    return true;
}

static bool listen_now(struct app *app)
{
    struct err err = {0};
    enum err_code code =
        api_listen(app->api, app->listen.address, app->listen.port, &app->http, &err);
    if (code != ERR_OK) {
        LOG(ERROR, "app", "cannot serve", KV_CSTR("error", err.msg));
        app_stop(app, EXIT_FAILED);
    }
    return code == ERR_OK;
}

void app_url(const struct app *app, char *out, size_t size)
{
    bool v6 = strchr(app->listen.address, ':') != NULL;
    (void)snprintf(out, size, "http://%s%s%s:%u", v6 ? "[" : "", app->listen.address, v6 ? "]" : "",
                   http_port(app->http));
}

void app_begin(struct app *app)
{
    if (!listen_now(app)) {
        return;
    }
    app->collecting = true;
    id_gen_begin(&app->ids, loop_wall_ms(app->loop));
    app->begun_id = app->early ? app_new_id(app) : 0;
    if (app->spool != NULL) {
        spool_rest(app->spool, false);
    }
    app_guards_restore(app);
    collector_start(app->collector);
    app_sessions_start(app);
}

static void start_running(struct app *app)
{
    char url[URL_BYTES];
    if (!app->collecting) {
        app_begin(app);
    }
    if (app->phase != APP_STARTING) {
        return;
    }
    app->phase = APP_RUNNING;
    app_early_unwatch(app);
    app_source_resume(app);
    app_fleet_start(app);
    app_sessions_run(app);
    app_retention_start(app);
    app_url(app, url, sizeof(url));
    printf("danmakud ready: %s\n", url);
    (void)fflush(stdout);
    app_notify("READY=1\nSTATUS=Collecting");
    if (app->reload_due) {
        app->reload_due = false;
        app_reload(app);
    }
}

/* Warming: what the database has up to the mark, then what the spool has behind it; oldest first. */

static void warm_one(struct app *app, struct event *take)
{
    app->warm_after = take->id;
    id_gen_seed(&app->ids, take->id);
    collector_seen(app->collector, take->room_id, take->nkey);
    guard_merge_seen(app->guards, take);
    app_sessions_replay(app, take);
    feed_warm(app->feed, take);
}

/* It was published before the sessions were known, by this process or, into the spool, by the one before. */
static void replay_one(struct app *app, const struct event *e)
{
    app->warm_after = e->id;
    if (e->id <= app->mark) {
        app_early_pass_over(app, e);
    } else {
        app_sessions_replay(app, e);
    }
}

/* True: the ring has the rest. From here on events find the sessions as they are published. */
static bool replay_ring(struct app *app, bool spool_ended)
{
    if (!spool_ended && !feed_covers(app->feed, app->warm_after)) {
        return false;
    }
    for (uint64_t seq = feed_seek(app->feed, app->warm_after); seq < feed_head(app->feed); seq++) {
        replay_one(app, feed_at(app->feed, seq));
    }
    app_early_passed_over(app);
    return true;
}

static void warm_from_spool(struct app *app);

static void on_spool_page(void *ctx, struct event **events, size_t n)
{
    struct app *app = ctx;
    for (size_t i = 0; i < n; i++) {
        if (app->phase == APP_STARTING && !app->early) {
            warm_one(app, events[i]);
            continue;
        }
        if (app->phase == APP_STARTING) {
            replay_one(app, events[i]);
        }
        event_unref(&events[i]);
    }
    if (app->phase != APP_STARTING) {
        return;
    }
    app->n_warmed += n;
    if (app->early ? replay_ring(app, n == 0) : n == 0) {
        start_running(app);
        return;
    }
    if (app->n_warmed / PROGRESS_EVENTS != (app->n_warmed - n) / PROGRESS_EVENTS) {
        LOG(INFO, "app", "reading what the spool holds", KV_I64("events", app->n_warmed));
    }
    warm_from_spool(app);
}

static void warm_from_spool(struct app *app)
{
    if (app->spool == NULL || (app->early && replay_ring(app, false))) {
        start_running(app);
        return;
    }
    spool_read(app->spool, app->warm_after, WARM_PAGE, WARM_PAGE_BYTES, on_spool_page, app);
}

static void on_warm_page(void *ctx, enum err_code code, const struct err *err,
                         const struct db_rows *rows)
{
    struct app *app = ctx;
    if (app->phase != APP_STARTING) {
        return;
    }
    if (code != ERR_OK) {
        app_start_retry(app, err->msg);
        return;
    }
    if (app->early) { /* since this was asked: the ring is in use */
        app_warm_next(app);
        return;
    }
    size_t n = db_rows_n(rows);
    int64_t low = app->warm_after;
    for (size_t i = 0; i < n; i++) {
        struct event *e = event_from_row(rows, i);
        if (e == NULL) {
            stats_inc(app->stats, STAT_EVENTS_NOMEM);
            continue;
        }
        warm_one(app, e);
    }
    if (n < WARM_PAGE) {
        app->warm_after = app->warm_to - 1;
    }
    if (n >= WARM_LEARN_ROWS) {
        app->warm_ms = window_width_for(low, app->warm_after, n, WARM_PAGE);
    } else {
        app->warm_ms *= 4;
    }
    app_warm_next(app);
}

/* A window of ids at a time: the server sorts what is in one. */
void app_warm_next(struct app *app)
{
#define X(column) #column ", "
    static const struct db_stmt page = {
        .name = "app_warm",
        .sql = "SELECT " EVENT_ROW_COLUMNS(
            X) "1 FROM event WHERE id > $1 AND id < $2 AND flags & 32 = 0 ORDER BY id LIMIT $3",
    };
#undef X
    if (app->reading) {
        app->check_due = true;
        return;
    }
    if (app->early || app->warm_after >= app->mark) {
        app->replaying = true;
        app->warm_after = app->mark; /* what is behind it is in the spool, however old */
        if (app->early && app->begun_id < app->mark) {
            app->warm_after = app->begun_id;
        }
        warm_from_spool(app);
        return;
    }
    if (app->warm_ms > WARM_MS) {
        app->warm_ms = WARM_MS;
    }
    app->warm_to = id_first_of_ms(id_ts_ms(app->warm_after) + app->warm_ms + 1);
    if (app->warm_to > app->mark) {
        app->warm_to = app->mark + 1;
    }
    const struct db_arg args[] = {DB_ARG_I64(app->warm_after), DB_ARG_I64(app->warm_to),
                                  DB_ARG_I64(WARM_PAGE)};
    struct err err = {0};
    if (db_query(app->db, &page, args, ARRAY_LEN(args), on_warm_page, app, &err) != ERR_OK) {
        app_start_retry(app, err.msg);
    }
}

/* Rooms come before warming, which refills their windows of repeats. */
static void on_rooms(void *ctx, enum err_code code, const struct err *err)
{
    struct app *app = ctx;
    if (app->phase != APP_STARTING) {
        return;
    }
    if (code != ERR_OK) {
        app_start_retry(app, err->msg);
        return;
    }
    app->rooms_there = true;
    app_rooms_file_start(app);
    app_sessions_load(app);
}

static void on_recovered(struct app *app, enum err_code code, const struct err *err)
{
    if (app->phase != APP_STARTING) {
        return;
    }
    if (code != ERR_OK) {
        app_start_retry(app, err->msg);
        return;
    }
    fleet_load(app->fleet, on_rooms, app);
}

/* The clock, and whether a public address is covered by a token. */

static void on_check(void *ctx, enum err_code code, const struct err *err,
                     const struct db_rows *rows)
{
    struct app *app = ctx;
    if (app->phase != APP_STARTING) {
        return;
    }
    if (code != ERR_OK) {
        app_start_retry(app, err->msg);
        return;
    }
    int64_t off = loop_wall_ms(app->loop) - db_i64(rows, 0, 0);
    if (off > CLOCK_OFF_MAX_MS || off < -CLOCK_OFF_MAX_MS) {
        LOG(ERROR, "app",
            "this machine's clock and the database's differ too much: set the clock (ids are "
            "times)",
            KV_I64("off_ms", off));
        app_start_retry(app, "clock");
        return;
    }
    if (!app_clock_agrees(app, db_i64(rows, 0, 4) != 0, app_start_check)) {
        return;
    }
    if (!app->listen.loopback && !app->config->allow_public && db_i64(rows, 0, 1) == 0) {
        LOG(ERROR, "app",
            "refusing to serve a public address without any token: run `danmakud token add NAME`, "
            "or set "
            "allow_public, or listen on 127.0.0.1",
            KV_CSTR("listen", app->config->listen));
        app_stop(app, EXIT_USAGE);
        return;
    }
    if (!app_seed_ids(app, app->mark, "table writer_mark, last_id of this node") ||
        !app_seed_ids(app, app->spool_last_id, "the spool: data_dir/spool") ||
        !app_seed_ids(app, app->raw_last_id, "the spool of kept messages: data_dir/raw") ||
        /* Minutes that are rolled up get no more events, even if the clock went back while we were away. */
        !app_seed_ids(app, id_first_of_ms(db_i64(rows, 0, 2) * MS_PER_MINUTE) - 1,
                      "table rollup_mark, minute")) {
        return;
    }
    if (app->early && app->mark > app->begun_id) {
        LOG(ERROR, "app",
            "the database knows newer ids of this node than this data directory did: what was "
            "received "
            "since the start is lost up to there and recorded as a gap; is it the right data_dir, "
            "and "
            "does no other process use this node number?",
            KV_I64("mark", app->mark), KV_I64("begun_id", app->begun_id));
    }
    feed_set_backfilled(app->feed, db_i64(rows, 0, 3));
    app_coverage_recover(app, on_recovered);
}

void app_start_check(struct app *app)
{
    static const struct db_stmt check = {
        .name = "app_check",
        .sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::int8, "
               "(SELECT count(*) FROM api_token WHERE expires_ms IS NULL OR expires_ms > $1), "
               "(SELECT coalesce(max(minute), 0)::int8 FROM rollup_mark), "
               "(SELECT coalesce(max(last_id), 0) FROM backfill_mark), "
               "(SELECT count(*) FROM room WHERE by_api AND state <> 'left')",
    };
    const struct db_arg args[] = {DB_ARG_I64(loop_wall_ms(app->loop))};
    struct err err = {0};
    loop_timer_stop(&app->start_retry); /* one chain of questions at a time */
    if (!app->mark_known) { /* a clock that was waited for without the database: the mark begins it */
        return;
    }
    if (app->reading) {
        app->check_due = true;
        return;
    }
    if (db_query(app->db, &check, args, ARRAY_LEN(args), on_check, app, &err) != ERR_OK) {
        app_start_retry(app, err.msg);
    }
}

void app_on_mark(void *ctx, int64_t last_id)
{
    struct app *app = ctx;
    if (app->mark_known || app->phase != APP_STARTING) {
        return;
    }
    app->mark_known = true;
    app->mark = last_id;
    app->warm_after = id_first_of_ms(loop_wall_ms(app->loop) - WARM_MS) - 1;
    app->warm_ms = WARM_FIRST_MS;
    app_start_check(app);
}

void app_on_schema(struct app *app)
{
    const struct config *c = app->config;
    const struct writer_opts writer = {
        .conninfo = app->conninfo,
        .node = (unsigned)c->node,
        .counted_kinds = app_counted_kinds(c, NULL),
        .batch_rows = app->batch_rows_max,
        .batch_bytes = (size_t)c->batch_bytes,
        .batch_age_ms = c->batch_age,
        .timeout_ms = c->writer_timeout,
        .source = app_writer_source(app),
        .on_mark = app_on_mark,
        .ctx = app,
    };
    app->schema_there = true;
    app->answered_ms = loop_now_ms(app->loop);
    db_release(app->db);
    api_database_there(app->api);
    app->writer = writer_new(app->loop, &writer, app->stats);
}
