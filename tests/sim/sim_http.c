#include "tests/sim/sim_http.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#include <microhttpd.h>

#include "server/core/assert.h"
#include "server/core/mem.h"
#include "tests/sim/sim_http_priv.h"
#include "tests/sim/sim_pem.h"
#include "tests/sim/sim_priv.h"

enum {
    ANSWER_MAX = 8 << 20,
    PATHS_MAX = 64,
    PATH_BYTES = 96,
    IDLE_TIMEOUT_S = 60,
    CLOSE_TURNS = 8,
    CONNECTIONS_MAX = 1024,
    PEM_MAX = 64 * 1024,
};

struct path_count {
    char path[PATH_BYTES];
    uint64_t n;
};

struct sim_http {
    struct sim_server *server; /* borrowed */
    struct MHD_Daemon *mhd;
    struct buf cert; /* PEM, with --https */
    struct buf key;
    uv_poll_t poll;
    struct loop_timer timeout;
    bool closing;
    struct list requests;
    char name[80]; /* of the address */
    struct sim_http_rule rules[SIM_HTTP_RULES_MAX];
    size_t n_rules;
    double tokens; /* of --http-limit */
    int64_t tokens_at_ms;
    struct path_count paths[PATHS_MAX];
    size_t n_paths;
    uint64_t n_requests;
    uint64_t n_limited;
    uint64_t n_faults;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

struct request {
    struct list_node node;
    struct sim_http *http;
    struct MHD_Connection *mhd;
    struct buf body;
    struct buf out;
    struct sim_call call;
    struct loop_timer late;
    bool answered; /* call holds the answer */
    bool suspended;
    int64_t date_ms; /* of its Date; 0: the clock's */
    bool cut;
};

/* --- the loop --- */

static void pump(struct sim_http *h)
{
    MHD_UNSIGNED_LONG_LONG ms;

    if (!h->mhd) {
        return;
    }
    (void)MHD_run(h->mhd);
    if (MHD_get_timeout(h->mhd, &ms) == MHD_YES) {
        loop_timer_start(&h->timeout, ms > 60000 ? 60000 : (int64_t)ms, 0);
    } else {
        loop_timer_stop(&h->timeout);
    }
}

static void on_timeout(void *ctx)
{
    pump(ctx);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    pump(poll->data);
}

/* --- one request --- */

static void resume(struct request *q)
{
    loop_timer_stop(&q->late);
    if (q->suspended) {
        q->suspended = false;
        MHD_resume_connection(q->mhd);
    }
}

static void on_late(void *ctx)
{
    struct request *q = ctx;

    resume(q);
    pump(q->http);
}

static enum MHD_Result on_arg(void *ctx, enum MHD_ValueKind kind, const char *key, size_t key_len,
                              const char *value, size_t value_len)
{
    struct sim_call *c = ctx;

    (void)kind;
    if (c->n_args < SIM_ARGS_MAX) {
        c->args[c->n_args++] = (struct sim_arg){{key, key_len}, {value, value ? value_len : 0}};
    }
    return MHD_YES;
}

static enum MHD_Result on_header(void *ctx, enum MHD_ValueKind kind, const char *key,
                                 const char *value)
{
    struct sim_call *c = ctx;

    (void)kind;
    (void)value;
    c->n_cookie_headers += str_ieq(str_of(key), STR("Cookie"));
    return MHD_YES;
}

static void take_request(struct request *q, const char *url, const char *method)
{
    struct sim_call *c = &q->call;
    struct MHD_Connection *m = q->mhd;

    c->method = str_of(method);
    c->path = str_of(url);
    c->body = buf_str(&q->body);
    c->out = &q->out;
    c->user_agent = str_of(MHD_lookup_connection_value(m, MHD_HEADER_KIND, "User-Agent"));
    c->referer = str_of(MHD_lookup_connection_value(m, MHD_HEADER_KIND, "Referer"));
    (void)MHD_get_connection_values(m, MHD_HEADER_KIND, on_header, c);
    (void)MHD_get_connection_values_n(m, MHD_GET_ARGUMENT_KIND, on_arg, c);
    if (c->n_cookie_headers == 1) { /* two are mishandled upstream too */
        c->buvid3 = str_of(MHD_lookup_connection_value(m, MHD_COOKIE_KIND, "buvid3"));
        c->sessdata = str_of(MHD_lookup_connection_value(m, MHD_COOKIE_KIND, "SESSDATA"));
    }
}

static void count_path(struct sim_http *h, struct str path)
{
    size_t i = 0;

    h->n_requests++;
    if (path.len >= PATH_BYTES) {
        path = STR("(long)");
    }
    while (i < h->n_paths && !str_eq(str_of(h->paths[i].path), path)) {
        i++;
    }
    if (i == h->n_paths && i < PATHS_MAX) {
        memcpy(h->paths[i].path, path.ptr, path.len);
        h->n_paths++;
    }
    h->paths[i < PATHS_MAX ? i : PATHS_MAX - 1].n++;
}

/* One bucket for everybody: whoever asks, it is us. */
static bool over_limit(struct sim_http *h)
{
    const struct sim_options *o = h->server->o;
    int64_t now = loop_now_ms(h->server->loop);

    if (o->http_limit <= 0) {
        return false;
    }
    h->tokens += (double)(now - h->tokens_at_ms) / 1000 * o->http_limit;
    h->tokens_at_ms = now;
    if (h->tokens > (double)o->http_burst) {
        h->tokens = (double)o->http_burst;
    }
    if (h->tokens < 1) {
        h->n_limited++;
        return true;
    }
    h->tokens -= 1;
    return false;
}

/* The browsers' strings all begin so; risk control takes no others. */
static bool suspicious(const struct sim_http *h, const struct sim_call *c)
{
    return h->server->o->http_strict && (!str_starts(c->user_agent, STR("Mozilla/")) ||
                                         c->n_cookie_headers > 1 || c->referer.len == 0);
}

static bool path_has(struct str path, struct str part)
{
    return part.len == 0 ||
           (path.len >= part.len && memmem(path.ptr, path.len, part.ptr, part.len));
}

static struct sim_http_rule *due_rule(struct sim_http *h, struct str path)
{
    int64_t now = loop_now_ms(h->server->loop);

    for (size_t i = 0; i < h->n_rules; i++) {
        struct sim_http_rule *r = &h->rules[i];

        if ((r->times > 0 && r->fired >= r->times) ||
            (r->for_ms > 0 && now - r->given_ms >= r->for_ms) || !path_has(path, str_of(r->path)) ||
            (int64_t)rng_below(&h->server->life_rng, 100) >= r->chance) {
            continue;
        }
        r->fired++;
        h->n_faults++;
        return r;
    }
    return NULL;
}

static void put_record(struct sim_http *h, const struct request *q, const char *fault)
{
    const struct sim_call *c = &q->call;
    struct json_out w;
    struct buf b;

    buf_init(&b, SIM_HTTP_BODY_MAX);
    jw_init(&w, &b);
    jw_object(&w);
    jw_kstr(&w, "method", c->method);
    jw_kstr(&w, "path", c->path);
    jw_ki64(&w, "status", (int64_t)c->status);
    jw_ki64(&w, "code", c->code);
    jw_ki64(&w, "bytes", (int64_t)q->out.len);
    jw_kbool(&w, "buvid", c->buvid3.len > 0);
    jw_kbool(&w, "login", c->sessdata.len > 0);
    jw_kstr(&w, "fault", str_of(fault));
    jw_object_end(&w);
    sim_record_http(h->server->deps.record, loop_wall_ms(h->server->loop), buf_str(&b));
    buf_deinit(&b);
}

/* Decides the answer; false: it is for later, or for never. */
static bool answer(struct request *q)
{
    struct sim_http *h = q->http;
    struct sim_call *c = &q->call;
    struct sim_http_rule *r;

    q->answered = true;
    count_path(h, c->path);
    r = due_rule(h, c->path);
    c->status = 200;
    if (suspicious(h, c)) {
        sim_api_error(c, -352);
    } else if (over_limit(h)) {
        sim_api_error(c, -799);
    } else {
        sim_api_answer(h->server, c);
    }
    ASSERT(buf_ok(&q->out));
    if (r) {
        sim_http_rule_spoil(r, c);
        q->cut = r->kind == SIM_HTTP_CUT;
        q->date_ms = r->kind == SIM_HTTP_DATE ? loop_wall_ms(h->server->loop) + r->ms : 0;
    }
    put_record(h, q, r ? sim_http_rule_name(r->kind) : "");
    if (r && (r->kind == SIM_HTTP_SLOW || r->kind == SIM_HTTP_HANG)) {
        if (r->kind == SIM_HTTP_SLOW) {
            loop_timer_start(&q->late, r->ms, 0);
        }
        q->suspended = true;
        MHD_suspend_connection(q->mhd);
        return false;
    }
    return true;
}

/* Half of it, then the connection breaks. */
static ssize_t read_half(void *ctx, uint64_t pos, char *to, size_t max)
{
    const struct request *q = ctx;
    size_t half = q->out.len / 2;
    size_t n = pos < half ? half - (size_t)pos : 0;

    n = n < max ? n : max;
    if (n == 0) {
        return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    memcpy(to, q->out.data + pos, n);
    return (ssize_t)n;
}

static void put_date(int64_t ms, char *out, size_t size)
{
    const time_t s = (time_t)(ms / 1000);
    struct tm tm;

    (void)gmtime_r(&s, &tm);
    (void)strftime(out, size, "%a, %d %b %Y %H:%M:%S GMT", &tm);
}

static enum MHD_Result send_answer(struct request *q)
{
    const struct sim_call *c = &q->call;
    struct MHD_Response *r;
    enum MHD_Result rc;

    if (q->cut) {
        r = MHD_create_response_from_callback(q->out.len, 4096, read_half, q, NULL);
    } else {
        r = MHD_create_response_from_buffer(q->out.len, q->out.data, MHD_RESPMEM_MUST_COPY);
    }
    if (!r) {
        return MHD_NO;
    }
    (void)MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, c->type);
    if (q->date_ms > 0) {
        char date[64];
        put_date(q->date_ms, date, sizeof(date));
        (void)MHD_add_response_header(r, MHD_HTTP_HEADER_DATE, date);
    }
    if (c->set_cookie[0]) {
        (void)MHD_add_response_header(r, MHD_HTTP_HEADER_SET_COOKIE, c->set_cookie);
        (void)MHD_add_response_header(r, MHD_HTTP_HEADER_SET_COOKIE,
                                      "b_nut=1700000000; Path=/; Max-Age=31536000");
    }
    rc = MHD_queue_response(q->mhd, c->status, r);
    MHD_destroy_response(r);
    return rc;
}

static struct request *begin(struct sim_http *h, struct MHD_Connection *mhd)
{
    struct request *q = mem_new(struct request);

    q->http = h;
    q->mhd = mhd;
    buf_init(&q->body, SIM_HTTP_BODY_MAX);
    buf_init(&q->out, ANSWER_MAX);
    loop_timer_init(&q->late, h->server->loop, on_late, q);
    list_push_back(&h->requests, &q->node);
    return q;
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *mhd, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_len, void **con)
{
    struct request *q = *con;

    (void)version;
    if (!q) {
        *con = begin(ctx, mhd);
        return MHD_YES;
    }
    if (*upload_len > 0) {
        buf_put(&q->body, (struct str){upload, *upload_len});
        *upload_len = 0;
        return buf_ok(&q->body) ? MHD_YES : MHD_NO;
    }
    if (!q->answered) {
        take_request(q, url, method);
        if (!answer(q)) {
            return MHD_YES;
        }
    }
    return q->http->closing ? MHD_NO : send_answer(q);
}

static void on_completed(void *ctx, struct MHD_Connection *mhd, void **con,
                         enum MHD_RequestTerminationCode how)
{
    struct sim_http *h = ctx;
    struct request *q = *con;

    (void)mhd;
    (void)how;
    if (!q) {
        return;
    }
    loop_timer_stop(&q->late);
    list_remove(&h->requests, &q->node);
    buf_deinit(&q->body);
    buf_deinit(&q->out);
    mem_free(q);
    *con = NULL;
}

/* --- life --- */

static void free_http(struct sim_http *h)
{
    buf_deinit(&h->cert);
    buf_deinit(&h->key);
    mem_free(h);
}

static enum err_code set_name(struct sim_http *h, struct err *err)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(h->mhd, MHD_DAEMON_INFO_LISTEN_FD);
    struct sockaddr_storage addr;
    socklen_t len = sizeof(addr);
    char host[48] = "";

    if (!info || getsockname(info->listen_fd, (struct sockaddr *)&addr, &len) < 0) {
        return err_set_sys(err, ERR_IO, errno, "--http");
    }
    if (addr.ss_family == AF_INET6) {
        const struct sockaddr_in6 *a = (const struct sockaddr_in6 *)&addr;

        (void)uv_ip6_name(a, host, sizeof(host));
        (void)snprintf(h->name, sizeof(h->name), "[%s]:%u", host, (unsigned)ntohs(a->sin6_port));
    } else {
        const struct sockaddr_in *a = (const struct sockaddr_in *)&addr;

        (void)uv_ip4_name(a, host, sizeof(host));
        (void)snprintf(h->name, sizeof(h->name), "%s:%u", host, (unsigned)ntohs(a->sin_port));
    }
    return ERR_OK;
}

static enum err_code read_pems(struct sim_http *h, struct err *err)
{
    const struct sim_options *o = h->server->o;
    enum err_code rc = ERR_OK;

    buf_init(&h->cert, PEM_MAX);
    buf_init(&h->key, PEM_MAX);
    if (o->https) {
        rc = sim_pem_read(o->tls_cert, o->tls_dir, "server.pem", &h->cert, err);
    }
    if (rc == ERR_OK && o->https) {
        rc = sim_pem_read(o->tls_key, o->tls_dir, "server.key", &h->key, err);
    }
    return rc;
}

static struct MHD_Daemon *start_daemon(struct sim_http *h, const struct sockaddr_storage *addr)
{
    bool tls = h->server->o->https;
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | (tls ? MHD_USE_TLS : 0) |
                     (addr->ss_family == AF_INET6 ? MHD_USE_IPv6 : 0);
    const struct MHD_OptionItem pems[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, h->cert.data},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, h->key.data},
        {MHD_OPTION_END, 0, NULL},
    };

    return MHD_start_daemon(flags, 0, NULL, NULL, on_request, h, MHD_OPTION_SOCK_ADDR, addr,
                            MHD_OPTION_NOTIFY_COMPLETED, on_completed, h,
                            MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
                            MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_TIMEOUT_S,
                            MHD_OPTION_LISTENING_ADDRESS_REUSE, 1u, MHD_OPTION_ARRAY,
                            tls ? pems : pems + 2, MHD_OPTION_END);
}

static enum err_code start(struct sim_http *h, const char *where, struct err *err)
{
    struct sockaddr_storage addr;
    enum err_code rc_pem = read_pems(h, err);
    const union MHD_DaemonInfo *info;
    int rc;

    if (!sim_host_parse(where, &addr)) {
        return err_set(err, ERR_INVALID, "--http %s: not ADDR:PORT", where);
    }
    if (rc_pem != ERR_OK) {
        return rc_pem;
    }
    h->mhd = start_daemon(h, &addr);
    if (!h->mhd) {
        return err_set(err, ERR_IO, "--http %s: cannot listen", where);
    }
    info = MHD_get_daemon_info(h->mhd, MHD_DAEMON_INFO_EPOLL_FD);
    ASSERT(info);
    rc = uv_poll_init(loop_uv(h->server->loop), &h->poll, info->epoll_fd);
    ASSERT(rc == 0);
    h->poll.data = h;
    rc = uv_poll_start(&h->poll, UV_READABLE, on_poll);
    ASSERT(rc == 0);
    return set_name(h, err);
}

enum err_code sim_http_open(struct sim_server *s, const char *where, struct sim_http **ret,
                            struct err *err)
{
    struct sim_http *h = mem_new(struct sim_http);
    enum err_code rc;

    h->server = s;
    h->tokens = (double)s->o->http_burst;
    h->tokens_at_ms = loop_now_ms(s->loop);
    list_init(&h->requests);
    loop_timer_init(&h->timeout, s->loop, on_timeout, h);
    rc = start(h, where, err);
    for (size_t i = 0; i < s->o->n_http_faults && rc == ERR_OK; i++) {
        rc = sim_http_fault(h, str_of(s->o->http_faults[i]), err);
    }
    if (rc != ERR_OK && !h->mhd) {
        free_http(h);
        return rc;
    }
    *ret = h; /* also after an error behind the start: its handle is closed with the rest */
    return rc;
}

static void on_closed(uv_handle_t *poll)
{
    struct sim_http *h = poll->data;
    void (*closed)(void *) = h->closed;
    void *ctx = h->closed_ctx;

    free_http(h);
    closed(ctx);
}

void sim_http_close(struct sim_http *h, void (*closed)(void *ctx), void *ctx)
{
    h->closed = closed;
    h->closed_ctx = ctx;
    h->closing = true;
    for (struct list_node *n = list_first(&h->requests); n; n = list_next(&h->requests, n)) {
        resume(CONTAINER_OF(n, struct request, node));
    }
    for (int i = 0; i < CLOSE_TURNS; i++) {
        (void)MHD_run(h->mhd);
    }
    loop_timer_stop(&h->timeout);
    (void)uv_poll_stop(&h->poll);
    MHD_stop_daemon(h->mhd);
    h->mhd = NULL;
    uv_close((uv_handle_t *)&h->poll, on_closed);
}

void sim_http_url(const struct sim_http *h, struct buf *out)
{
    buf_printf(out, "%s://%s", h->server->o->https ? "https" : "http", h->name);
}

/* --- rules and counts --- */

enum err_code sim_http_fault(struct sim_http *h, struct str rule, struct err *err)
{
    struct sim_http_rule r;
    enum err_code rc = sim_http_rule_parse(rule, &r, err);

    if (rc != ERR_OK) {
        return rc;
    }
    if (h->n_rules == SIM_HTTP_RULES_MAX) {
        return err_set(err, ERR_FULL, "http-fault: %d rules already", SIM_HTTP_RULES_MAX);
    }
    r.given_ms = loop_now_ms(h->server->loop);
    h->rules[h->n_rules++] = r;
    return ERR_OK;
}

void sim_http_faults_clear(struct sim_http *h)
{
    h->n_rules = 0;
    for (struct list_node *n = list_first(&h->requests); n; n = list_next(&h->requests, n)) {
        resume(CONTAINER_OF(n, struct request, node));
    }
    pump(h);
}

void sim_http_stats(const struct sim_http *h, struct json_out *w)
{
    jw_ki64(w, "http", (int64_t)h->n_requests);
    jw_ki64(w, "http_limited", (int64_t)h->n_limited);
    jw_ki64(w, "http_faults", (int64_t)h->n_faults);
    jw_key(w, STR("http_paths"));
    jw_object(w);
    for (size_t i = 0; i < h->n_paths; i++) {
        jw_ki64(w, h->paths[i].path, (int64_t)h->paths[i].n);
    }
    jw_object_end(w);
}
