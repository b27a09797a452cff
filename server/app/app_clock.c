/* This machine's clock: ids are times.
 *
 * A start waits while it is far off upstream's (app_start.c compares it with the database's). While running a jump is counted
 * and logged; ids go on behind the newest whatever the clock does. */
#include "server/app/app_priv.h"

#include "server/core/mem.h"

enum {
    WAIT_MS = 10000, /* for upstream; then nobody knows better */
    WATCH_MS = 5000,
    JUMP_MS = 2000,
};

struct app_clock {
    struct app *app; /* borrowed */
    struct loop_timer wait;
    struct loop_timer watch;
    int64_t offset_ms; /* of wall to mono, at the last look */
    bool asking;       /* upstream's answer is waited for */
    bool asked;        /* and has come, or will not */
    bool settled;
    void (*again)(struct app *app);
};

static void look(void *ctx)
{
    struct app_clock *c = ctx;
    const int64_t offset_ms = loop_wall_ms(c->app->loop) - loop_now_ms(c->app->loop);
    const int64_t by_ms = offset_ms - c->offset_ms;
    c->offset_ms = offset_ms;
    if (by_ms > JUMP_MS || by_ms < -JUMP_MS) {
        stats_inc(c->app->stats, STAT_CLOCK_JUMPS);
        LOG(WARN, "app",
            "this machine's clock has jumped (it was set, or the machine slept); ids go on behind "
            "the newest",
            KV_I64("ahead_ms", by_ms));
    }
}

void app_clock_close(struct app *app)
{
    struct app_clock *c = TAKE_PTR(app->clock);
    if (c != NULL) {
        loop_timer_stop(&c->wait);
        loop_timer_stop(&c->watch);
        mem_free(c);
    }
}

static void go_on(void *ctx)
{
    struct app_clock *c = ctx;
    if (c->asking) {
        c->asking = false;
        c->asked = true;
        loop_timer_stop(&c->wait);
        void (*const again)(struct app * app) = c->again;
        c->again = NULL;
        if (again != NULL) {
            again(c->app);
        }
    }
}

void app_clock_open(struct app *app)
{
    struct app_clock *c = mem_new(struct app_clock);
    app->clock = c;
    c->app = app;
    c->offset_ms = loop_wall_ms(app->loop) - loop_now_ms(app->loop);
    loop_timer_init(&c->wait, app->loop, go_on, c);
    loop_timer_init(&c->watch, app->loop, look, c);
    loop_timer_start(&c->watch, WATCH_MS, WATCH_MS);
}

static void on_told(void *ctx)
{
    struct app *app = ctx;
    if (app->clock != NULL && app->phase == APP_STARTING) {
        go_on(app->clock);
    }
}

static void ask(struct app_clock *c, void (*again)(struct app *app))
{
    c->asking = true;
    c->again = again;
    loop_timer_start(&c->wait, WAIT_MS, 0);
    upstream_ask_clock(c->app->upstream, on_told, c->app);
}

bool app_clock_agrees(struct app *app, bool wanted, void (*again)(struct app *app))
{
    struct app_clock *c = app->clock;
    struct upstream_info info;
    if (c->settled || !app_asks_upstream(app->config) || (!wanted && !app_fleet_wants(app))) {
        return true;
    }
    if (c->asking) {
        c->again = again != NULL ? again : c->again;
        return false;
    }
    if (!c->asked) {
        ask(c, again);
        return false;
    }
    upstream_info(app->upstream, &info);
    if (info.skew_ms == INT64_MIN) {
        LOG0(WARN, "app",
             "upstream does not answer, so this machine's clock is not compared with its: starting "
             "all the same; its first answer decides before a room connects");
    } else if (info.skew_ms > APP_CLOCK_OFF_MAX_MS || info.skew_ms < -APP_CLOCK_OFF_MAX_MS) {
        c->asked = false; /* asked again then */
        app_start_retry(app, "this machine's clock differs from upstream's");
        return false;
    }
    c->settled = true;
    return true;
}
