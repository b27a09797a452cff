/* Targets taken apart, and the table of routes. */
#include "server/http/router.h"

#include "server/core/mem.h"
#include "tests/support/child.h"
#include "tests/support/run.h"

static enum err_code parse(struct target *t, struct target_path *p, const char *uri,
                           struct err *err)
{
    assert_int_equal(target_init(t, str_of(uri)), ERR_OK);
    return target_parse(t, p, err);
}

static void expect_segments(const char *uri, const char *const *want, size_t n)
{
    struct target t;
    struct target_path p;
    assert_int_equal(parse(&t, &p, uri, NULL), ERR_OK);
    assert_int_equal(p.n, n);
    for (size_t i = 0; i < n; i++) {
        assert_str_equal(p.segments[i], want[i]);
    }
    target_deinit(&t);
}
#define SEGMENTS(uri, ...)                                                                         \
    expect_segments((uri), (const char *const[]){__VA_ARGS__},                                     \
                    sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void paths(void **state)
{
    (void)state;
    SEGMENTS("/", "");
    SEGMENTS("/a", "a");
    SEGMENTS("/a/", "a", "");
    SEGMENTS("//a", "", "a");
    SEGMENTS("/a%2Fb/c%20d?x=/y", "a/b", "c d");
    SEGMENTS("/%E4%BD%A0%e5%a5%bd", "\xe4\xbd\xa0\xe5\xa5\xbd");
    SEGMENTS("/a+b", "a+b");
    SEGMENTS("http://host:80/a/b?c", "a", "b");
    SEGMENTS("https://host", "");
    SEGMENTS("/a/../b", "a", "..", "b");
}

static void bad_paths(void **state)
{
    (void)state;
    static const char *const bad[] = {"/%",         "/%1",     "/%g0",   "/%0g",    "/a%",
                                      "/a%4",       "/%00",    "/a%00b", "/%ff",    "/%C0%80",
                                      "/%ED%A0%80", "/a?b=%",  "/?%=1",  "/?a=%00", "/?%00",
                                      "/?a=%zz",    "/?a=%ff", "/? =%2"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct target t;
        struct target_path p;
        struct err err = {.code = ERR_OK};
        assert_int_equal(parse(&t, &p, bad[i], &err), ERR_INVALID);
        assert_true(err.msg[0] != '\0');
        target_deinit(&t);
    }
}

static void no_paths(void **state)
{
    (void)state;
    static const char *const none[] = {"", "*", "a/b", "?a=1", "/1/2/3/4/5/6/7/8/9/10/11/12/13"};
    struct router *r = router_new(NULL, 0);
    for (size_t i = 0; i < ARRAY_LEN(none); i++) {
        struct target t;
        struct target_path p;
        struct router_match m;
        assert_int_equal(parse(&t, &p, none[i], NULL), ERR_OK);
        assert_true(p.too_deep);
        assert_false(router_find(r, HTTP_GET, &p, &m));
        target_deinit(&t);
    }
    router_free(r);
}

static void expect_query(const char *uri, const char *const *want, size_t n)
{
    struct target t;
    struct target_path p;
    assert_int_equal(parse(&t, &p, uri, NULL), ERR_OK);
    assert_int_equal(t.n_query * 2, n);
    for (size_t i = 0; i < t.n_query; i++) {
        assert_str_equal(t.query[i].name, want[2 * i]);
        assert_str_equal(t.query[i].value, want[2 * i + 1]);
    }
    target_deinit(&t);
}
#define QUERY(uri, ...)                                                                            \
    expect_query((uri), (const char *const[]){__VA_ARGS__},                                        \
                 sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void queries(void **state)
{
    (void)state;
    QUERY("/?a=1", "a", "1");
    QUERY("/?a=1&b=2&a=3&a=1", "a", "1", "b", "2", "a", "3", "a", "1");
    QUERY("/?a", "a", "");
    QUERY("/?a=", "a", "");
    QUERY("/?=x", "", "x");
    QUERY("/?&&a=1&&b&", "a", "1", "b", "");
    QUERY("/?a=b=c&d=%26%3D%3F%2B", "a", "b=c", "d", "&=?+");
    QUERY("/?q=a+b%20c&x+y=1", "q", "a b c", "x y", "1");
    QUERY("/?a=?b", "a", "?b");
    QUERY("/p%20q?q=%E4%BD%A0", "q", "\xe4\xbd\xa0");
    struct target t;
    struct target_path p;
    assert_int_equal(parse(&t, &p, "/?", NULL), ERR_OK);
    assert_int_equal(t.n_query, 0);
    target_deinit(&t);
}

static void query_limit(void **state)
{
    (void)state;
    struct buf uri;
    buf_init(&uri, 65536);
    buf_put(&uri, STR("/?"));
    for (int i = 0; i < TARGET_QUERY; i++) {
        buf_put(&uri, STR("aa=%20&"));
    }
    struct target t;
    struct target_path p;
    struct err err = {.code = ERR_OK};
    assert_int_equal(target_init(&t, buf_str(&uri)), ERR_OK);
    assert_int_equal(target_parse(&t, &p, &err), ERR_OK);
    assert_int_equal(t.n_query, TARGET_QUERY);
    target_deinit(&t);
    buf_put(&uri, STR("b"));
    assert_int_equal(target_init(&t, buf_str(&uri)), ERR_OK);
    assert_int_equal(target_parse(&t, &p, &err), ERR_INVALID);
    assert_non_null(strstr(err.msg, "128"));
    target_deinit(&t);
    buf_deinit(&uri);
}

static void no_memory(void **state)
{
    (void)state;
    struct target t;
    mem_fault_set(0, 1);
    assert_int_equal(target_init(&t, STR("/a?b=c")), ERR_NOMEM);
    mem_fault_set(-1, 0);
    target_deinit(&t);
}

/* Random bytes give an error or views within the target's memory, nothing else (the sanitizer watches). */
static void random_targets(void **state)
{
    (void)state;
    static const char alphabet[] = "/%?&=+aF0\xe4\xbd\xa0 .2";
    struct rng rng;
    test_rng(&rng);
    for (int round = 0; round < 20000; round++) {
        char uri[40];
        const size_t n = (size_t)rng_below(&rng, sizeof uri);
        for (size_t i = 0; i < n; i++) {
            uri[i] = alphabet[rng_below(&rng, sizeof alphabet - 1)];
        }
        struct target t;
        struct target_path p;
        assert_int_equal(target_init(&t, (struct str){uri, n}), ERR_OK);
        if (target_parse(&t, &p, NULL) == ERR_OK) {
            size_t total = 0;
            for (size_t i = 0; i < t.n_query; i++) {
                total += t.query[i].name.len + t.query[i].value.len;
            }
            assert_true(total <= n);
        }
        target_deinit(&t);
    }
}

static void nothing(void *ctx, struct http_req *req)
{
    (void)ctx;
    (void)req;
}

#define ROUTE(m, p)                                                                                \
    {                                                                                              \
        .method = HTTP_##m, .path = (p), .handler = nothing, .operation_id = #m p                  \
    }
static const struct http_route ROUTES[] = {
    ROUTE(GET, "/"),
    ROUTE(GET, "/api/v1/rooms"),
    ROUTE(POST, "/api/v1/rooms"),
    ROUTE(GET, "/api/v1/rooms/{room}"),
    ROUTE(DELETE, "/api/v1/rooms/{room}"),
    ROUTE(PATCH, "/api/v1/rooms/{room}"),
    ROUTE(GET, "/api/v1/rooms/{room}/events"),
    ROUTE(GET, "/api/v1/events/{id}"),
    ROUTE(PUT, "/api/v1/events/{id}"),
    ROUTE(GET, "/api/v1/events/stream"),
    ROUTE(GET, "/api/v1/sessions/{id}/events/{event}"),
    ROUTE(OPTIONS, "/options"),
    ROUTE(HEAD, "/head"),
};

static void expect_match(enum http_method m, const char *uri, const char *operation,
                         const char *params)
{
    struct router *r = router_new(ROUTES, ARRAY_LEN(ROUTES));
    struct router_match match = {.route = NULL};
    struct target t;
    struct target_path p;
    struct buf got;
    assert_int_equal(parse(&t, &p, uri, NULL), ERR_OK);
    const bool found = router_find(r, m, &p, &match);
    buf_init(&got, 1024);
    if (operation == NULL) {
        assert_false(found);
    } else if (operation[0] == '!') { /* known path, method is not allowed */
        assert_true(found);
        assert_null(match.route);
        assert_string_equal(match.allow, operation + 1);
    } else {
        assert_true(found);
        assert_non_null(match.route);
        assert_string_equal(match.route->operation_id, operation);
        for (size_t i = 0; i < match.n_params; i++) {
            buf_printf(&got, STR_FMT "=" STR_FMT ";", STR_ARG(match.params[i].name),
                       STR_ARG(match.params[i].value));
        }
        assert_str_equal(buf_str(&got), params);
    }
    buf_deinit(&got);
    target_deinit(&t);
    router_free(r);
}

static void routing(void **state)
{
    (void)state;
    expect_match(HTTP_GET, "/", "GET/", "");
    expect_match(HTTP_GET, "/api/v1/rooms", "GET/api/v1/rooms", "");
    expect_match(HTTP_HEAD, "/api/v1/rooms?x=1", "GET/api/v1/rooms", "");
    expect_match(HTTP_POST, "/api/v1/rooms", "POST/api/v1/rooms", "");
    expect_match(HTTP_DELETE, "/api/v1/rooms/5", "DELETE/api/v1/rooms/{room}", "room=5;");
    expect_match(HTTP_GET, "/api/v1/rooms/a%2Fevents", "GET/api/v1/rooms/{room}", "room=a/events;");
    expect_match(HTTP_GET, "/api/v1/sessions/s/events/e", "GET/api/v1/sessions/{id}/events/{event}",
                 "id=s;event=e;");
    expect_match(HTTP_GET, "/api/v1/events/stream", "GET/api/v1/events/stream", "");
    expect_match(HTTP_GET, "/api/v1/events/streams", "GET/api/v1/events/{id}", "id=streams;");
    expect_match(HTTP_GET, "/api/%76%31/rooms", "GET/api/v1/rooms", "");
}

static void not_found(void **state)
{
    (void)state;
    static const char *const none[] = {"/api",
                                       "/api/v1/rooms/",
                                       "/api/v1/rooms//events",
                                       "/api/v1/Rooms",
                                       "//",
                                       "/api/v1/rooms/5/",
                                       "/api/v1/rooms/5/events/6",
                                       "/api/v1/events/",
                                       "/api%2Fv1/rooms"};
    for (size_t i = 0; i < ARRAY_LEN(none); i++) {
        expect_match(HTTP_GET, none[i], NULL, "");
    }
}

static void allowed(void **state)
{
    (void)state;
    expect_match(HTTP_DELETE, "/api/v1/rooms", "!GET, HEAD, POST", "");
    expect_match(HTTP_METHODS, "/api/v1/rooms/5", "!GET, HEAD, PATCH, DELETE", "");
    /* The more specific path decides, though the other one knows PUT. */
    expect_match(HTTP_PUT, "/api/v1/events/stream", "!GET, HEAD", "");
    expect_match(HTTP_GET, "/options", "!OPTIONS", "");
    expect_match(HTTP_GET, "/head", "!HEAD", "");
}

static void methods(void **state)
{
    (void)state;
    assert_int_equal(router_method(STR("GET")), HTTP_GET);
    assert_int_equal(router_method(STR("OPTIONS")), HTTP_OPTIONS);
    assert_int_equal(router_method(STR("get")), HTTP_METHODS);
    assert_int_equal(router_method(STR("TRACE")), HTTP_METHODS);
    assert_int_equal(router_method(STR_NULL), HTTP_METHODS);
    assert_string_equal(router_method_name(HTTP_PATCH), "PATCH");
    assert_string_equal(router_method_name(HTTP_METHODS), "?");
}

static void twice(void *ctx)
{
    (void)ctx;
    const struct http_route routes[] = {ROUTE(GET, "/a/{x}"), ROUTE(GET, "/a/{x}")};
    router_free(router_new(routes, ARRAY_LEN(routes)));
}

static void two_names(void *ctx)
{
    (void)ctx;
    const struct http_route routes[] = {ROUTE(GET, "/a/{x}"), ROUTE(PUT, "/a/{y}")};
    router_free(router_new(routes, ARRAY_LEN(routes)));
}

static void bad_tables(void **state)
{
    (void)state;
    assert_aborts(twice, NULL, "by_method");
    assert_aborts(two_names, NULL, "str_eq");
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths),          cmocka_unit_test(bad_paths),
        cmocka_unit_test(no_paths),       cmocka_unit_test(queries),
        cmocka_unit_test(query_limit),    cmocka_unit_test(no_memory),
        cmocka_unit_test(random_targets), cmocka_unit_test(routing),
        cmocka_unit_test(not_found),      cmocka_unit_test(allowed),
        cmocka_unit_test(methods),        cmocka_unit_test(bad_tables),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
