#include "tests/support/fake_upstream.h"

#include <stdio.h>

#include <uv.h>

#include "collector/wire/packet.h"
#include "server/core/assert.h"
#include "server/core/bytes.h"
#include "server/core/json_read.h"
#include "server/core/list.h"
#include "server/core/mem.h"
#include "tests/support/frames.h"

enum { IN_MAX = 65536 };

struct conn {
    struct fake_upstream *f;
    struct list_node node;
    uv_tcp_t tcp;
    struct buf in;
    int64_t room_id; /* once authenticated */
    bool authenticated;
};

struct fake_upstream {
    struct loop *loop;
    uv_tcp_t listener;
    bool listening;
    unsigned n_handles; /* not closed yet, listener included */
    char host[32];
    uint16_t port;
    struct list conns;
    enum fake_auth auth;
    bool answer;
    uint32_t popularity;
    char room[IN_MAX];
    struct buf last_auth;
    struct buf drip;
    size_t dripped;
    bool dripping;
    struct fake_upstream_seen seen;
};

static void on_conn_closed(uv_handle_t *h)
{
    struct conn *c = h->data;
    c->f->n_handles--;
    c->f->seen.n_open--;
    list_remove(&c->f->conns, &c->node);
    buf_deinit(&c->in);
    mem_free(c);
}

static void conn_close(struct conn *c, bool reset)
{
    if (uv_is_closing((uv_handle_t *)&c->tcp)) {
        return;
    }
    c->authenticated = false;
    if (!reset || uv_tcp_close_reset(&c->tcp, on_conn_closed) != 0) {
        uv_close((uv_handle_t *)&c->tcp, on_conn_closed);
    }
}

struct write {
    uv_write_t req;
    char *bytes;
};

static void on_written(uv_write_t *req, int status)
{
    struct write *w = CONTAINER_OF(req, struct write, req);
    (void)status;
    mem_free(w->bytes);
    mem_free(w);
}

static void conn_send(struct conn *c, struct str bytes)
{
    struct write *w = mem_new(struct write);
    w->bytes = mem_dup(bytes.ptr, bytes.len);
    ASSERT(w->bytes);
    const uv_buf_t b = uv_buf_init(w->bytes, (unsigned)bytes.len);
    if (uv_write(&w->req, (uv_stream_t *)&c->tcp, &b, 1, on_written) != 0) {
        on_written(&w->req, 0);
    }
}

static void conn_put(struct conn *c, uint32_t op, struct str body)
{
    struct buf out;
    buf_init(&out, 4096);
    frames_put(&out, PACKET_CONTROL, op, body);
    conn_send(c, buf_str(&out));
    buf_deinit(&out);
}

static int64_t room_of(struct str auth)
{
    struct json j;
    struct str key;
    int64_t id = 0;
    json_init(&j, auth);
    if (json_enter_object(&j)) {
        while (json_next_key(&j, &key)) {
            if (str_eq(key, STR("roomid"))) {
                (void)json_int(&j, &id);
            }
        }
    }
    return id;
}

static void on_auth(struct conn *c, struct str body)
{
    struct fake_upstream *f = c->f;
    f->seen.n_auth++;
    buf_clear(&f->last_auth);
    buf_put(&f->last_auth, body);
    switch (f->auth) {
    case FAKE_AUTH_OK:
        c->authenticated = true;
        c->room_id = room_of(body);
        conn_put(c, PACKET_AUTH_REPLY, STR("{\"code\":0}"));
        break;
    case FAKE_AUTH_SILENT:
        break;
    case FAKE_AUTH_BAD:
        conn_put(c, PACKET_AUTH_REPLY, STR("{\"code\":-101}"));
        break;
    case FAKE_AUTH_NO_CODE:
        conn_put(c, PACKET_AUTH_REPLY, STR("[]"));
        break;
    case FAKE_AUTH_CLOSE:
        conn_close(c, false);
        break;
    case FAKE_AUTH_RESET:
        conn_close(c, true);
        break;
    case FAKE_AUTH_GARBAGE:
        conn_send(c, STR("HTTP/1.1 403 Forbidden\r\n\r\n"));
        break;
    }
}

static void on_packet(struct conn *c, uint32_t op, struct str body)
{
    struct fake_upstream *f = c->f;
    char popularity[4];
    if (op == PACKET_AUTH) {
        on_auth(c, body);
    } else if (op == PACKET_HEARTBEAT && body.len == 0) {
        f->seen.n_heartbeats++;
        if (f->answer) {
            put_be32(popularity, f->popularity);
            conn_put(c, PACKET_HEARTBEAT_REPLY, (struct str){popularity, sizeof popularity});
        }
    } else {
        f->seen.n_bad_packets++;
    }
}

static void on_alloc(uv_handle_t *h, size_t n, uv_buf_t *ret)
{
    struct conn *c = h->data;
    (void)n;
    *ret = uv_buf_init(c->f->room, IN_MAX);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
    struct conn *c = s->data;
    if (n < 0) {
        conn_close(c, false);
        return;
    }
    buf_put(&c->in, (struct str){b->base, (size_t)n});
    while (c->in.len >= PACKET_HEADER_BYTES && !uv_is_closing((uv_handle_t *)s)) {
        const size_t len = get_be32(c->in.data);
        if (len < PACKET_HEADER_BYTES || len > IN_MAX || get_be16(c->in.data + 4) != 16 ||
            get_be16(c->in.data + 6) != 1 || get_be32(c->in.data + 12) != 1) {
            c->f->seen.n_bad_packets++;
            conn_close(c, false);
            return;
        }
        if (c->in.len < len) {
            return;
        }
        on_packet(c, get_be32(c->in.data + 8), str_sub(buf_str(&c->in), 16, len));
        buf_drop_front(&c->in, len);
    }
}

static void on_connection(uv_stream_t *s, int status)
{
    struct fake_upstream *f = s->data;
    if (status != 0) {
        return;
    }
    struct conn *c = mem_new(struct conn);
    c->f = f;
    buf_init(&c->in, IN_MAX);
    int rc = uv_tcp_init(loop_uv(f->loop), &c->tcp);
    c->tcp.data = c;
    f->n_handles++;
    f->seen.n_open++;
    f->seen.n_accepted++;
    list_push_back(&f->conns, &c->node);
    rc |= uv_accept(s, (uv_stream_t *)&c->tcp);
    rc |= uv_tcp_nodelay(&c->tcp, 1);
    rc |= uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
    ASSERT(rc == 0);
}

void fake_upstream_accept(struct fake_upstream *f)
{
    struct sockaddr_in at;
    int len = sizeof at;
    ASSERT(!f->listening);
    int rc = uv_tcp_init(loop_uv(f->loop), &f->listener);
    f->listener.data = f;
    rc |= uv_ip4_addr("127.0.0.1", f->port, &at);
    rc |= uv_tcp_bind(&f->listener, (const struct sockaddr *)&at, 0);
    rc |= uv_listen((uv_stream_t *)&f->listener, 1024, on_connection);
    rc |= uv_tcp_getsockname(&f->listener, (struct sockaddr *)&at, &len);
    ASSERT(rc == 0);
    f->port = ntohs(at.sin_port);
    f->listening = true;
    f->n_handles++;
    (void)snprintf(f->host, sizeof f->host, "127.0.0.1:%u", (unsigned)f->port);
}

static void on_listener_closed(uv_handle_t *h)
{
    struct fake_upstream *f = h->data;
    f->n_handles--;
    f->listening = false;
}

void fake_upstream_refuse(struct fake_upstream *f)
{
    uv_close((uv_handle_t *)&f->listener, on_listener_closed);
    while (f->listening) {
        (void)loop_turn(f->loop);
    }
}

struct fake_upstream *fake_upstream_new(struct loop *loop)
{
    struct fake_upstream *f = mem_new(struct fake_upstream);
    f->loop = loop;
    f->answer = true;
    f->popularity = 1;
    list_init(&f->conns);
    buf_init(&f->last_auth, IN_MAX);
    buf_init(&f->drip, 1 << 20);
    fake_upstream_accept(f);
    return f;
}

void fake_upstream_free(struct fake_upstream *f)
{
    fake_upstream_drop(f, 0, false);
    if (f->listening) {
        uv_close((uv_handle_t *)&f->listener, on_listener_closed);
    }
    f->dripped = f->drip.len;
    while (f->n_handles > 0 || f->dripping) {
        (void)loop_turn(f->loop);
    }
    buf_deinit(&f->last_auth);
    buf_deinit(&f->drip);
    mem_free(f);
}

struct str fake_upstream_host(const struct fake_upstream *f)
{
    return str_of(f->host);
}

void fake_upstream_auth(struct fake_upstream *f, enum fake_auth how)
{
    f->auth = how;
}

void fake_upstream_heartbeats(struct fake_upstream *f, bool answer, uint32_t popularity)
{
    f->answer = answer;
    f->popularity = popularity;
}

void fake_upstream_send(struct fake_upstream *f, int64_t room_id, struct str bytes)
{
    for (struct list_node *n = list_first(&f->conns); n; n = list_next(&f->conns, n)) {
        struct conn *c = CONTAINER_OF(n, struct conn, node);
        if (c->authenticated && (room_id == 0 || room_id == c->room_id)) {
            conn_send(c, bytes);
        }
    }
}

static void drip_one(void *ctx)
{
    struct fake_upstream *f = ctx;
    if (f->dripped == f->drip.len) {
        f->dripping = false;
        return;
    }
    fake_upstream_send(f, 0, (struct str){f->drip.data + f->dripped, 1});
    f->dripped++;
    loop_defer(f->loop, drip_one, f);
}

void fake_upstream_drip(struct fake_upstream *f, struct str bytes)
{
    buf_put(&f->drip, bytes);
    if (!f->dripping) {
        f->dripping = true;
        loop_defer(f->loop, drip_one, f);
    }
}

void fake_upstream_drop(struct fake_upstream *f, int64_t room_id, bool reset)
{
    for (struct list_node *n = list_first(&f->conns); n; n = list_next(&f->conns, n)) {
        struct conn *c = CONTAINER_OF(n, struct conn, node);
        if (room_id == 0 || room_id == c->room_id) {
            conn_close(c, reset);
        }
    }
}

struct fake_upstream_seen fake_upstream_seen(const struct fake_upstream *f)
{
    struct fake_upstream_seen seen = f->seen;
    seen.last_auth = &f->last_auth;
    return seen;
}
