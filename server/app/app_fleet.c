/* The set of rooms: made from the configuration, read from the database at start, told to the collector. */
#include "server/app/app_priv.h"

#include "collector/discover.h"
#include "collector/fleet.h"
#include "server/config/config.h"
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

/* Questions to upstream; none is asked once it closes: fleet and discovery have stopped then. */

static void ask_resolve(void *ctx, int64_t room, upstream_room_fn *done, void *done_ctx)
{
    struct app *app = ctx;
    upstream_resolve(app->upstream, room, done, done_ctx);
}

static void ask_status(void *ctx, const int64_t *ids, size_t n, upstream_rooms_fn *done,
                       void *done_ctx)
{
    struct app *app = ctx;
    upstream_status(app->upstream, ids, n, done, done_ctx);
}

static void ask_list(void *ctx, int64_t parent_area_id, int64_t area_id, unsigned page,
                     unsigned page_size, upstream_rooms_fn *done, void *done_ctx)
{
    struct app *app = ctx;
    upstream_list(app->upstream, parent_area_id, area_id, page, page_size, done, done_ctx);
}

static void ask_areas(void *ctx, upstream_areas_fn *done, void *done_ctx)
{
    struct app *app = ctx;
    upstream_areas(app->upstream, done, done_ctx);
}

/* "auto" and "off" stand alone. */
static bool discover_says(const struct config *c, const char *word)
{
    return c->discover.n == 1 && str_eq(str_of(c->discover.items[0]), str_of(word));
}

bool app_asks_upstream(const struct config *c)
{
    const bool lists = c->discover.n > 0 && !discover_says(c, "auto") && !discover_says(c, "off");
    return c->upstream_hosts.n == 0 || lists || !config_is_default(c, "upstream_url");
}

/* How many; what does not parse is a problem of the configuration (check), else was refused at start. */
static size_t discover_selects(const struct config *c, struct discover_select *ret,
                               struct config_check *check)
{
    const bool none = c->rooms.n > 0 || c->upstream_hosts.n > 0;
    struct err err;
    size_t n = 0;
    if (discover_says(c, "off") || (discover_says(c, "auto") && none)) {
        return 0;
    }
    if (discover_says(c, "auto")) {
        return discover_select_parse(STR("top:100"), ret, &err) == ERR_OK;
    }
    for (size_t i = 0; i < c->discover.n; i++) {
        if (n == DISCOVER_SELECTS_MAX) {
            err_set(&err, ERR_INVALID, "%d lists are the most", DISCOVER_SELECTS_MAX);
        } else if (discover_select_parse(str_of(c->discover.items[i]), &ret[n], &err) == ERR_OK) {
            n++;
            continue;
        }
        if (check != NULL) {
            config_problem(check, "discover", "%s", err.msg);
        }
    }
    return n;
}

void app_fleet_check(const struct config *c, struct config_check *check)
{
    struct discover_select selects[DISCOVER_SELECTS_MAX];
    (void)discover_selects(c, selects, check);
}

bool app_fleet_wants(const struct app *app)
{
    struct discover_select selects[DISCOVER_SELECTS_MAX];
    return app->config->rooms.n > 0 || discover_selects(app->config, selects, NULL) > 0;
}

void app_fleet_open(struct app *app)
{
    const struct fleet_source source = {.resolve = ask_resolve, .status = ask_status, .ctx = app};
    const struct fleet_opts fleet = {
        .loop = app->loop,
        .db = app->db,
        .stats = app->stats,
        .source = &source,
        .sink = {.add = sink_add, .remove = sink_remove, .ctx = app},
        .retry_max_ms = app->config->backoff_max,
    };
    list_init(&app->rooms_calls);
    app->fleet = fleet_new(&fleet);
    const struct discover_opts discover = {
        .loop = app->loop,
        .stats = app->stats,
        .fleet = app->fleet,
        .list = ask_list,
        .areas = ask_areas,
        .ctx = app,
    };
    app->discover = discover_new(&discover);
    app_fleet_configure(app);
}

static bool same_selects(const struct app *app, const struct discover_select *s, size_t n)
{
    bool same = n == app->n_discover;
    for (size_t i = 0; i < n && same; i++) {
        same = discover_select_same(&s[i], &app->discover_selects[i]);
    }
    return same;
}

/* Discovery goes on as it was if nothing of it has changed. */
static void configure_discovery(struct app *app, const struct discover_select *s, size_t n)
{
    const struct config *c = app->config;
    if (app->phase != APP_RUNNING || (app->discovering && same_selects(app, s, n) &&
                                      app->discover_interval == c->discover_interval &&
                                      app->discover_grace == c->discover_grace)) {
        return;
    }
    app->discovering = true;
    app->n_discover = n;
    app->discover_interval = c->discover_interval;
    app->discover_grace = c->discover_grace;
    mem_free(app->discover_selects);
    app->discover_selects = mem_new_array(struct discover_select, n + 1);
    if (n > 0) {
        memcpy(app->discover_selects, s, n * sizeof(*s));
    }
    discover_configure(app->discover, s, n, c->discover_interval, c->discover_grace);
}

void app_fleet_configure(struct app *app)
{
    const struct config *c = app->config;
    struct discover_select selects[DISCOVER_SELECTS_MAX] = {0};
    const size_t n_selects = discover_selects(c, selects, NULL);
    int64_t *numbers = mem_new_array(int64_t, c->rooms.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < c->rooms.n; i++) {
        n += app_room_parse(c->rooms.items[i], &numbers[n]);
    }
    fleet_ask_upstream(app->fleet, app_asks_upstream(c));
    fleet_configure(app->fleet, numbers, n, (size_t)c->max_rooms, n_selects > 0);
    configure_discovery(app, selects, n_selects);
    mem_free(numbers);
}

void app_fleet_start(struct app *app)
{
    app_fleet_configure(app);
    if (app->n_discover == 0 && !fleet_wants_any(app->fleet)) {
        LOG0(WARN, "app",
             "no room is to be collected: set rooms or discover in the configuration, or add rooms "
             "with POST /api/v1/rooms");
    }
}

void app_fleet_stop(struct app *app)
{
    fleet_stop(app->fleet);
    discover_stop(app->discover);
}

void app_fleet_free(struct app *app)
{
    discover_free(app->discover);
    fleet_free(app->fleet);
    mem_free(app->discover_selects);
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
