#include "tests/sim/sim_control.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/core/assert.h"
#include "server/core/list.h"
#include "server/core/mem.h"
#include "server/loop/loop.h"
#include "tests/sim/sim_control_priv.h"

struct sim_control {
    struct loop *loop;
    struct sim_server *server; /* borrowed */
    void (*quit)(void *ctx);
    void *quit_ctx;
    int fd;
    uv_poll_t poll;
    bool closing;
    size_t n_open; /* handles: own and clients' */
    struct list clients;
    char unix_path[108];
    char address[160];
};

struct client {
    struct list_node node;
    struct sim_control *control;
    int fd;
    uv_poll_t poll;
    bool closed;
    struct buf in;
    struct buf out;
    struct loop_timer wait;
    struct sim_wait waiting;
    bool is_waiting;
};

enum { WAIT_POLL_MS = 5, READ_BYTES = 16 * 1024 };

static void maybe_freed(struct sim_control *c)
{
    if (c->closing && c->n_open == 0) {
        mem_free(c);
    }
}

static void on_client_closed(uv_handle_t *h)
{
    struct client *cl = h->data;
    struct sim_control *c = cl->control;

    buf_deinit(&cl->in);
    buf_deinit(&cl->out);
    mem_free(cl);
    c->n_open--;
    maybe_freed(c);
}

static void close_client(struct client *cl)
{
    if (cl->closed) {
        return;
    }
    cl->closed = true;
    list_remove(&cl->control->clients, &cl->node);
    loop_timer_stop(&cl->wait);
    uv_close((uv_handle_t *)&cl->poll, on_client_closed);
    (void)close(cl->fd);
}

/* Answers are short; what does not fit the socket's buffer at once is too much for a script that does not read. */
static void flush(struct client *cl)
{
    size_t at = 0;

    while (at < cl->out.len) {
        ssize_t n = send(cl->fd, cl->out.data + at, cl->out.len - at, MSG_NOSIGNAL);

        if (n <= 0) {
            close_client(cl);
            return;
        }
        at += (size_t)n;
    }
    buf_clear(&cl->out);
}

static void run_lines(struct client *cl);

static void on_wait(void *ctx)
{
    struct client *cl = ctx;
    struct sim_control *c = cl->control;

    if (sim_wait_done(c->server, &cl->waiting)) {
        buf_put(&cl->out, STR("ok\n"));
    } else if (loop_now_ms(c->loop) >= cl->waiting.until_ms) {
        buf_put(&cl->out, STR("error timeout\n"));
    } else {
        loop_timer_start(&cl->wait, WAIT_POLL_MS, 0);
        return;
    }
    cl->is_waiting = false;
    flush(cl);
    run_lines(cl);
}

/* Commands in order; a wait holds back those behind it. */
static void run_lines(struct client *cl)
{
    struct sim_control *c = cl->control;

    while (!cl->closed && !cl->is_waiting) {
        char *end = cl->in.len > 0 ? memchr(cl->in.data, '\n', cl->in.len) : NULL;
        struct sim_command_env env = {
            .loop = c->loop, .server = c->server, .out = &cl->out, .wait = &cl->waiting};
        enum sim_command_result result;

        if (!end) {
            return;
        }
        result = sim_command(&env, (struct str){cl->in.data, (size_t)(end - cl->in.data)});
        buf_drop_front(&cl->in, (size_t)(end + 1 - cl->in.data));
        flush(cl);
        if (result == SIM_COMMAND_WAIT && !cl->closed) {
            cl->is_waiting = true;
            loop_timer_start(&cl->wait, 0, 0);
        } else if (result == SIM_COMMAND_QUIT) {
            c->quit(c->quit_ctx);
        }
    }
}

static void on_client(uv_poll_t *poll, int status, int events)
{
    struct client *cl = poll->data;
    char block[READ_BYTES];
    ssize_t n;

    (void)events;
    if (cl->closed) {
        return;
    }
    n = status < 0 ? 0 : recv(cl->fd, block, sizeof(block), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        close_client(cl);
        return;
    }
    buf_put(&cl->in, (struct str){block, (size_t)n});
    if (!buf_ok(&cl->in)) {
        close_client(cl);
        return;
    }
    run_lines(cl);
}

static void on_acceptable(uv_poll_t *poll, int status, int events)
{
    struct sim_control *c = poll->data;
    int fd = c->closing ? -1 : accept4(c->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct client *cl;
    int rc;

    (void)status;
    (void)events;
    if (fd < 0) {
        return;
    }
    if (c->clients.n >= SIM_CONTROL_CLIENTS_MAX) {
        (void)close(fd);
        return;
    }
    cl = mem_new(struct client);
    cl->control = c;
    cl->fd = fd;
    buf_init(&cl->in, SIM_CONTROL_LINE_MAX);
    buf_init(&cl->out, 64 << 20);
    loop_timer_init(&cl->wait, c->loop, on_wait, cl);
    rc = uv_poll_init(loop_uv(c->loop), &cl->poll, fd);
    ASSERT(rc == 0);
    cl->poll.data = cl;
    rc = uv_poll_start(&cl->poll, UV_READABLE, on_client);
    ASSERT(rc == 0);
    list_push_back(&c->clients, &cl->node);
    c->n_open++;
}

static int listen_unix(struct sim_control *c, const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd;

    if (strlen(path) >= sizeof(a.sun_path)) {
        return -ENAMETOOLONG;
    }
    memcpy(a.sun_path, path, strlen(path) + 1);
    memcpy(c->unix_path, path, strlen(path) + 1);
    (void)snprintf(c->address, sizeof(c->address), "unix:%s", path);
    (void)unlink(path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && bind(fd, (const struct sockaddr *)&a, sizeof(a)) == 0 && listen(fd, 16) == 0) {
        return fd;
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return -errno;
}

static int listen_tcp(struct sim_control *c, const char *where)
{
    const char *colon = strrchr(where, ':');
    struct sockaddr_in a;
    socklen_t len = sizeof(a);
    char host[48] = "";
    uint64_t port;
    int fd;

    if (!colon || (size_t)(colon - where) >= sizeof(host) ||
        !str_to_u64(str_of(colon + 1), &port) || port > 65535) {
        return -EINVAL;
    }
    memcpy(host, where, (size_t)(colon - where));
    if (uv_ip4_addr(host, (int)port, &a) != 0) {
        return -EINVAL;
    }
    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && bind(fd, (const struct sockaddr *)&a, len) == 0 && listen(fd, 16) == 0 &&
        getsockname(fd, (struct sockaddr *)&a, &len) == 0) {
        (void)snprintf(c->address, sizeof(c->address), "tcp:%s:%u", host,
                       (unsigned)ntohs(a.sin_port));
        return fd;
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return -errno;
}

enum err_code sim_control_open(struct loop *loop, struct sim_server *server, const char *where,
                               void (*quit)(void *ctx), void *ctx, struct sim_control **ret,
                               struct err *err)
{
    struct sim_control *c = mem_new(struct sim_control);
    int rc = -EINVAL;

    c->loop = loop;
    c->server = server;
    c->quit = quit;
    c->quit_ctx = ctx;
    list_init(&c->clients);
    if (str_starts(str_of(where), STR("unix:"))) {
        rc = listen_unix(c, where + strlen("unix:"));
    } else if (str_starts(str_of(where), STR("tcp:"))) {
        rc = listen_tcp(c, where + strlen("tcp:"));
    }
    if (rc < 0) {
        mem_free(c);
        return err_set_sys(err, ERR_INVALID, -rc, "--control %s", where);
    }
    c->fd = rc;
    rc = uv_poll_init(loop_uv(loop), &c->poll, c->fd);
    ASSERT(rc == 0);
    c->poll.data = c;
    rc = uv_poll_start(&c->poll, UV_READABLE, on_acceptable);
    ASSERT(rc == 0);
    c->n_open = 1;
    *ret = c;
    return ERR_OK;
}

void sim_control_address(const struct sim_control *c, struct buf *out)
{
    buf_put(out, str_of(c->address));
}

static void on_closed(uv_handle_t *h)
{
    struct sim_control *c = h->data;

    c->n_open--;
    maybe_freed(c);
}

void sim_control_close(struct sim_control *c)
{
    struct list_node *n;

    if (!c || c->closing) {
        return;
    }
    c->closing = true;
    while ((n = list_first(&c->clients))) {
        close_client(CONTAINER_OF(n, struct client, node));
    }
    uv_close((uv_handle_t *)&c->poll, on_closed);
    (void)close(c->fd);
    if (c->unix_path[0]) {
        (void)unlink(c->unix_path);
    }
}
