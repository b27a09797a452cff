/* tests/support/http_app.h - a small application behind server/http, for its tests.
 *
 *      GET, DELETE /hello    static text             GET /later     kept in pending, answered by the test
 *      GET /d/{x}/q          the request described   GET /careless  the same without http_req_on_gone
 *      POST /body            the body again          GET /big       HTTP_APP_BIG bytes
 *      GET /empty            204 with headers           GET /echo-head the field X-Test in the head of the answer
 *
 * `before` answers 401 to X-Deny and 204 to a preflight; `refuse` says "refused STATUS ALLOW".
 *
 * Threading:  loop thread only.
 */
#pragma once

#include "server/http/http.h"
#include "server/stats/stats.h"
#include "tests/support/http_client.h"
#include "tests/support/test.h"

enum { HTTP_APP_PENDING = 64, HTTP_APP_MAX_BODY = 1000, HTTP_APP_BIG = 1 << 20 };

struct http_app {
    struct loop *loop;
    struct stats *stats;
    struct http *http;
    struct http_client *c; /* closed by teardown */
    struct http_req *pending[HTTP_APP_PENDING];
    size_t n_pending;
    unsigned gone;
    unsigned handled;
    bool closed;
};

int http_app_setup(void **state); /* a server is open */
int http_app_teardown(void **state);

struct http_opts http_app_opts(struct http_app *f);
void http_app_open(struct http_app *f, const struct http_opts *o);
void http_app_close(struct http_app *f);                  /* and waits; open requests are cut off */
void http_app_on_closed(void *ctx);                       /* for http_close */
struct http_client *http_app_connect(struct http_app *f); /* into f->c */
/* Waits for the next answer, checks it and drops it; the reply stays until the next turn. text may be NULL. */
struct http_reply http_app_expect(struct http_app *f, struct http_client *c, unsigned status,
                                  const char *text);
