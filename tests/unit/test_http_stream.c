/* Pulled streams: order, slow and vanished clients, wake-ups, slices, ends. Byte number p of every stream is
 * 'a' + p % 26, so a client sees at once whether one is missing or doubled. */
#include "server/http/http.h"

#include <malloc.h>

#include "server/core/mem.h"
#include "server/stats/stats.h"
#include "tests/support/http_app.h"
#include "tests/support/loop_until.h"
#include "tests/support/run.h"

enum { MAX_SOURCES = 1200, BLOCK = 2000, ENDLESS_ROUNDS = 50, SLOW_NS = 50000, QUIET_TURNS = 30 };

enum ending { GOES_ON, ENDS, ABORTS };

struct source {
    struct fixture *f;
    struct http_stream *stream; /* NULL once gone */
    int64_t sent;
    int64_t have; /* bytes there are */
    enum ending then;
    unsigned pulls;
    unsigned gone;
    bool slow;    /* a pull takes SLOW_NS */
    bool nervous; /* wakes itself within the pull, once */
    size_t max_seen;
};

struct fixture {
    struct http_app *app;
    struct source sources[MAX_SOURCES];
    size_t n;
    int64_t first_have; /* what new sources begin with */
    bool first_slow;
    uint64_t pulls;
    struct http_req *later;
};

static int64_t pull(void *ctx, char *out, size_t max)
{
    struct source *s = ctx;
    assert_int_equal(s->gone, 0);
    s->pulls++;
    s->f->pulls++;
    s->max_seen = max > s->max_seen ? max : s->max_seen;
    if (s->slow) {
        const uint64_t until = clock_mono_ns() + SLOW_NS;
        while (clock_mono_ns() < until) {
        }
    }
    if (s->nervous) {
        s->nervous = false;
        s->have += 5;
        http_stream_wake(s->stream);
        return 0; /* forgets what came meanwhile: the wake-up must not be lost */
    }
    int64_t n = s->have - s->sent;
    if (n == 0) {
        return s->then == ENDS ? HTTP_STREAM_END : s->then == ABORTS ? HTTP_STREAM_ABORT : 0;
    }
    n = n < (int64_t)max ? n : (int64_t)max;
    for (int64_t i = 0; i < n; i++) {
        out[i] = (char)('a' + (s->sent + i) % 26);
    }
    s->sent += n;
    return n;
}

static void on_gone(void *ctx)
{
    struct source *s = ctx;
    s->gone++;
    s->stream = NULL;
}

static void start(struct fixture *f, struct http_req *r)
{
    assert_true(f->n < MAX_SOURCES);
    struct source *s = &f->sources[f->n++];
    *s = (struct source){.f = f, .have = f->first_have, .slow = f->first_slow};
    s->stream = http_respond_stream(r, 200, "text/event-stream", BLOCK, pull, on_gone, s);
    assert_non_null(s->stream);
}

static void stream(void *ctx, struct http_req *r)
{
    start(ctx, r);
}

static void later(void *ctx, struct http_req *r)
{
    ((struct fixture *)ctx)->later = r;
}

static void hello(void *ctx, struct http_req *r)
{
    (void)ctx;
    http_respond_static(r, 200, "text/plain", STR("hello"));
}

static const struct http_route ROUTES[] = {
    {HTTP_GET, "/stream", stream, "stream", 0},
    {HTTP_GET, "/later", later, "later", 0},
    {HTTP_GET, "/hello", hello, "hello", 0},
};

static void open_server(struct fixture *f, unsigned idle_timeout_s)
{
    struct http_opts o = http_app_opts(f->app);
    o.routes = ROUTES;
    o.n_routes = ARRAY_LEN(ROUTES);
    o.ctx = f;
    o.idle_timeout_s = idle_timeout_s;
    http_app_open(f->app, &o);
}

static int setup(void **state)
{
    struct fixture *f = mem_new(struct fixture);
    void *app = NULL;
    assert_int_equal(http_app_setup(&app), 0);
    f->app = app;
    http_app_close(f->app);
    open_server(f, 30);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    void *app = f->app;
    assert_int_equal(http_app_teardown(&app), 0);
    for (size_t i = 0; i < f->n; i++) {
        assert_int_equal(f->sources[i].gone, 1); /* exactly once, whatever happened */
    }
    mem_free(f);
    return 0;
}

static struct http_client *new_client(struct fixture *f)
{
    return http_client_open(f->app->loop, NULL, http_port(f->app->http));
}

/* A client whose stream has begun. */
static struct http_client *new_stream(struct fixture *f)
{
    struct http_client *c = new_client(f);
    struct http_reply r;
    http_client_get(c, "/stream");
    HTTP_WAIT(f->app->loop, http_client_peek(c, false, &r));
    assert_int_equal(r.status, 200);
    assert_true(r.chunked);
    assert_str_equal(http_reply_field(&r, "Content-Type"), "text/event-stream");
    return c;
}

static void check_bytes(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] != (char)('a' + i % 26)) {
            fail_msg("byte %zu is wrong", i);
        }
    }
}

static void give(struct source *s, int64_t n)
{
    s->have += n;
    http_stream_wake(s->stream);
}

static bool has_body(struct http_client *c, size_t n)
{
    struct http_reply r;
    return http_client_peek(c, false, &r) && r.body.len == n;
}

static void bytes_come_in_order(void **state)
{
    struct fixture *f = *state;
    struct http_client *c = new_stream(f);
    struct source *s = &f->sources[0];
    struct rng rng;
    test_rng(&rng);
    for (int i = 0; i < 300; i++) {
        give(s, rng_between(&rng, 0, i % 10 == 0 ? 100000 : 300));
        loop_run_turns(f->app->loop, (unsigned)rng_below(&rng, 4));
    }
    struct http_reply r;
    HTTP_WAIT(f->app->loop, has_body(c, (size_t)s->have));
    assert_true(http_client_peek(c, false, &r));
    check_bytes(r.body);
    assert_false(r.whole);
    assert_true(s->max_seen <= BLOCK && s->max_seen > 1000);
    assert_int_equal(http_n_streams(f->app->http), 1);
    http_client_close(c);
}

static void end_and_abort(void **state)
{
    struct fixture *f = *state;
    struct http_client *c = new_stream(f);
    struct http_reply r;
    give(&f->sources[0], 1000);
    f->sources[0].then = ENDS;
    HTTP_WAIT(f->app->loop, http_client_whole(c, false, &r));
    assert_int_equal(r.body.len, 1000);
    check_bytes(r.body);
    http_client_drop(c);
    assert_int_equal(f->sources[0].gone, 1);
    /* The connection goes on. */
    http_client_get(c, "/hello");
    http_app_expect(f->app, c, 200, "hello");
    http_client_get(c, "/stream");
    HTTP_WAIT(f->app->loop, http_client_peek(c, false, &r));
    give(&f->sources[1], 100);
    f->sources[1].then = ABORTS;
    HTTP_WAIT(f->app->loop, http_client_ended(c));
    assert_true(http_client_peek(c, false, &r));
    assert_false(r.whole); /* truncation is visible */
    assert_int_equal(r.body.len, 100);
    HTTP_WAIT(f->app->loop, f->sources[1].gone == 1);
    assert_int_equal(stats_get(f->app->stats, STAT_HTTP_STREAMS_OPENED), 2);
    assert_int_equal(stats_get(f->app->stats, STAT_HTTP_STREAMS_ENDED), 1);
    assert_int_equal(stats_get(f->app->stats, STAT_HTTP_STREAMS_ABORTED), 1);
    http_client_close(c);
}

static void http_1_0(void **state)
{
    struct fixture *f = *state;
    struct http_client *c = new_client(f);
    struct http_reply r;
    http_client_send(c, "GET /stream HTTP/1.0\r\n\r\n");
    HTTP_WAIT(f->app->loop, http_client_peek(c, false, &r));
    for (int i = 0; i < 20; i++) {
        give(&f->sources[0], 3000);
        loop_run_turns(f->app->loop, 2);
    }
    f->sources[0].then = ENDS;
    http_stream_wake(f->sources[0].stream);
    HTTP_WAIT(f->app->loop, http_client_ended(c));
    assert_true(http_client_whole(c, false, &r));
    assert_false(r.chunked);
    assert_str_equal(http_reply_field(&r, "Connection"), "close");
    assert_int_equal(r.body.len, 60000);
    check_bytes(r.body);
    http_client_close(c);
}

static void head_of_a_stream(void **state)
{
    struct fixture *f = *state;
    struct http_client *c = new_client(f);
    struct http_reply r;
    http_client_send(c, "HEAD /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    HTTP_WAIT(f->app->loop, http_client_whole(c, true, &r));
    HTTP_WAIT(f->app->loop, f->sources[0].gone == 1);
    assert_int_equal(f->sources[0].pulls, 0);
    assert_str_equal(http_reply_field(&r, "Connection"), "close");
    http_client_drop(c);
    HTTP_WAIT(f->app->loop, http_client_ended(c));
    assert_int_equal(http_client_received(c).len, 0);
    http_client_close(c);
}

static void answered_later(void **state)
{
    struct fixture *f = *state;
    struct http_client *c = new_client(f);
    http_client_get(c, "/later");
    HTTP_WAIT(f->app->loop, f->later != NULL);
    loop_run_turns(f->app->loop, 5);
    f->first_have = 10;
    start(f, f->later);
    HTTP_WAIT(f->app->loop, has_body(c, 10));
    give(&f->sources[0], 10);
    HTTP_WAIT(f->app->loop, has_body(c, 20));
    http_client_close(c);
}

/* A wake-up within the pull is not lost, although the pull found nothing. */
static void woken_by_its_own_pull(void **state)
{
    struct fixture *f = *state;
    struct http_client *c = new_stream(f);
    for (unsigned i = 1; i <= 10; i++) {
        f->sources[0].nervous = true;
        http_stream_wake(f->sources[0].stream);
        HTTP_WAIT(f->app->loop, has_body(c, 5U * i));
    }
    http_client_close(c);
}

static void wake_storm(void **state)
{
    struct fixture *f = *state;
    enum { STREAMS = 50, WAKES = 2000 };
    struct http_client *c[STREAMS];
    for (size_t i = 0; i < STREAMS; i++) {
        c[i] = new_stream(f);
    }
    const uint64_t before = f->pulls;
    for (size_t w = 0; w < WAKES; w++) {
        for (size_t i = 0; i < STREAMS; i++) {
            http_stream_wake(f->sources[i].stream);
        }
        if (w % 500 == 0) {
            loop_run_turns(f->app->loop, 1);
        }
    }
    for (size_t i = 0; i < STREAMS; i++) {
        give(&f->sources[i], 100);
    }
    for (size_t i = 0; i < STREAMS; i++) {
        HTTP_WAIT(f->app->loop, has_body(c[i], 100));
        http_client_close(c[i]);
    }
    /* 100,000 wake-ups, some 5 rounds of pulls. */
    assert_true(f->pulls - before < STREAMS * 12);
}

/* 1,000 at once, twice; what they use is given back. */
static void a_thousand(void **state)
{
    struct fixture *f = *state;
    enum { STREAMS = 500 };
    struct http_client *c[STREAMS];
    for (int round = 0; round < 2; round++) {
        const size_t base = f->n;
        for (size_t i = 0; i < STREAMS; i++) {
            c[i] = new_client(f);
            http_client_get(c[i], "/stream");
        }
        HTTP_WAIT(f->app->loop, f->n == base + STREAMS);
        assert_int_equal(http_n_streams(f->app->http), STREAMS);
        for (size_t i = 0; i < STREAMS; i++) {
            give(&f->sources[base + i], 1000);
        }
        for (size_t i = 0; i < STREAMS; i++) {
            HTTP_WAIT(f->app->loop, has_body(c[i], 1000));
            if (i % 3 == 0) {
                http_client_reset(c[i]);
            } else {
                http_client_close(c[i]);
            }
        }
        /* Nobody notices until something is written: the heartbeat's work. */
        for (int beat = 0; beat < 3; beat++) {
            for (size_t i = base; i < f->n; i++) {
                if (f->sources[i].stream != NULL) {
                    give(&f->sources[i], 10);
                }
            }
            loop_run_turns(f->app->loop, 20);
        }
        HTTP_WAIT(f->app->loop, http_n_streams(f->app->http) == 0);
        HTTP_WAIT(f->app->loop, http_n_connections(f->app->http) == 0);
    }
}

static size_t heap_bytes(void)
{
    return mallinfo2().uordblks; /* 0 under the sanitizer, which has a heap of its own */
}

/* A client that never reads a stream that never ends: pulls stop when the sockets are full, memory stays. */
static void client_that_never_reads(void **state)
{
    struct fixture *f = *state;
    struct http_client *mute = new_client(f);
    f->first_have = INT64_MAX / 2;
    http_client_stop_reading(mute);
    http_client_get(mute, "/stream");
    HTTP_WAIT(f->app->loop, f->n == 1);
    int64_t last = -1;
    struct patience p = {0};
    for (unsigned quiet = 0; quiet < QUIET_TURNS && patience_left(&p, HTTP_WAIT_TURNS); quiet++) {
        http_client_turn(f->app->loop);
        if (f->sources[0].sent != last) {
            last = f->sources[0].sent;
            quiet = 0; /* the kernel still finds room */
        }
    }
    assert_int_equal(f->sources[0].sent, last); /* full, some MB in the kernel */
    const size_t heap = heap_bytes();
    const uint64_t live = mem_live_count();
    struct http_client *other = new_client(f);
    for (int i = 0; i < ENDLESS_ROUNDS; i++) {
        http_stream_wake(f->sources[0].stream);
        http_client_get(other, "/hello");
        http_app_expect(f->app, other, 200, "hello");
    }
    assert_int_equal(f->sources[0].sent, last);
    http_client_close(other);
    HTTP_WAIT(f->app->loop, http_n_connections(f->app->http) == 1);
    loop_run_turns(f->app->loop, 3);
    assert_int_equal(mem_live_count(), live);
    assert_true(heap_bytes() <= heap + 4096);
    /* It may change its mind. */
    http_client_start_reading(mute);
    HTTP_WAIT(f->app->loop, f->sources[0].sent > last);
    http_client_close(mute);
    HTTP_WAIT(f->app->loop, http_n_streams(f->app->http) == 0);
}

static void mute_clients_are_dropped(void **state)
{
    struct fixture *f = *state;
    http_app_close(f->app);
    open_server(f, 1);
    struct http_client *mute = new_client(f);
    struct http_client *quiet = new_stream(f); /* has nothing to read: that is no reason */
    f->first_have = INT64_MAX / 2;
    http_client_stop_reading(mute);
    http_client_get(mute, "/stream");
    HTTP_WAIT(f->app->loop, f->n == 2);
    HTTP_WAIT(f->app->loop, f->sources[1].gone == 1);
    assert_int_equal(stats_get(f->app->stats, STAT_HTTP_STREAMS_ABORTED), 1);
    assert_int_equal(f->sources[0].gone, 0);
    give(&f->sources[0], 10);
    HTTP_WAIT(f->app->loop, has_body(quiet, 10));
    http_client_close(mute);
    http_client_close(quiet);
}

static void half_close(void **state)
{
    struct fixture *f = *state;
    struct http_client *c = new_stream(f);
    http_client_shut(c);
    for (unsigned i = 1; i <= 10; i++) {
        give(&f->sources[0], 10);
        HTTP_WAIT(f->app->loop, has_body(c, 10U * i));
    }
    http_client_close(c);
}

/* While many streams wake, each with work to do, a request is answered in between. */
static void requests_come_between(void **state)
{
    struct fixture *f = *state;
    enum { STREAMS = 600, ROUNDS = 4 };
    struct http_client *c[STREAMS];
    struct http_client *other = new_client(f);
    f->first_slow = true;
    for (size_t i = 0; i < STREAMS; i++) {
        c[i] = new_client(f);
        http_client_stop_reading(c[i]);
        http_client_get(c[i], "/stream");
    }
    HTTP_WAIT(f->app->loop, f->n == STREAMS && f->pulls >= STREAMS);
    loop_run_turns(f->app->loop, 20);
    size_t served = 0;
    for (int round = 0; round < ROUNDS; round++) {
        const int64_t want = f->sources[0].have + 1;
        http_client_get(other, "/hello");
        for (size_t i = 0; i < STREAMS; i++) {
            give(&f->sources[i], 1);
        }
        http_app_expect(f->app, other, 200, "hello");
        served = 0;
        for (size_t i = 0; i < STREAMS; i++) {
            served += f->sources[i].sent == want;
        }
        HTTP_WAIT(f->app->loop, f->sources[STREAMS - 1].sent == want);
    }
    assert_true(served < STREAMS); /* 30 ms of pulls, slices of 5 ms */
    for (size_t i = 0; i < STREAMS; i++) {
        http_client_close(c[i]);
    }
    http_client_close(other);
}

/* Closing the server ends streams well. */
static void close_ends_streams(void **state)
{
    struct fixture *f = *state;
    struct http_client *c = new_stream(f);
    struct http_reply r;
    give(&f->sources[0], 500);
    HTTP_WAIT(f->app->loop, has_body(c, 500));
    http_close(f->app->http, 60000, http_app_on_closed, f->app);
    HTTP_WAIT(f->app->loop, f->app->closed);
    HTTP_WAIT(f->app->loop, http_client_whole(c, false, &r));
    assert_int_equal(r.body.len, 500);
    assert_int_equal(f->sources[0].gone, 1);
    HTTP_WAIT(f->app->loop, http_client_ended(c));
    http_client_close(c);
}

static void close_after(struct fixture *f, unsigned turns)
{
    enum { CLIENTS = 6 };
    struct http_client *c[CLIENTS];
    for (size_t i = 0; i < CLIENTS; i++) {
        f->first_have = i == 0 ? INT64_MAX / 2 : 100; /* for some of them */
        c[i] = new_client(f);
        if (i == 0) {
            http_client_stop_reading(c[i]);
        }
        http_client_get(c[i], i == CLIENTS - 1 ? "/later" : "/stream");
        loop_run_turns(f->app->loop, turns % 3);
    }
    loop_run_turns(f->app->loop, turns);
    for (size_t i = 0; i < f->n; i++) {
        if (turns % 2 == 0 && f->sources[i].stream != NULL) {
            give(&f->sources[i], 10);
        }
    }
    http_client_reset(c[1]);
    http_close(f->app->http, turns % 3 == 0 ? 0 : 10, http_app_on_closed, f->app);
    HTTP_WAIT(f->app->loop, f->app->closed);
    if (f->later != NULL) {
        http_respond_static(f->later, 200, NULL, STR("too late")); /* frees what is left of it */
        f->later = NULL;
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        if (i != 1) {
            http_client_close(c[i]);
        }
    }
}

static void close_at_every_turn(void **state)
{
    struct fixture *f = *state;
    http_app_close(f->app);
    for (unsigned turns = 0; turns <= 20; turns++) {
        f->first_have = 0;
        open_server(f, 30);
        close_after(f, turns);
    }
}

/* A stream as answer to a request whose client is gone: told at once, no handle. */
static void too_late(void **state)
{
    struct fixture *f = *state;
    struct http_client *c = new_client(f);
    http_client_get(c, "/later");
    HTTP_WAIT(f->app->loop, f->later != NULL);
    http_app_close(f->app);
    struct source *s = &f->sources[f->n++];
    *s = (struct source){.f = f};
    s->stream = http_respond_stream(f->later, 200, NULL, BLOCK, pull, on_gone, s);
    assert_null(s->stream);
    assert_int_equal(s->gone, 1);
    http_client_close(c);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        TEST(bytes_come_in_order),
        TEST(end_and_abort),
        TEST(http_1_0),
        TEST(head_of_a_stream),
        TEST(answered_later),
        TEST(woken_by_its_own_pull),
        TEST(wake_storm),
        TEST(a_thousand),
        TEST(client_that_never_reads),
        TEST(mute_clients_are_dropped),
        TEST(half_close),
        TEST(requests_come_between),
        TEST(close_ends_streams),
        TEST(close_at_every_turn),
        TEST(too_late),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
