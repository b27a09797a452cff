/* The live stream over a real HTTP server: every client sees each event that matches once, in order, whatever happens
 * to its connection, to the ring and to the database (an array here; test_api_db has a real one). */
#include "api/hub.h"

#include <sys/resource.h>

#include "api/stream_gaps.h"
#include "server/core/mem.h"
#include "tests/support/api_app.h"
#include "tests/support/db_fake.h"
#include "tests/support/run.h"

enum { ROOM = 6, OTHER = 7, RING = 64, QUIET_TURNS = 12 };
#define STREAM "/api/v1/events/stream"

struct fixture {
    struct api_app app;
    struct db *db;
    size_t committed;
};

static struct fixture *open_app(size_t ring)
{
    struct fixture *f = mem_new(struct fixture);
    api_app_init(&f->app, ring);
    f->db = db_fake_new(f->app.loop);
    api_app_room(&f->app, ROOM);
    api_app_room(&f->app, OTHER);
    api_app_listen(&f->app, f->db, true);
    (void)api_app_get(&f->app, "/api/v1/capabilities");
    return f;
}

static int setup(void **state)
{
    *state = open_app(RING);
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

static void commit(struct fixture *f, size_t n)
{
    for (; f->committed < n; f->committed++) {
        db_fake_add(f->db, f->app.events[f->committed]);
        f->app.mark = f->app.events[f->committed]->id;
    }
}

static void say(struct fixture *f, int64_t room_id, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        (void)api_app_say(&f->app, room_id, "text");
    }
}

static void turns(struct fixture *f, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        http_client_turn(f->app.loop);
    }
}

static void open_at(struct fixture *f, struct sse_client *c, const char *query, int64_t last_id)
{
    char path[200];
    char fields[64] = "";
    (void)snprintf(path, sizeof(path), STREAM "%s", query);
    if (last_id >= 0) {
        (void)snprintf(fields, sizeof(fields), "Last-Event-ID: %lld\r\n", (long long)last_id);
    }
    sse_open(&f->app, c, path, fields);
    sse_next(&f->app, c);
    assert_string_equal(c->event, "hello");
    assert_string_equal(c->id, ""); /* control events have no id */
}

static int64_t next_id(struct fixture *f, struct sse_client *c)
{
    int64_t id = -1;
    sse_next(&f->app, c);
    assert_true(str_to_i64(str_of(c->id), &id));
    return id;
}

/* Events [from, to) of what was published, those of the room only (0: all). */
static void expect_events(struct fixture *f, struct sse_client *c, size_t from, size_t to,
                          int64_t room)
{
    for (size_t i = from; i < to; i++) {
        if (room == 0 || f->app.events[i]->room_id == room) {
            assert_true(next_id(f, c) == f->app.events[i]->id);
            assert_string_equal(c->event, "danmaku");
            char id[40];
            (void)snprintf(id, sizeof(id), "{\"id\":\"%lld\",", (long long)f->app.events[i]->id);
            assert_true(str_starts(str_of(c->data), str_of(id)));
        }
    }
}

static size_t n_beats(const struct sse_client *c)
{
    const struct str in = http_client_received(c->http);
    size_t n = 0;
    for (const char *p = in.ptr;
         (p = memmem(p, (size_t)(in.ptr + in.len - p), ": hb\n\n", 6)) != NULL; p++) {
        n++;
    }
    return n;
}

static void expect_nothing(struct fixture *f, struct sse_client *c)
{
    turns(f, QUIET_TURNS);
    assert_false(sse_try(&f->app, c));
}

static void test_live(void **state)
{
    struct fixture *f = *state;
    struct sse_client all;
    struct sse_client one;
    say(f, ROOM, 3);
    open_at(f, &all, "", -1);
    open_at(f, &one, "?rooms=7&kinds=danmaku,gift", -1);
    assert_non_null(strstr(all.data, "\"complete\":true"));
    assert_non_null(strstr(all.data, "\"resumed_from\":null"));
    expect_nothing(f, &all);
    for (int i = 0; i < 50; i++) {
        say(f, i % 3 == 0 ? OTHER : ROOM, 1);
        if (i % 7 == 0) {
            turns(f, 2);
        }
    }
    expect_events(f, &all, 3, 53, 0);
    expect_events(f, &one, 3, 53, OTHER);
    expect_nothing(f, &one);
    assert_int_equal(stats_get(f->app.stats, STAT_STREAM_FRAMES), 50); /* encoded once, for both */
    sse_close(&all);
    sse_close(&one);
    turns(f, QUIET_TURNS);
    struct patience p = {0};
    while (stats_get(f->app.stats, STAT_STREAMS) > 0 && patience_left(&p, 100)) {
        say(f, OTHER, 1); /* to nobody: the first send provokes a reset, the next one sees it */
        turns(f, QUIET_TURNS);
    }
    assert_int_equal(stats_get(f->app.stats, STAT_STREAMS), 0);
}

static void test_backlog(void **state)
{
    struct fixture *f = *state;
    struct sse_client c;
    for (int i = 0; i < 40; i++) {
        say(f, i % 2 == 0 ? ROOM : OTHER, 1);
    }
    open_at(f, &c, "?rooms=6&backlog=5", -1);
    say(f, ROOM, 1);
    expect_events(f, &c, 30, 41, ROOM);
    sse_close(&c);
    open_at(f, &c, "?rooms=6&backlog=5", f->app.events[36]->id); /* a browser that comes back */
    expect_events(f, &c, 37, 41, ROOM);
    sse_close(&c);
    say(f, OTHER, 100); /* room 6 has left the ring */
    commit(f, f->app.n);
    open_at(f, &c, "?rooms=6&backlog=5", -1);
    say(f, ROOM, 1);
    for (size_t i = 32; i <= 40; i += 2) {
        assert_true(next_id(f, &c) == f->app.events[i]->id);
    }
    assert_true(next_id(f, &c) == f->app.events[141]->id);
    sse_close(&c);
    db_fake_up(f->db, false);
    open_at(f, &c, "?backlog=1000", -1); /* what there is is better than nothing */
    expect_events(f, &c, 142 - RING, 142, 0);
    sse_close(&c);
}

static void test_backlog_of_an_empty_ring(void **state)
{
    struct fixture *f = *state;
    struct sse_client c;
    db_fake_up(f->db, false);
    open_at(f, &c, "?backlog=5", -1);
    say(f, ROOM, 2);
    expect_events(f, &c, 0, 2, 0);
    sse_close(&c);
}

static void test_resume_from_the_ring(void **state)
{
    struct fixture *f = *state;
    struct sse_client c;
    say(f, ROOM, 30);
    open_at(f, &c, "", f->app.events[9]->id);
    assert_non_null(strstr(c.data, "\"complete\":true"));
    expect_events(f, &c, 10, 30, 0);
    sse_close(&c);
    char query[80]; /* the parameter, and the header that wins over it */
    (void)snprintf(query, sizeof(query), "?last_event_id=%lld", (long long)f->app.events[19]->id);
    open_at(f, &c, query, -1);
    expect_events(f, &c, 20, 30, 0);
    sse_close(&c);
    open_at(f, &c, query, f->app.events[27]->id);
    expect_events(f, &c, 28, 30, 0);
    expect_nothing(f, &c);
    sse_close(&c);
    assert_int_equal(stats_get(f->app.stats, STAT_API_DB_READS), 0);
}

static void test_resume_from_the_database(void **state)
{
    struct fixture *f = *state;
    struct sse_client c;
    for (int i = 0; i < 1000; i++) {
        say(f, i % 5 == 0 ? OTHER : ROOM, 1);
    }
    commit(f, 980);
    open_at(f, &c, "", f->app.events[9]->id);
    expect_events(f, &c, 10, 1000, 0);
    say(f, ROOM, 5);
    expect_events(f, &c, 1000, 1005, 0);
    sse_close(&c);
    open_at(f, &c, "?rooms=7", f->app.events[9]->id);
    expect_events(f, &c, 10, 1005, OTHER);
    sse_close(&c);
    open_at(f, &c, "", 0); /* from the oldest on; nothing is missing */
    expect_events(f, &c, 0, 1005, 0);
    assert_int_equal(stats_get(f->app.stats, STAT_STREAM_RESETS), 0);
    sse_close(&c);
}

/* While pages are read from the database, the ring moves on, and on. */
static void test_ring_runs_away(void **state)
{
    struct fixture *f = *state;
    struct sse_client c;
    say(f, ROOM, 500);
    commit(f, 500);
    open_at(f, &c, "", f->app.events[0]->id);
    size_t seen = 1;
    for (int round = 0; round < 30; round++) {
        say(f, ROOM, 100);
        commit(f, f->app.n - 30);
        for (int k = 0; k < 50; k++, seen++) {
            assert_true(next_id(f, &c) == f->app.events[seen]->id);
        }
    }
    expect_events(f, &c, seen, f->app.n, 0);
    sse_close(&c);
}

/* Newer than the database, older than the ring: wait, with heartbeats, until the writer has passed. */
static void test_hole(void **state)
{
    struct fixture *f = *state;
    struct sse_client c;
    say(f, ROOM, 200);
    commit(f, 50);
    open_at(f, &c, "", f->app.events[99]->id);
    expect_nothing(f, &c);
    clock_fake_advance(&f->app.clock, 16000);
    HTTP_WAIT(f->app.loop, n_beats(&c) > 0);
    commit(f, 180);
    clock_fake_advance(&f->app.clock, 1000);
    say(f, ROOM, 3);
    expect_events(f, &c, 100, 203, 0);
    sse_close(&c);
}

static void test_database_away(void **state)
{
    struct fixture *f = *state;
    struct sse_client c;
    say(f, ROOM, 200);
    commit(f, 200);
    db_fake_up(f->db, false);
    open_at(f, &c, "", f->app.events[9]->id);
    expect_nothing(f, &c);
    clock_fake_advance(&f->app.clock, 5000);
    expect_nothing(f, &c);
    db_fake_up(f->db, true);
    db_fake_fail(f->db, ERR_TIMEOUT);
    for (int i = 0; i < 5; i++) { /* each try may fail once more */
        clock_fake_advance(&f->app.clock, 2000);
        turns(f, 3);
    }
    expect_events(f, &c, 10, 200, 0);
    sse_close(&c);
}

static void lose(struct fixture *f, int64_t room_id, int64_t from_ms)
{
    const struct span gap = {.room_id = room_id,
                             .source = SPAN_LINK,
                             .from_ms = from_ms,
                             .to_ms = SPAN_OPEN,
                             .cause = STR("peer_reset")};
    api_gap(f->app.api, &gap);
}

static void expect_gap(struct fixture *f, struct sse_client *c, int64_t from_ms)
{
    char text[40];
    sse_next(&f->app, c);
    assert_string_equal(c->event, "gap");
    assert_string_equal(c->id, "");
    (void)snprintf(text, sizeof(text), "\"from_ms\":%lld,", (long long)from_ms);
    assert_non_null(strstr(c->data, text));
}

static void test_reset(void **state)
{
    struct fixture *f = *state;
    struct sse_client c;
    say(f, ROOM, 200);
    commit(f, 200);
    db_fake_drop_events(f->db, f->app.events[99]->id); /* retention */
    open_at(f, &c, "", f->app.events[50]->id);
    lose(f, ROOM, API_APP_NOW); /* known at once, but told behind the reset */
    sse_next(&f->app, &c);
    assert_string_equal(c.event, "reset");
    assert_string_equal(c.id, "");
    assert_non_null(strstr(c.data, "too_old"));
    expect_gap(f, &c, API_APP_NOW);
    expect_events(f, &c, 100, 200, 0); /* what is there still comes */
    sse_close(&c);
    open_at(f, &c, "", f->app.events[100]->id);
    expect_events(f, &c, 101, 200, 0);
    sse_close(&c);
    open_at(f, &c, "", id_first_of_ms(API_APP_NOW + 86400000)); /* of another database */
    assert_non_null(strstr(c.data, "\"complete\":false"));
    sse_next(&f->app, &c);
    assert_string_equal(c.event, "reset");
    assert_non_null(strstr(c.data, "unknown_id"));
    say(f, ROOM, 1);
    expect_events(f, &c, 200, 201, 0);
    sse_close(&c);
}

/* Events [from, to) of what was published, those of the room only (0: all), and nothing else: taken apart once, here.
 * sse_next would join many MB again for each event. */
static void expect_body(struct fixture *f, struct sse_client *c, size_t from, size_t to,
                        int64_t room)
{
    const char *end = NULL;
    char last[40];
    size_t newest = to - 1;
    while (room != 0 && f->app.events[newest]->room_id != room) {
        newest--;
    }
    (void)snprintf(last, sizeof(last), "\nid: %lld\n", (long long)f->app.events[newest]->id);
    struct patience p = {0};
    while (end == NULL && patience_left(&p, 20000)) {
        clock_fake_advance(&f->app.clock, 10); /* it may wait for the database at a hole */
        http_client_turn(f->app.loop);
        struct str in = http_client_received(c->http);
        size_t tail = in.len > 9000 ? 9000 : in.len;
        end = memmem(in.ptr + in.len - tail, tail, last, strlen(last));
    }
    assert_non_null(end);
    struct http_reply r;
    assert_true(http_client_peek(c->http, false, &r));
    struct str rest = r.body;
    for (size_t i = from; i < to; i++) {
        if (room == 0 || f->app.events[i]->room_id == room) {
            char id[40];
            int n = snprintf(id, sizeof(id), "id: %lld\nevent: danmaku\n",
                             (long long)f->app.events[i]->id);
            const char *at = memmem(rest.ptr, rest.len, "id: ", 4);
            assert_non_null(at);
            rest = str_sub(rest, (size_t)(at - rest.ptr), rest.len);
            assert_true(str_starts(rest, (struct str){id, (size_t)n}));
            rest = str_sub(rest, (size_t)n, rest.len);
        }
    }
    assert_null(memmem(rest.ptr, rest.len, "id: ", 4));
}

/* A client that stops reading costs a cursor: the ring laps it, others go on, and it misses nothing in the end. */
static void test_slow_client(void **state)
{
    struct fixture *f = *state;
    enum { N = 4000, STEP = 100 }; /* 16 MB: more than the sockets buffer */
    struct sse_client slow;
    struct sse_client quick;
    char text[4001];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    open_at(f, &slow, "?rooms=6", -1);
    open_at(f, &quick, "?rooms=7", -1);
    http_client_stop_reading(slow.http);
    for (size_t i = 0; i < N; i++) {
        (void)api_app_say(&f->app, i % STEP == 0 ? OTHER : ROOM, text);
        if (i % STEP == 0) {
            commit(f, f->app.n);
            assert_true(next_id(f, &quick) == f->app.events[i]->id);
        } else if (i % 16 == 0) {
            turns(f, 1);
        }
    }
    commit(f, f->app.n);
    http_client_start_reading(slow.http);
    expect_body(f, &slow, 0, N, ROOM);
    assert_true(stats_get(f->app.stats, STAT_STREAM_LAPPED) >= 1);
    sse_close(&slow);
    sse_close(&quick);
}

/* A quick client gets larger and larger pages: catching up is not a question of round trips. */
static void test_pages_grow(void **state)
{
    struct fixture *f = *state;
    enum { N = 10000 };
    struct sse_client c;
    say(f, ROOM, N);
    commit(f, N);
    open_at(f, &c, "", f->app.events[0]->id);
    expect_body(f, &c, 1, N, 0);
    assert_in_range(stats_get(f->app.stats, STAT_STREAM_PAGES), 1, 12);
    sse_close(&c);
}

/* One that takes nothing holds no page for long, and goes on where it was. */
static void test_stalled_client(void **state)
{
    struct fixture *f = *state;
    enum { N = 4000 }; /* 16 MB: more than the sockets buffer */
    struct sse_client c;
    char text[4001];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    for (size_t i = 0; i < N; i++) {
        (void)api_app_say(&f->app, ROOM, text);
    }
    commit(f, N);
    open_at(f, &c, "", f->app.events[0]->id);
    http_client_stop_reading(c.http);
    struct patience p = {0};
    while (stats_get(f->app.stats, STAT_STREAM_STALLED) == 0 && patience_left(&p, 1000)) {
        turns(f, QUIET_TURNS);
        clock_fake_advance(&f->app.clock, HUB_STALLED_MS / 2);
    }
    assert_int_equal(stats_get(f->app.stats, STAT_STREAM_STALLED), 1);
    int64_t pages = stats_get(f->app.stats, STAT_STREAM_PAGES);
    for (int i = 0; i < 10; i++) { /* it is not read again for a client that is still away */
        turns(f, QUIET_TURNS);
        clock_fake_advance(&f->app.clock, HUB_HEARTBEAT_MS);
    }
    assert_int_equal(stats_get(f->app.stats, STAT_STREAM_PAGES), pages);
    http_client_start_reading(c.http);
    expect_body(f, &c, 1, N, 0);
    assert_true(stats_get(f->app.stats, STAT_STREAM_PAGES) > pages);
    sse_close(&c);
}

/* A filter that skips much must neither starve the loop nor lose the one event that fits. */
static void test_skipping(void **state)
{
    struct fixture *f = *state;
    (void)teardown(state);
    f = open_app(16384);
    *state = f;
    struct sse_client c;
    open_at(f, &c, "?rooms=7", -1);
    say(f, ROOM, 15000);
    say(f, OTHER, 1);
    expect_events(f, &c, 15000, 15001, 0);
    sse_close(&c);
    open_at(f, &c, "?rooms=7", f->app.events[0]->id);
    expect_events(f, &c, 15000, 15001, 0);
    sse_close(&c);
}

/* The same with more streams than one slice looks through: those of the first slice are not forgotten. */
static void test_skipping_many(void **state)
{
    struct fixture *f = *state;
    enum { SKIPPING = HUB_SLICE, N = SKIPPING + 8 };
    struct rlimit files;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = files.rlim_max; /* both ends of every connection are here */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    struct sse_client *c = calloc(N, sizeof(*c));
    (void)teardown(state);
    f = open_app(16384);
    *state = f;
    for (size_t i = 0; i < N; i++) {
        open_at(f, &c[i], i < SKIPPING ? "?rooms=7" : "?rooms=6", -1);
    }
    turns(f, QUIET_TURNS);
    say(f, ROOM, HUB_SCAN_MAX + 100);
    say(f, OTHER, 1);
    for (int i = 0; i < 20; i++) {
        clock_fake_advance(&f->app.clock, 10); /* ticks, but no heartbeat yet */
        turns(f, QUIET_TURNS);
    }
    sse_next(&f->app, &c[0]);
    for (size_t i = 0; i < N; i++) {
        sse_close(&c[i]);
    }
    free(c);
}

static void test_heartbeat_and_rotation(void **state)
{
    struct fixture *f = *state;
    struct sse_client c;
    open_at(f, &c, "", -1);
    for (size_t i = 1; i <= 3; i++) {
        clock_fake_advance(&f->app.clock, HUB_HEARTBEAT_MS);
        HTTP_WAIT(f->app.loop, n_beats(&c) >= i);
        turns(f, QUIET_TURNS);
        assert_int_equal(n_beats(&c), i);
    }
    struct http_reply r;
    clock_fake_advance(&f->app.clock, 29 * 60000);
    turns(f, QUIET_TURNS);
    assert_true(http_client_peek(c.http, false, &r) && !r.whole);
    clock_fake_advance(&f->app.clock, 31 * 60000);
    HTTP_WAIT(f->app.loop,
              http_client_whole(c.http, false, &r)); /* the last chunk has come: a good end */
    sse_close(&c);
}

static void test_too_many(void **state)
{
    struct fixture *f = *state;
    struct sse_client c[3];
    f->app.config.max_streams = 2;
    open_at(f, &c[0], "", -1);
    open_at(f, &c[1], "", -1);
    assert_int_equal(api_app_get(&f->app, STREAM), 503);
    assert_non_null(strstr(f->app.body, "too_many_streams"));
    sse_close(&c[0]);
    struct patience p = {0};
    while (stats_get(f->app.stats, STAT_STREAMS) > 1 && patience_left(&p, 100)) {
        say(f, ROOM, 1);
        turns(f, QUIET_TURNS);
    }
    open_at(f, &c[2], "", -1);
    sse_close(&c[1]);
    sse_close(&c[2]);
}

/* More than are woken at once, more than may read from the database at once. */
static void test_many(void **state)
{
    struct fixture *f = *state;
    enum { N = 150 };
    struct sse_client *c = calloc(N, sizeof(*c));
    say(f, ROOM, 500);
    commit(f, 500);
    for (size_t i = 0; i < N; i++) {
        open_at(f, &c[i], i % 2 == 0 ? "" : "?rooms=6", f->app.events[100 + i]->id);
    }
    for (int k = 0; k < 5; k++) {
        say(f, ROOM, 10);
        clock_fake_advance(&f->app.clock, 200); /* the tick */
        turns(f, 2);
    }
    commit(f, f->app.n);
    for (size_t i = 0; i < N; i++) {
        for (size_t k = 101 + i; k < f->app.n; k++) {
            bool got = false;
            struct patience p = {0};
            while (!(got = sse_try(&f->app, &c[i])) && patience_left(&p, HTTP_WAIT_TURNS)) {
                clock_fake_advance(&f->app.clock, 10);
                http_client_turn(f->app.loop);
            }
            assert_true(got);
            int64_t id;
            assert_true(str_to_i64(str_of(c[i].id), &id));
            assert_true(id == f->app.events[k]->id);
        }
        sse_close(&c[i]);
    }
    free(c);
}

/* What a client that resumes gets: every event behind its id once and in order, and each gap once. */
struct resumer {
    struct sse_client sse;
    bool all;    /* rooms */
    size_t seen; /* events before this place were told, or are not for it */
    size_t gaps;
};

static void resumer_take(struct fixture *f, struct resumer *r)
{
    while (sse_try(&f->app, &r->sse)) {
        int64_t id;
        if (strcmp(r->sse.event, "gap") == 0) { /* one frame for each */
            r->gaps++;
            assert_non_null(
                strstr(r->sse.data, r->all && r->gaps == 2 ? "\"room_id\":7," : "\"room_id\":6,"));
            continue;
        }
        assert_true(str_to_i64(str_of(r->sse.id), &id));
        while (!r->all && f->app.events[r->seen]->room_id != ROOM) {
            r->seen++;
        }
        assert_true(id == f->app.events[r->seen++]->id);
    }
}

static void resumers_turn(struct fixture *f, struct resumer *all, size_t n)
{
    clock_fake_advance(&f->app.clock, 50);
    http_client_turn(f->app.loop);
    for (size_t i = 0; i < n; i++) {
        resumer_take(f, &all[i]);
    }
}

/* As after a restart: memory knows nothing of the time before, and the database has a gap of each room. */
static void forget_coverage(struct fixture *f)
{
    f->app.coverage_known = API_APP_NOW;
    db_fake_gap(f->db, ROOM, API_APP_NOW - 1800000, API_APP_NOW - 1700000);
    db_fake_gap(f->db, OTHER, API_APP_NOW - 900000, API_APP_NOW - 800000);
}

/* After a restart every client comes back and has to be told its gaps: a few ask at a time, others have the database too. */
static void test_many_resume(void **state)
{
    struct fixture *f = *state;
    enum { N = 200, EVENTS = 150 };
    struct resumer *all = calloc(N, sizeof(*all));
    forget_coverage(f);
    for (int i = 0; i < EVENTS; i++) {
        say(f, i % 3 == 1 ? OTHER : ROOM, 1);
    }
    commit(f, EVENTS - 20);
    db_fake_hold(f->db, true);
    for (size_t i = 0; i < N; i++) {
        all[i].all = i % 2 == 0;
        all[i].seen = 1;
        open_at(f, &all[i].sse, all[i].all ? "" : "?rooms=6", f->app.events[0]->id);
    }
    turns(f, QUIET_TURNS);
    HTTP_WAIT(f->app.loop, db_fake_n_coverage(f->db) >= HUB_RESUMES_MAX);
    assert_int_equal(db_fake_n_coverage(f->db), HUB_RESUMES_MAX);
    assert_int_equal(stats_get(f->app.stats, STAT_STREAM_RESUMES_WAITING), N - HUB_RESUMES_MAX);
    clock_fake_advance(&f->app.clock, HUB_HEARTBEAT_MS);
    for (size_t i = 0; i < N; i++) { /* those who wait are not left without a sign */
        HTTP_WAIT(f->app.loop, n_beats(&all[i].sse) > 0);
    }
    db_fake_up(f->db, false); /* what is under way fails; nobody asks */
    db_fake_hold(f->db, false);
    for (int t = 0; t < 100; t++) {
        resumers_turn(f, all, N);
    }
    assert_int_equal(db_fake_n_coverage(f->db), HUB_RESUMES_MAX);
    assert_in_range(stats_get(f->app.stats, STAT_STREAM_RESUME_RETRIES), HUB_RESUMES_MAX, 10);
    db_fake_up(f->db, true);
    bool done = false;
    struct patience p = {0};
    for (int t = 0; !done && patience_left(&p, HTTP_WAIT_TURNS); t++) {
        if (t % 50 == 25) {
            db_fake_fail(f->db, ERR_FULL);
        }
        resumers_turn(f, all, N);
        done = true;
        for (size_t i = 0; i < N; i++) {
            done = done && all[i].seen == EVENTS && all[i].gaps == (all[i].all ? 2 : 1);
        }
    }
    assert_true(done);
    assert_int_equal(db_fake_most_coverage(f->db), HUB_RESUMES_MAX);
    assert_int_equal(stats_get(f->app.stats, STAT_STREAM_RESUMES_WAITING), 0);
    for (int t = 0; t < 60; t++) {
        resumers_turn(f, all, N);
    }
    for (size_t i = 0; i < N; i++) { /* nothing was told again */
        assert_int_equal(all[i].seen, EVENTS);
        assert_int_equal(all[i].gaps, all[i].all ? 2 : 1);
        sse_close(&all[i].sse);
    }
    free(all);
}

/* Clients leave, or the service ends, at whatever point of that: nobody is called back, and no turn is lost. */
static void test_resume_cut_at_every_turn(void **state)
{
    enum { N = 6, CUTS = 12 };
    for (unsigned cut = 0; cut < 2 * CUTS; cut++) {
        struct fixture *f = *state;
        struct resumer all[N + 1] = {0};
        struct resumer *last = &all[N];
        bool ends = cut >= CUTS;
        forget_coverage(f);
        say(f, ROOM, 20);
        db_fake_hold(f->db, cut % 2 == 0);
        for (size_t i = 0; i < N; i++) {
            char id[64];
            (void)snprintf(id, sizeof(id), "Last-Event-ID: %lld\r\n",
                           (long long)f->app.events[0]->id);
            sse_open(&f->app, &all[i].sse, STREAM, id);
        }
        turns(f, cut % CUTS);
        if (ends) {
            api_quiesce(f->app.api);
        }
        for (size_t i = 0; i < N; i++) {
            sse_close(&all[i].sse);
        }
        for (int i = 0; i < 3 && !ends; i++) { /* it is found out when something is sent */
            turns(f, QUIET_TURNS);
            say(f, ROOM, 1);
        }
        assert_in_range(db_fake_most_coverage(f->db), 0, HUB_RESUMES_MAX);
        if (!ends) {
            db_fake_hold(f->db, false);
            last->all = true;
            last->seen = 1;
            open_at(f, &last->sse, "", f->app.events[0]->id);
            for (int t = 0; t < 500 && (last->gaps < 2 || last->seen < f->app.n); t++) {
                resumers_turn(f, last, 1);
            }
            assert_int_equal(last->gaps, 2);
            assert_int_equal(last->seen, f->app.n);
            assert_in_range(db_fake_most_coverage(f->db), 1, HUB_RESUMES_MAX);
            sse_close(&last->sse);
        }
        (void)teardown(state);
        (void)setup(state);
    }
}

/* Many rooms are lost in one turn of the loop: the streams are looked through once, and each is told those of its rooms. */
static void test_gaps_of_one_turn(void **state)
{
    struct fixture *f = *state;
    enum { N = 150, GAPS = STREAM_GAPS_SCAN + 36, TOO_MANY = STREAM_GAPS_KEPT + 76 };
    struct sse_client *c = calloc(N, sizeof(*c));
    for (size_t i = 0; i < N; i++) {
        open_at(f, &c[i], i % 2 == 0 ? "" : "?rooms=6", -1);
    }
    clock_fake_advance(&f->app.clock, HUB_TICK_MAX_MS);
    say(f, ROOM, 1);
    for (size_t i = 0; i < N; i++) {
        expect_events(f, &c[i], 0, 1, 0);
    }
    for (int i = 1; i <= GAPS; i++) {
        lose(f, i % 10 == 0 ? ROOM : 1000 + i, i);
    }
    expect_nothing(f, &c[0]); /* they were looked through at this time already */
    clock_fake_advance(&f->app.clock, HUB_TICK_MAX_MS);
    for (size_t i = 0; i < N; i++) {
        for (int k = 1; k <= GAPS; k++) {
            if (i % 2 == 0 || k % 10 == 0) {
                expect_gap(f, &c[i], k);
            }
        }
    }
    assert_int_equal(stats_get(f->app.stats, STAT_STREAM_GAPS_SKIPPED), 0);
    lose(f, OTHER, 1); /* one that some are not told of, and one that all are */
    lose(f, ROOM, 2);
    for (int i = 0; i < 2; i++) {
        turns(f, QUIET_TURNS);
        clock_fake_advance(&f->app.clock, HUB_TICK_MAX_MS);
    }
    for (size_t i = 0; i < N; i++) {
        if (i % 2 == 0) {
            expect_gap(f, &c[i], 1);
        }
        expect_gap(f, &c[i], 2);
    }
    for (int i = 1; i <= TOO_MANY; i++) { /* past what is kept: the newest, and it is counted */
        lose(f, ROOM, i);
    }
    clock_fake_advance(&f->app.clock, HUB_TICK_MAX_MS);
    for (size_t i = 0; i < N; i++) {
        expect_gap(f, &c[i], TOO_MANY - STREAM_GAPS_KEPT + 1);
    }
    assert_int_equal(stats_get(f->app.stats, STAT_STREAM_GAPS_SKIPPED),
                     N * (TOO_MANY - STREAM_GAPS_KEPT));
    for (size_t i = 0; i < N; i++) {
        sse_close(&c[i]);
    }
    free(c);
}

/* Random clients that come, go and resume while events flow and the database follows, stops and comes back. */
struct walker {
    struct sse_client sse;
    bool open;
    int64_t room; /* 0: all */
    size_t seen;  /* events before this place were told */
    int64_t last_id;
};

static void walker_take(struct fixture *f, struct walker *w)
{
    while (w->open && sse_try(&f->app, &w->sse)) {
        int64_t id;
        if (!str_to_i64(str_of(w->sse.id), &id)) {
            assert_string_equal(w->sse.event, "hello");
            continue;
        }
        while (w->room != 0 && f->app.events[w->seen]->room_id != w->room) {
            w->seen++;
        }
        assert_true(id == f->app.events[w->seen]->id);
        w->seen++;
        w->last_id = id;
    }
}

static void walker_step(struct fixture *f, struct walker *w, struct rng *rng)
{
    char path[80];
    char fields[64];
    if (!w->open) {
        (void)snprintf(path, sizeof(path), STREAM "?rooms=%s",
                       w->room == 6   ? "6"
                       : w->room == 7 ? "7"
                                      : "6,7");
        (void)snprintf(fields, sizeof(fields), "Last-Event-ID: %lld\r\n", (long long)w->last_id);
        sse_open(&f->app, &w->sse, path, fields);
        w->open = true;
    } else if (rng_below(rng, 4) == 0) {
        sse_close(&w->sse);
        w->open = false;
    }
}

static void test_everybody_sees_everything(void **state)
{
    struct fixture *f = *state;
    enum { WALKERS = 12, ROUNDS = 400 };
    struct walker *all = calloc(WALKERS, sizeof(*all));
    struct rng rng;
    test_rng(&rng);
    for (size_t i = 0; i < WALKERS; i++) {
        all[i].room = i % 3 == 0 ? 0 : i % 3 == 1 ? ROOM : OTHER;
    }
    bool up = true;
    for (int round = 0; round < ROUNDS; round++) {
        for (int64_t n = rng_between(&rng, 0, 30); n > 0; n--) {
            say(f, rng_below(&rng, 4) == 0 ? OTHER : ROOM, 1);
        }
        if (rng_below(&rng, 20) == 0) {
            up = !up;
            db_fake_up(f->db, up);
        }
        if (up && rng_below(&rng, 3) == 0) {
            commit(f, (size_t)rng_between(&rng, (int64_t)f->committed, (int64_t)f->app.n));
        }
        walker_step(f, &all[rng_below(&rng, WALKERS)], &rng);
        clock_fake_advance(&f->app.clock, rng_between(&rng, 0, 300));
        http_client_turn(f->app.loop);
        walker_take(f, &all[rng_below(&rng, WALKERS)]);
    }
    db_fake_up(f->db, true);
    commit(f, f->app.n);
    say(f, ROOM, 1);
    say(f, OTHER, 1);
    for (size_t i = 0; i < WALKERS; i++) {
        size_t last = all[i].room == ROOM ? f->app.n - 2 : f->app.n - 1;
        if (!all[i].open) {
            walker_step(f, &all[i], &rng);
        }
        struct patience p = {0};
        while (all[i].seen <= last && patience_left(&p, HTTP_WAIT_TURNS)) {
            clock_fake_advance(&f->app.clock, 20);
            http_client_turn(f->app.loop);
            walker_take(f, &all[i]);
        }
        assert_int_equal(all[i].seen, last + 1);
        sse_close(&all[i].sse);
    }
    free(all);
}

/* The end of the service is a good end for the streams, also for those in the middle of something. */
static void test_quiesce(void **state)
{
    struct fixture *f = *state;
    struct sse_client c[2];
    struct http_reply r;
    say(f, ROOM, 300);
    commit(f, 300);
    open_at(f, &c[0], "", -1);
    db_fake_hold(f->db, true);
    open_at(f, &c[1], "", f->app.events[5]->id);
    api_quiesce(f->app.api);
    for (size_t i = 0; i < 2; i++) {
        HTTP_WAIT(f->app.loop, http_client_whole(c[i].http, false, &r));
        sse_close(&c[i]);
    }
    assert_int_equal(api_app_get(&f->app, "/readyz"), 503);
    db_fake_hold(f->db, false);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_live, setup, teardown),
        cmocka_unit_test_setup_teardown(test_backlog, setup, teardown),
        cmocka_unit_test_setup_teardown(test_backlog_of_an_empty_ring, setup, teardown),
        cmocka_unit_test_setup_teardown(test_resume_from_the_ring, setup, teardown),
        cmocka_unit_test_setup_teardown(test_resume_from_the_database, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ring_runs_away, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hole, setup, teardown),
        cmocka_unit_test_setup_teardown(test_database_away, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slow_client, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pages_grow, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stalled_client, setup, teardown),
        cmocka_unit_test_setup_teardown(test_skipping, setup, teardown),
        cmocka_unit_test_setup_teardown(test_skipping_many, setup, teardown),
        cmocka_unit_test_setup_teardown(test_heartbeat_and_rotation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_many, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_resume, setup, teardown),
        cmocka_unit_test_setup_teardown(test_resume_cut_at_every_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gaps_of_one_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(test_everybody_sees_everything, setup, teardown),
        cmocka_unit_test_setup_teardown(test_quiesce, setup, teardown),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
