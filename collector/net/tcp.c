#include "collector/net/tcp.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include <uv.h>

#include "collector/net/transport_priv.h"
#include "server/core/assert.h"
#include "server/core/buf.h"
#include "server/core/mem.h"
#include "server/loop/loop.h"

/* How an attempt ends is told by on_end once (`ended`); how the memory ends is the close protocol: `n_pending` counts
 * the open handle, each request in flight and each deferred call, every one of their callbacks ends in maybe_freed,
 * and nothing else frees. */
struct tcp {
    struct transport base; /* first */
    struct net *net;       /* borrowed */
    uv_tcp_t handle;
    union {
        uv_getaddrinfo_t resolve;
        uv_connect_t connect;
        uv_write_t write;
    } req; /* one at a time: names before connections before data */
    struct loop_timer timer;
    struct addrinfo *addrs;      /* owned by libuv, freed with uv_freeaddrinfo */
    struct addrinfo *next;       /* in addrs: not tried yet */
    struct sockaddr_storage one; /* when the host was an address */
    struct buf waiting;          /* not handed to libuv yet */
    struct buf sending;          /* in the write request */
    struct err last;             /* of the last address tried */
    enum transport_end why;
    unsigned n_pending;
    bool resolving;
    bool handle_open;
    bool is_open;
    bool writing;
    bool failing; /* the timer carries a failure that must not be told before tcp_open returns */
    bool ended;
    bool closing;
};

static void try_connect(struct tcp *t, const struct sockaddr *addr);

static void maybe_freed(struct tcp *t)
{
    if (!t->closing || t->n_pending > 0) {
        return;
    }
    const struct transport_handler up = t->base.up;
    uv_freeaddrinfo(t->addrs);
    buf_deinit(&t->waiting);
    buf_deinit(&t->sending);
    ASSERT(t->net->n_open > 0);
    t->net->n_open--;
    mem_free(t);
    up.on_closed(up.ctx);
}

static void end(struct tcp *t, enum transport_end why, const struct err *err)
{
    if (t->ended || t->closing) {
        return;
    }
    t->ended = true;
    loop_timer_stop(&t->timer);
    if (t->is_open) {
        uv_read_stop((uv_stream_t *)&t->handle);
    }
    t->base.up.on_end(t->base.up.ctx, why, err);
}

static void on_timer(void *ctx)
{
    struct tcp *t = ctx;
    if (t->failing) {
        end(t, t->why, &t->last);
        return;
    }
    struct err err;
    (void)err_set(&err, ERR_TIMEOUT, t->resolving ? "no answer for the name" : "no connection");
    end(t, TRANSPORT_TIMEOUT, &err);
}

/* Tells a failure from a fresh stack: the caller may still be inside tcp_open. */
static void fail_later(struct tcp *t, enum transport_end why)
{
    t->failing = true;
    t->why = why;
    loop_timer_start(&t->timer, 0, 0);
}

static void try_next(struct tcp *t)
{
    struct addrinfo *a = t->next;
    if (!a) {
        fail_later(t, TRANSPORT_CONNECT);
        return;
    }
    t->next = a->ai_next;
    try_connect(t, a->ai_addr);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct tcp *t = handle->data;
    t->handle_open = false;
    t->n_pending--;
    if (!t->closing && !t->ended) {
        try_next(t);
    }
    maybe_freed(t);
}

static void close_handle(struct tcp *t)
{
    if (t->handle_open && !uv_is_closing((uv_handle_t *)&t->handle)) {
        uv_close((uv_handle_t *)&t->handle, on_handle_closed);
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    (void)suggested;
    struct tcp *t = handle->data;
    *ret = uv_buf_init(t->net->read_buf, TRANSPORT_READ_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *uvbuf);

static void resume_reading(void *ctx)
{
    struct tcp *t = ctx;
    t->n_pending--;
    if (!t->closing && !t->ended) {
        const int rc = uv_read_start((uv_stream_t *)&t->handle, on_alloc, on_read);
        ASSERT(rc == 0);
    }
    maybe_freed(t);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *uvbuf)
{
    struct tcp *t = stream->data;
    LOOP_ASSERT(t->net->loop);
    if (t->closing || t->ended || n == 0) {
        return;
    }
    if (n < 0) {
        struct err err;
        (void)err_from_uv(&err, (int)n, "read");
        end(t, n == UV_EOF ? TRANSPORT_EOF : TRANSPORT_RESET, &err);
        return;
    }
    if ((size_t)n == uvbuf->len) {
        /* libuv would go on reading up to 32 buffers: give the other connections their turn first. */
        uv_read_stop(stream);
        t->n_pending++;
        loop_defer(t->net->loop, resume_reading, t);
    }
    t->base.up.on_data(t->base.up.ctx, (struct str){uvbuf->base, (size_t)n}, false);
}

static void on_connect(uv_connect_t *req, int status)
{
    struct tcp *t = req->data;
    LOOP_ASSERT(t->net->loop);
    t->n_pending--;
    if (t->closing || t->ended) {
        maybe_freed(t);
        return;
    }
    if (status == 0) {
        status = uv_read_start((uv_stream_t *)&t->handle, on_alloc, on_read);
    }
    if (status < 0) {
        (void)err_from_uv(&t->last, status, "connect");
        close_handle(t);
        return;
    }
    uv_tcp_nodelay(&t->handle, 1);
    loop_timer_stop(&t->timer);
    t->is_open = true;
    t->base.up.on_open(t->base.up.ctx);
}

static void try_connect(struct tcp *t, const struct sockaddr *addr)
{
    int rc = uv_tcp_init(loop_uv(t->net->loop), &t->handle);
    if (rc < 0) {
        (void)err_from_uv(&t->last, rc, "socket");
        fail_later(t, TRANSPORT_CONNECT);
        return;
    }
    t->handle.data = t;
    t->handle_open = true;
    t->n_pending++;
    t->req.connect.data = t;
    rc = uv_tcp_connect(&t->req.connect, &t->handle, addr, on_connect);
    if (rc < 0) {
        (void)err_from_uv(&t->last, rc, "connect");
        close_handle(t);
        return;
    }
    t->n_pending++;
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *res)
{
    struct tcp *t = req->data;
    LOOP_ASSERT(t->net->loop);
    t->n_pending--;
    t->resolving = false;
    t->addrs = res;
    t->next = res;
    if (!t->closing && !t->ended) {
        if (status < 0 || !res) {
            struct err err;
            (void)err_from_uv(&err, status < 0 ? status : UV_EAI_NONAME, "resolve");
            end(t, TRANSPORT_RESOLVE, &err);
        } else {
            try_next(t);
        }
    }
    maybe_freed(t);
}

static enum err_code resolve(struct tcp *t, const char *host, uint16_t port, struct err *err)
{
    char service[8];
    snprintf(service, sizeof service, "%u", (unsigned)port);
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV,
    };
    t->req.resolve.data = t;
    const int rc =
        uv_getaddrinfo(loop_uv(t->net->loop), &t->req.resolve, on_resolved, host, service, &hints);
    if (rc < 0) {
        /* A name that cannot be one: it is not UTF-8, for instance. */
        return err_set(err, ERR_INVALID, "resolve: %s", uv_strerror(rc));
    }
    t->resolving = true;
    t->n_pending++;
    return ERR_OK;
}

static void on_write(uv_write_t *req, int status);

static void start_write(struct tcp *t)
{
    const struct buf spare = t->sending;
    t->sending = t->waiting;
    t->waiting = spare;
    buf_clear(&t->waiting);
    const uv_buf_t b = uv_buf_init(t->sending.data, (unsigned)t->sending.len);
    t->req.write.data = t;
    const int rc = uv_write(&t->req.write, (uv_stream_t *)&t->handle, &b, 1, on_write);
    ASSERT(rc == 0); /* fails only for handles that are not open streams */
    t->writing = true;
    t->n_pending++;
}

static void on_write(uv_write_t *req, int status)
{
    struct tcp *t = req->data;
    LOOP_ASSERT(t->net->loop);
    t->n_pending--;
    t->writing = false;
    if (!t->closing && !t->ended) {
        if (status < 0) {
            struct err err;
            (void)err_from_uv(&err, status, "write");
            end(t, TRANSPORT_RESET, &err);
        } else if (t->waiting.len > 0) {
            start_write(t);
        } else {
            /* Connections rarely have to wait: the memory goes back. */
            buf_deinit(&t->sending);
            buf_deinit(&t->waiting);
            buf_init(&t->sending, TRANSPORT_OUT_MAX);
            buf_init(&t->waiting, TRANSPORT_OUT_MAX);
        }
    }
    maybe_freed(t);
}

static enum err_code tcp_write(struct transport *base, struct str bytes, struct err *err)
{
    struct tcp *t = CONTAINER_OF(base, struct tcp, base);
    if (!t->is_open || t->ended || t->closing) {
        return err_set(err, ERR_IO, "write: not open");
    }
    size_t sent = 0;
    if (!t->writing) {
        uv_buf_t b = uv_buf_init(NULL, (unsigned)bytes.len);
        memcpy(&b.base, &bytes.ptr, sizeof b.base); /* uv_buf_t has no const; libuv only reads */
        const int n = uv_try_write((uv_stream_t *)&t->handle, &b, 1);
        if (n < 0 && n != UV_EAGAIN) {
            t->ended = true;
            return err_set(err, ERR_IO, "write: %s", uv_strerror(n));
        }
        sent = n > 0 ? (size_t)n : 0;
    }
    if (sent == bytes.len) {
        return ERR_OK;
    }
    buf_put(&t->waiting, str_sub(bytes, sent, bytes.len));
    if (!buf_ok(&t->waiting)) {
        return err_set(err, ERR_FULL, "write: the peer does not read");
    }
    if (!t->writing) {
        start_write(t);
    }
    return ERR_OK;
}

static void finish_close(void *ctx)
{
    struct tcp *t = ctx;
    t->n_pending--;
    maybe_freed(t);
}

static void tcp_close(struct transport *base)
{
    struct tcp *t = CONTAINER_OF(base, struct tcp, base);
    ASSERT(!t->closing);
    t->closing = true;
    loop_timer_stop(&t->timer);
    if (t->resolving) {
        uv_cancel((uv_req_t *)&t->req.resolve);
    }
    close_handle(t);
    /* One more pending thing, so that on_closed never comes before this returns. */
    t->n_pending++;
    loop_defer(t->net->loop, finish_close, t);
}

static const struct transport_ops tcp_ops = {tcp_write, tcp_close};

static bool parse_address(const char *host, uint16_t port, struct sockaddr_storage *ret)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    if (uv_ip4_addr(host, port, &v4) == 0) {
        memcpy(ret, &v4, sizeof v4);
        return true;
    }
    if (uv_ip6_addr(host, port, &v6) == 0) {
        memcpy(ret, &v6, sizeof v6);
        return true;
    }
    return false;
}

enum err_code tcp_open(struct net *net, const struct transport_dial *dial,
                       const struct transport_handler *handler, struct transport **ret,
                       struct err *err)
{
    char host[TRANSPORT_HOST_MAX + 1];
    if (dial->host.len == 0 || dial->host.len > TRANSPORT_HOST_MAX || dial->port == 0 ||
        memchr(dial->host.ptr, 0, dial->host.len)) {
        return err_set(err, ERR_INVALID, "no host name or port");
    }
    memcpy(host, dial->host.ptr, dial->host.len);
    host[dial->host.len] = 0;

    struct tcp *t = mem_new(struct tcp);
    t->base.ops = &tcp_ops;
    t->base.up = *handler;
    t->net = net;
    buf_init(&t->waiting, TRANSPORT_OUT_MAX);
    buf_init(&t->sending, TRANSPORT_OUT_MAX);
    loop_timer_init(&t->timer, net->loop, on_timer, t);
    if (parse_address(host, dial->port, &t->one)) {
        loop_timer_start(&t->timer, dial->timeout_ms, 0);
        try_connect(t, (const struct sockaddr *)&t->one);
    } else {
        const enum err_code rc = resolve(t, host, dial->port, err);
        if (rc != ERR_OK) {
            mem_free(t);
            return rc;
        }
        loop_timer_start(&t->timer, dial->timeout_ms, 0);
    }
    net->n_open++;
    *ret = &t->base;
    return ERR_OK;
}
