/* The HTTP server against a client on the same loop: routing, answers, limits, bad clients. */
#include "server/http/http.h"

#include "server/core/mem.h"
#include "server/stats/stats.h"
#include "tests/support/http_app.h"
#include "tests/support/loop_until.h"
#include "tests/support/run.h"

enum { MAX_BODY = HTTP_APP_MAX_BODY, BIG = HTTP_APP_BIG, LONG_HEAD = 3072, DRIP_TURNS = 20 };

/* --- requests and answers --- */

static void answers(void **state)
{
    struct http_app *f = *state;
    struct http_client *c = http_app_connect(f);
    struct http_reply r;
    http_client_get(c, "/hello");
    HTTP_WAIT(f->loop, http_client_whole(c, false, &r));
    assert_int_equal(r.status, 200);
    assert_str_equal(r.body, "hello\n");
    assert_str_equal(http_reply_field(&r, "Content-Type"), "text/plain");
    assert_str_equal(http_reply_field(&r, "Content-Length"), "6");
    assert_int_equal(http_reply_field(&r, "X-Request-Id").len, 16);
    assert_true(http_reply_field(&r, "Date").len > 20);
    assert_false(r.chunked);
    http_client_drop(c);
    assert_int_equal(http_n_connections(f->http), 1);
    assert_int_equal(stats_get(f->stats, STAT_HTTP_REQUESTS_2XX), 1);
    assert_int_equal(stats_get(f->stats, STAT_HTTP_BODY_BYTES), 6);
}

static void request_is_described(void **state)
{
    struct http_app *f = *state;
    struct http_client *c = http_app_connect(f);
    http_client_send(c, "GET /d/a%2Fb/q?k=1&k=2&z=+%20&k=1&q=%E4%BD%A0 HTTP/1.1\r\nHost: x\r\n"
                        "X-TEST: v w \r\nX-Request-Id: Ab-9_.z\r\n\r\n");
    http_app_expect(f, c, 200,
                    "path=/d/a%2Fb/q\nx=a/b\nk=1\nk=2\nz=  \nk=1\nq=\xe4\xbd\xa0\ntest=v w\n"
                    "remote=127.0.0.1\nid=Ab-9_.z\nop=describe\n");
}

static void request_ids(void **state)
{
    struct http_app *f = *state;
    static const char *const bad[] = {"a b", "a/b", "\xe4\xbd\xa0", ""};
    struct http_client *c = http_app_connect(f);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct http_reply r;
        http_client_send(c, "GET /hello HTTP/1.1\r\nHost: x\r\nX-Request-Id: ");
        http_client_send(c, bad[i]);
        http_client_send(c, "\r\n\r\n");
        HTTP_WAIT(f->loop, http_client_whole(c, false, &r));
        assert_int_equal(http_reply_field(&r, "X-Request-Id").len, 16);
        http_client_drop(c);
    }
    char longest[66] = "";
    memset(longest, 'x', 65);
    for (size_t n = 65; n >= 64; n--) {
        struct http_reply r;
        longest[n] = '\0';
        http_client_send(c, "GET /hello HTTP/1.1\r\nHost: x\r\nX-Request-Id: ");
        http_client_send(c, longest);
        http_client_send(c, "\r\n\r\n");
        HTTP_WAIT(f->loop, http_client_whole(c, false, &r));
        assert_int_equal(http_reply_field(&r, "X-Request-Id").len, n == 64 ? 64 : 16);
        http_client_drop(c);
    }
}

static void head_has_no_body(void **state)
{
    struct http_app *f = *state;
    struct http_client *c = http_app_connect(f);
    struct http_reply r;
    http_client_send(c, "HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    http_client_get(c, "/hello");
    HTTP_WAIT(f->loop, http_client_whole(c, true, &r));
    assert_int_equal(r.status, 200);
    assert_str_equal(http_reply_field(&r, "Content-Length"), "6");
    http_client_drop(c);
    http_app_expect(f, c, 200, "hello\n");
}

static void headers_are_added(void **state)
{
    struct http_app *f = *state;
    struct http_client *c = http_app_connect(f);
    struct http_reply r;
    http_client_get(c, "/empty");
    http_client_get(c, "/hello");
    HTTP_WAIT(f->loop, http_client_whole(c, false, &r));
    assert_int_equal(r.status, 204);
    assert_str_equal(http_reply_field(&r, "X-One"), "1");
    assert_str_equal(http_reply_field(&r, "X-Three"), "\xe4\xbd\xa0");
    assert_int_equal(http_reply_field(&r, "X-Two").len, 0);
    assert_int_equal(http_reply_field(&r, "X-Evil").len, 0);
    http_client_drop(c);
    http_app_expect(f, c, 200, "hello\n");
}

struct refusal {
    const char *request;
    unsigned status;
    const char *body;
};

static void refusals(void **state)
{
    struct http_app *f = *state;
    static const struct refusal cases[] = {
        {"GET /nothing", 404, "refused 404 -"},
        {"GET /hello/", 404, "refused 404 -"},
        {"GET /", 404, "refused 404 -"},
        {"OPTIONS *", 404, "refused 404 -"},
        {"TRACE /nothing", 404, "refused 404 -"},
        {"POST /hello", 405, "refused 405 GET, HEAD, DELETE"},
        {"BREW /hello", 405, "refused 405 GET, HEAD, DELETE"},
        {"OPTIONS /hello", 405, "refused 405 GET, HEAD, DELETE"},
        {"GET /body", 405, "refused 405 POST"},
        {"GET /hello?a=%", 400, "refused 400 -"},
        {"GET /%zz", 400, "refused 400 -"},
        {"GET /d/a%00b/q", 400, "refused 400 -"},
        {"GET /d/a/q?x=%ff", 400, "refused 400 -"},
        {"GET http://h/hello", 200, "hello\n"},
        {"DELETE /hello", 200, "hello\n"},
    };
    struct http_client *c = http_app_connect(f);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        http_client_send(c, cases[i].request);
        http_client_send(c, " HTTP/1.1\r\nHost: x\r\n\r\n");
        http_app_expect(f, c, cases[i].status, cases[i].body);
    }
    assert_int_equal(http_n_connections(f->http), 1); /* one connection for all */
}

static void allow_field(void **state)
{
    struct http_app *f = *state;
    struct http_client *c = http_app_connect(f);
    struct http_reply r;
    http_client_send(c, "PUT /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
    HTTP_WAIT(f->loop, http_client_whole(c, false, &r));
    assert_int_equal(r.status, 405);
    assert_str_equal(http_reply_field(&r, "Allow"), "GET, HEAD, DELETE");
}

static void before_decides(void **state)
{
    struct http_app *f = *state;
    struct http_client *c = http_app_connect(f);
    http_client_send(c, "GET /hello HTTP/1.1\r\nHost: x\r\nX-Deny: 1\r\n\r\n");
    http_app_expect(f, c, 401, "denied");
    http_client_send(c, "OPTIONS /hello HTTP/1.1\r\nHost: x\r\nOrigin: http://o\r\n\r\n");
    http_app_expect(f, c, 204, NULL);
    assert_int_equal(f->handled, 0);
}

/* --- bodies --- */

static void bodies(void **state)
{
    struct http_app *f = *state;
    struct http_client *c = http_app_connect(f);
    http_client_send(c, "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
    http_app_expect(f, c, 201, "3:abc");
    http_client_send(c, "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    http_app_expect(f, c, 201, "0:");
    http_client_send(c, "POST /body HTTP/1.1\r\nHost: x\r\n\r\n");
    http_app_expect(f, c, 201, "0:");
    http_client_send(c, "POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                        "2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n");
    http_app_expect(f, c, 201, "3:abc");
    http_client_send(c, "POST /body HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                        "Content-Length: 2\r\n\r\n");
    http_app_expect(f, c, 100, NULL);
    http_client_send(c, "de");
    http_app_expect(f, c, 201, "2:de");
}

static void send_filler(struct http_client *c, size_t n)
{
    char block[1000];
    memset(block, 'x', sizeof block);
    for (; n > 0; n -= n < sizeof block ? n : sizeof block) {
        http_client_send_bytes(c, (struct str){block, n < sizeof block ? n : sizeof block});
    }
}

static void body_at_the_limit(void **state)
{
    struct http_app *f = *state;
    struct http_client *c = http_app_connect(f);
    http_client_send(c, "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n");
    send_filler(c, MAX_BODY);
    struct http_reply r = http_app_expect(f, c, 201, NULL);
    assert_int_equal(r.body.len, MAX_BODY + 5);
    http_client_send(c, "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n");
    send_filler(c, MAX_BODY + 1);
    http_app_expect(f, c, 413, "refused 413 -");
    /* It was read to its end, so the connection goes on. */
    http_client_get(c, "/hello");
    http_app_expect(f, c, 200, "hello\n");
    assert_int_equal(stats_get(f->stats, STAT_HTTP_BODY_TOO_BIG), 1);
}

static void chunked_body_over_the_limit(void **state)
{
    struct http_app *f = *state;
    struct http_client *c = http_app_connect(f);
    http_client_send(c, "POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 40; i++) {
        http_client_send(c, "64\r\n");
        send_filler(c, 100);
        http_client_send(c, "\r\n");
    }
    http_client_send(c, "0\r\n\r\n");
    http_app_expect(f, c, 413, "refused 413 -");
}

static void huge_body_is_refused_early(void **state)
{
    struct http_app *f = *state;
    struct http_client *c = http_app_connect(f);
    http_client_send(c, "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n");
    http_app_expect(f, c, 413, "refused 413 -");
    HTTP_WAIT(f->loop, http_client_ended(c));
    http_client_close(c);
    c = http_app_connect(f);
    http_client_send(c, "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n"
                        "Expect: 100-continue\r\n\r\n");
    http_app_expect(f, c, 413, "refused 413 -");
    HTTP_WAIT(f->loop, http_client_ended(c));
    assert_int_equal(f->handled, 0);
}

static void endless_chunked_body_is_cut(void **state)
{
    struct http_app *f = *state;
    struct http_client *c = http_app_connect(f);
    http_client_send(c, "POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                        "FFFFFFF\r\n");
    send_filler(c, 4 << 20);
    HTTP_WAIT(f->loop, http_client_ended(c));
    assert_int_equal(stats_get(f->stats, STAT_HTTP_BODY_CUT), 1);
    assert_int_equal(stats_get(f->stats, STAT_HTTP_INCOMPLETE), 1);
}

static void big_answer(void **state)
{
    struct http_app *f = *state;
    struct http_client *c = http_app_connect(f);
    http_client_get(c, "/big");
    struct http_reply r = http_app_expect(f, c, 200, NULL);
    assert_int_equal(r.body.len, BIG);
    for (size_t i = 0; i < BIG; i++) {
        assert_int_equal(r.body.ptr[i], 'a' + i % 26);
    }
}

/* --- connections --- */

static void slow_drip(void **state)
{
    struct http_app *f = *state;
    struct http_client *c = http_app_connect(f);
    static const char text[] = "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345";
    for (size_t i = 0; i < sizeof text - 1; i++) {
        http_client_send_bytes(c, (struct str){text + i, 1});
        loop_run_turns(f->loop, 4);
    }
    http_app_expect(f, c, 201, "5:12345");
}

static void keep_alive(void **state)
{
    struct http_app *f = *state;
    struct http_client *c = http_app_connect(f);
    for (int i = 0; i < 200; i++) {
        http_client_get(c, i % 3 == 0 ? "/d/1/q" : "/hello");
        http_app_expect(f, c, 200, NULL);
    }
    assert_int_equal(stats_get(f->stats, STAT_HTTP_CONNECTIONS), 1);
}

static void pipelining(void **state)
{
    struct http_app *f = *state;
    struct http_client *c = http_app_connect(f);
    for (int i = 0; i < 300; i++) {
        char path[32];
        (void)snprintf(path, sizeof path, "/d/%d/q", i);
        http_client_get(c, path);
        http_client_send(c, "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab");
    }
    for (int i = 0; i < 300; i++) {
        char want[32];
        const int n = snprintf(want, sizeof want, "path=/d/%d/q\nx=%d\n", i, i);
        struct http_reply r = http_app_expect(f, c, 200, NULL);
        assert_true(r.body.len > (size_t)n && memcmp(r.body.ptr, want, (size_t)n) == 0);
        http_app_expect(f, c, 201, "2:ab");
    }
}

/* Answers given later keep the order of the requests. */
static void pipelined_later(void **state)
{
    struct http_app *f = *state;
    struct http_client *c = http_app_connect(f);
    for (int i = 0; i < 20; i++) {
        http_client_get(c, "/later");
        http_client_get(c, "/hello");
    }
    for (size_t i = 0; i < 20; i++) {
        HTTP_WAIT(f->loop, f->n_pending == i + 1);
        http_respond_static(f->pending[i], 200, "text/plain", STR("late"));
        http_app_expect(f, c, 200, "late");
        http_app_expect(f, c, 200, "hello\n");
    }
    assert_int_equal(f->gone, 20);
}

static void http_1_0(void **state)
{
    struct http_app *f = *state;
    struct http_client *c = http_app_connect(f);
    http_client_send(c, "GET /hello HTTP/1.0\r\n\r\n");
    http_app_expect(f, c, 200, "hello\n");
    HTTP_WAIT(f->loop, http_client_ended(c));
}

static void connection_close(void **state)
{
    struct http_app *f = *state;
    struct http_client *c = http_app_connect(f);
    http_client_send(c, "GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    http_app_expect(f, c, 200, "hello\n");
    HTTP_WAIT(f->loop, http_client_ended(c));
    HTTP_WAIT(f->loop, http_n_connections(f->http) == 0);
}

/* A head of 3 kB is taken, one of 8 kB is refused by libmicrohttpd itself, and the server goes on. */
static void long_heads(void **state)
{
    struct http_app *f = *state;
    struct http_client *c = http_app_connect(f);
    struct buf head;
    buf_init(&head, 65536);
    buf_put(&head, STR("GET /d/1/q HTTP/1.1\r\nHost: x\r\n"));
    for (int i = 0; head.len < LONG_HEAD - 130; i++) {
        buf_printf(&head, "X-Field-%02d: %0115d\r\n", i, i);
    }
    buf_put(&head, STR("X-Test: end\r\n\r\n"));
    http_client_send_bytes(c, buf_str(&head));
    struct http_reply r = http_app_expect(f, c, 200, NULL);
    assert_non_null(memmem(r.body.ptr, r.body.len, "test=end", 8));
    buf_deinit(&head);

    static const char *const starts[] = {"GET /hello HTTP/1.1\r\nHost: x\r\nX-Long: ",
                                         "GET /hello?q="};
    static const unsigned status[] = {431, 414};
    for (size_t i = 0; i < ARRAY_LEN(starts); i++) {
        http_client_close(c);
        c = http_app_connect(f);
        http_client_send(c, starts[i]);
        send_filler(c, 8000);
        HTTP_WAIT(f->loop, http_client_peek(c, false, &r));
        assert_int_equal(r.status, status[i]);
        HTTP_WAIT(f->loop, http_client_ended(c));
    }
    http_client_close(c);
    c = http_app_connect(f);
    http_client_get(c, "/hello");
    http_app_expect(f, c, 200, "hello\n");
}

/* An answer whose head does not fit behind the request's is replaced, not lost. */
static void head_that_leaves_no_room(void **state)
{
    struct http_app *f = *state;
    struct http_client *c = http_app_connect(f);
    for (size_t n = 500; n < 3800; n += 100) {
        struct http_reply r;
        http_client_close(c);
        c = http_app_connect(f);
        http_client_send(c, "GET /echo-head HTTP/1.1\r\nHost: x\r\nX-Test: ");
        send_filler(c, n);
        http_client_send(c, "\r\n\r\n");
        HTTP_WAIT(f->loop, http_client_whole(c, false, &r));
        assert_true(r.status == 200 || r.status == 431);
        assert_int_equal(http_reply_field(&r, "X-Echo").len, r.status == 200 ? n : 0);
        if (n < 2000) {
            assert_int_equal(r.status, 200);
        } else if (n > 3000) {
            assert_int_equal(r.status, 431);
        }
    }
    assert_true(stats_get(f->stats, STAT_HTTP_HEAD_TOO_LONG) > 5);
}

static void cookies(void **state)
{
    struct http_app *f = *state;
    struct http_client *c = http_app_connect(f);
    http_client_send(c, "GET /hello HTTP/1.1\r\nHost: x\r\nCookie: session=");
    send_filler(c, 1000);
    http_client_send(c, "; a=1; b=2\r\nAccept: */*\r\nUser-Agent: test\r\n\r\n");
    http_app_expect(f, c, 200, "hello\n");
}

/* 30 short fields, as some proxies send them, also fit. */
static void many_fields(void **state)
{
    struct http_app *f = *state;
    struct http_client *c = http_app_connect(f);
    http_client_send(c, "GET /hello HTTP/1.1\r\nHost: x\r\n");
    for (int i = 0; i < 30; i++) {
        char field[64];
        (void)snprintf(field, sizeof field, "X-Field-Number-%d: value %d\r\n", i, i);
        http_client_send(c, field);
    }
    http_client_send(c, "\r\n");
    http_app_expect(f, c, 200, "hello\n");
}

static void garbage(void **state)
{
    struct http_app *f = *state;
    static const char *const bad[] = {
        "\r\n\r\n\r\n\x16\x03\x01 nonsense\r\n\r\n",
        "GET\r\n\r\n",
        "GET /a b c HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /hello HTTP/9.9\r\nHost: x\r\n\r\n",
        "GET /hello HTTP/1.1\r\nno colon\r\n\r\n",
        "GET /hello HTTP/1.1\r\n\r\n",
        "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct http_client *c = http_app_connect(f);
        http_client_send(c, bad[i]);
        http_client_shut(c);
        HTTP_WAIT(f->loop, http_client_ended(c));
        http_client_close(c);
    }
    assert_int_equal(f->handled, 0);
    struct http_client *c = http_app_connect(f);
    http_client_get(c, "/hello");
    http_app_expect(f, c, 200, "hello\n");
}

static void clients_that_leave(void **state)
{
    struct http_app *f = *state;
    static const char *const starts[] = {
        "",
        "G",
        "GET /hel",
        "GET /hello HTTP/1.1\r\nHo",
        "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1",
        "GET /big HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /later HTTP/1.1\r\nHost: x\r\n\r\n"};
    for (size_t i = 0; i < 2 * ARRAY_LEN(starts); i++) {
        struct http_client *c = http_client_open(f->loop, NULL, http_port(f->http));
        http_client_send(c, starts[i / 2]);
        loop_run_turns(f->loop, 6);
        if (i % 2 == 0) {
            http_client_close(c);
        } else {
            http_client_reset(c);
        }
    }
    HTTP_WAIT(f->loop, f->n_pending == 2 && http_n_connections(f->http) == 2);
    http_respond_static(f->pending[0], 200, "text/plain", STR("x"));
    http_respond_static(f->pending[1], 200, "text/plain", STR("x"));
    HTTP_WAIT(f->loop, http_n_connections(f->http) == 0);
    assert_int_equal(f->gone, 2);
}

static void half_close(void **state)
{
    struct http_app *f = *state;
    struct http_client *c = http_app_connect(f);
    http_client_get(c, "/hello");
    http_client_shut(c);
    http_app_expect(f, c, 200, "hello\n");
    HTTP_WAIT(f->loop, http_client_ended(c));
    http_client_close(c);

    c = http_app_connect(f);
    http_client_get(c, "/later");
    http_client_shut(c);
    HTTP_WAIT(f->loop, f->n_pending == 1);
    loop_run_turns(f->loop, 10);
    http_respond_static(f->pending[0], 200, "text/plain", STR("after the half-close"));
    http_app_expect(f, c, 200, "after the half-close");
    HTTP_WAIT(f->loop, http_client_ended(c));
    assert_int_equal(f->gone, 1);
}

static void connection_limit(void **state)
{
    struct http_app *f = *state;
    struct http_client *all[8];
    http_app_close(f);
    struct http_opts o = http_app_opts(f);
    o.max_connections = 3;
    http_app_open(f, &o);
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        all[i] = http_client_open(f->loop, NULL, http_port(f->http));
        http_client_get(all[i], "/hello");
    }
    HTTP_WAIT(f->loop, stats_get(f->stats, STAT_HTTP_REFUSED) == 5 && f->handled == 3);
    assert_int_equal(http_n_connections(f->http), 3);
    unsigned served = 0;
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        struct http_reply r;
        HTTP_WAIT(f->loop, http_client_ended(all[i]) || http_client_whole(all[i], false, &r));
        served += http_client_received(all[i]).len > 0;
        http_client_close(all[i]);
    }
    assert_int_equal(served, 3);
    HTTP_WAIT(f->loop, http_n_connections(f->http) == 0);
    struct http_client *c = http_app_connect(f);
    http_client_get(c, "/hello");
    http_app_expect(f, c, 200, "hello\n");
}

/* Silence is ended after idle_timeout_s, a request that drips on after twice that. */
static void timeouts(void **state)
{
    struct http_app *f = *state;
    http_app_close(f);
    struct http_opts o = http_app_opts(f);
    o.idle_timeout_s = 3; /* a drip must never be that late */
    http_app_open(f, &o);
    struct http_client *silent = http_client_open(f->loop, NULL, http_port(f->http));
    struct http_client *dripping = http_client_open(f->loop, NULL, http_port(f->http));
    struct http_client *waiting = http_app_connect(f);
    http_client_get(waiting, "/later");
    http_client_send(dripping, "GET /hello?");
    struct patience p = {0};
    for (unsigned i = 0; !http_client_ended(dripping) && patience_left(&p, HTTP_WAIT_TURNS); i++) {
        if (i % DRIP_TURNS == 0) {
            http_client_send(dripping, "x");
        }
        http_client_turn(f->loop);
    }
    assert_true(http_client_ended(dripping));
    assert_true(http_client_ended(silent));
    assert_int_equal(http_client_received(dripping).len, 0);
    assert_int_equal(stats_get(f->stats, STAT_HTTP_SLOW), 1);
    assert_false(http_client_ended(waiting)); /* it waits for us, that is another matter */
    http_respond_static(f->pending[0], 200, "text/plain", STR("late"));
    http_app_expect(f, waiting, 200, "late");
    http_client_close(silent);
    http_client_close(dripping);
}

/* Whichever allocation for a request fails: an answer or the end of its connection, and the next client is served. */
static void out_of_memory(void **state)
{
    struct http_app *f = *state;
    static const char text[] =
        "POST /body?a=1&b=2 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345";
    unsigned refused = 0;
    for (int64_t n = 0; n < 8; n++) {
        struct http_client *c = http_app_connect(f);
        struct http_reply r = {.status = 0};
        http_client_send(c, text); /* the client's own memory is there before the faults begin */
        http_app_expect(f, c, 201, "5:12345");
        mem_fault_set(n, 1);
        http_client_send(c, text);
        HTTP_WAIT(f->loop, http_client_ended(c) || http_client_whole(c, false, &r));
        mem_fault_set(-1, 0);
        refused += r.status != 201;
        http_client_close(c);
    }
    f->c = NULL;
    assert_true(refused > 0 && refused < 8);
}

static void scrape(void **state)
{
    struct http_app *f = *state;
    struct http_client *c = http_app_connect(f);
    struct buf out;
    http_client_get(c, "/hello");
    http_app_expect(f, c, 200, NULL);
    buf_init(&out, BIG);
    stats_write_prometheus(f->stats, &out);
    buf_put_c(&out, '\0');
    assert_non_null(strstr(out.data, "\ndanmakud_http_connections 1\n"));
    assert_non_null(strstr(out.data, "\ndanmakud_http_streams 0\n"));
    assert_non_null(strstr(out.data, "\ndanmakud_http_request_seconds_count 1\n"));
    assert_non_null(strstr(out.data, "\ndanmakud_http_requests_total{status=\"2xx\"} 1\n"));
    buf_deinit(&out);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, http_app_setup, http_app_teardown)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        TEST(answers),
        TEST(request_is_described),
        TEST(request_ids),
        TEST(head_has_no_body),
        TEST(headers_are_added),
        TEST(refusals),
        TEST(allow_field),
        TEST(before_decides),
        TEST(bodies),
        TEST(body_at_the_limit),
        TEST(chunked_body_over_the_limit),
        TEST(huge_body_is_refused_early),
        TEST(endless_chunked_body_is_cut),
        TEST(big_answer),
        TEST(slow_drip),
        TEST(keep_alive),
        TEST(pipelining),
        TEST(pipelined_later),
        TEST(http_1_0),
        TEST(connection_close),
        TEST(long_heads),
        TEST(head_that_leaves_no_room),
        TEST(cookies),
        TEST(many_fields),
        TEST(garbage),
        TEST(clients_that_leave),
        TEST(half_close),
        TEST(connection_limit),
        TEST(timeouts),
        TEST(out_of_memory),
        TEST(scrape),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
