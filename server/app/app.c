#include "server/app/app_priv.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#ifdef DM_HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#include "server/core/assert.h"
#include "server/core/mem.h"
#include "server/spool/spool_rooms.h"

enum {
    COLLECTED_MAX = 20000, /* of max_rooms, which the fleet keeps and a reload changes */
    DB_QUEUE_MAX = 1024,
    DB_CONNECT_TIMEOUT_MS = 10000,
    DB_RESULT_BYTES = 64 << 20,
    FLUSH_POLL_MS = 5,
    THREAD_WAIT_MS = 2000,
};

void app_notify(const char *state)
{
#ifdef DM_HAVE_SYSTEMD
    (void)sd_notify(0, state);
#else
    (void)state;
#endif
}

static void on_watchdog(void *ctx)
{
    (void)ctx;
    app_notify("WATCHDOG=1");
}

static void watchdog_start(struct app *app)
{
    loop_timer_init(&app->watchdog, app->loop, on_watchdog, app);
#ifdef DM_HAVE_SYSTEMD
    uint64_t usec = 0;
    if (sd_watchdog_enabled(0, &usec) > 0) {
        int64_t ms = (int64_t)(usec / 3000);
        loop_timer_start(&app->watchdog, ms, ms);
    }
#endif
}

/* Stopping: each step starts the next from its callback. */

/* All is done but for a thread, which cannot be ended: it waits for a disk, for the device id, which the next start can ask
 * for anew, or for a database, which undoes what it has not committed. */
static void leave_thread(void *ctx)
{
    struct app *app = ctx;
    if (!app->disk_pending) { /* else these would wait for it, too */
        app_rooms_file_close(app);
        app_coverage_close(app);
    }
    private_pg_stop(app->pg);
    LOG(INFO, "app", "stopped", KV_I64("exit", app->exit_code),
        KV_CSTR("left", app->disk_pending ? "the device id may not be on the disk"
                                          : "the database has not answered"));
    _exit(app->exit_code);
}

static void on_db_closed(void *ctx)
{
    struct app *app = ctx;
    app->db = NULL;
    if (app->disk_pending || app_schema_working(app)) {
        loop_timer_init(&app->start_retry, app->loop, leave_thread, app);
        loop_timer_start(&app->start_retry, THREAD_WAIT_MS, 0);
        return;
    }
    loop_signals_free(app->signals);
    app->signals = NULL;
}

static void close_db(void *ctx)
{
    struct app *app = ctx;
    db_close(app->db, on_db_closed, app);
}

static void close_raw(void *ctx)
{
    app_raw_close(ctx, close_db);
}

static void on_coverage_finished(struct app *app)
{
    app_sessions_close(app);
    app_retention_close(app);
    app_commands_stop(app, close_raw);
}

static void on_http_closed(void *ctx)
{
    struct app *app = ctx;
    app->http = NULL;
    api_free(app->api);
    app->api = NULL;
    app_coverage_finish(app, on_coverage_finished);
}

static void on_spool_closed(void *ctx)
{
    struct app *app = ctx;
    app->spool = NULL;
    if (app->http != NULL) {
        http_close(app->http, app->config->shutdown_deadline / 4, on_http_closed, app);
    } else {
        on_http_closed(app);
    }
}

/* Events of the ring behind `committed` that are not on disk either. */
static uint64_t n_lost_by_stopping(struct app *app, int64_t committed)
{
    uint64_t n = 0;
    for (uint64_t seq = feed_seek(app->feed, committed); seq < feed_head(app->feed); seq++) {
        n += app->spool == NULL || !spool_has(app->spool, feed_at(app->feed, seq)->id);
    }
    return n;
}

static void on_writer_closed(void *ctx, int64_t committed)
{
    struct app *app = ctx;
    app->writer = NULL;
    app->last_committed = committed;
    uint64_t left = feed_head(app->feed) - feed_seek(app->feed, committed);
    uint64_t lost = n_lost_by_stopping(app, committed);
    if (left > lost) {
        LOG(WARN, "app", "events wait in the spool, the next start writes them to the database",
            KV_I64("at_least", left - lost), KV_I64("committed_id", committed));
    }
    /* What a full spool dropped was told then, and is recorded as a gap. */
    if (lost > 0 && (app->spool == NULL || spool_state(app->spool) != SPOOL_FULL)) {
        LOG(ERROR, "app", "stopped with events that are neither in the database nor in the spool",
            KV_I64("events", lost), KV_I64("committed_id", committed));
        app->exit_code = EXIT_FAILED;
    }
    if (app->spool != NULL) {
        spool_close(app->spool, on_spool_closed, app);
    } else {
        on_spool_closed(app);
    }
}

/* Everything received goes to the spool and the ring before the writer drains them. A disk that does not answer is given
 * half of the deadline; then the writer takes what is in the ring meanwhile. */
static void stop_writer(void *ctx)
{
    struct app *app = ctx;
    if (app->spool != NULL && !spool_flushed(app->spool) &&
        loop_now_ms(app->loop) < app->flush_until_ms) {
        loop_timer_start(&app->start_retry, FLUSH_POLL_MS, 0);
        return;
    }
    if (app->writer == NULL) { /* the database was never there */
        on_writer_closed(app, -1);
        return;
    }
    writer_close(app->writer, app->never_ran ? 1 : app->config->shutdown_deadline, on_writer_closed,
                 app);
    if (app->never_ran) {
        app_source_resume(app);
    }
}

static void on_collector_closed(void *ctx)
{
    struct app *app = ctx;
    app->collector = NULL;
    if (app->spool != NULL) {
        spool_rest(app->spool, true); /* writing what is left is not collecting */
    }
    app_upstream_free(app);
    guard_merge_flush(app->guards); /* no toast will come any more */
    app->flush_until_ms = loop_now_ms(app->loop) + app->config->shutdown_deadline / 2;
    loop_timer_init(&app->start_retry, app->loop, stop_writer, app);
    stop_writer(app);
}

/* Rooms that wait for upstream's answer have it now. */
static void stop_collector(void *ctx)
{
    struct app *app = ctx;
    collector_close(app->collector, on_collector_closed, app);
}

void app_stop(struct app *app, int exit_code)
{
    if (app->phase == APP_STOPPING) {
        return;
    }
    app->never_ran = app->phase == APP_STARTING;
    app->phase = APP_STOPPING;
    app->exit_code = exit_code;
    LOG(INFO, "app", "stopping", KV_I64("deadline_ms", app->config->shutdown_deadline));
    app_notify("STOPPING=1");
    loop_timer_stop(&app->watchdog);
    loop_timer_stop(&app->start_retry);
    app_pg_unwatch(app);
    app_schema_stop(app);
    app_early_unwatch(app);
    app_rooms_file_stop(app);
    app_fleet_stop(app);
    app_commands_flush(app);
    api_quiesce(app->api);
    if (app->http != NULL) {
        http_quiesce(app->http);
    }
    app_sessions_stop(app);
    app_upstream_close(app, stop_collector);
}

/* Signals */

/* Lines as one line of the log. */
static void join_lines(struct str lines, struct str by, struct buf *out)
{
    struct str line;
    while (str_split(&lines, '\n', &line)) {
        if (line.len > 0) {
            buf_put(out, out->len > 0 ? by : STR_NULL);
            buf_put(out, line);
        }
    }
}

void app_reload(struct app *app)
{
    struct buf problems;
    struct buf notes;
    struct buf told;
    buf_init(&problems, 65536);
    buf_init(&notes, 65536);
    buf_init(&told, 131072);
    if (config_reload(app->config, app->source, &problems, &notes) != ERR_OK) {
        join_lines(buf_str(&problems), STR("; "), &told);
        LOG(ERROR, "app", "configuration not reloaded, nothing changed",
            KV_STR("problems", buf_str(&told)));
    } else {
        enum log_level level = LOG_LEVEL_INFO;
        if (log_level_parse(str_of(app->config->log_level), &level) == 0) {
            log_set_level(level);
        }
        app_upstream_configure(app);
        app_fleet_configure(app);
        join_lines(buf_str(&notes), STR(", "), &told);
        LOG(INFO, "app", "configuration reloaded", KV_I64("rooms", app->config->rooms.n),
            KV_STR("need_restart", buf_str(&told)));
    }
    buf_deinit(&told);
    buf_deinit(&problems);
    buf_deinit(&notes);
}

static void dump_state(struct app *app)
{
    LOG(INFO, "app", "state", KV_I64("rooms", collector_n_rooms(app->collector)),
        KV_I64("connected", collector_n_connected(app->collector)),
        KV_I64("head_id", feed_head_id(app->feed)), KV_I64("committed_id", app_committed(app)),
        KV_I64("ring_events", feed_head(app->feed) - feed_tail(app->feed)),
        KV_I64("ring_bytes", feed_bytes(app->feed)), KV_I64("database_up", db_is_up(app->db)),
        KV_I64("connections", app->http != NULL ? http_n_connections(app->http) : 0),
        KV_I64("streams", app->http != NULL ? http_n_streams(app->http) : 0));
    app_fleet_dump(app);
}

static void on_signal(void *ctx, int signum)
{
    struct app *app = ctx;
    switch (signum) {
    case SIGHUP:
        if (app->phase == APP_RUNNING) {
            app_reload(app);
        } else if (app->phase == APP_STARTING) {
            app->reload_due = true;
            LOG0(INFO, "app", "the configuration is read again once the start is through");
        }
        return;
    case SIGUSR1:
        if (app->phase != APP_STOPPING) {
            dump_state(app);
        }
        return;
    default:
        if (app->phase == APP_STOPPING) {
            LOG0(WARN, "app", "second signal, leaving at once");
            _exit(EXIT_FAILED);
        }
        app_stop(app, EXIT_OK);
        return;
    }
}

/* Starting */

static void scrape(void *ctx, struct buf *out)
{
    struct app *app = ctx;
    if (app->phase == APP_STOPPING) {
        return;
    }
    prom_head(out, "danmakud_ring_events", "gauge", "Events in the ring.");
    prom_i64(out, "danmakud_ring_events", "",
             (int64_t)(feed_head(app->feed) - feed_tail(app->feed)));
    prom_head(out, "danmakud_ring_bytes", "gauge", "Memory of the events in the ring.");
    prom_i64(out, "danmakud_ring_bytes", "", (int64_t)feed_bytes(app->feed));
    prom_head(out, "danmakud_ring_evicted_total", "counter",
              "Events that left the ring for newer ones.");
    prom_i64(out, "danmakud_ring_evicted_total", "", (int64_t)feed_evicted(app->feed));
    prom_head(out, "danmakud_unwritten_events", "gauge",
              "Events in the ring that are not yet in the database.");
    prom_i64(out, "danmakud_unwritten_events", "",
             (int64_t)(feed_head(app->feed) - feed_seek(app->feed, app_committed(app))));
    prom_head(out, "danmakud_raw_spool_bytes", "gauge",
              "Messages kept as they came, not in the database yet: bytes on disk.");
    prom_i64(out, "danmakud_raw_spool_bytes", "", (int64_t)app_raw_bytes(app));
    prom_head(out, "danmakud_ids_borrowed_total", "counter",
              "Times more than 4096 messages came within one ms.");
    prom_i64(out, "danmakud_ids_borrowed_total", "", (int64_t)app->ids.borrowed);
    prom_head(out, "danmakud_clock_back_total", "counter",
              "Messages stamped while the clock was behind the last id.");
    prom_i64(out, "danmakud_clock_back_total", "", (int64_t)app->ids.clock_back);
}

static size_t power_of_two(int64_t at_least)
{
    size_t n = 1;
    while (n < (size_t)at_least) {
        n <<= 1;
    }
    return n;
}

static void make_collector(struct app *app)
{
    bool raw_ok = true; /* app_check_config has run */
    app->guards = app_guards_new(app);
    const struct config *c = app->config;
    struct str *hosts = mem_new_array(struct str, c->upstream_hosts.n + 1);
    for (size_t i = 0; i < c->upstream_hosts.n; i++) {
        hosts[i] = str_of(c->upstream_hosts.items[i]);
    }
    const struct endpoint_provider endpoints = endpoint_upstream_provider(app->endpoints);
    const struct collector_opts opts = {
        .hosts = hosts,
        .n_hosts = c->upstream_hosts.n,
        .endpoints = c->upstream_hosts.n == 0 ? &endpoints : NULL,
        .tls = c->upstream_hosts.n == 0,
        .ca_file = c->upstream_ca_file,
        .user_agent = app_user_agent(c),
        .connect_interval_ms = c->connect_interval,
        .heartbeat_interval_ms = c->heartbeat_interval,
        .heartbeat_timeout_ms = c->heartbeat_timeout,
        .backoff_max_ms = c->backoff_max,
        .raw = app_raw_mode(c, &raw_ok),
        .on_raw = app_on_raw,
        .max_rooms = COLLECTED_MAX,
        .on_events = app_on_events,
        .on_link = app_coverage_link,
        .on_broken = app_coverage_broken,
        .ctx = app,
    };
    app->collector = collector_new(app->loop, &opts, app->stats);
    mem_free(hosts);
}

static void make_memory(struct app *app)
{
    const struct config *c = app->config;
    app->stats = stats_new();
    app->feed = feed_new(power_of_two(c->ring_events), (size_t)c->ring_bytes);
    app->batch_rows_max = (size_t)c->batch_rows;
    app->batch = mem_new_array(struct event *, app->batch_rows_max);
    id_gen_init(&app->ids, (uint32_t)c->node);
    app_coverage_open(app);
}

static void make_parts(struct app *app)
{
    const struct config *c = app->config;
    const struct db_opts db = {
        .conninfo = app->conninfo,
        .pool = (unsigned)c->database_pool,
        .max_queue = DB_QUEUE_MAX,
        .connect_timeout_ms = DB_CONNECT_TIMEOUT_MS,
        .timeout_ms = c->query_timeout,
        .max_result_bytes = DB_RESULT_BYTES,
        .application_name = "danmakud",
        .held = true, /* until the schema is there */
    };
    app->db = db_new(app->loop, &db, app->stats);
    app_upstream_open(app);
    app_sessions_open(app);
    app_retention_open(app);
    make_collector(app);
    app_commands_open(app);
    app_raw_open(app);
    app_fleet_open(app);
    const struct api_opts api = {
        .loop = app->loop,
        .config = c,
        .db = app->db,
        .feed = app->feed,
        .stats = app->stats,
        .ops = app_api_ops(app),
        .counted_kinds = app_counted_kinds(c, NULL),
        .local_only = app->listen.loopback,
    };
    app->api = api_new(&api);
    stats_on_scrape(app->stats, scrape, app);
}

/* Parts that may refuse to start; the loop does not run yet. */
static int open_storage(struct app *app)
{
    struct buf dir;
    struct err err = {0};
    buf_init(&dir, APP_PATH_BYTES);
    int status = EXIT_OK;
    if (app_data_dir(app->config, &dir, &err) == ERR_OK) {
        status = app_spool_open(app, dir.data);
        if (app->spool != NULL) {
            app_coverage_file_open(app, dir.data);
            app_rooms_file_open(app, dir.data);
        }
    } else {
        LOG(ERROR, "app",
            "no spool: events are kept in memory only until the database has them; make data_dir "
            "usable and restart",
            KV_CSTR("error", err.msg));
    }
    buf_deinit(&dir);
    return status;
}

static void on_early_end(void *ctx)
{
    struct app *app = ctx;
    app->spool = NULL;
}

int app_run(struct config *config, const struct config_source *source)
{
    struct app *app = mem_new(struct app);
    app->config = config;
    app->source = source;
    app->last_committed = -1;
    ASSERT(app_listen_parse(config->listen, &app->listen)); /* app_check has run */
    app_step_down(config);
    app->loop = loop_new();
    make_memory(app);
    /* The spool's lock comes first: a second process must not touch the database of the one that runs. */
    int status = open_storage(app);
    if (status == EXIT_OK) {
        status = app_database_find(config, &app->pg, &app->conninfo);
        if (status != EXIT_OK && app->spool != NULL) {
            spool_close(app->spool, on_early_end, app);
            loop_run(app->loop);
        }
    }
    if (status == EXIT_OK) {
        app->signals = loop_signals_new(app->loop, on_signal, app);
        watchdog_start(app);
        make_parts(app);
        app_pg_watch(app);
        app_schema_start(app);
        app_early_watch(app);
        loop_run(app->loop);
        status = app->exit_code;
        app_schema_free(app);
    }
    app_rooms_file_close(app);
    app_coverage_close(app);
    app_sessions_free(app);
    app_commands_close(app);
    app_fleet_free(app);
    guard_merge_free(app->guards);
    if (app->passed_over != NULL) {
        spool_rooms_deinit(app->passed_over);
        mem_free(app->passed_over);
    }
    feed_free(app->feed);
    stats_free(app->stats);
    loop_free(app->loop);
    mem_free(app->batch);
    private_pg_stop(app->pg);
    LOG(INFO, "app", "stopped", KV_I64("exit", status));
    mem_free(app->conninfo);
    mem_free(app);
    return status;
}
