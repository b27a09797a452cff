/* The set of rooms: made from the configuration, read from the database at start, told to the collector. */
#include "server/app/app_priv.h"

#include "collector/fleet.h"
#include "server/core/mem.h"

static enum err_code sink_add(void *ctx, int64_t room_id, struct err *err)
{
    struct app *app = ctx;
    return collector_add(app->collector, room_id, err);
}

static enum err_code sink_remove(void *ctx, int64_t room_id, struct err *err)
{
    struct app *app = ctx;
    return collector_remove(app->collector, room_id, err);
}

void app_fleet_open(struct app *app)
{
    const struct fleet_opts opts = {
        .loop = app->loop,
        .db = app->db,
        .stats = app->stats,
        .sink = {.add = sink_add, .remove = sink_remove, .ctx = app},
    };
    list_init(&app->rooms_calls);
    app->fleet = fleet_new(&opts);
    app_fleet_configure(app);
}

void app_fleet_configure(struct app *app)
{
    const struct config *c = app->config;
    int64_t *numbers = mem_new_array(int64_t, c->rooms.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < c->rooms.n; i++) {
        n += app_room_parse(c->rooms.items[i], &numbers[n]);
    }
    fleet_configure(app->fleet, numbers, n, (size_t)c->max_rooms);
    mem_free(numbers);
}

static bool count_origin(void *ctx, const struct fleet_info *info)
{
    size_t *n = ctx;
    n[info->origin] += info->collected;
    return true;
}

void app_fleet_dump(struct app *app)
{
    size_t n[FLEET_ORIGINS] = {0};
    fleet_each(app->fleet, count_origin, n);
    LOG(INFO, "app", "collected rooms by origin", KV_I64("config", n[FLEET_CONFIG]),
        KV_I64("api", n[FLEET_API]), KV_I64("discovery", n[FLEET_DISCOVERY]));
}
