/* Health, metrics, and the service's description of itself. */
#include "api/auth.h"
#include "api/gate.h"
#include "api/handlers/handlers.h"
#include "api/hub.h"
#include "api/query/params.h"
#include "api/reply.h"
#include "api/tickets.h"
#include "api/token.h"
#include "api/version.h"
#include "api/www.h"
#include "server/config/config.h"
#include "server/core/json_write.h"
#include "server/event/event.h"
#include "server/loop/loop.h"
#include "server/stats/stats.h"

enum { SMALL_LIMIT = 65536, METRICS_LIMIT = 4 << 20 };

/* Queries without parameters refuse parameters too. */
static bool no_params(struct api *a, struct http_req *req)
{
    struct params p;
    return reply_params(a, req, 0, &p);
}

static void reply_status(struct api *a, struct http_req *req, const char *status)
{
    struct buf body;
    struct json_out w;
    buf_init(&body, SMALL_LIMIT);
    jw_init(&w, &body);
    jw_object(&w);
    jw_kstr(&w, "status", str_of(status));
    jw_object_end(&w);
    buf_put_c(&body, '\n');
    reply_json(a, req, REPLY_NO_STORE, &body);
}

void handle_livez(void *ctx, struct http_req *req)
{
    if (no_params(ctx, req)) {
        reply_status(ctx, req, "alive");
    }
}

void handle_readyz(void *ctx, struct http_req *req)
{
    struct api *a = ctx;
    const char *reason = "shutting down";
    if (!no_params(a, req)) {
        return;
    }
    if (a->quiesced || !a->opts.ops.ready(a->opts.ops.ctx, &reason)) {
        reply_problem(a, req, PROBLEM_NOT_READY, reason);
        return;
    }
    reply_status(a, req, "ready");
}

void handle_metrics(void *ctx, struct http_req *req)
{
    struct api *a = ctx;
    struct buf body;
    if (!no_params(a, req)) {
        return;
    }
    buf_init(&body, METRICS_LIMIT);
    stats_write_prometheus(a->opts.stats, &body);
    http_add_header(req, "Cache-Control", STR("no-store"));
    http_respond(req, 200, "text/plain; version=0.0.4; charset=utf-8", &body);
}

static void put_scopes(struct json_out *w, unsigned scopes)
{
    static const struct {
        unsigned bit;
        const char *name;
    } table[] = {
#define X(NAME, bit, name, text) {SCOPE_##NAME, name},
#include "api/scope.def"
#undef X
    };
    jw_array(w);
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if ((scopes & table[i].bit) != 0) {
            jw_str(w, str_of(table[i].name));
        }
    }
    jw_array_end(w);
}

void handle_capabilities(void *ctx, struct http_req *req)
{
    struct api *a = ctx;
    struct buf body;
    struct json_out w;
    if (!no_params(a, req)) {
        return;
    }
    buf_init(&body, SMALL_LIMIT);
    jw_init(&w, &body);
    jw_object(&w);
    jw_key(&w, STR("data"));
    jw_object(&w);
    jw_kstr(&w, "server", STR(API_SERVER));
    jw_key(&w, STR("kinds"));
    hub_put_kinds(&w, 0);
    jw_key(&w, STR("scopes"));
    put_scopes(&w, gate_scopes(a, req));
    jw_kbool(&w, "tokens", auth_has_tokens(a->auth));
    jw_key(&w, STR("limits"));
    jw_object(&w);
    jw_ki64(&w, "page", PARAMS_LIMIT_MAX);
    jw_ki64(&w, "page_default", PARAMS_LIMIT_DEFAULT);
    jw_ki64(&w, "rooms", PARAMS_ROOMS_MAX);
    jw_ki64(&w, "range_ms", PARAMS_RANGE_MAX_MS);
    jw_ki64(&w, "streams", a->opts.config->max_streams);
    jw_ki64(&w, "query_ms", a->opts.config->query_timeout);
    jw_object_end(&w);
    jw_key(&w, STR("stream"));
    jw_object(&w);
    jw_ki64(&w, "heartbeat_s", HUB_HEARTBEAT_MS / 1000);
    jw_ki64(&w, "retry_ms", HUB_RETRY_MS);
    jw_object_end(&w);
    jw_object_end(&w);
    jw_object_end(&w);
    buf_put_c(&body, '\n');
    reply_tagged(a, req, REPLY_OPEN, &body);
}

/* ---- embedded files ---- */

void handle_openapi(void *ctx, struct http_req *req)
{
    if (no_params(ctx, req)) {
        reply_asset(ctx, req, "application/yaml", www_openapi_yaml);
    }
}

void handle_page(void *ctx, struct http_req *req)
{
    /* Links to the page may carry what they like (utm_source and the like): it is a page for people. */
    http_add_header(req, "Content-Security-Policy",
                    STR("default-src 'self'; base-uri 'none'; form-action 'none'; "
                        "frame-ancestors 'none'"));
    http_add_header(req, "Referrer-Policy", STR("no-referrer"));
    reply_asset(ctx, req, "text/html; charset=utf-8", www_index_html);
}

void handle_page_script(void *ctx, struct http_req *req)
{
    reply_asset(ctx, req, "text/javascript; charset=utf-8", www_app_js);
}

void handle_page_style(void *ctx, struct http_req *req)
{
    reply_asset(ctx, req, "text/css; charset=utf-8", www_app_css);
}

void handle_page_icon(void *ctx, struct http_req *req)
{
    reply_asset(ctx, req, "image/svg+xml", www_icon_svg);
}

/* ---- tickets ---- */

void handle_stream_ticket(void *ctx, struct http_req *req)
{
    struct api *a = ctx;
    char text[TICKET_TEXT_LEN + 1];
    struct buf body;
    struct json_out w;
    if (!no_params(a, req)) {
        return;
    }
    if (!tickets_issue(a->tickets, loop_now_ms(a->opts.loop), gate_scopes(a, req), text)) {
        stats_inc(a->opts.stats, STAT_API_TICKETS_REFUSED);
        reply_problem(a, req, PROBLEM_TOO_MANY_TICKETS, NULL);
        return;
    }
    buf_init(&body, SMALL_LIMIT);
    jw_init(&w, &body);
    jw_object(&w);
    jw_key(&w, STR("data"));
    jw_object(&w);
    jw_kstr(&w, "ticket", str_of(text));
    jw_ki64(&w, "expires_in_s", TICKETS_LIFE_MS / 1000);
    jw_object_end(&w);
    jw_object_end(&w);
    buf_put_c(&body, '\n');
    http_add_header(req, "Cache-Control", STR("no-store"));
    http_respond(req, 201, "application/json", &body);
}
