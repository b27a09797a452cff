/* How asking upstream goes: breaker, identity, hosts. */
#include "api/handlers/handlers.h"
#include "api/reply.h"
#include "server/core/json_write.h"
#include "server/core/utf8.h"

enum { UPSTREAM_LIMIT = 65536 };

static void put_unless(struct json_out *w, const char *key, int64_t v, int64_t none)
{
    jw_key(w, str_of(key));
    if (v == none) {
        jw_null(w);
    } else {
        jw_i64(w, v);
    }
}

static bool put_host(void *ctx, const struct api_upstream_host *host)
{
    struct json_out *w = ctx;
    jw_object(w);
    jw_kstr(w, "host", host->host);
    jw_ki64(w, "requests", (int64_t)host->n_requests);
    jw_ki64(w, "failed", (int64_t)host->n_failed);
    put_unless(w, "last_failed_ms", host->last_failed_ms, 0);
    jw_object_end(w);
    return true;
}

/* LIMIT: messages are those of struct err. */
static void put_upstream(struct json_out *w, const struct api_upstream *u)
{
    jw_kbool(w, "asked", u->asked);
    jw_key(w, STR("breaker"));
    jw_object(w);
    jw_kstr(w, "state", str_of(u->breaker));
    put_unless(w, "until_ms", u->breaker_until_ms, 0);
    jw_kstr(w, "cause", str_of(u->breaker_cause));
    jw_object_end(w);
    jw_key(w, STR("identity"));
    jw_object(w);
    put_unless(w, "uid", u->uid, 0);
    jw_kbool(w, "login_expired", u->login_expired);
    jw_kbool(w, "device_id", u->has_device_id);
    jw_object_end(w);
    put_unless(w, "last_ok_ms", u->last_ok_ms, 0);
    put_unless(w, "clock_skew_ms", u->skew_ms, INT64_MIN);
    jw_ki64(w, "waiting", (int64_t)u->n_waiting);
    jw_ki64(w, "requests", (int64_t)u->n_requests);
    jw_ki64(w, "failed", (int64_t)u->n_failed);
    jw_key(w, STR("last_error"));
    if (u->last_error_ms == 0) {
        jw_null(w);
    } else {
        /* Cut somewhere, and with upstream's own words in it. */
        char text[UTF8_CLEAN_MAX(ERR_MSG_BYTES)];
        bool changed;
        jw_object(w);
        jw_kstr(w, "message", (struct str){text, utf8_clean(u->last_error, text, &changed)});
        jw_ki64(w, "at_ms", u->last_error_ms);
        jw_object_end(w);
    }
}

static bool no_host(void *ctx ATTR_UNUSED, const struct api_upstream_host *host ATTR_UNUSED)
{
    return false;
}

void handle_upstream(void *ctx, struct http_req *req)
{
    struct api *a = ctx;
    struct api_upstream u;
    struct params p;
    struct buf body;
    struct json_out w;
    if (!reply_params(a, req, 0, &p)) {
        return;
    }
    if (!a->opts.ops.upstream(a->opts.ops.ctx, &u, no_host, NULL)) {
        reply_problem(a, req, PROBLEM_NOT_READY, "shutting down");
        return;
    }
    buf_init(&body, UPSTREAM_LIMIT);
    jw_init(&w, &body);
    jw_object(&w);
    jw_key(&w, STR("data"));
    jw_object(&w);
    put_upstream(&w, &u);
    jw_key(&w, STR("hosts"));
    jw_array(&w);
    (void)a->opts.ops.upstream(a->opts.ops.ctx, &u, put_host, &w);
    jw_array_end(&w);
    jw_object_end(&w);
    jw_object_end(&w);
    buf_put_c(&body, '\n');
    reply_json(a, req, REPLY_NO_STORE, &body);
}
