/* The api over a real PostgreSQL: what the statements mean, that rows and ring give the same bytes, tokens, and a
 * database that goes away. Rows get there as the writer's do. */
#include <cjson/cJSON.h>

#include "api/api_priv.h"
#include "api/reader.h"
#include "api/token_command.h"
#include "collector/writer/batch.h"
#include "server/core/log.h"
#include "server/core/mem.h"
#include "server/db/db_session.h"
#include "server/db/migrate.h"
#include "tests/support/api_app.h"
#include "tests/support/pg_server.h"
#include "tests/support/run.h"

enum { ROOM = 6, OTHER = 7, RING = 256 };

static struct pg_server *server;

struct fixture {
    struct api_app app;
    char conninfo[PG_SERVER_CONNINFO_BYTES];
    struct db *db;
    struct db_session *session;
    size_t committed;
    bool done;
};

static void set_flag(void *ctx)
{
    *(bool *)ctx = true;
}

static void on_up(void *ctx ATTR_UNUSED)
{
}

static void on_down(void *ctx ATTR_UNUSED, const struct err *err ATTR_UNUSED)
{
}

static void start(struct fixture *f, size_t ring)
{
    struct db_opts opts = {.conninfo = f->conninfo,
                           .pool = 2,
                           .max_queue = 100,
                           .connect_timeout_ms = 60000,
                           .timeout_ms = 60000,
                           .max_result_bytes = 16 << 20,
                           .application_name = "test_api_db"};
    struct db_session_opts session = {.conninfo = f->conninfo,
                                      .application_name = "test_api_db",
                                      .connect_timeout_ms = 60000,
                                      .timeout_ms = 60000,
                                      .on_up = on_up,
                                      .on_down = on_down};
    api_app_init(&f->app, ring);
    f->app.mark = 0; /* the writer has found the database empty */
    f->db = db_new(f->app.loop, &opts, f->app.stats);
    f->session = db_session_new(f->app.loop, &session, f->app.stats);
    api_app_room(&f->app, ROOM);
    api_app_room(&f->app, OTHER);
    api_app_listen(&f->app, f->db, true);
    HTTP_WAIT(f->app.loop, db_is_up(f->db) && db_session_is_up(f->session));
    assert_int_equal(api_app_get(&f->app, "/api/v1/capabilities"), 200);
}

static void stop(struct fixture *f)
{
    bool db_closed = false;
    bool session_closed = false;
    api_app_close(&f->app);
    db_close(f->db, set_flag, &db_closed);
    db_session_close(f->session, set_flag, &session_closed);
    HTTP_WAIT(f->app.loop, db_closed && session_closed);
    api_app_deinit(&f->app);
}

static int setup(void **state)
{
    struct fixture *f = mem_new(struct fixture);
    struct migrate_result result;
    pg_server_new_db(server, f->conninfo);
    assert_int_equal(migrate_run(f->conninfo, &result, NULL), ERR_OK);
    pg_server_sql(f->conninfo, "SELECT partition_make_day('event', '2025-11-24'), "
                               "partition_make_day('event', '2025-11-23')");
    start(f, RING);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    stop(f);
    mem_free(f);
    return 0;
}

static void copied(void *ctx, enum err_code code, const struct err *err,
                   const struct db_rows *rows ATTR_UNUSED)
{
    struct fixture *f = ctx;
    if (code != ERR_OK) {
        fail_msg("COPY: %s", err->msg);
    }
    f->done = true;
}

/* Events up to n go to the database, as the writer does it. */
static void commit(struct fixture *f, size_t n)
{
    struct buf b;
    buf_init(&b, 64 << 20);
    for (; f->committed < n; f->committed++) {
        batch_put(&b, f->app.events[f->committed]);
    }
    f->done = false;
    assert_int_equal(db_session_copy(f->session, BATCH_COPY_SQL, buf_str(&b), copied, f, NULL),
                     ERR_OK);
    HTTP_WAIT(f->app.loop, f->done);
    f->app.mark = f->app.events[n - 1]->id; /* not before: the mark is a promise */
    buf_deinit(&b);
}

/* An event with anything in its fields; half of them have their defaults. */
static void publish_any(struct fixture *f, struct rng *rng, int64_t room_id)
{
    static const char *const texts[] = {"", "x", "弹幕", "a\tb\\n\n\"c\"", "\\N", "😀 e\u0301 \x01"};
    static const char *const extras[] = {"", "{\"a\":1}", "{\"t\":\"\\u0041\\n\\\\ \",\"n\":1.50}",
                                         "{\"medal_room_id\":55,\"z\":[1, 2]}"};
    struct event_draft d;
    event_draft_init(&d, (enum event_kind)rng_between(rng, 1, EVENT_KIND_END - 1), room_id);
#define MAYBE(field, low, high)                                                                    \
    if (rng_below(rng, 2) == 0) {                                                                  \
        d.field = (__typeof__(d.field))rng_between(rng, low, high);                                \
    }
    MAYBE(nkey, INT64_MIN, INT64_MAX)
    MAYBE(actor, -5, 5)
    MAYBE(actor, INT64_MIN + 1, INT64_MAX)
    MAYBE(sent_ms, API_APP_NOW - 100000, API_APP_NOW)
    MAYBE(sent_ms, 0, API_APP_NOW * 2)
    MAYBE(item_id, -1, INT64_MAX)
    MAYBE(medal_uid, 0, INT64_MAX)
    MAYBE(color, INT32_MIN, INT32_MAX)
    MAYBE(num, INT32_MIN, INT32_MAX)
    MAYBE(flags, 0, 63)
    MAYBE(guard, 0, 3)
    MAYBE(medal_lv, 0, 40)
    MAYBE(mode, 0, 9)
    MAYBE(wealth, 0, 100)
#undef MAYBE
    if (d.kind == EVENT_RECALL) {
        d.actor =
            0; /* of nobody: rows about what it hits are the writer's work, which is not here */
    }
    if (event_kind_is_paid((enum event_kind)d.kind)) {
        d.value_mcny = rng_between(rng, 0, 5) * 100;
    }
    d.uname = str_of(texts[rng_below(rng, ARRAY_LEN(texts))]);
    d.text = str_of(texts[rng_below(rng, ARRAY_LEN(texts))]);
    d.medal = str_of(texts[rng_below(rng, ARRAY_LEN(texts))]);
    d.extra = str_of(extras[rng_below(rng, ARRAY_LEN(extras))]);
    (void)api_app_publish(&f->app, rng_between(rng, 0, 3) * rng_between(rng, 0, 2000), &d);
}

static void expect_same(const char *a, const char *b)
{
    size_t i = 0;
    while (a[i] == b[i] && a[i] != '\0') {
        i++;
    }
    if (a[i] != b[i]) {
        size_t from = i > 200 ? i - 200 : 0;
        (void)fprintf(stderr, "differ at %zu:\n%.300s\n%.300s\n", i, a + from, b + from);
        fail();
    }
}

/* What somebody else wrote into the table is answered as far as it can be; it does not end the service. */
static void test_foreign_row(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i <= RING; i++) {
        (void)api_app_say(&f->app, i == 0 ? ROOM : OTHER, "one leaves the ring");
    }
    commit(f, f->app.n);
    pg_server_sql(f->conninfo, "UPDATE event SET extra = json_build_object('x', repeat('y', 9000)) "
                               "WHERE room_id = 6");
    assert_int_equal(api_app_get(&f->app, "/api/v1/rooms/6/events"), 200);
    assert_non_null(strstr(f->app.body, "one leaves the ring"));
    assert_null(strstr(f->app.body, "yyyy"));
}

static void test_same_bytes(void **state)
{
    struct fixture *f = *state;
    struct rng rng;
    static const char path[] =
        "/api/v1/rooms/6/events?order=asc&from=2025-11-24T15:00:00.002Z&limit=1000";
    test_rng(&rng);
    (void)api_app_say(&f->app, ROOM, "before the range");
    commit(f, 1);
    for (int i = 0; i < 200; i++) {
        publish_any(f, &rng, ROOM);
    }
    assert_int_equal(api_app_get(&f->app, path), 200);
    char *from_ring = f->app.body;
    f->app.body = NULL;
    assert_int_equal(stats_get(f->app.stats, STAT_API_DB_READS), 0);
    commit(f, f->app.n);
    for (int i = 0; i < RING; i++) {
        (void)api_app_say(&f->app, OTHER, "pushes the others out of the ring");
    }
    commit(f, f->app.n);
    assert_int_equal(api_app_get(&f->app, path), 200);
    assert_true(stats_get(f->app.stats, STAT_API_DB_READS) > 0);
    expect_same(f->app.body, from_ring);
    free(from_ring);
}

static void read_done(void *ctx)
{
    ((struct fixture *)ctx)->done = true;
}

/* Some lives of the rooms 5 to 8, by room, in the table and in spans; 9 is never live. Returns how many. */
static size_t lives_of(struct fixture *f, struct rng *rng, struct filter_span spans[static 100])
{
    const struct api_app *app = &f->app;
    char sql[256];
    size_t n = 0;
    for (int64_t room = 5; room < 9; room++) {
        for (size_t i = (size_t)rng_below(rng, 200); i < app->n && n < 100;) {
            struct filter_span *s = &spans[n++];
            const size_t end = i + (size_t)rng_below(rng, 150);
            *s = (struct filter_span){.room_id = room, .low = app->events[i]->id, .high = ID_MAX};
            if (end < app->n) {
                s->high = app->events[end]->id + 1;
                (void)snprintf(sql, sizeof(sql),
                               "INSERT INTO session VALUES (%zu, %lld, %lld, %lld, 'poll')", n,
                               (long long)room, (long long)s->low, (long long)s->high - 1);
            } else {
                (void)snprintf(sql, sizeof(sql), "INSERT INTO session VALUES (%zu, %lld, %lld)", n,
                               (long long)room, (long long)s->low);
            }
            pg_server_sql(f->conninfo, sql);
            i = end + 1 + (size_t)rng_below(rng, 150);
        }
    }
    return n;
}

static bool is_live(const struct filter_span *spans, size_t n, const struct event *e)
{
    for (size_t i = 0; i < n; i++) {
        if (spans[i].room_id == e->room_id && e->id >= spans[i].low && e->id < spans[i].high) {
            return true;
        }
    }
    return false;
}

/* What the statements select, in both directions, with every kind of filter: the events of a plain array. */
static void test_statements(void **state)
{
    struct fixture *f = *state;
    struct api_app *app = &f->app;
    struct rng rng;
    test_rng(&rng);
    for (int i = 0; i < 1500; i++) {
        publish_any(f, &rng, rng_between(&rng, 5, 9));
    }
    commit(f, app->n);
    pg_server_sql(f->conninfo,
                  "INSERT INTO room (room_id, origin, created_ms) SELECT g, 'config', 0 FROM "
                  "generate_series(5, 9) g");
    struct api model = {.opts = {.loop = app->loop, .db = f->db, .feed = feed_new(2, 1 << 20)}};
    struct api *real = app->api;
    model.opts.ops = real->opts.ops;
    struct filter_span spans[100];
    const size_t n_spans = lives_of(f, &rng, spans);
    for (int round = 0; round < 240; round++) {
        int64_t rooms[] = {5, 6, 7, 9, 123};
        size_t first = (size_t)rng_below(&rng, 5);
        struct reader r;
        struct reader_opts opts = {
            .filter = {.rooms = rooms + first,
                       .n_rooms = (size_t)rng_below(&rng, 6 - first),
                       .kinds = (uint32_t[]){0, 1u << EVENT_GIFT,
                                             1u << EVENT_DANMAKU |
                                                 1u << EVENT_GUARD}[rng_below(&rng, 3)],
                       .min_value = rng_below(&rng, 4) == 0 ? 300 : 0,
                       .live = (enum filter_live)rng_below(&rng, 3),
                       .spans = spans,
                       .n_spans = n_spans},
            .descending = rng_below(&rng, 2) == 0,
            .low = rng_below(&rng, 2) == 0 ? 0 : app->events[rng_below(&rng, app->n)]->id,
            .high = rng_below(&rng, 2) == 0 ? app->mark + 1
                                            : app->events[rng_below(&rng, app->n)]->id + 1,
            .limit = (size_t)rng_between(&rng, 1, 300),
            .done = read_done,
            .ctx = f,
        };
        f->done = false;
        reader_init(&r, &model, &opts);
        if (!reader_start(&r)) {
            HTTP_WAIT(app->loop, f->done);
        }
        assert_int_equal(r.code, ERR_OK);
        size_t k = 0;
        for (size_t i = 0; i < app->n && k < r.n; i++) {
            const struct event *want = app->events[opts.descending ? app->n - 1 - i : i];
            const bool live = is_live(spans, n_spans, want);
            assert_true(opts.filter.live == FILTER_ANY || !filter_match(&opts.filter, want) ||
                        live == (opts.filter.live == FILTER_INSIDE));
            if (want->id >= opts.low && want->id < opts.high && filter_match(&opts.filter, want)) {
                assert_true(r.items[k++].event->id == want->id);
            }
        }
        assert_int_equal(k, r.n);
        assert_true(r.n == opts.limit || !r.more);
        reader_deinit(&r);
    }
    feed_free(model.opts.feed);
}

/* Pages of a room that lies in both, and one event that lies in the database alone. */
static void test_over_http(void **state)
{
    struct fixture *f = *state;
    char path[200];
    for (int i = 0; i < 700; i++) {
        (void)api_app_say(&f->app, i % 3 == 0 ? OTHER : ROOM, "text");
        if (i == 600) {
            commit(f, f->app.n);
        }
    }
    size_t n = 0;
    (void)snprintf(path, sizeof(path), "/api/v1/events?limit=90");
    for (bool more = true; more;) {
        assert_int_equal(api_app_get(&f->app, path), 200);
        cJSON *j = cJSON_Parse(f->app.body);
        const cJSON *item;
        cJSON_ArrayForEach(item, cJSON_GetObjectItem(j, "data"))
        {
            int64_t id;
            assert_true(str_to_i64(str_of(cJSON_GetObjectItem(item, "id")->valuestring), &id));
            assert_true(id == f->app.events[699 - n]->id);
            n++;
        }
        const cJSON *page = cJSON_GetObjectItem(j, "page");
        more = cJSON_IsTrue(cJSON_GetObjectItem(page, "has_more"));
        if (more) {
            (void)snprintf(path, sizeof(path), "/api/v1/events?limit=90&cursor=%s",
                           cJSON_GetObjectItem(page, "next")->valuestring);
        }
        cJSON_Delete(j);
    }
    assert_int_equal(n, 700);
    (void)snprintf(path, sizeof(path), "/api/v1/events/%lld", (long long)f->app.events[3]->id);
    assert_int_equal(api_app_get(&f->app, path), 200);
    (void)snprintf(path, sizeof(path), "/api/v1/events/%lld", (long long)f->app.events[3]->id + 1);
    assert_int_equal(api_app_get(&f->app, path), 404);
}

/* Counted from the ring, from events in the database, and read from roll-ups: the same figures. */
static void test_minutes(void **state)
{
    struct fixture *f = *state;
    struct rng rng;
    test_rng(&rng);
    (void)api_app_say(&f->app, ROOM, "before the range");
    commit(f, 1);
    for (int i = 0; i < RING - 2; i++) {
        publish_any(f, &rng, i % 3 == 0 ? OTHER : ROOM);
    }
    static const char *const paths[] = {
        "/api/v1/rooms/6/stats?from=2025-11-24T15:01:00Z&to=2025-11-24T15:50:00Z",
        "/api/v1/stats?from=2025-11-24T15:01:00Z&to=2025-11-24T15:50:00Z",
    };
    char *want[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(api_app_get(&f->app, paths[i]), 200);
        const char *rows = strstr(f->app.body, "\"rows\":[[");
        assert_non_null(rows);
        want[i] = strdup(rows);
        assert_null(strstr(rows, "pending\":true"));
    }
    commit(f, f->app.n);
    size_t n = f->app.n;
    clock_fake_advance(&f->app.clock, 600000);
    for (int i = 0; i < RING * 2; i++) { /* behind the range, so that only the database has it */
        struct event_draft d;
        event_draft_init(&d, EVENT_DANMAKU, i % 2 == 0 ? ROOM : OTHER);
        (void)api_app_publish(&f->app,
                              i == 0 ? id_ts_ms(id_first_of_ms(API_APP_NOW)) -
                                           id_ts_ms(f->app.events[n - 1]->id) + 1000
                                     : 0,
                              &d);
    }
    commit(f, f->app.n);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(api_app_get(&f->app, paths[i]), 200);
        expect_same(strstr(f->app.body, "\"rows\":[["), want[i]);
    }
    /* The writer's roll-up, in short. */
    pg_server_sql(f->conninfo,
                  "INSERT INTO rollup_mark (minute) VALUES (29400000);"
                  "INSERT INTO room_minute SELECT room_id, ((id >> 22) + 1577836800000) / 60000, "
                  "count(*) FILTER (WHERE kind = 1), count(*) FILTER (WHERE kind = 2), count(*) "
                  "FILTER (WHERE kind = 3), "
                  "count(*) FILTER (WHERE kind = 5), count(*) FILTER (WHERE kind = 6), count(*) "
                  "FILTER (WHERE kind = 8), "
                  "count(*) FILTER (WHERE kind NOT IN (1, 2, 3, 5, 6, 8)), count(DISTINCT actor) "
                  "FILTER (WHERE kind = 1) "
                  "FROM event WHERE ((id >> 22) + 1577836800000) / 60000 < 29400000 GROUP BY 1, 2");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(api_app_get(&f->app, paths[i]), 200);
        expect_same(strstr(f->app.body, "\"rows\":[["), want[i]);
        free(want[i]);
    }
    assert_int_equal(pg_server_i64(f->conninfo, "SELECT count(*) FROM room_minute") > 2, 1);
}

/* ---- tokens ---- */

struct command {
    bool done;
    int exit_code;
    char out[1000];
    char err[1000];
};

static void command_done(void *ctx, int exit_code, struct str out, struct str err)
{
    struct command *c = ctx;
    assert_false(c->done);
    c->done = true;
    c->exit_code = exit_code;
    (void)snprintf(c->out, sizeof(c->out), STR_FMT, STR_ARG(out));
    (void)snprintf(c->err, sizeof(c->err), STR_FMT, STR_ARG(err));
}

static struct command run(struct fixture *f, const char *line)
{
    struct command c = {0};
    char text[200];
    char *argv[8];
    int argc = 0;
    (void)snprintf(text, sizeof(text), "%s", line);
    for (char *p = text; *p != '\0' && argc < 8;) {
        argv[argc++] = p;
        p += strcspn(p, " ");
        if (*p == ' ') {
            *p++ = '\0';
        }
    }
    struct token_command_opts opts = {.loop = f->app.loop,
                                      .db = f->db,
                                      .argc = argc,
                                      .argv = argv,
                                      .done = command_done,
                                      .ctx = &c};
    api_token_command(&opts);
    assert_false(c.done);
    HTTP_WAIT(f->app.loop, c.done);
    return c;
}

static void test_token_command(void **state)
{
    struct fixture *f = *state;
    char fields[200];
    struct command c = run(f, "list");
    assert_int_equal(c.exit_code, 0);
    assert_string_equal(c.out, "");
    c = run(f, "add grafana --scopes=read,users:read --expires=90d");
    assert_int_equal(c.exit_code, 0);
    assert_int_equal(strlen(c.out), 48); /* with its line's end */
    (void)snprintf(fields, sizeof(fields), "Authorization: Bearer %.47s\r\n", c.out);
    assert_int_equal(run(f, "add grafana").exit_code, 1);
    clock_fake_advance(&f->app.clock, 2000);
    assert_int_equal(api_app_send(&f->app, "GET", "/api/v1/capabilities", fields), 200);
    assert_non_null(strstr(f->app.body, "\"scopes\":[\"read\",\"users:read\"]"));
    assert_int_equal(api_app_get(&f->app, "/api/v1/capabilities"), 401); /* now that there is one */
    c = run(f, "list");
    assert_non_null(strstr(c.out, "grafana\tscopes=read,users:read\tcreated=2025-11-24T16:"));
    assert_null(strstr(c.out, "dmk_"));
    assert_int_equal(pg_server_i64(f->conninfo, "SELECT octet_length(hash) FROM api_token"), 32);
    assert_int_equal(run(f, "revoke grafana").exit_code, 0);
    assert_int_equal(run(f, "revoke grafana").exit_code, 1);
    static const char *const wrong[] = {"",
                                        "add",
                                        "add a b",
                                        "add --scopes=read",
                                        "add a --scopes=all",
                                        "add a/b",
                                        "add a --expires=never",
                                        "list x",
                                        "revoke",
                                        "remove a"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        c = run(f, wrong[i]);
        assert_int_equal(c.exit_code, 2);
        const char *end = strchr(c.err, '\n'); /* one line: how it is called, the caller says */
        assert_true(end != NULL && end > c.err && end[1] == '\0');
    }
}

static void test_rooms(void **state)
{
    struct fixture *f = *state;
    pg_server_sql(f->conninfo, "INSERT INTO room (room_id, short_id, anchor_uid, uname, title, "
                               "area, live, origin, created_ms) VALUES "
                               "(6, 3, 42, 'name', 'a \"title\"', 'area', true, 'config', 0), "
                               "(900, NULL, NULL, NULL, NULL, NULL, "
                               "NULL, 'api', 0)");
    assert_int_equal(api_app_get(&f->app, "/api/v1/rooms"), 200);
    assert_non_null(strstr(f->app.body,
                           "\"room_id\":6,\"short_id\":3,\"anchor_uid\":42,\"uname\":\"name\","
                           "\"title\":\"a \\\"title\\\"\""));
    assert_non_null(strstr(f->app.body, "\"live\":true"));
    assert_non_null(strstr(f->app.body, "\"room_id\":900"));
    assert_int_equal(api_app_get(&f->app, "/api/v1/rooms/3"), 200);
    assert_int_equal(api_app_get(&f->app, "/api/v1/rooms/3/events"), 200);
    assert_int_equal(api_app_get(&f->app, "/api/v1/events?rooms=3,6,900"), 200);
    assert_int_equal(api_app_get(&f->app, "/api/v1/events?rooms=3,6,901"), 404);
    assert_non_null(strstr(f->app.body, "room 901"));
}

/* A stream goes on where it was, in another process with an empty ring, while new events come. */
static void test_resume_over_a_restart(void **state)
{
    struct fixture *f = *state;
    char fields[64];
    int64_t ids[1200];
    for (int i = 0; i < 900; i++) {
        ids[i] = api_app_say(&f->app, ROOM, "before")->id;
    }
    commit(f, f->app.n);
    int64_t mark = f->app.mark;
    stop(f);
    f->committed = 0;
    start(f, RING);
    f->app.mark = mark;
    /* Ids go on behind the old ones. */
    struct event_draft d;
    event_draft_init(&d, EVENT_DANMAKU, ROOM);
    for (int i = 900; i < 1200; i++) {
        ids[i] = api_app_publish(&f->app, i == 900 ? 60000 : 1, &d)->id;
    }
    struct sse_client c;
    (void)snprintf(fields, sizeof(fields), "Last-Event-ID: %lld\r\n", (long long)ids[99]);
    sse_open(&f->app, &c, "/api/v1/events/stream", fields);
    sse_next(&f->app, &c);
    assert_string_equal(c.event, "hello");
    for (int i = 100; i < 1200; i++) {
        if (i == 600) {
            commit(f, f->app.n);
        }
        bool got = false;
        struct patience p = {0};
        while (!(got = sse_try(&f->app, &c)) && patience_left(&p, HTTP_WAIT_TURNS)) {
            clock_fake_advance(&f->app.clock, 10);
            http_client_turn(f->app.loop);
        }
        assert_true(got);
        int64_t id;
        assert_true(str_to_i64(str_of(c.id), &id));
        assert_true(id == ids[i]);
    }
    sse_close(&c);
}

static void test_server_stops(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 400; i++) {
        (void)api_app_say(&f->app, ROOM, "text");
    }
    commit(f, f->app.n);
    assert_int_equal(api_app_get(&f->app, "/api/v1/rooms/6/events?limit=400"), 200);
    pg_server_stop(server, PG_STOP_IMMEDIATE);
    HTTP_WAIT(f->app.loop, !db_is_up(f->db));
    assert_int_equal(api_app_get(&f->app, "/api/v1/rooms/6/events?limit=400"), 503);
    assert_non_null(strstr(f->app.body, "database_unavailable"));
    assert_int_equal(api_app_get(&f->app, "/api/v1/rooms/6/events?limit=200"), 200);
    pg_server_restart(server);
    struct patience p = {0};
    while (!db_is_up(f->db) && patience_left(&p, HTTP_WAIT_TURNS)) {
        clock_fake_advance(&f->app.clock, 50); /* its tries are spaced */
        http_client_turn(f->app.loop);
    }
    assert_true(db_is_up(f->db));
    assert_int_equal(api_app_get(&f->app, "/api/v1/rooms/6/events?limit=400"), 200);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_foreign_row, setup, teardown),
        cmocka_unit_test_setup_teardown(test_same_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_statements, setup, teardown),
        cmocka_unit_test_setup_teardown(test_over_http, setup, teardown),
        cmocka_unit_test_setup_teardown(test_minutes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_token_command, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rooms, setup, teardown),
        cmocka_unit_test_setup_teardown(test_resume_over_a_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_server_stops, setup, teardown),
    };
    server = pg_server_start(NULL);
    int rc = run_tests(argc, argv, tests, ARRAY_LEN(tests));
    pg_server_free(server);
    return rc;
}
