#include "tests/support/http_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/core/assert.h"
#include "server/core/mem.h"
#include "tests/support/loop_until.h"

enum { IN_LIMIT = 64 << 20, OUT_LIMIT = 64 << 20, READ_BYTES = 65536 };

struct http_client {
    struct loop *loop;
    uv_poll_t poll;
    int fd;
    struct buf in;
    struct buf out;
    struct buf body; /* joined chunks of the last peek */
    size_t front;    /* bytes of the last whole answer */
    bool dropped;    /* they go away with the next look */
    bool connected;
    bool reading;
    bool shut_wanted;
    bool ended;
};

static void on_poll(uv_poll_t *p, int status, int events);

static void want(struct http_client *c)
{
    int events = c->reading && !c->ended ? UV_READABLE : 0;
    if (!c->connected || c->out.len > 0) {
        events |= UV_WRITABLE;
    }
    if (events == 0 || c->ended) {
        (void)uv_poll_stop(&c->poll);
    } else {
        ASSERT(uv_poll_start(&c->poll, events, on_poll) == 0);
    }
}

static void fail(struct http_client *c)
{
    c->ended = true;
    buf_clear(&c->out);
}

static void flush(struct http_client *c)
{
    while (c->out.len > 0) {
        const ssize_t n = send(c->fd, c->out.data, c->out.len, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno != EAGAIN) {
                buf_clear(&c->out); /* what the peer said before it closed may still be read */
            }
            break;
        }
        buf_drop_front(&c->out, (size_t)n);
    }
    if (c->out.len == 0 && c->shut_wanted) {
        c->shut_wanted = false;
        (void)shutdown(c->fd, SHUT_WR);
    }
}

static void forget_front(struct http_client *c)
{
    if (c->dropped) {
        buf_drop_front(&c->in, c->front);
        c->front = 0;
        c->dropped = false;
    }
}

static void receive(struct http_client *c)
{
    forget_front(c);
    char *p = buf_reserve(&c->in, READ_BYTES);
    ASSERT(p != NULL);
    const ssize_t n = recv(c->fd, p, READ_BYTES, 0);
    if (n > 0) {
        buf_commit(&c->in, (size_t)n);
    } else if (n == 0 || errno != EAGAIN) {
        c->ended = true;
    }
}

static void on_poll(uv_poll_t *p, int status, int events)
{
    struct http_client *c = p->data;
    int sys = 0;
    socklen_t len = sizeof sys;
    if (!c->connected &&
        (status < 0 || getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &sys, &len) != 0 || sys != 0)) {
        fail(c);
    } else {
        c->connected = true;
        if ((events & UV_WRITABLE) != 0) {
            flush(c);
        }
        if (c->reading && ((events & UV_READABLE) != 0 || status < 0)) {
            receive(c);
        }
    }
    want(c);
}

void http_client_turn(struct loop *l)
{
    const bool never = false;
    const bool done = loop_run_until(l, &never, 1);
    ASSERT(!done);
}

static socklen_t fill_address(struct sockaddr_storage *a, const char *address, uint16_t port)
{
    memset(a, 0, sizeof *a);
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)a;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)a;
    if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        return sizeof *v4;
    }
    ASSERT(inet_pton(AF_INET6, address, &v6->sin6_addr) == 1);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    return sizeof *v6;
}

struct http_client *http_client_open(struct loop *l, const char *address, uint16_t port)
{
    struct http_client *c = mem_new(struct http_client);
    struct sockaddr_storage a;
    const socklen_t len = fill_address(&a, address != NULL ? address : "127.0.0.1", port);
    const int on = 1;
    c->loop = l;
    c->reading = true;
    c->fd = socket(a.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    ASSERT(c->fd >= 0);
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    buf_init(&c->in, IN_LIMIT);
    buf_init(&c->out, OUT_LIMIT);
    buf_init(&c->body, IN_LIMIT);
    ASSERT(uv_poll_init(loop_uv(l), &c->poll, c->fd) == 0);
    c->poll.data = c;
    if (connect(c->fd, (struct sockaddr *)&a, len) != 0 && errno != EINPROGRESS) {
        fail(c);
    }
    want(c);
    return c;
}

static void on_closed(uv_handle_t *handle)
{
    struct http_client *c = handle->data;
    buf_deinit(&c->in);
    buf_deinit(&c->out);
    buf_deinit(&c->body);
    mem_free(c);
}

void http_client_close(struct http_client *c)
{
    if (c != NULL) {
        uv_close((uv_handle_t *)&c->poll, on_closed);
        (void)close(c->fd);
    }
}

void http_client_reset(struct http_client *c)
{
    const struct linger hard = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    http_client_close(c);
}

void http_client_send_bytes(struct http_client *c, struct str bytes)
{
    if (!c->ended) {
        buf_put(&c->out, bytes);
        ASSERT(buf_ok(&c->out));
        want(c);
    }
}

void http_client_send(struct http_client *c, const char *text)
{
    http_client_send_bytes(c, str_of(text));
}

void http_client_get(struct http_client *c, const char *path)
{
    http_client_send(c, "GET ");
    http_client_send(c, path);
    http_client_send(c, " HTTP/1.1\r\nHost: x\r\n\r\n");
}

void http_client_shut(struct http_client *c)
{
    c->shut_wanted = true;
    if (c->connected && c->out.len == 0) {
        flush(c);
    }
}

void http_client_stop_reading(struct http_client *c)
{
    const int bytes =
        65536; /* fixed: how far the system lets a buffer grow differs between machines */
    (void)setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    c->reading = false;
    want(c);
}

void http_client_start_reading(struct http_client *c)
{
    c->reading = true;
    want(c);
}

bool http_client_ended(const struct http_client *c)
{
    return c->ended;
}

struct str http_client_received(const struct http_client *c)
{
    const size_t from = c->dropped ? c->front : 0;
    return str_sub(buf_str(&c->in), from, c->in.len);
}

struct str http_reply_field(const struct http_reply *r, const char *name)
{
    struct str rest = r->head;
    struct str line;
    while (str_split(&rest, '\n', &line)) {
        struct str value = line;
        struct str key = STR_NULL;
        if (str_split(&value, ':', &key) && str_ieq(key, str_of(name))) {
            return str_trim(value);
        }
    }
    return STR_NULL;
}

static bool hex_line(struct str line, size_t *ret)
{
    size_t v = 0;
    line = str_trim(line);
    if (line.len == 0 || line.len > 8) {
        return false;
    }
    for (size_t i = 0; i < line.len; i++) {
        const char *digits = "0123456789abcdef";
        const char *at = strchr(digits, line.ptr[i] | (line.ptr[i] >= 'A' ? 0x20 : 0));
        ASSERT(at != NULL);
        v = v * 16 + (size_t)(at - digits);
    }
    *ret = v;
    return true;
}

/* Joins the chunks that are whole. Returns the bytes used up to and including the last one, 0 if it is not there. */
static size_t join_chunks(struct http_client *c, struct str in)
{
    size_t at = 0;
    buf_clear(&c->body);
    for (;;) {
        const char *nl = at < in.len ? memchr(in.ptr + at, '\n', in.len - at) : NULL;
        if (nl == NULL) {
            return 0;
        }
        const size_t line_end = (size_t)(nl - in.ptr) + 1;
        size_t size = 0;
        ASSERT(hex_line(str_sub(in, at, line_end), &size));
        if (in.len < line_end + size + 2) {
            return 0;
        }
        ASSERT(in.ptr[line_end + size] == '\r' && in.ptr[line_end + size + 1] == '\n');
        buf_put(&c->body, str_sub(in, line_end, line_end + size));
        at = line_end + size + 2;
        if (size == 0) {
            return at;
        }
    }
}

static void take_body(struct http_client *c, bool is_head, struct str rest, struct http_reply *ret)
{
    uint64_t length = 0;
    size_t used = 0;
    ret->chunked = str_ieq(http_reply_field(ret, "Transfer-Encoding"), STR("chunked"));
    if (is_head || ret->status == 204 || ret->status == 304 || ret->status < 200) {
        ret->whole = true;
    } else if (ret->chunked) {
        used = join_chunks(c, rest);
        ret->body = buf_str(&c->body);
        ret->whole = used > 0;
    } else if (str_to_u64(http_reply_field(ret, "Content-Length"), &length)) {
        used = rest.len < length ? rest.len : length;
        ret->body = str_sub(rest, 0, used);
        ret->whole = used == length;
    } else {
        used = rest.len;
        ret->body = rest;
        ret->whole = c->ended;
    }
    c->front += used;
}

bool http_client_peek(struct http_client *c, bool is_head, struct http_reply *ret)
{
    *ret = (struct http_reply){.status = 0};
    forget_front(c);
    const struct str in = buf_str(&c->in);
    const char *end = in.len > 0 ? memmem(in.ptr, in.len, "\r\n\r\n", 4) : NULL;
    if (end == NULL) {
        return false;
    }
    ret->head = (struct str){in.ptr, (size_t)(end - in.ptr)};
    ASSERT(str_starts(ret->head, STR("HTTP/1.1 ")) && ret->head.len >= 12);
    uint64_t status = 0;
    ASSERT(str_to_u64(str_sub(ret->head, 9, 12), &status));
    ret->status = (unsigned)status;
    c->front = ret->head.len + 4;
    take_body(c, is_head, str_sub(in, c->front, in.len), ret);
    return true;
}

bool http_client_whole(struct http_client *c, bool is_head, struct http_reply *ret)
{
    return http_client_peek(c, is_head, ret) && ret->whole;
}

void http_client_drop(struct http_client *c)
{
    c->dropped = true;
}
