/* Rooms of the configuration, and what the api may know of the collector. */
#include "server/app/app_priv.h"

#include "server/core/mem.h"

enum { ROOMS_RETRY_MS = 2000 };

/* Makes the collector's rooms those of the configuration. */
struct stale_rooms {
    const struct config *config;
    int64_t ids[256]; /* removed in rounds, so the bound is no limit */
    size_t n;
};

static bool room_is_configured(const struct config *config, int64_t id)
{
    for (size_t i = 0; i < config->rooms.n; i++) {
        int64_t room = 0;
        if (app_room_parse(config->rooms.items[i], &room) && room == id) {
            return true;
        }
    }
    return false;
}

static bool note_stale(void *ctx, const struct collector_room_info *info)
{
    struct stale_rooms *stale = ctx;
    if (!room_is_configured(stale->config, info->room_id)) {
        stale->ids[stale->n++] = info->room_id;
    }
    return stale->n < ARRAY_LEN(stale->ids);
}

static void rooms_stored(void *ctx, enum err_code code, const struct err *err,
                         const struct db_rows *rows)
{
    struct app *app = ctx;
    (void)rows;
    if (code == ERR_OK || app->phase == APP_STOPPING) {
        app->rooms_unnoted = false;
        return;
    }
    if (!app->rooms_unnoted) {
        app->rooms_unnoted = true;
        LOG(WARN, "app",
            "the rooms of the configuration are not noted in the database yet, trying again",
            KV_CSTR("error", err->msg));
    }
    loop_timer_start(&app->rooms_retry, ROOMS_RETRY_MS, 0);
}

/* Rooms need their row: gaps refer to it, and it is what remains of a room that is no longer collected. */
void app_rooms_note(void *ctx)
{
    struct app *app = ctx;
    static const struct db_stmt store = {
        .name = "app_rooms_store",
        .sql = "INSERT INTO room (room_id, origin, created_ms) "
               "SELECT id, 'config', $2 FROM unnest($1::int8[]) AS id ON CONFLICT DO NOTHING",
    };
    size_t n = 0;
    int64_t *ids = mem_new_array(int64_t, app->config->rooms.n + 1);
    for (size_t i = 0; i < app->config->rooms.n; i++) {
        n += app_room_parse(app->config->rooms.items[i], &ids[n]);
    }
    const struct db_arg args[] = {DB_ARG_I64S(ids, n), DB_ARG_I64(loop_wall_ms(app->loop))};
    struct err err = {0};
    enum err_code code = db_query(app->db, &store, args, ARRAY_LEN(args), rooms_stored, app, &err);
    if (code != ERR_OK) {
        rooms_stored(app, code, &err, NULL);
    }
    mem_free(ids);
}

void app_rooms_apply(struct app *app)
{
    struct stale_rooms stale = {.config = app->config};
    do {
        stale.n = 0;
        collector_each(app->collector, note_stale, &stale);
        for (size_t i = 0; i < stale.n; i++) {
            if (collector_remove(app->collector, stale.ids[i], NULL) == ERR_OK) {
                LOG(INFO, "app", "room removed", KV_I64("room", stale.ids[i]));
            }
        }
    } while (stale.n == ARRAY_LEN(stale.ids));

    for (size_t i = 0; i < app->config->rooms.n; i++) {
        int64_t id = 0;
        struct err err = {0};
        if (!app_room_parse(app->config->rooms.items[i], &id)) {
            continue; /* app_check has refused it */
        }
        enum err_code code = collector_add(app->collector, id, &err);
        if (code != ERR_OK && code != ERR_CONFLICT) {
            LOG(ERROR, "app", "room not added", KV_I64("room", id), KV_CSTR("error", err.msg));
        }
    }
    app_rooms_note(app);
}

static struct api_room api_room_of(const struct app *app, const struct collector_room_info *info)
{
    struct api_room room = {
        .room_id = info->room_id,
        .state = info->state,
        .last_close = info->last_close,
        .connected_since_ms = info->connected_since_ms,
        .next_try_ms = info->next_try_ms,
        .last_event_ms = info->last_event_ms,
        .popularity = info->popularity,
        .n_connects = info->n_connects,
        .n_messages = info->n_messages,
        .n_events = info->n_events,
        .n_repeats = info->n_repeats,
    };
    app_coverage_of_room(app, &room);
    return room;
}

/* Collector and writer end before HTTP does: requests of connections that are still open come until then. */

static bool ops_room(void *ctx, int64_t room_id, struct api_room *ret)
{
    struct app *app = ctx;
    struct collector_room_info info;
    if (app->collector == NULL || !collector_room(app->collector, room_id, &info)) {
        return false;
    }
    *ret = api_room_of(app, &info);
    return true;
}

struct each_room {
    const struct app *app;
    bool (*fn)(void *ctx, const struct api_room *room);
    void *ctx;
};

static bool each_room(void *ctx, const struct collector_room_info *info)
{
    struct each_room *each = ctx;
    struct api_room room = api_room_of(each->app, info);
    return each->fn(each->ctx, &room);
}

static void ops_each_room(void *ctx, bool (*fn)(void *fn_ctx, const struct api_room *room),
                          void *fn_ctx)
{
    struct app *app = ctx;
    struct each_room each = {.app = app, .fn = fn, .ctx = fn_ctx};
    if (app->collector != NULL) {
        collector_each(app->collector, each_room, &each);
    }
}

static int64_t ops_committed(void *ctx)
{
    struct app *app = ctx;
    return app->writer != NULL ? writer_committed(app->writer) : app->last_committed;
}

static bool ops_ready(void *ctx, const char **ret_reason)
{
    struct app *app = ctx;
    if (app->phase != APP_RUNNING) {
        *ret_reason = app->phase == APP_STARTING ? "starting" : "stopping";
        return false;
    }
    if (!db_is_up(app->db)) {
        *ret_reason = "database away";
        return false;
    }
    if (writer_state(app->writer) == WRITER_FENCED) {
        *ret_reason = "another process writes with the same node number";
        return false;
    }
    *ret_reason = "ok";
    return true;
}

struct api_ops app_api_ops(struct app *app)
{
    struct api_ops ops = {
        .room = ops_room,
        .each_room = ops_each_room,
        .committed = ops_committed,
        .ready = ops_ready,
        .ctx = app,
    };
    app_coverage_ops(&ops);
    return ops;
}
