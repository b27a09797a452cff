#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#include <microhttpd.h>

#include "server/core/assert.h"
#include "server/core/log.h"
#include "server/core/mem.h"
#include "server/http/http_priv.h"

enum { LOG_TEXT_BYTES = 512 };

/* --- logging and panic --- */

ATTR_PRINTF(2, 0)
static void on_log(void *ctx ATTR_UNUSED, const char *fmt, va_list args)
{
    if (log_min_level() > LOG_LEVEL_DEBUG) {
        return;
    }
    char text[LOG_TEXT_BYTES];
    const int n = vsnprintf(text, sizeof text, fmt, args);
    if (n > 0) {
        LOG(DEBUG, "http", "libmicrohttpd", KV_STR("text", str_trim(str_of(text))));
    }
}

static void on_panic(void *ctx ATTR_UNUSED, const char *file, unsigned line, const char *reason)
{
    assert_fail(reason, file, (int)line, "libmicrohttpd");
}

/* --- connections --- */

static void format_remote(struct MHD_Connection *mhd, char out[static HTTP_REMOTE_BYTES])
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    out[0] = '\0';
    if (info == NULL || info->client_addr == NULL) {
        return;
    }
    const void *ip = NULL;
    int family = info->client_addr->sa_family;
    if (family == AF_INET) {
        ip = &((const struct sockaddr_in *)(const void *)info->client_addr)->sin_addr;
    } else if (family == AF_INET6) {
        const struct in6_addr *six =
            &((const struct sockaddr_in6 *)(const void *)info->client_addr)->sin6_addr;
        ip = six;
        if (IN6_IS_ADDR_V4MAPPED(six)) {
            family = AF_INET;
            ip = &six->s6_addr[12];
        }
    }
    if (ip == NULL || inet_ntop(family, ip, out, HTTP_REMOTE_BYTES) == NULL) {
        out[0] = '\0';
    }
}

static enum MHD_Result on_accept(void *ctx, const struct sockaddr *addr ATTR_UNUSED,
                                 socklen_t len ATTR_UNUSED)
{
    struct http *h = ctx;
    h->n_accepted++;
    if (h->n_connections >= h->opts.max_connections) {
        stats_inc(h->stats, STAT_HTTP_REFUSED);
        return MHD_NO;
    }
    return MHD_YES;
}

static void on_connection(void *ctx, struct MHD_Connection *mhd, void **socket_ctx,
                          enum MHD_ConnectionNotificationCode what)
{
    struct http *h = ctx;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        struct http_conn *c = mem_new(struct http_conn);
        c->http = h;
        c->mhd = mhd;
        format_remote(mhd, c->remote);
        h->n_connections++;
        stats_inc(h->stats, STAT_HTTP_CONNECTIONS);
        http_conn_waits(c);
        *socket_ctx = c;
        return;
    }
    struct http_conn *c = *socket_ctx;
    if (c->req != NULL) {
        http_req_on_end(c->req); /* closed on a path that does not tell of the request */
    }
    http_conn_move(c, NULL);
    h->n_connections--;
    mem_free(c);
}

static struct http_conn *conn_of(struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info->socket_context;
}

/* --- requests --- */

/* The first thing heard of a request, and the only place that has its target as the client sent it. */
static void *on_request_line(void *ctx ATTR_UNUSED, const char *uri, struct MHD_Connection *mhd)
{
    return http_req_new(conn_of(mhd), str_of(uri));
}

/* We decode the target ourselves. */
static size_t on_unescape(void *ctx ATTR_UNUSED, struct MHD_Connection *mhd ATTR_UNUSED, char *s)
{
    return strlen(s);
}

static enum MHD_Result follow(struct http_req *r, struct MHD_Connection *mhd,
                              enum req_verdict verdict)
{
    switch (verdict) {
    case REQ_GO_ON:
        return MHD_YES;
    case REQ_SLEEP:
        http_conn_sleep(r->conn);
        return MHD_YES;
    case REQ_REFUSE:
        return MHD_NO;
    case REQ_QUEUE: {
        const enum MHD_Result queued = MHD_queue_response(mhd, r->status, r->response);
        MHD_destroy_response(r->response); /* the connection has its own reference */
        r->response = NULL;
        return queued;
    }
    }
    UNREACHABLE();
}

static enum MHD_Result on_request(void *ctx ATTR_UNUSED, struct MHD_Connection *mhd,
                                  const char *url ATTR_UNUSED, const char *method,
                                  const char *version, const char *body, size_t *body_len,
                                  void **req_ctx)
{
    struct http_req *r = *req_ctx;
    if (r == NULL) {
        return MHD_NO; /* no memory for it */
    }
    if (!r->head_seen) {
        return follow(r, mhd, http_req_on_head(r, str_of(method), str_of(version)));
    }
    if (*body_len > 0) {
        const struct str bytes = {body, *body_len};
        *body_len = 0;
        return follow(r, mhd, http_req_on_body(r, bytes));
    }
    return follow(r, mhd, http_req_on_complete(r));
}

static void on_request_end(void *ctx ATTR_UNUSED, struct MHD_Connection *mhd, void **req_ctx,
                           enum MHD_RequestTerminationCode how ATTR_UNUSED)
{
    struct http_conn *c = conn_of(mhd);
    *req_ctx = NULL;
    if (c->req != NULL) {
        http_req_on_end(c->req);
    }
    http_conn_waits(c);
}

/* --- responses --- */

static ssize_t on_pull(void *ctx, uint64_t pos ATTR_UNUSED, char *out, size_t max)
{
    const int64_t n = http_stream_pull(ctx, out, max);
    if (n >= 0) {
        return (ssize_t)n;
    }
    return n == HTTP_STREAM_END ? MHD_CONTENT_READER_END_OF_STREAM
                                : MHD_CONTENT_READER_END_WITH_ERROR;
}

/* For HTTP/1.1 the block is built in the connection's pool; the buffer that comes with the response serves only
 * HTTP/1.0, so it is as small as it can be otherwise. */
static struct MHD_Response *stream_response(const struct http_req *r, struct http_stream *s)
{
    const size_t block = r->http10 ? s->block : 1;
    struct MHD_Response *m =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, block, on_pull, s, NULL);
    if (m != NULL && r->method == HTTP_HEAD) {
        /* 0.9.75 would send the last chunk behind the head, where the next answer begins. */
        (void)MHD_set_response_options(m, MHD_RF_HTTP_1_0_COMPATIBLE_STRICT, MHD_RO_END);
    }
    return m;
}

static struct MHD_Response *body_response(const struct http_answer *a)
{
    void *body = NULL;
    memcpy(&body, &a->body.ptr, sizeof body); /* its API takes away the const, it does not write */
    if (!a->take_body || a->body.len == 0) {
        return MHD_create_response_from_buffer(a->body.len, body, MHD_RESPMEM_PERSISTENT);
    }
    return MHD_create_response_from_buffer_with_free_callback(a->body.len, body, mem_free);
}

struct MHD_Response *mhd_response(const struct http_req *r, struct http_answer *a)
{
    struct MHD_Response *m = a->stream != NULL ? stream_response(r, a->stream) : body_response(a);
    if (m == NULL || (a->take_body && a->body.len == 0)) {
        if (a->take_body) {
            mem_free_ptr(&a->body.ptr);
        }
        if (m == NULL) {
            return NULL;
        }
    }
    if (a->content_type != NULL) {
        (void)MHD_add_response_header(m, MHD_HTTP_HEADER_CONTENT_TYPE, a->content_type);
    }
    for (size_t at = 0; at < r->headers.len;) {
        const char *name = r->headers.data + at;
        const char *value = name + strlen(name) + 1;
        (void)MHD_add_response_header(m, name, value); /* an empty value is left out */
        at += strlen(name) + strlen(value) + 2;
    }
    if (r->http->phase != HTTP_OPEN) {
        (void)MHD_add_response_header(m, MHD_HTTP_HEADER_CONNECTION, "close");
    }
    return m;
}

void mhd_response_free(struct MHD_Response *response)
{
    MHD_destroy_response(response);
}

static enum MHD_Result on_first_header(void *ctx, enum MHD_ValueKind kind ATTR_UNUSED,
                                       const char *name, const char *value)
{
    const char **pair = ctx;
    pair[0] = name;
    pair[1] = value;
    return MHD_NO; /* one is enough */
}

/* A stream lives long, and libmicrohttpd would keep its head for all of that time. */
void mhd_response_forget_head(struct MHD_Response *response)
{
    const char *pair[2] = {NULL, NULL};
    while (MHD_get_response_headers(response, on_first_header, pair) > 0 &&
           MHD_del_response_header(response, pair[0], pair[1]) == MHD_YES) {
    }
}

/* --- a connection --- */

void mhd_suspend(struct MHD_Connection *c)
{
    MHD_suspend_connection(c);
}

void mhd_resume(struct MHD_Connection *c)
{
    MHD_resume_connection(c);
}

static int fd_of(struct MHD_Connection *c)
{
    return MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
}

void mhd_shut(struct MHD_Connection *c)
{
    (void)shutdown(fd_of(c), SHUT_RDWR);
}

bool mhd_peer_has_shut(struct MHD_Connection *c)
{
    char byte = 0;
    return recv(fd_of(c), &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT) == 0;
}

struct str mhd_header(struct MHD_Connection *c, const char *name)
{
    /* Blanks behind a value are not cut off by libmicrohttpd. */
    return str_trim(str_of(MHD_lookup_connection_value(c, MHD_HEADER_KIND, name)));
}

enum { POOL_ENTRY_BYTES = 64 }; /* what libmicrohttpd keeps of each field, parameter and cookie */

size_t mhd_head_bytes(struct MHD_Connection *c)
{
    const enum MHD_ValueKind all = MHD_HEADER_KIND | MHD_COOKIE_KIND | MHD_GET_ARGUMENT_KIND;
    const int n = MHD_get_connection_values(c, all, NULL, NULL);
    const size_t text =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE)->header_size;
    return text + mhd_header(c, MHD_HTTP_HEADER_COOKIE).len + (size_t)n * POOL_ENTRY_BYTES;
}

/* --- the daemon --- */

enum err_code mhd_start(struct http *h, int listen_fd, struct err *err)
{
    MHD_set_panic_func(on_panic, NULL);
    h->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, on_accept, h, on_request,
        h, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL, MHD_OPTION_LISTEN_SOCKET, listen_fd,
        MHD_OPTION_CONNECTION_LIMIT, h->opts.max_connections + HTTP_SPARE_CONNECTIONS,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_POOL_BYTES, MHD_OPTION_CONNECTION_TIMEOUT,
        h->opts.idle_timeout_s, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_NOTIFY_CONNECTION,
        on_connection, h, MHD_OPTION_URI_LOG_CALLBACK, on_request_line, h,
        MHD_OPTION_UNESCAPE_CALLBACK, on_unescape, h, MHD_OPTION_NOTIFY_COMPLETED, on_request_end,
        h, MHD_OPTION_END);
    if (h->daemon == NULL) {
        return err_set(err, ERR_INTERNAL, "libmicrohttpd does not start (descriptors used up?)");
    }
    return ERR_OK;
}

int mhd_epoll_fd(const struct http *h)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    ASSERT(info != NULL && info->epoll_fd >= 0);
    return info->epoll_fd;
}

void mhd_run(struct http *h)
{
    h->n_accepted = 0;
    (void)MHD_run(h->daemon);
}

bool mhd_timeout_ms(struct http *h, int64_t *ret)
{
    MHD_UNSIGNED_LONG_LONG ms = 0;
    if (MHD_get_timeout(h->daemon, &ms) != MHD_YES) {
        return false;
    }
    *ret = ms > INT32_MAX ? INT32_MAX : (int64_t)ms;
    return true;
}

int mhd_quiesce(struct http *h)
{
    return MHD_quiesce_daemon(h->daemon);
}

void mhd_stop(struct http *h)
{
    MHD_stop_daemon(h->daemon);
    h->daemon = NULL;
}
