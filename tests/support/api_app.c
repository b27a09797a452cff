#include "tests/support/api_app.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/core/mem.h"

/* ---- what the api asks for ---- */

static bool op_room(void *ctx, int64_t room_id, struct api_room *ret)
{
    struct api_app *a = ctx;
    for (size_t i = 0; i < a->n_rooms; i++) {
        if (a->rooms[i].room_id == room_id || a->rooms[i].short_id == room_id) {
            *ret = a->rooms[i];
            return true;
        }
    }
    return false;
}

static void op_each(void *ctx, bool (*fn)(void *fn_ctx, const struct api_room *room), void *fn_ctx)
{
    struct api_app *a = ctx;
    for (size_t i = 0; i < a->n_rooms && fn(fn_ctx, &a->rooms[i]); i++) {
    }
}

static int64_t op_committed(void *ctx)
{
    return ((struct api_app *)ctx)->mark;
}

static int64_t op_coverage_known(void *ctx, int64_t room_id ATTR_UNUSED)
{
    return ((struct api_app *)ctx)->coverage_known;
}

static bool op_ready(void *ctx, const char **ret_reason)
{
    struct api_app *a = ctx;
    *ret_reason = a->unready;
    return a->unready == NULL;
}

/* Changes are noted, and answered from the loop with what the test has laid ready. */

static void answer_change(void *ctx)
{
    struct api_app *a = ctx;
    struct api_app_change *c = &a->change;
    if (c->done != NULL) {
        c->done(c->done_ctx, c->code, &c->err, &c->answer);
    }
    c->done = NULL;
}

static void note_change(struct api_app *a, char what, int64_t number,
                        const struct api_room_change *change, api_rooms_done_fn *done, void *ctx)
{
    a->change.what = what;
    a->change.number = number;
    if (change != NULL) {
        a->change.change = *change;
        a->change.change.groups = NULL;
        (void)snprintf(a->change.group, sizeof(a->change.group), STR_FMT,
                       STR_ARG(change->n_groups > 0 ? change->groups[0] : STR_NULL));
    }
    a->change.done = done;
    a->change.done_ctx = ctx;
    loop_defer(a->loop, answer_change, a);
}

static void op_add(void *ctx, int64_t number, const struct api_room_change *change,
                   api_rooms_done_fn *done, void *done_ctx)
{
    note_change(ctx, 'a', number, change, done, done_ctx);
}

static void op_set(void *ctx, const int64_t *numbers, size_t n, api_rooms_done_fn *done,
                   void *done_ctx)
{
    struct api_app *a = ctx;
    note_change(a, 's', n > 0 ? numbers[0] : 0, NULL, done, done_ctx);
    a->change.n_numbers = n;
}

static void op_change(void *ctx, int64_t number, const struct api_room_change *change,
                      api_rooms_done_fn *done, void *done_ctx)
{
    note_change(ctx, 'c', number, change, done, done_ctx);
}

static void op_remove(void *ctx, int64_t number, api_rooms_done_fn *done, void *done_ctx)
{
    note_change(ctx, 'r', number, NULL, done, done_ctx);
}

static void op_forget(void *ctx, const void *done_ctx)
{
    struct api_app *a = ctx;
    a->change.done = a->change.done_ctx == done_ctx ? NULL : a->change.done;
}

/* ---- up and down ---- */

void api_app_init(struct api_app *a, size_t ring_events)
{
    *a = (struct api_app){.loop = loop_new(), .stats = stats_new(), .mark = -1};
    clock_fake_init(&a->clock, API_APP_NOW);
    loop_set_clock(a->loop, &a->clock.base);
    a->feed = feed_new(ring_events, 64 << 20);
    a->events = calloc(API_APP_EVENTS, sizeof(a->events[0]));
    a->config.max_connections = 2000;
    a->config.max_streams = 1000;
    a->config.query_timeout = 10000;
}

void api_app_listen(struct api_app *a, struct db *db, bool local_only)
{
    struct err err;
    a->db = db;
    struct api_opts opts = {
        .loop = a->loop,
        .config = &a->config,
        .db = db,
        .feed = a->feed,
        .stats = a->stats,
        .ops = {.room = op_room,
                .each_room = op_each,
                .committed = op_committed,
                .coverage_known = op_coverage_known,
                .ready = op_ready,
                .room_add = op_add,
                .rooms_set = op_set,
                .room_change = op_change,
                .room_remove = op_remove,
                .rooms_forget = op_forget,
                .ctx = a},
        .local_only = local_only,
    };
    a->api = api_new(&opts);
    assert_int_equal(api_listen(a->api, "127.0.0.1", 0, &a->http, &err), ERR_OK);
}

static void on_closed(void *ctx)
{
    ((struct api_app *)ctx)->closed = true;
}

void api_app_close(struct api_app *a)
{
    api_quiesce(a->api);
    http_close(a->http, 0, on_closed, a);
    HTTP_WAIT(a->loop, a->closed);
    api_free(a->api);
}

void api_app_deinit(struct api_app *a)
{
    for (size_t i = 0; i < a->n; i++) {
        event_unref(&a->events[i]);
    }
    free(a->events);
    free(a->head);
    free(a->body);
    feed_free(a->feed);
    stats_free(a->stats);
    loop_free(a->loop);
}

void api_app_room(struct api_app *a, int64_t room_id)
{
    assert_true(a->n_rooms < API_APP_ROOMS);
    a->rooms[a->n_rooms++] = (struct api_room){.room_id = room_id,
                                               .origin = "config",
                                               .status = "active",
                                               .live = -1,
                                               .state = "connected",
                                               .last_close = "",
                                               .connected_since_ms = API_APP_NOW - 1000,
                                               .popularity = -1,
                                               .n_connects = 1};
}

const struct event *api_app_publish(struct api_app *a, int64_t ms, const struct event_draft *d)
{
    assert_true(a->n < API_APP_EVENTS);
    int64_t last = a->n > 0 ? a->events[a->n - 1]->id : id_first_of_ms(API_APP_NOW - 3600000);
    int64_t id = ms > 0 ? id_first_of_ms(id_ts_ms(last) + ms) : last + ID_EVENTS_PER_MESSAGE;
    struct event *e = event_new(id, d);
    assert_non_null(e);
    a->events[a->n++] = event_ref(e);
    feed_publish(a->feed, e);
    return e;
}

const struct event *api_app_say(struct api_app *a, int64_t room_id, const char *text)
{
    struct event_draft d;
    event_draft_init(&d, EVENT_DANMAKU, room_id);
    d.actor = 1000 + (int64_t)a->n;
    d.text = str_of(text);
    return api_app_publish(a, 1, &d);
}

/* ---- requests ---- */

static char *dup_str(struct str s)
{
    char *out = calloc(1, s.len + 1);
    if (s.len > 0) {
        memcpy(out, s.ptr, s.len);
    }
    return out;
}

unsigned api_app_send(struct api_app *a, const char *method, const char *path, const char *fields)
{
    struct http_reply r;
    size_t size = strlen(path) + strlen(fields) + 128;
    char *text = malloc(size);
    (void)snprintf(text, size, "%s %s HTTP/1.1\r\nHost: t\r\n%s\r\n", method, path, fields);
    struct http_client *c = http_client_open(a->loop, NULL, http_port(a->http));
    http_client_send(c, text);
    free(text);
    bool is_head = strcmp(method, "HEAD") == 0;
    HTTP_WAIT(a->loop, http_client_whole(c, is_head, &r));
    free(a->head);
    free(a->body);
    a->head = dup_str(r.head);
    a->body = dup_str(r.body);
    a->status = r.status;
    http_client_close(c);
    return r.status;
}

unsigned api_app_get(struct api_app *a, const char *path)
{
    return api_app_send(a, "GET", path, "");
}

bool api_app_has_head(const struct api_app *a, const char *line)
{
    return strstr(a->head, line) != NULL;
}

/* ---- streams ---- */

void sse_open(struct api_app *a, struct sse_client *c, const char *path, const char *fields)
{
    *c = (struct sse_client){.http = http_client_open(a->loop, NULL, http_port(a->http))};
    size_t size = strlen(path) + strlen(fields) + 128;
    char *text = malloc(size);
    (void)snprintf(text, size, "GET %s HTTP/1.1\r\nHost: t\r\nAccept: text/event-stream\r\n%s\r\n",
                   path, fields);
    http_client_send(c->http, text);
    free(text);
}

void sse_close(struct sse_client *c)
{
    http_client_close(c->http);
    free(c->id);
    free(c->event);
    free(c->data);
    *c = (struct sse_client){0};
}

static void take_line(struct sse_client *c, struct str line)
{
    struct str value = line;
    struct str name;
    if (!str_split(&value, ':', &name) || name.len == 0) {
        return; /* a comment */
    }
    value = str_trim(value);
    char **field = str_eq(name, STR("id"))      ? &c->id
                   : str_eq(name, STR("event")) ? &c->event
                   : str_eq(name, STR("data"))  ? &c->data
                                                : NULL;
    if (field == NULL) {
        assert_str_equal(name, "retry");
        return;
    }
    assert_null(*field); /* our frames name each field once */
    *field = dup_str(value);
}

bool sse_try(struct api_app *a ATTR_UNUSED, struct sse_client *c)
{
    struct http_reply r;
    if (!http_client_peek(c->http, false, &r)) {
        return false;
    }
    assert_int_equal(r.status, 200);
    for (;;) {
        struct str rest = str_sub(r.body, c->at, r.body.len);
        const char *end = rest.len > 0 ? memmem(rest.ptr, rest.len, "\n\n", 2) : NULL;
        if (end == NULL) {
            return false;
        }
        struct str block = {rest.ptr, (size_t)(end - rest.ptr)};
        struct str line;
        c->at += block.len + 2;
        free(c->id);
        free(c->event);
        free(c->data);
        c->id = c->event = c->data = NULL;
        while (str_split(&block, '\n', &line)) {
            take_line(c, line);
        }
        if (c->event != NULL) {
            c->id = c->id != NULL ? c->id : dup_str(STR_NULL);
            assert_non_null(c->data);
            return true;
        }
    }
}

void sse_next(struct api_app *a, struct sse_client *c)
{
    bool got = false; /* the condition is looked at once more in the end */
    HTTP_WAIT(a->loop, got || (got = sse_try(a, c)));
}
