#include "api/gate.h"

#include <stdio.h>

#include "api/auth.h"
#include "api/reply.h"
#include "api/tickets.h"
#include "api/token.h"
#include "server/config/config.h"
#include "server/core/mem.h"
#include "server/loop/loop.h"
#include "server/stats/stats.h"

/* A request that waits until the tokens were read. */
struct waiting_req {
    struct auth_waiter waiter;
    struct api *api;
    struct http_req *req;
};

unsigned gate_scopes(struct api *a, struct http_req *req)
{
    unsigned scopes = SCOPE_NONE;
    enum auth_result r = auth_check(a->auth, http_req_header(req, "Authorization"), false, &scopes);
    return r == AUTH_GRANTED ? scopes : SCOPE_NONE;
}

static void refuse_auth(struct api *a, struct http_req *req, const char *challenge,
                        enum problem_code code, const char *detail)
{
    stats_inc(a->opts.stats, STAT_API_AUTH_REFUSED);
    http_add_header(req, "WWW-Authenticate", str_of(challenge));
    reply_problem(a, req, code, detail);
}

static bool has_scope(struct api *a, struct http_req *req, unsigned scopes, unsigned needed)
{
    if ((scopes & needed) == needed) {
        return true;
    }
    char name[TOKEN_SCOPES_TEXT_MAX];
    char challenge[TOKEN_SCOPES_TEXT_MAX + 80];
    char detail[2 * TOKEN_SCOPES_TEXT_MAX + 96];
    (void)token_scopes_text(needed, name);
    (void)snprintf(challenge, sizeof(challenge),
                   "Bearer realm=\"danmakud\", error=\"insufficient_scope\", scope=\"%s\"", name);
    (void)snprintf(detail, sizeof(detail),
                   auth_has_tokens(a->auth)
                       ? "this needs the scope %s"
                       : "this needs a token with the scope %s: danmakud token add NAME "
                         "--scopes=read,stream,%s",
                   name, name);
    refuse_auth(a, req, challenge, PROBLEM_FORBIDDEN, detail);
    return false;
}

/* A ticket stands in for the header, for streams only. */
static bool redeem(struct api *a, struct http_req *req, unsigned *ret_scopes)
{
    size_t n = http_req_query_n(req);
    for (size_t i = 0; i < n; i++) {
        struct str name;
        struct str value;
        http_req_query(req, i, &name, &value);
        if (str_eq(name, STR("ticket"))) {
            return tickets_redeem(a->tickets, loop_now_ms(a->opts.loop), value, ret_scopes);
        }
    }
    return false;
}

static void on_tokens_read(void *ctx);

static void on_waiting_gone(void *data)
{
    struct waiting_req *w = data;
    auth_unwait(w->api->auth, &w->waiter);
    mem_free(w);
}

static void wait_for_tokens(struct api *a, struct http_req *req)
{
    struct waiting_req *w = mem_new(struct waiting_req);
    w->api = a;
    w->req = req;
    w->waiter.fn = on_tokens_read;
    w->waiter.ctx = w;
    if (!auth_wait(a->auth, &w->waiter)) {
        mem_free(w);
        reply_problem(a, req, PROBLEM_OVERLOADED, NULL);
        return;
    }
    http_req_set_data(req, w);
    http_req_on_gone(req, on_waiting_gone);
}

/* True: the handler may run. Else the request was answered, or waits. */
static bool authorize(struct api *a, struct http_req *req, const struct http_route *route,
                      bool may_wait)
{
    unsigned scopes = SCOPE_NONE;
    struct str header = http_req_header(req, "Authorization");
    if (route->tag == SCOPE_STREAM && header.len == 0 && redeem(a, req, &scopes)) {
        return has_scope(a, req, scopes, route->tag);
    }
    switch (auth_check(a->auth, header, may_wait, &scopes)) {
    case AUTH_GRANTED:
        return has_scope(a, req, scopes, route->tag);
    case AUTH_NONE:
        refuse_auth(a, req, "Bearer realm=\"danmakud\"", PROBLEM_UNAUTHENTICATED,
                    "send Authorization: Bearer <token>");
        return false;
    case AUTH_INVALID:
        refuse_auth(a, req, "Bearer realm=\"danmakud\", error=\"invalid_token\"",
                    PROBLEM_UNAUTHENTICATED, "the token is unknown, revoked or expired");
        return false;
    case AUTH_WAIT:
        wait_for_tokens(a, req);
        return false;
    case AUTH_UNCERTAIN:
        break;
    }
    reply_problem(a, req, PROBLEM_DATABASE_UNAVAILABLE, "the tokens could not be read yet");
    return false;
}

static void on_tokens_read(void *ctx)
{
    struct waiting_req *w = ctx;
    struct api *a = w->api;
    struct http_req *req = w->req;
    const struct http_route *route = http_req_route(req);
    http_req_set_data(req, NULL);
    http_req_on_gone(req, NULL);
    mem_free(w);
    if (authorize(a, req, route, false)) {
        route->handler(a, req);
    }
}

bool gate_before(void *ctx, struct http_req *req, const struct http_route *route)
{
    struct api *a = ctx;
    const struct api_ops *ops = &a->opts.ops;
    if (route->tag != SCOPE_NONE && ops->open != NULL && !ops->open(ops->ctx)) {
        reply_problem(a, req, PROBLEM_STARTING,
                      "the database has not answered since this process began: who may read is not "
                      "known yet; what comes meanwhile is kept");
        return false;
    }
    return route->tag == SCOPE_NONE || authorize(a, req, route, true);
}

/* The origin, if browsers may call from it. */
static bool allowed_origin(const struct api *a, struct http_req *req, struct str *ret)
{
    const struct config_list *origins = &a->opts.config->cors_origins;
    struct str origin = http_req_header(req, "Origin");
    for (size_t i = 0; origin.len > 0 && i < origins->n; i++) {
        struct str allowed = str_of(origins->items[i]);
        if (str_eq(allowed, STR("*")) || str_eq(allowed, origin)) {
            *ret = str_eq(allowed, STR("*")) ? allowed : origin;
            return true;
        }
    }
    return false;
}

void gate_decorate(void *ctx, struct http_req *req)
{
    struct api *a = ctx;
    struct str origin;
    http_add_header(req, "X-Request-Id", str_of(http_req_id(req)));
    http_add_header(req, "X-Content-Type-Options", STR("nosniff"));
    if (a->opts.config->cors_origins.n == 0) {
        return;
    }
    http_add_header(req, "Vary", STR("Origin"));
    if (allowed_origin(a, req, &origin)) {
        http_add_header(req, "Access-Control-Allow-Origin", origin);
        http_add_header(req, "Access-Control-Expose-Headers",
                        STR("Link, ETag, Retry-After, X-Request-Id, X-Stream-Resumed-From"));
    }
}

/* OPTIONS has no routes of its own: what a path can do is in the Allow value. */
static void answer_options(struct api *a, struct http_req *req, const char *allow)
{
    struct str origin;
    http_add_header(req, "Allow", str_of(allow));
    if (http_req_header(req, "Access-Control-Request-Method").len > 0 &&
        allowed_origin(a, req, &origin)) {
        http_add_header(req, "Access-Control-Allow-Methods", str_of(allow));
        http_add_header(req, "Access-Control-Allow-Headers",
                        STR("Authorization, Content-Type, If-None-Match, Last-Event-ID"));
        http_add_header(req, "Access-Control-Max-Age", STR("86400"));
    }
    http_respond_static(req, 204, "text/plain", STR_NULL);
}

void gate_refuse(void *ctx, struct http_req *req, unsigned status, const char *allow)
{
    struct api *a = ctx;
    if (status == 405 && http_req_method(req) == HTTP_OPTIONS) {
        answer_options(a, req, allow);
        return;
    }
    switch (status) {
    case 404:
        reply_problem(a, req, PROBLEM_NOT_FOUND, NULL);
        return;
    case 405:
        http_add_header(req, "Allow", str_of(allow));
        reply_problem(a, req, PROBLEM_METHOD_NOT_ALLOWED, NULL);
        return;
    case 413:
        reply_problem(a, req, PROBLEM_BODY_TOO_LARGE, NULL);
        return;
    case 431:
        reply_problem(a, req, PROBLEM_HEAD_TOO_LARGE, NULL);
        return;
    case 503:
        reply_problem(a, req, PROBLEM_OVERLOADED, NULL);
        return;
    default:
        reply_problem(a, req, PROBLEM_BAD_REQUEST, NULL);
        return;
    }
}
