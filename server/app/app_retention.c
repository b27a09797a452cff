/* What is dropped because it is old: the settings go to collector/retention.h, and what has gone to the api. */
#include "server/app/app_priv.h"

#include "collector/retention.h"
#include "server/core/assert.h"

static int64_t keep_ms(void *ctx, enum retention_what what)
{
    const struct app *app = ctx;
    switch (what) {
    case RETENTION_events:
        return app->config->event_retention;
    case RETENTION_minutes:
        return app->config->minute_retention;
    case RETENTION_audience:
        return app->config->audience_retention;
    case RETENTION_coverage:
        return app->config->coverage_retention;
    case RETENTION_N:
        break;
    }
    UNREACHABLE();
}

static int64_t ops_kept_from(void *ctx, enum api_kept what)
{
    static const enum retention_what of[API_KEPT_N] = {
        [API_KEPT_EVENTS] = RETENTION_events,
        [API_KEPT_MINUTES] = RETENTION_minutes,
        [API_KEPT_AUDIENCE] = RETENTION_audience,
        [API_KEPT_COVERAGE] = RETENTION_coverage,
    };
    const struct app *app = ctx;
    return app->retention != NULL ? retention_from(app->retention, of[what]) : 0;
}

void app_retention_ops(struct api_ops *ops)
{
    ops->kept_from = ops_kept_from;
}

void app_retention_open(struct app *app)
{
    const struct retention_opts opts = {.db = app->db, .keep_ms = keep_ms, .ctx = app};
    app->retention = retention_new(app->loop, &opts, app->stats);
}

void app_retention_start(struct app *app)
{
    retention_start(app->retention);
}

void app_retention_close(struct app *app)
{
    retention_free(TAKE_PTR(app->retention));
}
