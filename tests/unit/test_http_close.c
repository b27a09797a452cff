/* Answers given later, and the ends of requests, connections and the server. */
#include "server/http/http.h"

#include <sys/socket.h>
#include <unistd.h>

#include "server/core/mem.h"
#include "server/stats/stats.h"
#include "tests/support/http_app.h"
#include "tests/support/loop_until.h"
#include "tests/support/run.h"

enum { MAX_PENDING = HTTP_APP_PENDING, BIG = HTTP_APP_BIG };

/* --- answers given later --- */

static void deferred(void **state)
{
    struct http_app *f = *state;
    for (unsigned turns = 0; turns < 12; turns++) {
        struct http_client *c = http_app_connect(f);
        http_client_get(c, "/later");
        HTTP_WAIT(f->loop, f->n_pending == turns + 1);
        loop_run_turns(f->loop, turns);
        struct buf out;
        buf_init(&out, 1024);
        buf_printf(&out, "after %u", turns);
        http_respond(f->pending[turns], 200, "text/plain", &out);
        struct http_reply r = http_app_expect(f, c, 200, NULL);
        assert_true(r.body.len >= 7);
        HTTP_WAIT(f->loop, f->gone == turns + 1);
        http_client_get(c, "/hello");
        http_app_expect(f, c, 200, "hello\n");
        http_client_close(c);
    }
    f->c = NULL;
}

static void many_deferred(void **state)
{
    struct http_app *f = *state;
    struct http_client *all[MAX_PENDING];
    for (size_t i = 0; i < MAX_PENDING; i++) {
        all[i] = http_client_open(f->loop, NULL, http_port(f->http));
        http_client_get(all[i], "/later");
    }
    HTTP_WAIT(f->loop, f->n_pending == MAX_PENDING);
    loop_run_turns(f->loop, 5);
    for (size_t i = MAX_PENDING; i-- > 0;) {
        http_respond_static(f->pending[i], 200, "text/plain", STR("x"));
    }
    for (size_t i = 0; i < MAX_PENDING; i++) {
        http_app_expect(f, all[i], 200, "x");
        http_client_close(all[i]);
    }
    HTTP_WAIT(f->loop, f->gone == MAX_PENDING);
}

/* The client is away when the answer comes: nothing leaks, the request ends once. */
static void deferred_after_the_client_left(void **state)
{
    struct http_app *f = *state;
    for (size_t i = 0; i < 8; i++) {
        struct http_client *c = http_client_open(f->loop, NULL, http_port(f->http));
        http_client_get(c, i % 2 == 0 ? "/later" : "/careless");
        HTTP_WAIT(f->loop, f->n_pending == i + 1);
        loop_run_turns(f->loop, 5);
        if (i < 4) {
            http_client_close(c);
        } else {
            http_client_reset(c);
        }
        loop_run_turns(f->loop, 5);
        struct buf out;
        buf_init(&out, BIG);
        assert_non_null(buf_reserve(&out, BIG));
        memset(out.data, 'x', BIG);
        buf_commit(&out, BIG);
        http_respond(f->pending[i], 200, "text/plain", &out);
        HTTP_WAIT(f->loop, http_n_connections(f->http) == 0);
    }
    assert_int_equal(f->gone, 4);
}

/* --- opening and closing --- */

static void addresses(void **state)
{
    struct http_app *f = *state;
    struct http_opts o = http_app_opts(f);
    struct http *second = NULL;
    struct err err = {.code = ERR_OK};
    o.port = http_port(f->http);
    assert_int_equal(http_open(f->loop, &o, NULL, &second, &err), ERR_IO);
    char want[160];
    (void)snprintf(want, sizeof want,
                   "cannot listen on 127.0.0.1:%u: Address already in use; another program has it: "
                   "stop that one or choose another port",
                   (unsigned)o.port);
    assert_string_equal(err.msg, want);
    o.port = 0;
    o.address = "192.0.2.1";
    assert_int_equal(http_open(f->loop, &o, NULL, &second, &err), ERR_IO);
    assert_non_null(strstr(err.msg, "this machine has no such address"));
    o.address = "localhost";
    assert_int_equal(http_open(f->loop, &o, NULL, &second, &err), ERR_INVALID);
    assert_null(second);
}

static void ipv6(void **state)
{
    struct http_app *f = *state;
    const int probe = socket(AF_INET6, SOCK_STREAM, 0);
    if (probe < 0) {
        skip();
    }
    (void)close(probe);
    http_app_close(f);
    struct http_opts o = http_app_opts(f);
    struct err err = {.code = ERR_OK};
    o.address = "::";
    if (http_open(f->loop, &o, f->stats, &f->http, &err) != ERR_OK) {
        skip(); /* no IPv6 here */
    }
    f->closed = false;
    static const char *const from[] = {"::1", "127.0.0.1"};
    for (size_t i = 0; i < ARRAY_LEN(from); i++) {
        f->c = http_client_open(f->loop, from[i], http_port(f->http));
        http_client_get(f->c, "/d/1/q");
        struct http_reply r = http_app_expect(f, f->c, 200, NULL);
        char want[64];
        const int n = snprintf(want, sizeof want, "\nremote=%s\n", from[i]);
        assert_non_null(memmem(r.body.ptr, r.body.len, want, (size_t)n));
        http_client_close(f->c);
        f->c = NULL;
    }
}

static void quiesce(void **state)
{
    struct http_app *f = *state;
    struct http_client *c = http_app_connect(f);
    http_client_get(c, "/hello");
    http_app_expect(f, c, 200, "hello\n");
    http_quiesce(f->http);
    http_quiesce(f->http);
    struct http_client *late = http_client_open(f->loop, NULL, http_port(f->http));
    HTTP_WAIT(f->loop, http_client_ended(late));
    http_client_get(c, "/hello"); /* who is connected goes on */
    http_app_expect(f, c, 200, "hello\n");
    http_client_close(late);
}

/* Closing waits for what runs, and tells clients not to come again. */
static void close_waits(void **state)
{
    struct http_app *f = *state;
    struct http_client *c = http_app_connect(f);
    struct http_reply r;
    http_client_get(c, "/later");
    HTTP_WAIT(f->loop, f->n_pending == 1);
    http_close(f->http, 60000, http_app_on_closed, f);
    loop_run_turns(f->loop, 20);
    assert_false(f->closed);
    assert_int_equal(f->gone, 0);
    http_respond_static(f->pending[0], 200, "text/plain", STR("late"));
    HTTP_WAIT(f->loop, http_client_whole(c, false, &r));
    assert_str_equal(r.body, "late");
    assert_str_equal(http_reply_field(&r, "Connection"), "close");
    HTTP_WAIT(f->loop, f->closed);
    assert_int_equal(f->gone, 1);
}

/* At the deadline what runs is cut off; a handler that still answers then does no harm. */
static void close_at_the_deadline(void **state)
{
    struct http_app *f = *state;
    struct http_client *all[6];
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        all[i] = http_client_open(f->loop, NULL, http_port(f->http));
        http_client_get(all[i], i % 2 == 0 ? "/later" : "/careless");
        HTTP_WAIT(f->loop, f->n_pending == i + 1);
    }
    http_close(f->http, 20, http_app_on_closed, f);
    HTTP_WAIT(f->loop, f->closed);
    assert_int_equal(f->gone, 3);
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        HTTP_WAIT(f->loop, http_client_ended(all[i]));
        assert_int_equal(http_client_received(all[i]).len, 0);
        http_client_close(all[i]);
        if (i % 2 == 1) {
            struct buf out;
            buf_init(&out, 100);
            buf_put(&out, STR("too late"));
            http_respond(f->pending[i], 200, "text/plain", &out);
        }
    }
}

static void close_after(struct http_app *f, unsigned turns)
{
    struct http_client *a = http_client_open(f->loop, NULL, http_port(f->http));
    struct http_client *b = http_client_open(f->loop, NULL, http_port(f->http));
    struct http_client *d = http_client_open(f->loop, NULL, http_port(f->http));
    http_client_get(a, "/hello");
    http_client_get(a, "/big");
    http_client_get(b, "/later");
    http_client_send(d, "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n123");
    loop_run_turns(f->loop, turns);
    http_close(f->http, turns % 2 == 0 ? 0 : 30, http_app_on_closed, f);
    assert_false(f->closed); /* never before returning */
    HTTP_WAIT(f->loop, f->closed);
    HTTP_WAIT(f->loop, http_client_ended(a) && http_client_ended(b) && http_client_ended(d));
    http_client_close(a);
    http_client_close(b);
    http_client_close(d);
}

static void close_at_every_turn(void **state)
{
    struct http_app *f = *state;
    http_app_close(f);
    for (unsigned turns = 0; turns <= 20; turns++) {
        const struct http_opts o = http_app_opts(f);
        f->gone = 0;
        f->n_pending = 0;
        http_app_open(f, &o);
        close_after(f, turns);
        assert_int_equal(f->gone, f->n_pending);
    }
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, http_app_setup, http_app_teardown)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        TEST(deferred),
        TEST(many_deferred),
        TEST(deferred_after_the_client_left),
        TEST(addresses),
        TEST(ipv6),
        TEST(quiesce),
        TEST(close_waits),
        TEST(close_at_the_deadline),
        TEST(close_at_every_turn),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
