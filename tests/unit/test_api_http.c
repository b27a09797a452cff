/* The endpoints over a real HTTP server; the database is an array here (test_api_db has a real one). */
#include <cjson/cJSON.h>

#include "api/token.h"
#include "server/core/mem.h"
#include "tests/support/api_app.h"
#include "tests/support/db_fake.h"
#include "tests/support/run.h"

enum { ROOM = 6, OTHER = 7, GONE = 9 };

struct fixture {
    struct api_app app;
    struct db *db;
};

static struct fixture *open_app(bool local_only)
{
    struct fixture *f = mem_new(struct fixture);
    api_app_init(&f->app, 64);
    f->db = db_fake_new(f->app.loop);
    api_app_room(&f->app, ROOM);
    api_app_room(&f->app, OTHER);
    db_fake_room(f->db, ROOM, 0);
    db_fake_room(f->db, GONE, 99);
    api_app_listen(&f->app, f->db, local_only);
    (void)api_app_get(&f->app, "/api/v1/capabilities"); /* the tokens are read then */
    return f;
}

static int setup(void **state)
{
    *state = open_app(true);
    return 0;
}

static int setup_public(void **state)
{
    *state = open_app(false);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    api_app_close(&f->app);
    db_fake_free(f->db);
    api_app_deinit(&f->app);
    mem_free(f);
    return 0;
}

static void commit_all(struct fixture *f)
{
    for (size_t i = 0; i < f->app.n; i++) {
        if (f->app.events[i]->id > f->app.mark) {
            db_fake_add(f->db, f->app.events[i]);
            f->app.mark = f->app.events[i]->id;
        }
    }
}

static cJSON *body(struct api_app *a)
{
    cJSON *j = cJSON_Parse(a->body);
    assert_non_null(j);
    return j;
}

static void expect_problem(struct api_app *a, unsigned status, const char *code)
{
    assert_int_equal(a->status, status);
    assert_true(api_app_has_head(a, "\r\nContent-Type: application/problem+json"));
    cJSON *j = body(a);
    assert_string_equal(cJSON_GetObjectItem(j, "code")->valuestring, code);
    assert_int_equal(cJSON_GetObjectItem(j, "status")->valueint, status);
    assert_true(strlen(cJSON_GetObjectItem(j, "title")->valuestring) > 0);
    assert_true(strlen(cJSON_GetObjectItem(j, "type")->valuestring) > 0);
    char id[128];
    (void)snprintf(id, sizeof(id), "\r\nX-Request-Id: %s",
                   cJSON_GetObjectItem(j, "instance")->valuestring);
    assert_true(api_app_has_head(a, id));
    assert_int_equal(api_app_has_head(a, "\r\nRetry-After: "), status == 503 || status == 429);
    cJSON_Delete(j);
}

/* ---- lists ---- */

struct page {
    int64_t id[1001];
    size_t n;
    char next[64];
    char prev[64];
    bool has_more;
    bool pending;
};

static void get_page(struct api_app *a, const char *path, struct page *p)
{
    memset(p, 0, sizeof(*p));
    assert_int_equal(api_app_get(a, path), 200);
    cJSON *j = body(a);
    const cJSON *item;
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(j, "data"))
    {
        assert_true(
            str_to_i64(str_of(cJSON_GetObjectItem(item, "id")->valuestring), &p->id[p->n++]));
    }
    const cJSON *page = cJSON_GetObjectItem(j, "page");
    const cJSON *next = cJSON_GetObjectItem(page, "next");
    const cJSON *prev = cJSON_GetObjectItem(page, "prev");
    (void)snprintf(p->next, sizeof(p->next), "%s", cJSON_IsString(next) ? next->valuestring : "");
    (void)snprintf(p->prev, sizeof(p->prev), "%s", cJSON_IsString(prev) ? prev->valuestring : "");
    p->has_more = cJSON_IsTrue(cJSON_GetObjectItem(page, "has_more"));
    p->pending =
        cJSON_IsTrue(cJSON_GetObjectItem(cJSON_GetObjectItem(j, "completeness"), "pending"));
    assert_int_equal(api_app_has_head(a, "rel=\"next\""), p->next[0] != '\0');
    assert_int_equal(api_app_has_head(a, "rel=\"prev\""), p->prev[0] != '\0');
    cJSON_Delete(j);
}

static void test_pages_over_the_seam(void **state)
{
    struct fixture *f = *state;
    struct api_app *a = &f->app;
    for (int i = 0; i < 200; i++) { /* the ring holds 64 of them, the database 180 */
        if (i == 180) {
            commit_all(f);
        }
        (void)api_app_say(a, i % 4 == 0 ? OTHER : ROOM, "text");
    }
    int64_t seen[200];
    size_t n = 0;
    struct page p;
    char path[200] = "/api/v1/rooms/6/events?limit=17";
    do {
        get_page(a, path, &p);
        memcpy(seen + n, p.id, p.n * sizeof(p.id[0]));
        n += p.n;
        (void)snprintf(path, sizeof(path), "/api/v1/rooms/6/events?limit=17&cursor=%s", p.next);
    } while (p.has_more);
    assert_int_equal(n, 150);
    assert_string_equal(p.next, "");
    size_t k = 0;
    for (size_t i = 200; i-- > 0;) {
        if (i % 4 != 0) {
            assert_true(seen[k++] == a->events[i]->id);
        }
    }
    size_t left = n - p.n;
    while (left > 0) {
        (void)snprintf(path, sizeof(path), "/api/v1/rooms/6/events?limit=17&cursor=%s", p.prev);
        get_page(a, path, &p);
        assert_true(p.n > 0 && p.n <= left);
        left -= p.n;
        assert_memory_equal(p.id, seen + left, p.n * sizeof(p.id[0]));
    }
    /* All rooms, oldest first, and what arrives while the client pages. */
    (void)snprintf(path, sizeof(path), "/api/v1/events?order=asc&limit=60");
    for (n = 0;;) {
        get_page(a, path, &p);
        for (size_t i = 0; i < p.n; i++) {
            assert_true(p.id[i] == a->events[n++]->id);
        }
        if (!p.has_more) {
            break;
        }
        if (a->n < 260) {
            (void)api_app_say(a, ROOM, "new");
            commit_all(f);
        }
        (void)snprintf(path, sizeof(path), "/api/v1/events?order=asc&limit=60&cursor=%s", p.next);
    }
    assert_int_equal(n, a->n);
    assert_true(p.next[0] != '\0'); /* a place to poll from */
}

static void test_list_filters(void **state)
{
    struct fixture *f = *state;
    struct api_app *a = &f->app;
    struct page p;
    char path[200];
    for (int i = 0; i < 20; i++) {
        struct event_draft d;
        event_draft_init(&d, i % 2 == 0 ? EVENT_GIFT : EVENT_DANMAKU, i < 10 ? ROOM : OTHER);
        d.value_mcny = i % 2 == 0 ? i * 100 : 0;
        (void)api_app_publish(a, 1000, &d);
    }
    commit_all(f);
    get_page(a, "/api/v1/events?kinds=gift", &p);
    assert_int_equal(p.n, 10);
    get_page(a, "/api/v1/events?min_value_mcny=1000", &p);
    assert_int_equal(p.n, 5);
    get_page(a, "/api/v1/events?rooms=7,6&kinds=danmaku&limit=3", &p);
    assert_int_equal(p.n, 3);
    assert_true(p.has_more);
    get_page(a, "/api/v1/events?rooms=99",
             &p); /* a short id, of a room that is not collected any more */
    assert_int_equal(p.n, 0);
    (void)snprintf(path, sizeof(path), "/api/v1/rooms/6/events?from=%lld&to=%lld",
                   (long long)id_ts_ms(a->events[3]->id), (long long)id_ts_ms(a->events[7]->id));
    get_page(a, path, &p);
    assert_int_equal(p.n, 4); /* half-open */
    assert_true(p.id[3] == a->events[3]->id);
    assert_true(api_app_has_head(a, "Cache-Control: public, max-age=60, must-revalidate"));
    get_page(a, "/api/v1/rooms/6/events?since=2h&limit=5", &p);
    assert_int_equal(p.n, 5);
    assert_true(api_app_has_head(a, "Cache-Control: no-cache"));
}

static void test_bad_requests(void **state)
{
    struct fixture *f = *state;
    struct api_app *a = &f->app;
    static const struct {
        const char *path;
        unsigned status;
        const char *code;
    } cases[] = {
        {"/api/v1/events?limt=5", 400, "unknown_parameter"},
        {"/api/v1/events?limit=5000", 400, "limit_too_large"},
        {"/api/v1/events?from=1764000000", 400, "bad_time"},
        {"/api/v1/events?cursor=zzzz", 400, "bad_cursor"},
        {"/api/v1/events?rooms=6,123456", 404, "room_not_found"},
        {"/api/v1/rooms/123456/events", 404, "room_not_found"},
        {"/api/v1/rooms/123456/stats", 404, "room_not_found"},
        {"/api/v1/rooms/123456", 404, "room_not_found"},
        {"/api/v1/rooms/abc", 400, "invalid_parameter"},
        {"/api/v1/rooms/0/events", 400, "invalid_parameter"},
        {"/api/v1/rooms/6/events?rooms=6", 400, "unknown_parameter"},
        {"/api/v1/rooms?order=asc", 400, "unknown_parameter"},
        {"/api/v1/rooms?cursor=AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 400, "cursor_mismatch"},
        {"/api/v1/events/12x", 400, "invalid_parameter"},
        {"/api/v1/events/5", 404, "event_not_found"},
        {"/api/v1/events/5?x=1", 400, "unknown_parameter"},
        {"/api/v1/events/stream?rooms=123456", 404, "room_not_found"},
        {"/api/v1/events/stream?limit=5", 400, "unknown_parameter"},
        {"/api/v1/events/stream?last_event_id=-1", 400, "invalid_parameter"},
        {"/api/v1/events/stream?last_event_id=5&backlog=5", 400, "invalid_parameter"},
        {"/api/v1/stats?x=1", 400, "unknown_parameter"},
        {"/api/v1/capabilities?x=1", 400, "unknown_parameter"},
        {"/api/v1/nothing", 404, "not_found"},
        {"/nothing", 404, "not_found"},
        {"/livez?x=1", 400, "unknown_parameter"},
    };
    (void)api_app_say(a, ROOM, "x");
    commit_all(f);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        (void)api_app_get(a, cases[i].path);
        expect_problem(a, cases[i].status, cases[i].code);
    }
    (void)api_app_send(a, "GET", "/api/v1/events/stream", "Last-Event-ID: x\r\n");
    expect_problem(a, 400, "invalid_parameter");
    (void)api_app_send(a, "GET", "/api/v1/events/stream?backlog=1&last_event_id=0",
                       "Last-Event-ID: 1\r\n");
    expect_problem(a, 400, "invalid_parameter");
    char long_field[5100];
    (void)snprintf(long_field, sizeof(long_field), "X-Long: %05000d\r\n", 0);
    (void)api_app_send(a, "GET", "/livez", long_field);
    expect_problem(a, 431, "head_too_large");
    (void)api_app_send(a, "DELETE", "/api/v1/events", "");
    expect_problem(a, 405, "method_not_allowed");
    assert_true(api_app_has_head(a, "\r\nAllow: GET, HEAD"));
    (void)api_app_get(a, "/api/v1/events?x=1&limit=0&from=z");
    cJSON *j = body(a);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(j, "errors")), 3);
    cJSON_Delete(j);
}

static void test_cursor_of_another_filter(void **state)
{
    struct fixture *f = *state;
    struct page p;
    char path[200];
    for (int i = 0; i < 10; i++) {
        (void)api_app_say(&f->app, ROOM, "x");
    }
    get_page(&f->app, "/api/v1/events?limit=3", &p);
    (void)snprintf(path, sizeof(path), "/api/v1/events?limit=3&kinds=gift&cursor=%s", p.next);
    (void)api_app_get(&f->app, path);
    expect_problem(&f->app, 400, "cursor_mismatch");
    (void)snprintf(path, sizeof(path), "/api/v1/events?limit=3&order=asc&cursor=%s", p.next);
    (void)api_app_get(&f->app, path);
    expect_problem(&f->app, 400, "cursor_mismatch");
}

static void test_database_away(void **state)
{
    struct fixture *f = *state;
    struct api_app *a = &f->app;
    struct page p;
    for (int i = 0; i < 100; i++) {
        (void)api_app_say(a, ROOM, "x");
    }
    commit_all(f);
    db_fake_up(f->db, false);
    get_page(a, "/api/v1/rooms/6/events?limit=50", &p); /* by the ring */
    assert_int_equal(p.n, 50);
    (void)api_app_get(a, "/api/v1/rooms/6/events?limit=100");
    expect_problem(a, 503, "database_unavailable");
    (void)api_app_get(a, "/api/v1/rooms/99/events");
    expect_problem(a, 503, "database_unavailable");
    assert_int_equal(api_app_get(a, "/api/v1/rooms"), 200);
    assert_non_null(strstr(a->body, "\"pending\":true"));
    assert_non_null(strstr(a->body, "\"room_id\":7"));
    assert_int_equal(api_app_get(a, "/api/v1/rooms/6"), 200);
    assert_int_equal(api_app_get(a, "/api/v1/stats"), 200);
    assert_int_equal(api_app_get(a, "/livez"), 200);
    a->unready = "the database is away";
    (void)api_app_get(a, "/readyz");
    expect_problem(a, 503, "not_ready");
    db_fake_up(f->db, true);
    db_fake_fail(f->db, ERR_TIMEOUT);
    (void)api_app_get(a, "/api/v1/rooms/6/events?limit=100");
    expect_problem(a, 503, "query_timeout");
    db_fake_fail(f->db, ERR_TOO_BIG);
    (void)api_app_get(a, "/api/v1/rooms/6/events?limit=100");
    expect_problem(a, 400, "result_too_large");
    db_fake_fail(f->db, ERR_FULL);
    (void)api_app_get(a, "/api/v1/events/5");
    expect_problem(a, 503, "overloaded");
}

/* What has left the ring and is not in the database yet: said, never skipped. */
static void test_pending(void **state)
{
    struct fixture *f = *state;
    struct api_app *a = &f->app;
    struct page p;
    char path[200];
    for (int i = 0; i < 200; i++) {
        (void)api_app_say(a, ROOM, "x");
        if (i == 99) {
            commit_all(f);
        }
    }
    get_page(a, "/api/v1/rooms/6/events?limit=1000", &p);
    assert_int_equal(p.n, 64);
    assert_true(p.pending && p.has_more);
    (void)snprintf(path, sizeof(path), "/api/v1/rooms/6/events?limit=1000&cursor=%s", p.next);
    get_page(a, path, &p);
    assert_int_equal(p.n, 0);
    assert_true(p.pending && p.has_more);
    (void)snprintf(path, sizeof(path), "/api/v1/events/%lld", (long long)a->events[120]->id);
    (void)api_app_get(a, path);
    expect_problem(a, 503, "event_pending");
    commit_all(f);
    (void)snprintf(path, sizeof(path), "/api/v1/rooms/6/events?limit=1000&cursor=%s", p.next);
    get_page(a, path, &p);
    assert_int_equal(p.n, 136);
    assert_false(p.pending || p.has_more);
}

/* Ring and database give the same bytes. */
static void test_one_event(void **state)
{
    struct fixture *f = *state;
    struct api_app *a = &f->app;
    char path[100];
    (void)api_app_say(a, ROOM, "first");
    (void)snprintf(path, sizeof(path), "/api/v1/events/%lld", (long long)a->events[0]->id);
    assert_int_equal(api_app_get(a, path), 200);
    assert_non_null(strstr(a->body, "\"text\":\"first\""));
    char *from_ring = a->body;
    a->body = NULL;
    for (int i = 0; i < 100; i++) {
        (void)api_app_say(a, ROOM, "x");
    }
    commit_all(f);
    assert_int_equal(api_app_get(a, path), 200);
    assert_string_equal(a->body, from_ring);
    free(from_ring);
}

/* ---- rooms, stats, the rest ---- */

static void test_rooms(void **state)
{
    struct fixture *f = *state;
    struct api_app *a = &f->app;
    char path[200];
    char fields[100];
    assert_int_equal(api_app_get(a, "/api/v1/rooms"), 200);
    cJSON *j = body(a);
    const cJSON *data = cJSON_GetObjectItem(j, "data");
    assert_int_equal(cJSON_GetArraySize(data), 3); /* 6 both, 7 collected only, 9 stored only */
    assert_string_equal(cJSON_GetObjectItem(cJSON_GetArrayItem(data, 0), "title")->valuestring,
                        "a title");
    assert_true(cJSON_IsObject(cJSON_GetObjectItem(cJSON_GetArrayItem(data, 1), "collection")));
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(cJSON_GetArrayItem(data, 2), "collection")));
    cJSON_Delete(j);
    const char *etag = strstr(a->head, "ETag: W/");
    assert_non_null(etag);
    (void)snprintf(fields, sizeof(fields), "If-None-Match: %.20s\r\n", etag + 6);
    assert_int_equal(api_app_send(a, "GET", "/api/v1/rooms", fields), 304);
    assert_int_equal(strlen(a->body), 0);

    assert_int_equal(api_app_get(a, "/api/v1/rooms?limit=2"), 200);
    j = body(a);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(j, "data")), 2);
    (void)snprintf(path, sizeof(path), "/api/v1/rooms?limit=2&cursor=%s",
                   cJSON_GetObjectItem(cJSON_GetObjectItem(j, "page"), "next")->valuestring);
    cJSON_Delete(j);
    assert_int_equal(api_app_get(a, path), 200);
    j = body(a);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(j, "data")), 1);
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(cJSON_GetObjectItem(j, "page"), "next")));
    cJSON_Delete(j);

    assert_int_equal(api_app_get(a, "/api/v1/rooms/99"), 200); /* by its short id */
    assert_non_null(strstr(a->body, "\"room_id\":9,"));
    assert_int_equal(api_app_get(a, "/api/v1/rooms/7"), 200);
}

/* Rows whose rooms are known to be otherwise by now are left out, and the page tells what is behind them. */
static void test_rows_out_of_date(void **state)
{
    struct fixture *f = *state;
    struct api_app *a = &f->app;
    char path[200];
    api_app_room(a, 9);
    db_fake_room(f->db, 12, 0);
    for (size_t i = 0; i < a->n_rooms; i++) {
        a->rooms[i].live = 0;
    }
    assert_int_equal(api_app_get(a, "/api/v1/rooms?live=true&limit=1"), 200);
    cJSON *j = body(a); /* the rows of 6 and 9 say they are */
    const cJSON *page = cJSON_GetObjectItem(j, "page");
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(j, "data")), 0);
    assert_true(cJSON_IsTrue(cJSON_GetObjectItem(page, "has_more")));
    (void)snprintf(path, sizeof(path), "/api/v1/rooms?live=true&limit=1&cursor=%s",
                   cJSON_GetObjectItem(page, "next")->valuestring);
    cJSON_Delete(j);
    assert_int_equal(api_app_get(a, path), 200);
    assert_non_null(strstr(a->body, "\"room_id\":12,"));
    assert_non_null(strstr(a->body, "\"has_more\":false"));
}

static void test_stats(void **state)
{
    struct fixture *f = *state;
    struct api_app *a = &f->app;
    int64_t minute = API_APP_NOW / 60000;
    db_fake_minute(f->db, ROOM, minute - 5, 40);
    db_fake_minute(f->db, OTHER, minute - 5, 2);
    db_fake_minute(f->db, ROOM, minute - 1,
                   999); /* above the mark: not final, counted from events */
    db_fake_mark(f->db, minute - 1);
    a->mark = 0;
    for (int i = 0; i < 3; i++) {
        struct event_draft d;
        event_draft_init(&d, EVENT_DANMAKU, ROOM);
        d.actor = i < 2 ? 1 : 2;
        (void)api_app_publish(a, i == 0 ? 3600000 - 30000 : 1, &d);
    }
    assert_int_equal(api_app_get(a, "/api/v1/rooms/6/stats?since=10m"), 200);
    cJSON *j = body(a);
    cJSON *data = cJSON_GetObjectItem(j, "data");
    cJSON *rows = cJSON_GetObjectItem(data, "rows");
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(data, "columns")),
                     9); /* no sums of money */
    assert_int_equal(cJSON_GetArraySize(rows), 11);
    int sum = 0;
    const cJSON *row;
    cJSON_ArrayForEach(row, rows)
    {
        assert_int_equal(cJSON_GetArraySize(row), 9);
        sum += cJSON_GetArrayItem(row, 1)->valueint;
    }
    assert_int_equal(sum, 43);
    assert_int_equal(cJSON_GetArrayItem(cJSON_GetArrayItem(rows, 9), 8)->valueint,
                     2); /* chatters */
    assert_true(
        cJSON_IsTrue(cJSON_GetObjectItem(cJSON_GetObjectItem(j, "completeness"), "pending")));
    cJSON_Delete(j);
    assert_int_equal(api_app_get(a, "/api/v1/stats"), 200);
    assert_non_null(strstr(a->body, "\"series\":null"));
    assert_int_equal(api_app_get(a, "/api/v1/stats?since=10m"), 200);
    assert_non_null(strstr(a->body, ",42,0,"));
    (void)api_app_get(a, "/api/v1/rooms/6/stats?from=2025-11-24T15:00:00Z&to=2025-11-24T15:30:00Z");
    assert_int_equal(a->status, 200);
    assert_true(api_app_has_head(a, "max-age=60"));
    j = body(a);
    assert_int_equal(
        cJSON_GetArraySize(cJSON_GetObjectItem(cJSON_GetObjectItem(j, "data"), "rows")), 30);
    cJSON_Delete(j);
}

static void test_plain_endpoints(void **state)
{
    struct fixture *f = *state;
    struct api_app *a = &f->app;
    assert_int_equal(api_app_get(a, "/livez"), 200);
    assert_int_equal(api_app_get(a, "/readyz"), 200);
    assert_int_equal(api_app_get(a, "/metrics"), 200);
    assert_non_null(strstr(a->body, "# TYPE danmakud_streams gauge"));
    assert_true(api_app_has_head(a, "Content-Type: text/plain; version=0.0.4"));
    assert_int_equal(api_app_get(a, "/openapi.yaml"), 200);
    assert_true(str_starts(str_of(a->body), STR("openapi: 3.1")));
    assert_int_equal(api_app_get(a, "/"), 200);
    assert_true(api_app_has_head(a, "Content-Security-Policy: default-src 'self'"));
    assert_int_equal(api_app_get(a, "/assets/app.js"), 200);
    assert_int_equal(api_app_get(a, "/assets/app.css"), 200);
    assert_int_equal(api_app_get(a, "/api/v1/capabilities"), 200);
    assert_non_null(strstr(a->body, "\"scopes\":[\"read\",\"stream\"]"));
    assert_int_equal(api_app_send(a, "HEAD", "/api/v1/rooms", ""), 200);
    assert_int_equal(strlen(a->body), 0);
    assert_int_equal(api_app_send(a, "HEAD", "/api/v1/events/stream", ""), 200);
}

static void test_cors(void **state)
{
    struct fixture *f = *state;
    struct api_app *a = &f->app;
    char *origins[] = {(char[]){"https://good.example"}};
    assert_int_equal(api_app_send(a, "GET", "/livez", "Origin: https://good.example\r\n"), 200);
    assert_false(api_app_has_head(a, "Access-Control-"));
    a->config.cors_origins = (struct config_list){origins, 1};
    assert_int_equal(api_app_send(a, "GET", "/livez", "Origin: https://good.example\r\n"), 200);
    assert_true(api_app_has_head(a, "Access-Control-Allow-Origin: https://good.example"));
    assert_true(api_app_has_head(a, "Vary: Origin"));
    assert_int_equal(api_app_send(a, "GET", "/livez", "Origin: https://good.example.evil\r\n"),
                     200);
    assert_false(api_app_has_head(a, "Access-Control-Allow-Origin"));
    assert_true(api_app_has_head(a, "Vary: Origin"));
    (void)api_app_send(a, "OPTIONS", "/api/v1/events",
                       "Origin: https://good.example\r\nAccess-Control-Request-Method: GET\r\n");
    assert_int_equal(a->status, 204);
    assert_true(api_app_has_head(a, "Access-Control-Allow-Methods: GET"));
    (void)api_app_send(a, "OPTIONS", "/api/v1/events",
                       "Origin: https://evil.example\r\nAccess-Control-Request-Method: GET\r\n");
    assert_false(api_app_has_head(a, "Access-Control-Allow-Methods"));
    origins[0] = (char[]){"*"};
    assert_int_equal(api_app_send(a, "GET", "/livez", "Origin: https://any.example\r\n"), 200);
    assert_true(api_app_has_head(a, "Access-Control-Allow-Origin: *"));
}

/* ---- tokens ---- */

static void add_token(struct fixture *f, char token[static TOKEN_TEXT_LEN + 1], const char *scopes,
                      int64_t expires)
{
    uint8_t hash[TOKEN_HASH_BYTES];
    token_make(token);
    assert_true(token_hash(str_of(token), hash));
    db_fake_token(f->db, "t", (struct str){(char *)hash, sizeof(hash)}, scopes, expires);
}

static unsigned get_as(struct api_app *a, const char *method, const char *path, const char *token)
{
    char fields[128];
    (void)snprintf(fields, sizeof(fields), "Authorization: Bearer %s\r\n", token);
    return api_app_send(a, method, path, fields);
}

static void test_tokens(void **state)
{
    struct fixture *f = *state;
    struct api_app *a = &f->app;
    char reader[TOKEN_TEXT_LEN + 1];
    char old[TOKEN_TEXT_LEN + 1];
    char unknown[TOKEN_TEXT_LEN + 1];
    token_make(unknown);
    (void)api_app_get(a, "/api/v1/rooms"); /* public, no token exists: closed */
    expect_problem(a, 401, "unauthenticated");
    assert_true(api_app_has_head(a, "\r\nWWW-Authenticate: Bearer"));
    assert_int_equal(api_app_get(a, "/livez"), 200);
    assert_int_equal(api_app_get(a, "/"), 200);
    assert_int_equal(api_app_get(a, "/openapi.yaml"), 200);
    (void)api_app_get(a, "/metrics");
    expect_problem(a, 401, "unauthenticated");

    add_token(f, reader, "read", 0);
    add_token(f, old, "read", API_APP_NOW - 1);
    (void)get_as(a, "GET", "/api/v1/rooms",
                 reader); /* just made: but the table was read a moment ago */
    expect_problem(a, 401, "unauthenticated");
    clock_fake_advance(&a->clock, 1500);
    assert_int_equal(get_as(a, "GET", "/api/v1/rooms", reader), 200);
    assert_true(api_app_has_head(a, "private"));
    (void)get_as(a, "GET", "/api/v1/rooms", old);
    expect_problem(a, 401, "unauthenticated");
    (void)get_as(a, "GET", "/api/v1/rooms", "dmk_short");
    expect_problem(a, 401, "unauthenticated");
    size_t queries = db_fake_n_queries(f->db);
    for (int i = 0; i < 5; i++) { /* guessing does not reach the database */
        (void)get_as(a, "GET", "/api/v1/rooms", unknown);
        expect_problem(a, 401, "unauthenticated");
    }
    assert_int_equal(db_fake_n_queries(f->db), queries);
    (void)get_as(a, "GET", "/api/v1/events/stream", reader);
    expect_problem(a, 403, "forbidden");
    (void)get_as(a, "POST", "/api/v1/stream-tickets", reader);
    expect_problem(a, 403, "forbidden");

    db_fake_up(f->db, false); /* known tokens go on working */
    assert_int_equal(get_as(a, "GET", "/api/v1/capabilities", reader), 200);
    clock_fake_advance(&a->clock, 1500);
    (void)get_as(a, "GET", "/api/v1/capabilities", unknown);
    expect_problem(a, 401, "unauthenticated");
    db_fake_up(f->db, true);
    db_fake_drop_tokens(f->db); /* revoked */
    clock_fake_advance(&a->clock, 31000);
    for (int i = 0; i < 20; i++) {
        http_client_turn(a->loop);
    }
    (void)get_as(a, "GET", "/api/v1/capabilities", reader);
    expect_problem(a, 401, "unauthenticated");
}

static void test_tickets(void **state)
{
    struct fixture *f = *state;
    struct api_app *a = &f->app;
    char token[TOKEN_TEXT_LEN + 1];
    char path[128];
    add_token(f, token, "read,stream", 0);
    clock_fake_advance(&a->clock, 1500);
    assert_int_equal(get_as(a, "POST", "/api/v1/stream-tickets", token), 201);
    cJSON *j = body(a);
    (void)snprintf(path, sizeof(path), "/api/v1/events/stream?ticket=%s",
                   cJSON_GetObjectItem(cJSON_GetObjectItem(j, "data"), "ticket")->valuestring);
    cJSON_Delete(j);
    struct sse_client c;
    sse_open(a, &c, path, "");
    sse_next(a, &c);
    assert_string_equal(c.event, "hello");
    sse_close(&c);
    (void)api_app_get(a, path); /* once only */
    expect_problem(a, 401, "unauthenticated");
    (void)api_app_get(a, "/api/v1/rooms?ticket=x");
    expect_problem(a, 401, "unauthenticated");
    for (int i = 0; i < 256; i++) {
        assert_int_equal(get_as(a, "POST", "/api/v1/stream-tickets", token), 201);
    }
    (void)get_as(a, "POST", "/api/v1/stream-tickets", token);
    expect_problem(a, 429, "too_many_tickets");
    clock_fake_advance(&a->clock, 61000);
    assert_int_equal(get_as(a, "POST", "/api/v1/stream-tickets", token), 201);
}

/* Nobody gets in while it is not known whether there are tokens. */
static void test_tokens_not_read_yet(void **state)
{
    (void)state;
    struct fixture *f = mem_new(struct fixture);
    api_app_init(&f->app, 64);
    f->db = db_fake_new(f->app.loop);
    db_fake_hold(f->db, true);
    api_app_listen(&f->app, f->db, true);
    struct http_client *c = http_client_open(f->app.loop, NULL, http_port(f->app.http));
    http_client_get(c, "/api/v1/capabilities");
    struct http_client *gone = http_client_open(f->app.loop, NULL, http_port(f->app.http));
    http_client_get(gone, "/api/v1/capabilities");
    struct http_reply r;
    for (int i = 0; i < 50; i++) {
        http_client_turn(f->app.loop);
    }
    assert_false(http_client_peek(c, false, &r));
    http_client_reset(gone);
    db_fake_hold(f->db, false);
    HTTP_WAIT(f->app.loop, http_client_whole(c, false, &r));
    assert_int_equal(r.status, 200);
    http_client_close(c);
    void *s = f;
    (void)teardown(&s);
}

/* The database is away from the start: whether there are tokens cannot be known, so nobody gets in. */
static void test_tokens_unknown(void **state)
{
    (void)state;
    struct fixture *f = mem_new(struct fixture);
    api_app_init(&f->app, 64);
    f->db = db_fake_new(f->app.loop);
    db_fake_up(f->db, false);
    api_app_listen(&f->app, f->db, true);
    static const char *const paths[] = {"/api/v1/rooms", "/api/v1/capabilities", "/metrics",
                                        "/api/v1/events/stream"};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        (void)api_app_get(&f->app, paths[i]);
        expect_problem(&f->app, 503, "database_unavailable");
    }
    (void)api_app_send(&f->app, "POST", "/api/v1/stream-tickets", "");
    expect_problem(&f->app, 503, "database_unavailable");
    assert_int_equal(api_app_get(&f->app, "/livez"), 200);
    db_fake_up(f->db, true);
    clock_fake_advance(&f->app.clock, 1100); /* it asks again by itself */
    for (int i = 0; i < 20; i++) {
        http_client_turn(f->app.loop);
    }
    assert_int_equal(api_app_get(&f->app, "/api/v1/capabilities"), 200);
    void *s = f;
    (void)teardown(&s);
}

static void test_routes(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 65536);
    api_print_routes(&b);
    buf_put_c(&b, '\0');
    assert_true(buf_ok(&b));
    assert_non_null(strstr(b.data, "GET /api/v1/rooms/{room}/events read listRoomEvents\n"));
    assert_non_null(strstr(b.data, "POST /api/v1/stream-tickets stream createStreamTicket\n"));
    buf_deinit(&b);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pages_over_the_seam, setup, teardown),
        cmocka_unit_test_setup_teardown(test_list_filters, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_requests, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cursor_of_another_filter, setup, teardown),
        cmocka_unit_test_setup_teardown(test_database_away, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pending, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_event, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rooms, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rows_out_of_date, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stats, setup, teardown),
        cmocka_unit_test_setup_teardown(test_plain_endpoints, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tokens, setup_public, teardown),
        cmocka_unit_test_setup_teardown(test_tickets, setup_public, teardown),
        cmocka_unit_test(test_tokens_not_read_yet),
        cmocka_unit_test(test_tokens_unknown),
        cmocka_unit_test(test_routes),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
