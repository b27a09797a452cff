#include "api/reply.h"

#include <stdio.h>

#include "server/core/hash.h"
#include "server/core/log.h"
#include "server/loop/loop.h"
#include "server/stats/stats.h"

static const char JSON_TYPE[] = "application/json";
static const char PROBLEM_TYPE[] = "application/problem+json";
enum { PROBLEM_LIMIT = 16384, ETAG_BYTES = 24 };

static void send_problem(struct api *a, struct http_req *req, const struct problem *p)
{
    struct buf body;
    buf_init(&body, PROBLEM_LIMIT);
    problem_write(p, &body);
    if (!buf_ok(&body)) { /* no memory, or errors with the longest of names */
        buf_clear(&body);
        problem_write(&(struct problem){.code = p->code, .request_id = p->request_id}, &body);
    }
    unsigned status = problem_status(p->code);
    http_add_header(req, "Cache-Control", STR("no-store"));
    if (status == 503 || status == 429) {
        char seconds[16];
        const bool upstream = p->code == PROBLEM_UPSTREAM_UNAVAILABLE;
        int n = snprintf(seconds, sizeof(seconds), "%d",
                         status == 429 ? 60
                         : upstream    ? REPLY_RETRY_UPSTREAM_S
                                       : REPLY_RETRY_S);
        http_add_header(req, "Retry-After", (struct str){seconds, (size_t)n});
    }
    stats_inc(a->opts.stats, status >= 500 ? STAT_API_PROBLEMS_SERVER : STAT_API_PROBLEMS_CLIENT);
    http_respond(req, status, PROBLEM_TYPE, &body);
}

void reply_problem(struct api *a, struct http_req *req, enum problem_code code, const char *detail)
{
    struct problem p = {.code = code, .detail = detail, .request_id = str_of(http_req_id(req))};
    send_problem(a, req, &p);
}

void reply_db_failure(struct api *a, struct http_req *req, const struct err *err)
{
    switch (err->code) {
    case ERR_UNAVAILABLE:
    case ERR_RETRY:
    case ERR_CANCELED:
    case ERR_IO:
        reply_problem(a, req, PROBLEM_DATABASE_UNAVAILABLE,
                      "live data is still served: events/stream, and the newest events of a room");
        return;
    case ERR_TIMEOUT:
        reply_problem(a, req, PROBLEM_QUERY_TIMEOUT, "narrow the range or name rooms");
        return;
    case ERR_FULL:
    case ERR_NOMEM:
        reply_problem(a, req, PROBLEM_OVERLOADED, NULL);
        return;
    case ERR_TOO_BIG:
        reply_problem(a, req, PROBLEM_RESULT_TOO_LARGE, "ask for a smaller limit");
        return;
    case ERR_OK:
    case ERR_INVALID:
    case ERR_AUTH:
    case ERR_FORBIDDEN:
    case ERR_NOT_FOUND:
    case ERR_CONFLICT:
    case ERR_CORRUPT:
    case ERR_INTERNAL:
    case ERR_PROTO:
    case ERR_CODES:
        break;
    }
    LOG(ERROR, "api", "query failed", KV_CSTR("req", http_req_id(req)), KV_CSTR("err", err->msg));
    reply_problem(a, req, PROBLEM_INTERNAL, NULL);
}

void reply_param_errors(struct api *a, struct http_req *req, const struct params *p)
{
    struct problem_error errors[PARAMS_ERRORS_MAX];
    for (size_t i = 0; i < p->n_errors; i++) {
        errors[i] = (struct problem_error){.param = str_of(p->errors[i].param),
                                           .code = p->errors[i].code,
                                           .reason = p->errors[i].reason};
    }
    char detail[PARAMS_NAME_BYTES + PARAMS_REASON_BYTES + 8];
    (void)snprintf(detail, sizeof(detail), "%s %s", p->errors[0].param, p->errors[0].reason);
    struct problem problem = {.code = PROBLEM_INVALID_PARAMETER,
                              .detail = detail,
                              .request_id = str_of(http_req_id(req)),
                              .errors = errors,
                              .n_errors = p->n_errors};
    if (!problem_by_name(p->errors[0].code, &problem.code)) {
        problem.code = PROBLEM_INVALID_PARAMETER;
    }
    send_problem(a, req, &problem);
}

bool reply_params(struct api *a, struct http_req *req, uint32_t known, struct params *ret)
{
    params_init(ret, known);
    size_t n = http_req_query_n(req);
    for (size_t i = 0; i < n; i++) {
        struct str name;
        struct str value;
        http_req_query(req, i, &name, &value);
        params_add(ret, name, value);
    }
    if (!params_finish(ret, api_now_ms(a))) {
        reply_param_errors(a, req, ret);
        return false;
    }
    return true;
}

/* Answers to a request with a token are for its owner only. */
static void add_cache_header(struct http_req *req, enum reply_cache cache)
{
    bool mine = http_req_header(req, "Authorization").len > 0;
    switch (cache) {
    case REPLY_NO_STORE:
        http_add_header(req, "Cache-Control", STR("no-store"));
        return;
    case REPLY_OPEN:
        http_add_header(req, "Cache-Control", mine ? STR("private, no-cache") : STR("no-cache"));
        return;
    case REPLY_CLOSED:
        http_add_header(req, "Cache-Control",
                        mine ? STR("private, max-age=60, must-revalidate")
                             : STR("public, max-age=60, must-revalidate"));
        return;
    }
}

void reply_json(struct api *a, struct http_req *req, enum reply_cache cache, struct buf *take)
{
    if (!buf_ok(take)) {
        buf_deinit(take);
        reply_problem(a, req, PROBLEM_RESULT_TOO_LARGE, "ask for a smaller limit");
        return;
    }
    add_cache_header(req, cache);
    http_respond(req, 200, JSON_TYPE, take);
}

/* "*", or a list of entity tags; the comparison is weak (RFC 9110 section 13.1.2). */
static bool matches(struct str if_none_match, struct str etag)
{
    struct str rest = if_none_match;
    struct str part;
    while (str_split(&rest, ',', &part)) {
        part = str_trim(part);
        if (str_eq(part, STR("*")) || str_eq(part, etag)) {
            return true;
        }
        if (str_eq(part, str_sub(etag, 2, etag.len))) { /* without W/ */
            return true;
        }
    }
    return false;
}

static bool answered_304(struct http_req *req, const char *content_type, struct str body)
{
    struct hash64 h;
    hash64_init(&h, 0x65746167); /* "etag" */
    hash64_str(&h, body);
    char text[ETAG_BYTES];
    int n = snprintf(text, sizeof(text), "W/\"%016llx\"", (unsigned long long)hash64_done(&h));
    struct str etag = {text, (size_t)n};
    http_add_header(req, "ETag", etag);
    if (!matches(http_req_header(req, "If-None-Match"), etag)) {
        return false;
    }
    http_respond_static(req, 304, content_type, STR_NULL);
    return true;
}

void reply_tagged(struct api *a, struct http_req *req, enum reply_cache cache, struct buf *take)
{
    if (!buf_ok(take)) {
        reply_json(a, req, cache, take);
        return;
    }
    add_cache_header(req, cache);
    if (answered_304(req, JSON_TYPE, buf_str(take))) {
        buf_deinit(take);
        return;
    }
    http_respond(req, 200, JSON_TYPE, take);
}

void reply_asset(struct api *a ATTR_UNUSED, struct http_req *req, const char *content_type,
                 struct str body)
{
    http_add_header(req, "Cache-Control", STR("no-cache"));
    if (!answered_304(req, content_type, body)) {
        http_respond_static(req, 200, content_type, body);
    }
}
