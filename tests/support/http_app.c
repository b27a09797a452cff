#include "tests/support/http_app.h"

#include "server/core/mem.h"
#include "tests/support/test.h"

enum {
    MAX_PENDING = HTTP_APP_PENDING,
    MAX_BODY = HTTP_APP_MAX_BODY,
    BIG = HTTP_APP_BIG,
    FILLER_BYTES = 600
};

/* --- the served application --- */

static void hello(void *ctx, struct http_req *r)
{
    ((struct http_app *)ctx)->handled++;
    http_respond_static(r, 200, "text/plain", STR("hello\n"));
}

static void describe(void *ctx, struct http_req *r)
{
    (void)ctx;
    struct buf out;
    buf_init(&out, 65536);
    buf_printf(&out, "path=" STR_FMT "\nx=" STR_FMT "\n", STR_ARG(http_req_path(r)),
               STR_ARG(http_req_param(r, "x")));
    for (size_t i = 0; i < http_req_query_n(r); i++) {
        struct str name;
        struct str value;
        http_req_query(r, i, &name, &value);
        buf_printf(&out, STR_FMT "=" STR_FMT "\n", STR_ARG(name), STR_ARG(value));
    }
    buf_printf(&out, "test=" STR_FMT "\nremote=" STR_FMT "\nid=%s\nop=%s\n",
               STR_ARG(http_req_header(r, "x-test")), STR_ARG(http_req_remote(r)), http_req_id(r),
               http_req_route(r)->operation_id);
    http_respond(r, 200, "text/plain", &out);
}

static void body(void *ctx, struct http_req *r)
{
    ((struct http_app *)ctx)->handled++;
    struct buf out;
    buf_init(&out, 65536);
    buf_printf(&out, "%zu:", http_req_body(r).len);
    buf_put(&out, http_req_body(r));
    http_respond(r, 201, "text/plain", &out);
}

static void on_gone(void *data)
{
    ((struct http_app *)data)->gone++;
}

static void keep(struct http_app *f, struct http_req *r)
{
    assert_true(f->n_pending < MAX_PENDING);
    f->pending[f->n_pending++] = r;
}

static void later(void *ctx, struct http_req *r)
{
    http_req_set_data(r, ctx);
    http_req_on_gone(r, on_gone);
    assert_ptr_equal(http_req_data(r), ctx);
    keep(ctx, r);
}

static void careless(void *ctx, struct http_req *r)
{
    keep(ctx, r); /* answers some time, does not care whether somebody is there */
}

static void big(void *ctx, struct http_req *r)
{
    (void)ctx;
    struct buf out;
    buf_init(&out, BIG);
    char *p = buf_reserve(&out, BIG);
    assert_non_null(p);
    for (size_t i = 0; i < BIG; i++) {
        p[i] = (char)('a' + i % 26);
    }
    buf_commit(&out, BIG);
    http_respond(r, 200, "text/plain", &out);
}

static void empty(void *ctx, struct http_req *r)
{
    (void)ctx;
    http_add_header(r, "X-One", STR("1"));
    http_add_header(r, "X-Two", STR("a\r\nX-Evil: 1"));
    http_add_header(r, "X-Three", STR("\xe4\xbd\xa0"));
    http_respond(r, 204, NULL, NULL);
}

static void echo_head(void *ctx, struct http_req *r)
{
    (void)ctx;
    http_add_header(r, "X-Echo", http_req_header(r, "X-Test"));
    struct buf out;
    buf_init(&out, 100);
    buf_put(&out, STR("echoed"));
    http_respond(r, 200, "text/plain", &out);
}

static const struct http_route ROUTES[] = {
    {HTTP_GET, "/echo-head", echo_head, "echo-head", 0},
    {HTTP_GET, "/hello", hello, "hello", 0},
    {HTTP_DELETE, "/hello", hello, "unhello", 0},
    {HTTP_GET, "/d/{x}/q", describe, "describe", 7},
    {HTTP_POST, "/body", body, "body", 0},
    {HTTP_GET, "/later", later, "later", 0},
    {HTTP_GET, "/careless", careless, "careless", 0},
    {HTTP_GET, "/big", big, "big", 0},
    {HTTP_GET, "/empty", empty, "empty", 0},
};

static bool before(void *ctx, struct http_req *r, const struct http_route *route)
{
    (void)ctx;
    assert_non_null(route);
    if (http_req_method(r) == HTTP_OPTIONS && http_req_header(r, "Origin").len > 0) {
        http_respond(r, 204, NULL, NULL);
        return false;
    }
    if (http_req_header(r, "X-Deny").len > 0) {
        http_respond_static(r, 401, "text/plain", STR("denied"));
        return false;
    }
    return true;
}

static void refuse(void *ctx, struct http_req *r, unsigned status, const char *allow)
{
    (void)ctx;
    struct buf out;
    buf_init(&out, 1024);
    buf_printf(&out, "refused %u %s", status, allow != NULL ? allow : "-");
    if (allow != NULL) {
        http_add_header(r, "Allow", str_of(allow));
    }
    http_respond(r, status, "text/plain", &out);
}

static void decorate(void *ctx, struct http_req *r)
{
    (void)ctx;
    char filler[FILLER_BYTES];
    memset(filler, 'f', sizeof filler);
    http_add_header(r, "X-Request-Id", str_of(http_req_id(r)));
    http_add_header(r, "X-Filler",
                    (struct str){filler, sizeof filler}); /* as much as an API adds */
}

/* --- fixture --- */

struct http_opts http_app_opts(struct http_app *f)
{
    return (struct http_opts){
        .address = "127.0.0.1",
        .max_connections = 2000,
        .idle_timeout_s = 30,
        .max_body_bytes = MAX_BODY,
        .routes = ROUTES,
        .n_routes = ARRAY_LEN(ROUTES),
        .ctx = f,
        .before = before,
        .refuse = refuse,
        .decorate = decorate,
    };
}

void http_app_open(struct http_app *f, const struct http_opts *o)
{
    struct err err = {.code = ERR_OK};
    f->closed = false;
    if (http_open(f->loop, o, f->stats, &f->http, &err) != ERR_OK) {
        fail_msg("%s", err.msg);
    }
    assert_true(http_port(f->http) != 0);
}

int http_app_setup(void **state)
{
    struct http_app *f = mem_new(struct http_app);
    f->loop = loop_new();
    f->stats = stats_new();
    const struct http_opts o = http_app_opts(f);
    http_app_open(f, &o);
    *state = f;
    return 0;
}

void http_app_on_closed(void *ctx)
{
    struct http_app *f = ctx;
    assert_false(f->closed);
    f->closed = true;
    f->http = NULL;
}

void http_app_close(struct http_app *f)
{
    http_close(f->http, 0, http_app_on_closed, f);
    HTTP_WAIT(f->loop, f->closed);
}

int http_app_teardown(void **state)
{
    struct http_app *f = *state;
    http_client_close(f->c);
    if (f->http != NULL) {
        http_app_close(f);
    }
    loop_free(f->loop);
    stats_free(f->stats);
    mem_free(f);
    return 0;
}

struct http_client *http_app_connect(struct http_app *f)
{
    f->c = http_client_open(f->loop, NULL, http_port(f->http));
    return f->c;
}

struct http_reply http_app_expect(struct http_app *f, struct http_client *c, unsigned status,
                                  const char *text)
{
    struct http_reply r;
    HTTP_WAIT(f->loop, http_client_whole(c, false, &r));
    assert_int_equal(r.status, status);
    if (text != NULL) {
        assert_str_equal(r.body, text);
    }
    http_client_drop(c);
    return r;
}
