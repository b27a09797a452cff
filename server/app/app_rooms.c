/* What the api may know of rooms and collection, and how it changes them. */
#include "server/app/app_priv.h"

#include "collector/fleet.h"
#include "collector/room_facts.h"
#include "server/core/assert.h"
#include "server/core/list.h"
#include "server/core/mem.h"

/* A change that the fleet has not answered yet. */
struct app_rooms_call {
    struct list_node node;
    struct app *app;
    api_rooms_done_fn *done; /* NULL: nobody waits for it any more */
    void *ctx;
};

static void put_facts(struct api_room *room, const struct room_facts *facts)
{
    room->short_id = facts->short_id;
    room->anchor_uid = facts->uid;
    room->area_id = facts->area_id;
    room->parent_area_id = facts->parent_area_id;
    room->uname = facts->uname;
    room->title = facts->title;
    room->area = facts->area;
    room->parent_area = facts->parent_area;
    room->live = facts->live;
    room->live_since_ms = facts->live_since_ms;
}

static void put_connection(struct api_room *room, const struct collector_room_info *info)
{
    room->state = info->state;
    room->last_close = info->last_close;
    room->last_error_ms = info->last_close_ms;
    room->last_error_code = info->last_close;
    room->last_error_text = info->last_close_text;
    room->last_error_detail = info->last_close_detail;
    room->transport = info->transport;
    room->host = info->host;
    room->connected_since_ms = info->connected_since_ms;
    room->next_try_ms = info->next_try_ms;
    room->last_event_ms = info->last_event_ms;
    room->popularity = info->popularity;
    room->n_connects = info->n_connects;
    room->n_messages = info->n_messages;
    room->n_events = info->n_events;
    room->n_repeats = info->n_repeats;
    room->not_connected = info->connected_since_ms != 0 ? NULL : info->state;
}

/* A room whose number upstream was asked about in vain: what upstream failed with. */
static void put_unresolved(struct app *app, struct api_room *room)
{
    struct upstream_info *info = &app->upstream_info;
    if (app->upstream == NULL) {
        return;
    }
    upstream_info(app->upstream, info);
    room->last_error_ms = info->last_error_ms;
    room->last_error_code = fleet_wait_name(FLEET_WAIT_UPSTREAM);
    room->last_error_text = "upstream could not be asked what this number means";
    room->last_error_detail = info->last_error.msg;
}

static struct api_room api_room_of(struct app *app, const struct fleet_info *info)
{
    struct collector_room_info connection;
    struct api_room room = {
        .room_id = info->room_id,
        .origin = fleet_origin_name(info->origin),
        .status = fleet_state_name(info->state),
        .not_connected = fleet_wait_name(info->wait),
        .groups = info->groups,
        .pinned = info->pinned,
        .rank = info->rank,
        .popularity = -1,
    };
    put_facts(&room, info->facts);
    /* Collector and writer end before HTTP does: requests of connections that are still open come until then. */
    if (info->collected && app->collector != NULL &&
        collector_room(app->collector, info->room_id, &connection)) {
        put_connection(&room, &connection);
        app_coverage_of_room(app, &room);
    } else if (info->wait == FLEET_WAIT_UPSTREAM) {
        put_unresolved(app, &room);
    }
    return room;
}

static bool ops_room(void *ctx, int64_t number, struct api_room *ret)
{
    struct app *app = ctx;
    struct fleet_info info;
    if (!fleet_get(app->fleet, number, &info)) {
        return false;
    }
    *ret = api_room_of(app, &info);
    return true;
}

struct each_room {
    struct app *app;
    bool (*fn)(void *ctx, const struct api_room *room);
    void *ctx;
};

static bool each_room(void *ctx, const struct fleet_info *info)
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
    fleet_each(app->fleet, each_room, &each);
}

static int64_t ops_committed(void *ctx)
{
    return app_committed(ctx);
}

/* Tokens are in the database, and what rooms there are. */
static bool ops_open(void *ctx)
{
    return ((struct app *)ctx)->phase != APP_STARTING;
}

static bool ops_ready(void *ctx, const char **ret_reason)
{
    struct app *app = ctx;
    if (app->phase != APP_RUNNING) {
        *ret_reason = app->phase == APP_STOPPING ? "stopping"
                      : app->early               ? "collecting; the database has not answered yet"
                                                 : "starting";
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

/* ---- changes ---- */

static void call_done(void *ctx, enum err_code code, const struct err *err,
                      const struct fleet_done *done)
{
    struct app_rooms_call *call = ctx;
    const struct api_rooms_changed changed = {
        .room_id = done->room_id,
        .n_added = done->n_added,
        .n_removed = done->n_removed,
        .unknown = done->unknown,
        .n_unknown = done->n_unknown,
        .upstream_failed = done->upstream_failed,
    };
    list_remove(&call->app->rooms_calls, &call->node);
    if (call->done != NULL) {
        call->done(call->ctx, code, err, &changed);
    }
    mem_free(call);
}

/* What the fleet gets as ctx; freed by call_done. */
static struct app_rooms_call *call_new(struct app *app, api_rooms_done_fn *done, void *ctx)
{
    struct app_rooms_call *call = mem_new(struct app_rooms_call);
    *call = (struct app_rooms_call){.app = app, .done = done, .ctx = ctx};
    list_push_back(&app->rooms_calls, &call->node);
    return call;
}

static struct fleet_change change_of(const struct api_room_change *c)
{
    return (struct fleet_change){
        .has_paused = c->has_paused,
        .paused = c->paused,
        .has_pinned = c->has_pinned,
        .pinned = c->pinned,
        .has_groups = c->has_groups,
        .groups = c->groups,
        .n_groups = c->n_groups,
    };
}

static void ops_room_add(void *ctx, int64_t number, const struct api_room_change *c,
                         api_rooms_done_fn *done, void *done_ctx)
{
    struct app *app = ctx;
    const struct fleet_change change = change_of(c);
    fleet_add(app->fleet, number, &change, call_done, call_new(app, done, done_ctx));
}

static void ops_rooms_set(void *ctx, const int64_t *numbers, size_t n, api_rooms_done_fn *done,
                          void *done_ctx)
{
    struct app *app = ctx;
    fleet_set(app->fleet, numbers, n, call_done, call_new(app, done, done_ctx));
}

static void ops_room_change(void *ctx, int64_t number, const struct api_room_change *c,
                            api_rooms_done_fn *done, void *done_ctx)
{
    struct app *app = ctx;
    const struct fleet_change change = change_of(c);
    fleet_change(app->fleet, number, &change, call_done, call_new(app, done, done_ctx));
}

static void ops_room_remove(void *ctx, int64_t number, api_rooms_done_fn *done, void *done_ctx)
{
    struct app *app = ctx;
    fleet_remove(app->fleet, number, call_done, call_new(app, done, done_ctx));
}

static void ops_rooms_forget(void *ctx, const void *done_ctx)
{
    struct app *app = ctx;
    for (struct list_node *node = list_first(&app->rooms_calls); node != NULL;
         node = list_next(&app->rooms_calls, node)) {
        struct app_rooms_call *call = CONTAINER_OF(node, struct app_rooms_call, node);
        call->done = call->ctx == done_ctx ? NULL : call->done;
    }
}

/* ---- upstream ---- */

struct each_host {
    api_upstream_host_fn *fn;
    void *ctx;
};

static bool each_host(void *ctx, const struct upstream_host_info *info)
{
    struct each_host *each = ctx;
    const struct api_upstream_host host = {
        .host = info->host,
        .n_requests = info->n_requests,
        .n_failed = info->n_failed,
        .last_failed_ms = info->last_failed_ms,
    };
    return each->fn(each->ctx, &host);
}

static const char *breaker_name(enum upstream_breaker b)
{
    switch (b) {
    case UPSTREAM_CLOSED:
        return "closed";
    case UPSTREAM_OPEN:
        return "open";
    case UPSTREAM_HALF_OPEN:
        return "half_open";
    }
    UNREACHABLE();
}

static bool ops_upstream(void *ctx, struct api_upstream *ret, api_upstream_host_fn *fn,
                         void *fn_ctx)
{
    struct app *app = ctx;
    struct each_host each = {.fn = fn, .ctx = fn_ctx};
    if (app->upstream == NULL) {
        return false;
    }
    struct upstream_info *info = &app->upstream_info;
    upstream_info(app->upstream, info);
    *ret = (struct api_upstream){
        .asked = app_asks_upstream(app->config),
        .breaker = breaker_name(info->breaker),
        .breaker_until_ms = info->breaker_until_ms,
        .breaker_cause = info->breaker_cause,
        .uid = info->uid,
        .login_expired = info->login_expired,
        .has_device_id = info->has_buvid,
        .last_ok_ms = info->last_ok_ms,
        .skew_ms = info->skew_ms,
        .n_waiting = info->n_waiting,
        .n_requests = info->n_requests,
        .n_failed = info->n_failed,
        .last_error = str_of(info->last_error.msg),
        .last_error_ms = info->last_error_ms,
    };
    upstream_each_host(app->upstream, each_host, &each);
    return true;
}

struct api_ops app_api_ops(struct app *app)
{
    struct api_ops ops = {
        .room = ops_room,
        .each_room = ops_each_room,
        .committed = ops_committed,
        .ready = ops_ready,
        .open = ops_open,
        .room_add = ops_room_add,
        .rooms_set = ops_rooms_set,
        .room_change = ops_room_change,
        .room_remove = ops_room_remove,
        .rooms_forget = ops_rooms_forget,
        .upstream = ops_upstream,
        .ctx = app,
    };
    app_coverage_ops(&ops);
    app_retention_ops(&ops);
    return ops;
}
