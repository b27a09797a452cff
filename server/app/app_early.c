/* A start while the database is away: the process collects with what its data directory knows, instead of waiting.
 *
 *      away for EARLY_MS --> rooms as they were, and as configured --> repeats of the last minutes, from the spool --> begins
 *
 * A clock that is far off upstream's waits, as ever. Ids go on behind the newest that the spools and the last sign of life know; events go to spool and ring. Nothing is written,
 * no token is known and so nobody may read, no session begins, nothing is discovered. When the database answers, the
 * start goes its way (app_start.c) past what is there already. In a data directory that this node has not used, or without
 * a spool, the process waits: nobody could say which ids were given.
 *
 * The ring begins with the first event of this process: what the spool has from before may be stored or not, and may have
 * holes that only the database could fill. */
#include "server/app/app_priv.h"

#include "collector/fleet.h"
#include "server/core/mem.h"
#include "server/spool/spool_rooms.h"

enum {
    EARLY_MS = 5000, /* LIMIT: so long the database may take to answer */
    LOOK_MS = 250,
    EXTEND_MS = 20000,           /* the service manager is told so often that we wait ... */
    REPEATS_MS = 10 * 60 * 1000, /* how far back repeats are known */
    PAGE = 5000,
    PAGE_BYTES = 8 << 20,
};
#define EXTEND                                                                                     \
    "EXTEND_TIMEOUT_USEC=60000000\nSTATUS=Waiting for the database" /* ... one minute more */

/* ---- beginning ---- */

static void begin(struct app *app)
{
    char url[URL_BYTES];
    app->reading = false;
    app_begin(app);
    if (app->phase != APP_STARTING) {
        return;
    }
    app_url(app, url, sizeof(url));
    LOG(WARN, "app",
        "collecting although the database has not answered: events wait in the spool, and nobody "
        "may "
        "read until the tokens are known",
        KV_I64("rooms", collector_n_rooms(app->collector)), KV_CSTR("url", url));
    app_notify("READY=1\nSTATUS=Collecting; the database has not answered yet");
    if (app->check_due) {
        app->check_due = false;
        app_start_check(app);
    }
}

static void read_repeats(struct app *app);

static void on_page(void *ctx, struct event **events, size_t n)
{
    struct app *app = ctx;
    for (size_t i = 0; i < n; i++) {
        if (app->phase == APP_STARTING) {
            app->repeats_after = events[i]->id;
            collector_seen(app->collector, events[i]->room_id, events[i]->nkey);
            guard_merge_seen(app->guards, events[i]);
        }
        event_unref(&events[i]);
    }
    if (app->phase != APP_STARTING) {
        return;
    }
    if (n > 0) {
        read_repeats(app);
    } else {
        begin(app);
    }
}

static void read_repeats(struct app *app)
{
    spool_read(app->spool, app->repeats_after, PAGE, PAGE_BYTES, on_page, app);
}

static void seed(struct app *app)
{
    id_gen_seed(&app->ids, app->spool_last_id);
    id_gen_seed(&app->ids, app->raw_last_id);
    if (app->alive_ms > 0) {
        id_gen_seed(&app->ids, id_first_of_ms(app->alive_ms + 1) - 1);
    }
}

static void know_rooms(struct app *app)
{
    const struct fleet_kept *rooms;
    size_t n;
    (void)app_rooms_file_found(app, &rooms, &n);
    app_coverage_restore(app);
    for (size_t i = 0; i < n && !app_rooms_file_stopped(app); i++) {
        if (rooms[i].collected) {
            app_coverage_was_collected(app, rooms[i].room_id);
        }
    }
    if (!app->rooms_there) {
        fleet_begin(app->fleet, rooms, n);
    }
    app_rooms_file_start(app);
}

/* NULL: it can begin. */
static const char *why_not(const struct app *app)
{
    const struct fleet_kept *rooms;
    size_t n;
    if (app->spool == NULL || app->rooms_file == NULL) {
        return "there is no data directory to keep events in";
    }
    const char *unusable = app_rooms_file_found(app, &rooms, &n);
    if (unusable != NULL) {
        return unusable;
    }
    if (app->spool_last_id == 0 && app->alive_ms == 0) {
        return "the spool is new, so that it is not known which ids were given";
    }
    if (app_id_is_of_the_future(app, app->spool_last_id) ||
        app_id_is_of_the_future(app, app->raw_last_id) ||
        app_id_is_of_the_future(app, id_first_of_ms(app->alive_ms))) {
        return "the spool is of the future: the clock is wrong, or was";
    }
    return NULL;
}

static bool knows_rooms(const struct app *app)
{
    const struct fleet_kept *rooms;
    size_t n;
    return app_rooms_file_found(app, &rooms, &n) == NULL && n > 0;
}

static void on_away(struct app *app)
{
    const char *why = why_not(app);
    if (why != NULL) {
        if (!app->no_early) {
            LOG(WARN, "app", "nothing is collected until the database answers",
                KV_CSTR("reason", why));
        }
        app->no_early = true;
        return;
    }
    if (!app_clock_agrees(app, app->config->rooms.n > 0 || knows_rooms(app), NULL)) {
        if (loop_timer_armed(&app->start_retry)) {
            app->answered_ms = loop_now_ms(app->loop); /* it differs: not so soon again */
        }
        return;
    }
    app->early = app->reading = true;
    feed_reset(app->feed);
    seed(app);
    know_rooms(app);
    app->repeats_after = id_first_of_ms(loop_wall_ms(app->loop) - REPEATS_MS) - 1;
    read_repeats(app);
}

/* ---- watching ---- */

static void on_look(void *ctx)
{
    struct app *app = ctx;
    const int64_t now = loop_now_ms(app->loop);
    if (app->schema_there && db_is_up(app->db)) {
        app->answered_ms = now;
    } else if (!app->early && !app->replaying && now - app->answered_ms >= EARLY_MS) {
        on_away(app);
    }
    if (!app->collecting && now - app->extended_ms >= EXTEND_MS) {
        app->extended_ms = now;
        app_notify(EXTEND);
    }
}

void app_early_watch(struct app *app)
{
    app->answered_ms = loop_now_ms(app->loop);
    loop_timer_init(&app->away, app->loop, on_look, app);
    loop_timer_start(&app->away, LOOK_MS, LOOK_MS);
}

void app_early_unwatch(struct app *app)
{
    loop_timer_stop(&app->away);
}

/* ---- ids that were given already ---- */

void app_early_pass_over(struct app *app, const struct event *e)
{
    const struct spool_dropped one = {
        .room_id = e->room_id, .first_id = e->id, .last_id = e->id, .n = 1};
    if (app->passed_over == NULL) {
        app->passed_over = mem_new(struct spool_rooms);
    }
    spool_rooms_add(app->passed_over, &one);
}

void app_early_passed_over(struct app *app)
{
    struct spool_reports reports = {0};
    uint64_t n = 0;
    if (app->passed_over == NULL) {
        return;
    }
    spool_reports_add_rooms(&reports, app->passed_over);
    for (size_t i = 0; i < reports.n; i++) {
        app_coverage_gap(app, &reports.items[i], "ids_taken");
        n += reports.items[i].n;
    }
    stats_add(app->stats, STAT_EVENTS_LOST, (int64_t)n);
    LOG(ERROR, "app", "events that the database's ids had passed already are lost",
        KV_I64("events", n), KV_I64("rooms", reports.n));
    spool_reports_deinit(&reports);
    spool_rooms_deinit(app->passed_over);
    mem_free(TAKE_PTR(app->passed_over));
}
