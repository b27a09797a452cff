#include "server/core/assert.h"
#include "server/core/log.h"
#include "server/core/mem.h"
#include "server/http/http_priv.h"

enum { MADE_ID_BYTES = 16 };

/* --- reading --- */

struct http_req *http_req_new(struct http_conn *c, struct str uri)
{
    struct http *h = c->http;
    struct http_req *r = mem_new(struct http_req);
    if (target_init(&r->target, uri) != ERR_OK) {
        mem_free(r);
        return NULL;
    }
    r->http = h;
    r->conn = c;
    r->started_ns = clock_mono_ns();
    buf_init(&r->body, h->opts.max_body_bytes);
    buf_init(&r->headers, HTTP_ADDED_HEADER_BYTES);
    list_push_back(&h->reqs, &r->node);
    c->req = r;
    return r;
}

static bool is_id(struct str s)
{
    if (s.len == 0 || s.len > HTTP_ID_BYTES) {
        return false;
    }
    for (size_t i = 0; i < s.len; i++) {
        const char c = s.ptr[i];
        const bool alnum =
            (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!alnum && c != '.' && c != '_' && c != '-') {
            return false;
        }
    }
    return true;
}

static void set_id(struct http_req *r)
{
    const struct str given = http_req_header(r, "X-Request-Id");
    if (is_id(given)) {
        memcpy(r->id, given.ptr, given.len);
        return;
    }
    uint64_t v = rng_u64(&r->http->rng);
    for (size_t i = 0; i < MADE_ID_BYTES; i++, v >>= 4) {
        r->id[i] = "0123456789abcdef"[v & 0xf];
    }
}

/* A body that is too long is read and thrown away when it is not much, because a client that is still sending would
 * see a reset instead of the answer. Otherwise, and if the client asked first (Expect), it is answered at once. */
static void check_length(struct http_req *r)
{
    uint64_t length = 0;
    const uint64_t limit = r->http->opts.max_body_bytes;
    if (!str_to_u64(http_req_header(r, "Content-Length"), &length) || length <= limit) {
        return;
    }
    r->too_big = true;
    r->early = length > limit + HTTP_DISCARD_BYTES || http_req_header(r, "Expect").len > 0;
}

enum req_verdict http_req_on_head(struct http_req *r, struct str method, struct str version)
{
    r->head_seen = true;
    r->method = router_method(method);
    r->http10 = str_eq(version, STR("HTTP/1.0"));
    set_id(r);
    r->head_too_long = mhd_head_bytes(r->conn->mhd) > HTTP_POOL_BYTES - HTTP_ANSWER_HEAD_BYTES;
    check_length(r);
    return r->early ? http_req_on_complete(r) : REQ_GO_ON;
}

enum req_verdict http_req_on_body(struct http_req *r, struct str bytes)
{
    if (!r->too_big) {
        buf_put(&r->body, bytes);
        if (buf_ok(&r->body)) {
            return REQ_GO_ON;
        }
        r->too_big = true;
        buf_deinit(&r->body);
    }
    r->discarded += bytes.len;
    if (r->discarded > r->http->opts.max_body_bytes + HTTP_DISCARD_BYTES) {
        stats_inc(r->http->stats, STAT_HTTP_BODY_CUT);
        return REQ_REFUSE;
    }
    return REQ_GO_ON;
}

/* --- dispatch --- */

static bool preflight(struct http_req *r, const struct router_match *m)
{
    const struct http_opts *o = &r->http->opts;
    if (r->method != HTTP_OPTIONS || o->before == NULL) {
        return false;
    }
    r->route = m->any;
    return !o->before(o->ctx, r, m->any);
}

static void route(struct http_req *r)
{
    const struct http_opts *o = &r->http->opts;
    struct target_path path;
    struct router_match m;
    struct err err;
    if (target_parse(&r->target, &path, &err) != ERR_OK) {
        LOG(DEBUG, "http", "bad request target", KV_CSTR("reason", err.msg), KV_CSTR("req", r->id));
        o->refuse(o->ctx, r, 400, NULL);
        return;
    }
    if (!router_find(r->http->router, r->method, &path, &m)) {
        o->refuse(o->ctx, r, 404, NULL);
        return;
    }
    memcpy(r->params, m.params, sizeof r->params);
    r->n_params = m.n_params;
    if (m.route == NULL) {
        if (!preflight(r, &m)) {
            r->route = NULL;
            o->refuse(o->ctx, r, 405, m.allow);
        }
        return;
    }
    r->route = m.route;
    if (o->before == NULL || o->before(o->ctx, r, m.route)) {
        m.route->handler(o->ctx, r);
    }
}

static void dispatch(struct http_req *r)
{
    const struct http_opts *o = &r->http->opts;
    r->state = REQ_RUNNING;
    r->counted = true;
    r->http->n_running++;
    http_conn_move(r->conn, NULL);
    r->in_call = true;
    if (r->head_too_long) {
        stats_inc(r->http->stats, STAT_HTTP_HEAD_TOO_LONG);
        o->refuse(o->ctx, r, 431, NULL);
    } else if (r->too_big) {
        stats_inc(r->http->stats, STAT_HTTP_BODY_TOO_BIG);
        o->refuse(o->ctx, r, 413, NULL);
    } else {
        route(r);
    }
    r->in_call = false;
}

/* Called when the request is whole, and again after every resume.
 *
 * A handler that answers later is not suspended at once but in the next pass: libmicrohttpd then knows that it waits
 * for us. Suspended at once it would, when resumed, read the socket first, and drop the answer for a client that has
 * shut down its sending side (0.9.75: event_loop_info is not updated while suspended). */
enum req_verdict http_req_on_complete(struct http_req *r)
{
    if (r->http->phase >= HTTP_STOPPING) {
        return REQ_REFUSE;
    }
    if (r->state == REQ_READING) {
        dispatch(r);
    }
    if (r->state == REQ_ANSWERED) {
        r->state = REQ_SENDING;
        return r->response != NULL ? REQ_QUEUE : REQ_REFUSE;
    }
    ASSERT(r->state == REQ_RUNNING);
    if (!r->settled && !r->early) {
        r->settled = true;
        return REQ_GO_ON;
    }
    return REQ_SLEEP;
}

/* --- the end --- */

static void req_free(struct http_req *r)
{
    if (r->response != NULL) {
        mhd_response_free(r->response);
    }
    target_deinit(&r->target);
    buf_deinit(&r->body);
    buf_deinit(&r->headers);
    mem_free(r);
}

void http_req_on_end(struct http_req *r)
{
    struct http *h = r->http;
    const bool owed = r->state == REQ_RUNNING && r->gone == NULL;
    if (!r->counted) {
        stats_inc(h->stats, STAT_HTTP_INCOMPLETE);
    }
    r->ending = true;
    if (r->stream != NULL) {
        http_stream_free(r->stream);
        r->stream = NULL;
    }
    if (r->gone != NULL) {
        r->gone(r->data);
    }
    h->n_running -= r->counted;
    list_remove(&h->reqs, &r->node);
    r->conn->req = NULL;
    r->conn = NULL;
    r->http = NULL;
    r->ending = false;
    if (!owed) {
        req_free(r);
    } /* else its handler still answers, see take_answer */
}

/* --- what handlers read --- */

const struct http_route *http_req_route(const struct http_req *r)
{
    return r->route;
}

enum http_method http_req_method(const struct http_req *r)
{
    return r->method;
}

struct str http_req_path(const struct http_req *r)
{
    return r->target.path;
}

struct str http_req_param(const struct http_req *r, const char *name)
{
    for (size_t i = 0; i < r->n_params; i++) {
        if (str_eq(r->params[i].name, str_of(name))) {
            return r->params[i].value;
        }
    }
    UNREACHABLE(); /* the route has no such parameter */
}

size_t http_req_query_n(const struct http_req *r)
{
    return r->target.n_query;
}

void http_req_query(const struct http_req *r, size_t i, struct str *ret_name, struct str *ret_value)
{
    ASSERT(i < r->target.n_query);
    *ret_name = r->target.query[i].name;
    *ret_value = r->target.query[i].value;
}

struct str http_req_header(const struct http_req *r, const char *name)
{
    return r->conn != NULL ? mhd_header(r->conn->mhd, name) : STR_NULL;
}

struct str http_req_body(const struct http_req *r)
{
    return buf_str(&r->body);
}

struct str http_req_remote(const struct http_req *r)
{
    return r->conn != NULL ? str_of(r->conn->remote) : STR_NULL;
}

const char *http_req_id(const struct http_req *r)
{
    return r->id;
}

void http_req_set_data(struct http_req *r, void *data)
{
    r->data = data;
}

void *http_req_data(const struct http_req *r)
{
    return r->data;
}

void http_req_on_gone(struct http_req *r, void (*fn)(void *data))
{
    r->gone = fn;
}

/* --- the answer --- */

/* Values may come from a peer: nothing in them may begin a new line. */
void http_add_header(struct http_req *r, const char *name, struct str value)
{
    for (size_t i = 0; i < value.len; i++) {
        const unsigned char c = (unsigned char)value.ptr[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            LOG(DEBUG, "http", "header with a control character left out", KV_CSTR("name", name));
            return;
        }
    }
    const size_t before = r->headers.len;
    buf_put(&r->headers, str_of(name));
    buf_put_c(&r->headers, '\0');
    buf_put(&r->headers, value);
    buf_put_c(&r->headers, '\0');
    if (!buf_ok(&r->headers)) {
        LOG(WARN, "http", "header left out, too many", KV_CSTR("name", name));
        r->headers.len = before;
        r->headers.failed = false;
    }
}

static enum stats_row status_counter(unsigned status)
{
    if (status < 300) {
        return STAT_HTTP_REQUESTS_2XX;
    }
    if (status < 400) {
        return STAT_HTTP_REQUESTS_3XX;
    }
    return status < 500 ? STAT_HTTP_REQUESTS_4XX : STAT_HTTP_REQUESTS_5XX;
}

/* False: nobody is there to take it; r may be freed by now. */
static bool may_answer(struct http_req *r)
{
    if (r->ending) {
        return false;
    }
    if (r->http == NULL) {
        req_free(r);
        return false;
    }
    ASSERT(r->state == REQ_RUNNING);
    if (r->http->opts.decorate != NULL) {
        r->http->opts.decorate(r->http->opts.ctx, r);
    }
    return true;
}

/* libmicrohttpd would close the connection without a word. Possible where an answer's head repeats the request's, as the
 * Link of a page does. */
static void check_room(struct http_req *r, struct http_answer *a)
{
    const size_t need = HTTP_ANSWER_OWN_BYTES + r->headers.len;
    if (mhd_head_bytes(r->conn->mhd) + need <= HTTP_POOL_BYTES) {
        return;
    }
    stats_inc(r->http->stats, STAT_HTTP_HEAD_TOO_LONG);
    buf_clear(&r->headers);
    if (a->take_body) {
        mem_free_ptr(&a->body.ptr);
    }
    *a = (struct http_answer){.status = 431};
}

static void answer(struct http_req *r, struct http_answer *a)
{
    struct http *h = r->http;
    check_room(r, a);
    r->status = a->status;
    stats_inc(h->stats, status_counter(a->status));
    if (a->stream == NULL) {
        stats_observe_ms(h->time, (double)(clock_mono_ns() - r->started_ns) / 1e6);
        if (r->method != HTTP_HEAD) {
            stats_add(h->stats, STAT_HTTP_BODY_BYTES, (int64_t)a->body.len);
        }
    }
    r->response = mhd_response(r, a);
    if (a->stream != NULL) {
        a->stream->response = r->response;
    }
    r->state = REQ_ANSWERED;
    buf_deinit(&r->headers);
    if (a->stream != NULL) { /* lives long */
        buf_deinit(&r->body);
        target_deinit(&r->target);
        r->n_params = 0;
    }
    if (!r->in_call) {
        http_conn_wake(r->conn);
    }
}

void http_respond(struct http_req *r, unsigned status, const char *content_type,
                  struct buf *take_body)
{
    struct http_answer a = {.status = status, .content_type = content_type, .take_body = true};
    if (take_body != NULL) {
        size_t len = 0;
        a.body.ptr = buf_take(take_body, &len);
        a.body.len = len;
    }
    if (may_answer(r)) {
        answer(r, &a);
    } else {
        mem_free_ptr(&a.body.ptr);
    }
}

void http_respond_static(struct http_req *r, unsigned status, const char *content_type,
                         struct str body)
{
    struct http_answer a = {.status = status, .content_type = content_type, .body = body};
    if (may_answer(r)) {
        answer(r, &a);
    }
}

struct http_stream *http_respond_stream(struct http_req *r, unsigned status,
                                        const char *content_type, size_t block_bytes,
                                        http_pull_fn *pull, void (*gone)(void *ctx), void *ctx)
{
    if (!may_answer(r)) {
        gone(ctx);
        return NULL;
    }
    struct http_stream *s = mem_new(struct http_stream);
    *s = (struct http_stream){
        .req = r, .pull = pull, .gone = gone, .ctx = ctx, .block = block_bytes};
    r->stream = s;
    r->http->n_streams++;
    stats_inc(r->http->stats, STAT_HTTP_STREAMS_OPENED);
    struct http_answer a = {.status = status, .content_type = content_type, .stream = s};
    answer(r, &a);
    return s;
}
