#include "tests/sim/sim_priv.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/core/assert.h"

enum { BACKLOG = 4096, ACCEPTS_PER_WAKE = 256 };

static socklen_t addr_len(const struct sockaddr_storage *a)
{
    return a->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

bool sim_host_parse(const char *where, struct sockaddr_storage *ret)
{
    const char *colon = strrchr(where, ':');
    char host[64];
    uint64_t port;
    size_t n;

    if (!colon || !str_to_u64(str_of(colon + 1), &port) || port > 65535) {
        return false;
    }
    n = (size_t)(colon - where);
    if (n > 2 && where[0] == '[' && where[n - 1] == ']') {
        where++;
        n -= 2;
    }
    if (n >= sizeof(host)) {
        return false;
    }
    memcpy(host, where, n);
    host[n] = '\0';
    memset(ret, 0, sizeof(*ret));
    return uv_ip4_addr(host, (int)port, (struct sockaddr_in *)ret) == 0 ||
           uv_ip6_addr(host, (int)port, (struct sockaddr_in6 *)ret) == 0;
}

static int bind_socket(const struct sockaddr_storage *addr)
{
    int fd = socket(addr->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1;

    if (fd < 0) {
        return -errno;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (const struct sockaddr *)addr, addr_len(addr)) < 0) {
        int e = errno;

        (void)close(fd);
        return -e;
    }
    return fd;
}

static void on_acceptable(uv_poll_t *poll, int status, int events)
{
    struct sim_host *h = poll->data;

    (void)status;
    (void)events;
    for (int i = 0; i < ACCEPTS_PER_WAKE && h->up; i++) {
        int fd = accept4(h->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0) {
            return;
        }
        sim_conn_accept(h->server, (unsigned)(h - h->server->hosts), fd);
    }
}

static void start(struct sim_host *h)
{
    int rc;

    if (listen(h->fd, BACKLOG) < 0) {
        LOG(ERROR, "sim", "cannot listen", KV_CSTR("address", h->name), KV_I64("errno", errno));
        return;
    }
    rc = uv_poll_init(loop_uv(h->server->loop), &h->poll, h->fd);
    ASSERT(rc == 0);
    h->poll.data = h;
    rc = uv_poll_start(&h->poll, UV_READABLE, on_acceptable);
    ASSERT(rc == 0);
    h->poll_open = h->up = true;
}

uint16_t sim_host_port(const struct sim_host *h)
{
    return ntohs(h->addr.ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)&h->addr)->sin6_port
                                               : ((const struct sockaddr_in *)&h->addr)->sin_port);
}

static void on_back(void *ctx)
{
    sim_host_up(ctx);
}

static void set_name(struct sim_host *h)
{
    char host[48] = "?";

    if (h->addr.ss_family == AF_INET6) {
        const struct sockaddr_in6 *a = (const struct sockaddr_in6 *)&h->addr;

        (void)uv_ip6_name(a, host, sizeof(host));
        (void)snprintf(h->name, sizeof(h->name), "[%s]:%u", host, (unsigned)ntohs(a->sin6_port));
    } else {
        const struct sockaddr_in *a = (const struct sockaddr_in *)&h->addr;

        (void)uv_ip4_name(a, host, sizeof(host));
        (void)snprintf(h->name, sizeof(h->name), "%s:%u", host, (unsigned)ntohs(a->sin_port));
    }
}

enum err_code sim_host_open(struct sim_host *h, struct sim_server *s, const char *where,
                            enum sim_link_kind kind, struct err *err)
{
    socklen_t len = sizeof(h->addr);
    int fd;

    *h = (struct sim_host){.server = s, .kind = kind, .fd = -1};
    loop_timer_init(&h->back, s->loop, on_back, h);
    if (!sim_host_parse(where, &h->addr)) {
        return err_set(err, ERR_INVALID, "--listen %s: not ADDR:PORT", where);
    }
    fd = bind_socket(&h->addr);
    if (fd < 0) {
        return err_set_sys(err, ERR_IO, -fd, "--listen %s", where);
    }
    h->fd = fd;
    if (getsockname(fd, (struct sockaddr *)&h->addr, &len) < 0) {
        return err_set_sys(err, ERR_IO, errno, "--listen %s", where);
    }
    set_name(h);
    h->want_up = true;
    start(h);
    return h->up ? ERR_OK : err_set(err, ERR_IO, "--listen %s: in use", where);
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct sim_host *h = handle->data;

    h->poll_open = false;
    if (h->want_up && h->fd >= 0) {
        start(h);
    }
}

/* The port stays bound, so that nobody else takes it: a bound socket that does not listen refuses. */
static void stop(struct sim_host *h, bool keep_port)
{
    if (h->up) {
        h->up = false;
        uv_close((uv_handle_t *)&h->poll, on_poll_closed);
    }
    if (h->fd >= 0) {
        (void)close(h->fd);
        h->fd = -1;
    }
    if (keep_port) {
        int fd = bind_socket(&h->addr);

        if (fd < 0) {
            LOG(ERROR, "sim", "lost the port of a host that is down", KV_CSTR("address", h->name));
        } else {
            h->fd = fd;
        }
    }
}

void sim_host_down(struct sim_host *h, int64_t for_ms)
{
    h->want_up = false;
    if (h->up) {
        stop(h, true);
    }
    loop_timer_stop(&h->back);
    if (for_ms > 0) {
        loop_timer_start(&h->back, for_ms, 0);
    }
}

void sim_host_up(struct sim_host *h)
{
    loop_timer_stop(&h->back);
    h->want_up = true;
    if (!h->up && !h->poll_open && h->fd >= 0) {
        start(h);
    }
}

void sim_host_close(struct sim_host *h)
{
    h->want_up = false;
    if (h->server) {
        loop_timer_stop(&h->back);
        stop(h, false);
    }
}
