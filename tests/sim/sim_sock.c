#include "tests/sim/sim_sock.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "server/core/assert.h"

enum {
    READ_BYTES = 64 * 1024,
    READS_PER_WAKE = 4,
    SEND_BYTES = 256 * 1024, /* per send(2) */
    SENDS_PER_WAKE = 4,
    KEEP_BYTES = 64 * 1024, /* an idle connection's buffer larger than this is given back */
    FINISH_POLL_MS = 5,
    FINISH_TRIES = 600,
};

static void want(struct sim_sock *s);

static void compact(struct sim_sock *s)
{
    if (s->out_at == s->out.len) {
        buf_clear(&s->out);
        s->out_at = 0;
        if (s->out.cap > KEEP_BYTES) {
            size_t limit = s->out.limit;

            buf_deinit(&s->out);
            buf_init(&s->out, limit);
        }
    } else if (s->out_at > s->out.len / 2 && s->out_at > KEEP_BYTES) {
        buf_drop_front(&s->out, s->out_at);
        s->out_at = 0;
    }
}

/* Sends up to max bytes; false: the socket is full or broken. */
static bool send_some(struct sim_sock *s, size_t max)
{
    size_t n = s->out.len - s->out_at;
    ssize_t sent = send(s->fd, s->out.data + s->out_at, n < max ? n : max, MSG_NOSIGNAL);

    if (sent > 0) {
        s->out_at += (size_t)sent;
        s->sent += (uint64_t)sent;
        return true;
    }
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        s->broken = true;
    }
    return false;
}

static void on_writable(struct sim_sock *s)
{
    uint64_t before = s->sent;

    for (int i = 0; i < SENDS_PER_WAKE && s->out_at < s->out.len; i++) {
        if (!send_some(s, SEND_BYTES)) {
            break;
        }
    }
    compact(s);
    if (s->sent > before) {
        s->ops->on_sent(s->ctx);
    }
}

static void on_readable(struct sim_sock *s)
{
    char block[READ_BYTES];

    for (int i = 0; i < READS_PER_WAKE && !s->closed; i++) {
        ssize_t n = recv(s->fd, block, sizeof(block), 0);

        if (n > 0) {
            if (!s->finishing) {
                s->ops->on_bytes(s->ctx, (struct str){block, (size_t)n});
            }
            if ((size_t)n < sizeof(block)) {
                return;
            }
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            if (s->finishing) {
                sim_sock_close(s, SIM_SOCK_FIN);
            } else {
                s->ops->on_end(s->ctx, n == 0 ? "eof" : "reset");
            }
            return;
        } else {
            return;
        }
    }
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct sim_sock *s = poll->data;

    if (s->closed) {
        return;
    }
    if (status < 0) {
        events = UV_READABLE; /* the error shows when reading */
    }
    if ((events & UV_WRITABLE) && s->drip_bytes == 0) {
        on_writable(s);
    }
    if (!s->closed && (events & UV_READABLE)) {
        on_readable(s);
    }
    want(s);
}

/* Watches for what there is to do. */
static void want(struct sim_sock *s)
{
    int events = UV_READABLE;
    int rc;

    if (s->closed) {
        return;
    }
    if (s->out_at < s->out.len && s->drip_bytes == 0 && !s->broken) {
        events |= UV_WRITABLE;
    }
    if (events != s->events) {
        s->events = events;
        rc = uv_poll_start(&s->poll, events, on_poll);
        ASSERT(rc == 0);
    }
}

static void on_drip(void *ctx)
{
    struct sim_sock *s = ctx;

    if (s->out_at < s->out.len && send_some(s, s->drip_bytes)) {
        compact(s);
        s->ops->on_sent(s->ctx);
    }
}

static void end_now(struct sim_sock *s)
{
    if (s->finish_how == SIM_SOCK_RST) {
        sim_sock_close(s, SIM_SOCK_RST);
        return;
    }
    /* Closing with unread bytes would reset: say goodbye and read until the peer does too. */
    (void)shutdown(s->fd, SHUT_WR);
    if (s->finish_tries-- <= 0) {
        sim_sock_close(s, SIM_SOCK_FIN);
        return;
    }
    loop_timer_start(&s->finish, FINISH_POLL_MS, 0);
}

static void on_finish(void *ctx)
{
    struct sim_sock *s = ctx;
    bool done = s->broken || (s->out_at == s->out.len && sim_sock_acked(s) == s->sent);

    if (done || s->finish_tries-- <= 0) {
        end_now(s);
    } else {
        loop_timer_start(&s->finish, FINISH_POLL_MS, 0);
    }
}

void sim_sock_open(struct sim_sock *s, struct loop *loop, int fd, const struct sim_sock_ops *ops,
                   void *ctx)
{
    int one = 1;
    int rc;

    *s = (struct sim_sock){.loop = loop, .ops = ops, .ctx = ctx, .fd = fd};
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    buf_init(&s->out, SIM_SOCK_MAX);
    loop_timer_init(&s->drip, loop, on_drip, s);
    loop_timer_init(&s->finish, loop, on_finish, s);
    rc = uv_poll_init(loop_uv(loop), &s->poll, fd);
    ASSERT(rc == 0);
    s->poll.data = s;
    want(s);
}

void sim_sock_put(struct sim_sock *s, struct str bytes)
{
    if (s->closed || s->finishing) {
        return;
    }
    buf_put(&s->out, bytes);
    if (!buf_ok(&s->out)) {
        s->broken = true;
        return;
    }
    s->queued += bytes.len;
    want(s);
}

size_t sim_sock_backlog(const struct sim_sock *s)
{
    return (size_t)(s->queued - s->sent);
}

uint64_t sim_sock_acked(struct sim_sock *s)
{
    int unacked = 0;

    if (!s->closed && ioctl(s->fd, SIOCOUTQ, &unacked) == 0 && unacked >= 0 &&
        s->sent > s->acked_max + (uint64_t)unacked) {
        s->acked_max = s->sent - (uint64_t)unacked;
    }
    return s->acked_max;
}

void sim_sock_drip(struct sim_sock *s, size_t n, int64_t interval_ms)
{
    s->drip_bytes = n;
    loop_timer_stop(&s->drip);
    if (n > 0 && !s->closed) {
        loop_timer_start(&s->drip, interval_ms, interval_ms);
    }
    want(s);
}

void sim_sock_finish(struct sim_sock *s, enum sim_sock_how how)
{
    if (s->closed || s->finishing) {
        return;
    }
    s->finishing = true;
    s->finish_how = how;
    s->finish_tries = FINISH_TRIES;
    loop_timer_start(&s->finish, 1, 0);
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct sim_sock *s = handle->data;

    s->ops->on_closed(s->ctx);
}

void sim_sock_close(struct sim_sock *s, enum sim_sock_how how)
{
    if (s->closed) {
        return;
    }
    (void)sim_sock_acked(s);
    s->closed = true;
    loop_timer_stop(&s->drip);
    loop_timer_stop(&s->finish);
    if (how == SIM_SOCK_RST) {
        struct linger now = {.l_onoff = 1, .l_linger = 0};

        (void)setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    }
    uv_close((uv_handle_t *)&s->poll, on_poll_closed);
    (void)close(s->fd);
    s->fd = -1;
    buf_deinit(&s->out);
}
