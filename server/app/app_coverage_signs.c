/* Signs that less comes than there is, looked for in what is published; and the ledger's metrics. */
#include "server/app/app_coverage_priv.h"

#include "collector/coverage_signs.h"
#include "server/core/mem.h"

enum { TICK_MAX_MS = 5000, TICK_MIN_MS = 100, LABEL_BYTES = 256, STATES_MAX = 64 };

/* ---- signs ---- */

static bool is_live(void *ctx, int64_t room_id)
{
    return app_sessions_is_live(ctx, room_id);
}

static void set_options(struct app *app)
{
    const struct config *c = app->config;
    const struct signs_opts opts = {.masked_percent = c->coverage_masked_percent,
                                    .silence_ms = c->coverage_silence,
                                    .silence_times = c->coverage_silence_times};
    signs_set(app->coverage->signs, &opts);
}

static void on_tick(void *ctx)
{
    struct app *app = ctx;
    int64_t every = app->config->coverage_silence / 4;
    if (app->phase == APP_STOPPING) {
        return;
    }
    set_options(app);
    signs_tick(app->coverage->signs, app_coverage_ms(app, loop_wall_ms(app->loop)), is_live, app);
    every = every < TICK_MIN_MS ? TICK_MIN_MS : every > TICK_MAX_MS ? TICK_MAX_MS : every;
    loop_timer_start(&app->coverage->tick, every, 0);
}

void app_coverage_event(struct app *app, const struct event *e)
{
    signs_event(app->coverage->signs, e, id_ts_ms(e->id));
}

void app_coverage_broken(void *ctx, int64_t room_id, uint64_t n)
{
    struct app *app = ctx;
    signs_broken(app->coverage->signs, room_id, n, app_coverage_ms(app, loop_wall_ms(app->loop)));
}

/* ---- metrics ---- */

struct state_count {
    enum coverage_state state;
    const char *cause;
    int64_t n;
};

struct counting {
    const struct coverage *ledger;
    struct state_count
        all[STATES_MAX]; /* states and causes are few; what finds no place is left out */
    size_t n;
};

static bool count_room(void *ctx, const struct collector_room_info *info)
{
    struct counting *c = ctx;
    bool here;
    const struct coverage_span *s = coverage_now(c->ledger, info->room_id, &here);
    enum coverage_state state = s != NULL ? coverage_state_of(s->source) : COVERAGE_OK;
    const char *cause = s != NULL ? s->cause : "";
    size_t i = 0;
    while (i < c->n && (c->all[i].state != state || strcmp(c->all[i].cause, cause) != 0)) {
        i++;
    }
    if (i == c->n && c->n < STATES_MAX) {
        c->all[c->n++] = (struct state_count){.state = state, .cause = cause};
    }
    if (i < c->n) {
        c->all[i].n++;
    }
    return true;
}

static void scrape(void *ctx, struct buf *out)
{
    struct app *app = ((struct app_coverage *)ctx)->app;
    struct counting c = {.ledger = app->coverage->ledger};
    struct buf labels;
    if (app->collector == NULL) {
        return;
    }
    collector_each(app->collector, count_room, &c);
    buf_init(&labels, LABEL_BYTES);
    prom_head(out, "danmakud_coverage_rooms", "gauge",
              "Rooms that are collected, by state of coverage and its cause.");
    for (size_t i = 0; i < c.n; i++) {
        buf_clear(&labels);
        buf_printf(&labels, "state=\"%s\",cause=\"%s\"%c", coverage_state_name(c.all[i].state),
                   c.all[i].cause, 0);
        prom_i64(out, "danmakud_coverage_rooms", labels.data, c.all[i].n);
    }
    prom_head(out, "danmakud_coverage_gap_seconds_total", "counter",
              "Time without an authenticated connection over all rooms, by cause; told when a gap "
              "is over.");
    for (size_t i = 0; i < app->coverage->n_gap_causes; i++) {
        buf_clear(&labels);
        buf_printf(&labels, "cause=\"%s\"%c", app->coverage->gap_causes[i].cause, 0);
        prom_i64(out, "danmakud_coverage_gap_seconds_total", labels.data,
                 app->coverage->gap_causes[i].ms / 1000);
    }
    prom_head(out, "danmakud_coverage_waiting", "gauge",
              "Spans of coverage that are not in the database yet.");
    prom_i64(out, "danmakud_coverage_waiting", "",
             (int64_t)coverage_n_dirty(app->coverage->ledger));
    buf_deinit(&labels);
}

void app_coverage_count(struct app *app, const struct coverage_span *span)
{
    struct app_coverage *c = app->coverage;
    size_t i = 0;
    if (span->source != COVERAGE_LINK || span->to_ms == COVERAGE_OPEN) {
        return;
    }
    while (i < c->n_gap_causes && strcmp(c->gap_causes[i].cause, span->cause) != 0) {
        i++;
    }
    if (i == c->n_gap_causes && i < ARRAY_LEN(c->gap_causes)) {
        c->gap_causes[c->n_gap_causes++].cause = span->cause;
    }
    if (i < c->n_gap_causes) {
        c->gap_causes[i].ms += span->to_ms - span->from_ms;
    }
}

void app_coverage_signs_open(struct app *app)
{
    app->coverage->signs = signs_new(app->coverage->ledger);
    loop_timer_init(&app->coverage->tick, app->loop, on_tick, app);
    set_options(app);
    stats_on_scrape(app->stats, scrape, app->coverage);
}

void app_coverage_signs_start(struct app *app)
{
    loop_timer_start(&app->coverage->tick, TICK_MIN_MS, 0);
}

void app_coverage_signs_stop(struct app *app)
{
    loop_timer_stop(&app->coverage->tick);
}

void app_coverage_signs_close(struct app *app)
{
    app_coverage_signs_stop(app);
    stats_off_scrape(app->stats, app->coverage);
    signs_free(app->coverage->signs);
}
