/* The calls: which addresses are asked in which order, and what is made of the answers. */
#include "collector/upstream/upstream_priv.h"

#include "server/core/assert.h"
#include "server/core/mem.h"

struct call {
    struct list_node node;
    struct upstream *up;
    struct arena arena; /* the answer's */
    int64_t room_id;
    bool not_found; /* one address said so */
    struct err err; /* for those that are told at once */
    enum upstream_api api;
    union {
        upstream_room_fn *room;
        upstream_rooms_fn *rooms;
        upstream_areas_fn *areas;
        upstream_danmu_fn *danmu;
    } done;
    void (*fail)(struct call *c, const struct err *err);
    void *ctx;
};

static struct call *call_new(struct upstream *u,
                             void (*fail)(struct call *c, const struct err *err), void *ctx)
{
    struct call *c = mem_new(struct call);
    LOOP_ASSERT(u->loop);
    c->up = u;
    c->fail = fail;
    c->ctx = ctx;
    arena_init(&c->arena, PARSE_ARENA_MAX);
    list_push_back(&u->calls, &c->node);
    return c;
}

/* Frees it; the answer was told just before. */
static void call_end(struct call *c)
{
    struct upstream *u = c->up;
    list_remove(&u->calls, &c->node);
    arena_deinit(&c->arena);
    mem_free(c);
    upstream_maybe_closed(u);
}

static void fail(struct call *c, const struct err *err)
{
    c->fail(c, err);
    call_end(c);
}

static void on_refused(void *ctx)
{
    struct call *c = ctx;
    fail(c, &c->err);
}

/* Refused before anything is sent; told from the loop. False: go on. */
static bool refuse(struct call *c, bool args_ok)
{
    struct upstream *u = c->up;
    if (!args_ok) {
        (void)err_set(&c->err, ERR_INVALID, "no such question can be asked");
    } else if (u->calls.n > UPSTREAM_CALLS_MAX) {
        stats_inc(u->stats, STAT_UPSTREAM_CALLS_REFUSED_FULL);
        (void)err_set(&c->err, ERR_FULL, "%d calls to upstream wait already", UPSTREAM_CALLS_MAX);
    } else {
        return false;
    }
    loop_defer(u->loop, on_refused, c);
    return true;
}

static void ask(struct call *c, enum upstream_api api, struct buf *query, request_fn *done)
{
    c->api = api;
    request_new(c->up, api, query ? buf_str(query) : STR_NULL, c->room_id, done, c);
}

static void ask_room(struct call *c, enum upstream_api api, const char *before, const char *after,
                     request_fn *done)
{
    struct buf query;
    buf_init(&query, QUERY_MAX);
    buf_put(&query, str_of(before));
    buf_put_i64(&query, c->room_id);
    buf_put(&query, str_of(after));
    ask(c, api, &query, done);
    buf_deinit(&query);
}

/* ---- one room, by three addresses ---- */

static void fail_room(struct call *c, const struct err *err)
{
    c->done.room(c->ctx, err->code, NULL, err);
}

static void on_resolved(void *ctx, const struct request_result *result);

static enum err_code read_resolved(struct call *c, const struct answer *answer,
                                   struct upstream_room *ret, struct err *err)
{
    struct parse_rooms rooms;
    if (c->api != API_BASE_INFO) {
        return parse_room(answer->data, &c->arena, ret, err);
    }
    const enum err_code rc = parse_base_info(answer->data, &c->arena, &rooms, err);
    if (rc != ERR_OK) {
        return rc;
    }
    for (size_t i = 0; i < rooms.n; i++) {
        if (rooms.items[i].room_id == c->room_id || rooms.items[i].short_id == c->room_id ||
            rooms.n == 1) {
            *ret = rooms.items[i];
            return ERR_OK;
        }
    }
    return err_set(err, ERR_NOT_FOUND, "no such room");
}

/* The next address, when the last one's answer is of no use; false: it was the last, or asking on makes no sense. */
static bool resolve_otherwise(struct call *c, const struct request_result *result,
                              enum err_code code)
{
    if (code == ERR_FORBIDDEN || code == ERR_CANCELED || result->outcome == OUTCOMES ||
        result->outcome == OUTCOME_NETWORK || result->outcome == OUTCOME_TIMEOUT) {
        return false;
    }
    if (c->api == API_GET_INFO) {
        c->not_found = code == ERR_NOT_FOUND;
        ask_room(c, API_ROOM_INIT, "id=", "", on_resolved);
        return true;
    }
    if (c->api == API_ROOM_INIT && code != ERR_NOT_FOUND) {
        ask_room(c, API_BASE_INFO, "room_ids=", "&req_biz=web_room_componet", on_resolved);
        return true;
    }
    return false;
}

static void on_resolved(void *ctx, const struct request_result *result)
{
    struct call *c = ctx;
    struct upstream_room room;
    struct err err;
    enum err_code code = result->code;
    if (code == ERR_OK) {
        code = read_resolved(c, result->answer, &room, &err);
    } else {
        err = *result->err;
    }
    if (code == ERR_OK) {
        c->done.room(c->ctx, ERR_OK, &room, NULL);
        call_end(c);
    } else if (!resolve_otherwise(c, result, code)) {
        if (c->not_found && code == ERR_PROTO) {
            err.code = ERR_NOT_FOUND; /* the first address said so, the others said nothing */
        }
        fail(c, &err);
    }
}

void upstream_resolve(struct upstream *u, int64_t room, upstream_room_fn *done, void *ctx)
{
    struct call *c = call_new(u, fail_room, ctx);
    c->done.room = done;
    c->room_id = room;
    if (!refuse(c, room > 0)) {
        ask_room(c, API_GET_INFO, "room_id=", "", on_resolved);
    }
}

/* ---- many rooms ---- */

static void fail_rooms(struct call *c, const struct err *err)
{
    c->done.rooms(c->ctx, err->code, NULL, 0, err);
}

static void on_rooms(void *ctx, const struct request_result *result)
{
    struct call *c = ctx;
    struct parse_rooms rooms = {.n = 0};
    struct err err;
    enum err_code code = result->code;
    if (code != ERR_OK) {
        err = *result->err;
    } else if (c->api == API_LIST) {
        code = parse_list(result->answer->data, &c->arena, &rooms, &err);
    } else {
        code = parse_base_info(result->answer->data, &c->arena, &rooms, &err);
    }
    if (code == ERR_OK) {
        c->done.rooms(c->ctx, ERR_OK, rooms.items, rooms.n, NULL);
        call_end(c);
        return;
    }
    if (result->code == ERR_OK) {
        err_wrap(&err, "%s", api_label(c->api));
    }
    fail(c, &err);
}

void upstream_status(struct upstream *u, const int64_t *room_ids, size_t n, upstream_rooms_fn *done,
                     void *ctx)
{
    struct call *c = call_new(u, fail_rooms, ctx);
    struct buf query;
    c->done.rooms = done;
    if (refuse(c, n > 0 && n <= UPSTREAM_STATUS_MAX)) {
        return;
    }
    buf_init(&query, QUERY_MAX);
    for (size_t i = 0; i < n; i++) {
        buf_put(&query, i == 0 ? STR("room_ids=") : STR(","));
        buf_put_i64(&query, room_ids[i]);
    }
    buf_put(&query, STR("&req_biz=web_room_componet")); /* sic */
    ask(c, API_BASE_INFO, &query, on_rooms);
    buf_deinit(&query);
}

void upstream_list(struct upstream *u, int64_t parent_area_id, int64_t area_id, unsigned page,
                   unsigned page_size, upstream_rooms_fn *done, void *ctx)
{
    struct call *c = call_new(u, fail_rooms, ctx);
    struct buf query;
    c->done.rooms = done;
    if (refuse(c, parent_area_id >= 0 && area_id >= 0 && page > 0 && page_size > 0 &&
                      page_size <= UPSTREAM_PAGE_MAX)) {
        return;
    }
    buf_init(&query, QUERY_MAX);
    buf_put(&query, STR("platform=web&parent_area_id="));
    buf_put_i64(&query, parent_area_id);
    buf_put(&query, STR("&cate_id=0&area_id="));
    buf_put_i64(&query, area_id);
    buf_printf(&query, "&sort_type=online&page=%u&page_size=%u&tag_version=1", page, page_size);
    ask(c, API_LIST, &query, on_rooms);
    buf_deinit(&query);
}

/* ---- areas ---- */

static void fail_areas(struct call *c, const struct err *err)
{
    c->done.areas(c->ctx, err->code, NULL, 0, err);
}

static void on_areas(void *ctx, const struct request_result *result)
{
    struct call *c = ctx;
    struct parse_areas areas;
    struct err err;
    enum err_code code = result->code;
    if (code != ERR_OK) {
        err = *result->err;
    } else {
        code = parse_areas(result->answer->data, &c->arena, &areas, &err);
    }
    if (code == ERR_OK) {
        c->done.areas(c->ctx, ERR_OK, areas.items, areas.n, NULL);
        call_end(c);
    } else {
        fail(c, &err);
    }
}

void upstream_areas(struct upstream *u, upstream_areas_fn *done, void *ctx)
{
    struct call *c = call_new(u, fail_areas, ctx);
    struct buf none;
    c->done.areas = done;
    if (!refuse(c, true)) {
        buf_init(&none, 1);
        buf_put(&none, STR("?")); /* an empty query, not one to be signed */
        buf_clear(&none);
        ask(c, API_AREAS, &none, on_areas);
        buf_deinit(&none);
    }
}

/* ---- where to connect ---- */

static void fail_danmu(struct call *c, const struct err *err)
{
    c->done.danmu(c->ctx, err->code, NULL, err);
}

static void on_danmu(void *ctx, const struct request_result *result);

/* The old address needs no signature; it is asked when the new one is not there or says something else than an answer.
 * Not after a refusal: who does not want us is not asked at another door. */
static bool danmu_otherwise(struct call *c, enum err_code code)
{
    if (c->api != API_DANMU_INFO || code != ERR_PROTO) {
        return false;
    }
    stats_inc(c->up->stats, STAT_UPSTREAM_LEGACY);
    ask_room(c, API_CONF, "room_id=", "&platform=pc&player=web", on_danmu);
    return true;
}

static void on_danmu(void *ctx, const struct request_result *result)
{
    struct call *c = ctx;
    struct upstream_danmu info;
    struct err err;
    enum err_code code = result->code;
    if (code != ERR_OK) {
        err = *result->err;
    } else {
        code = parse_danmu(result->answer->data, &c->arena, &info, &err);
    }
    if (code == ERR_OK) {
        info.legacy = c->api == API_CONF;
        info.uid = c->up->id.uid;
        info.buvid = identity_buvid(c->up);
        c->done.danmu(c->ctx, ERR_OK, &info, NULL);
        call_end(c);
    } else if (!danmu_otherwise(c, code)) {
        fail(c, &err);
    }
}

void upstream_danmu_info(struct upstream *u, int64_t room_id, bool fresh, upstream_danmu_fn *done,
                         void *ctx)
{
    struct call *c = call_new(u, fail_danmu, ctx);
    c->done.danmu = done;
    c->room_id = room_id;
    (void)fresh; /* nothing of an answer is kept here */
    if (!refuse(c, room_id > 0)) {
        ask(c, API_DANMU_INFO, NULL, on_danmu);
    }
}
