#include "tests/support/net_rig.h"

#include <string.h>

#include "server/core/assert.h"
#include "server/core/mem.h"
#include "tests/support/loop_until.h"
#include "tests/support/patience.h"
#include "tests/support/test.h"

enum { LOG_MAX = 64 << 20 };

struct rig_peer {
    uv_tcp_t tcp;
    struct net_rig *rig; /* NULL: the test has moved on */
    char room[65536];
};

struct peer_write {
    uv_write_t req;
    char bytes[];
};

/* --- the other end --- */

static void on_peer_freed(uv_handle_t *h)
{
    mem_free(h->data);
}

static void drop_peer(struct net_rig *r, bool reset)
{
    struct rig_peer *p = r->peer;
    if (!p) {
        return;
    }
    r->peer = NULL;
    p->rig = NULL;
    if (!reset || uv_tcp_close_reset(&p->tcp, on_peer_freed) != 0) {
        uv_close((uv_handle_t *)&p->tcp, on_peer_freed);
    }
}

static void on_alloc(uv_handle_t *h, size_t n, uv_buf_t *ret)
{
    (void)n;
    struct rig_peer *p = h->data;
    *ret = uv_buf_init(p->room, sizeof p->room);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
    struct rig_peer *p = s->data;
    struct net_rig *r = p->rig;
    if (!r) {
        return;
    }
    if (n > 0) {
        buf_put(&r->got, (struct str){b->base, (size_t)n});
        if (r->on_got) {
            r->on_got(r, (struct str){b->base, (size_t)n});
        }
    } else if (n < 0) {
        uv_read_stop(s);
        r->peer_is_over = true;
    }
}

static void on_accept(uv_stream_t *s, int status)
{
    struct net_rig *r = s->data;
    assert_int_equal(status, 0);
    drop_peer(r, false);
    struct rig_peer *p = mem_new(struct rig_peer);
    p->rig = r;
    assert_int_equal(uv_tcp_init(loop_uv(r->loop), &p->tcp), 0);
    p->tcp.data = p;
    assert_int_equal(uv_accept(s, (uv_stream_t *)&p->tcp), 0);
    assert_int_equal(uv_tcp_nodelay(&p->tcp, 1), 0);
    assert_int_equal(uv_read_start((uv_stream_t *)&p->tcp, on_alloc, on_read), 0);
    r->peer = p;
    r->n_accepted++;
    buf_clear(&r->got);
    r->peer_is_over = false;
    if (r->on_accepted) {
        r->on_accepted(r);
    }
}

static void on_written(uv_write_t *req, int status)
{
    (void)status;
    mem_free(req->data);
}

void rig_send(struct net_rig *r, struct str bytes)
{
    assert_non_null(r->peer);
    struct peer_write *w = mem_zero_or_abort(1, sizeof(struct peer_write) + bytes.len);
    memcpy(w->bytes, bytes.ptr, bytes.len);
    w->req.data = w;
    const uv_buf_t b = uv_buf_init(w->bytes, (unsigned)bytes.len);
    assert_int_equal(uv_write(&w->req, (uv_stream_t *)&r->peer->tcp, &b, 1, on_written), 0);
}

void rig_send_slowly(struct net_rig *r, struct str bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        rig_send(r, str_sub(bytes, i, i + 1));
        rig_turns(r, 2);
    }
}

static void on_shut(uv_shutdown_t *req, int status)
{
    (void)status;
    mem_free(req);
}

void rig_peer_close(struct net_rig *r, bool reset)
{
    assert_non_null(r->peer);
    if (reset) {
        drop_peer(r, true);
        return;
    }
    uv_shutdown_t *req = mem_new(uv_shutdown_t);
    assert_int_equal(uv_shutdown(req, (uv_stream_t *)&r->peer->tcp, on_shut), 0);
}

void rig_drop_peer(struct net_rig *r)
{
    drop_peer(r, false);
}

/* --- our end --- */

static void maybe_close(struct net_rig *r, enum rig_when when)
{
    if (r->close_on == when && !r->closing) {
        rig_close_now(r);
    }
}

static void on_open(void *ctx)
{
    struct net_rig *r = ctx;
    assert_non_null(r->t);
    assert_false(r->opened || r->ended || r->closing);
    r->opened = true;
    buf_put(&r->log, STR("open\n"));
    maybe_close(r, RIG_ON_OPEN);
}

static void on_data(void *ctx, struct str data, bool whole)
{
    struct net_rig *r = ctx;
    assert_true(r->opened);
    assert_false(r->ended || r->closing);
    assert_true(data.len > 0);
    r->n_data++;
    buf_put(&r->log, whole ? STR("whole:") : STR("piece:"));
    buf_put(&r->log, data);
    buf_put_c(&r->log, '\n');
    maybe_close(r, RIG_ON_DATA);
}

static void on_end(void *ctx, enum transport_end why, const struct err *err)
{
    struct net_rig *r = ctx;
    assert_non_null(r->t);
    assert_false(r->ended || r->closing);
    assert_true(err && err->msg[0] != 0);
    r->ended = true;
    r->why = why;
    r->err = *err;
    buf_put(&r->log, STR("end\n"));
    maybe_close(r, RIG_ON_END);
}

static void on_closed(void *ctx)
{
    struct net_rig *r = ctx;
    assert_true(r->closing);
    assert_false(r->closed);
    r->closed = true;
    r->t = NULL;
}

static void on_note(void *ctx, enum net_note note)
{
    struct net_rig *r = ctx;
    r->notes[note]++;
}

void rig_open(struct net_rig *r, enum transport_kind kind, const char *host, uint32_t message_max)
{
    const struct transport_handler h = {on_open, on_data, on_end, on_closed, r};
    const struct transport_dial d = {.kind = kind,
                                     .host = str_of(host),
                                     .port = r->port,
                                     .timeout_ms = RIG_TIMEOUT_MS,
                                     .message_max = message_max};
    struct transport *t = NULL;
    rig_close(r);
    drop_peer(r, false); /* of the connection before */
    buf_clear(&r->log);
    buf_clear(&r->got);
    r->opened = r->ended = r->closed = r->closing = false;
    r->n_data = 0;
    assert_int_equal(r->opener(r->net, &d, &h, &t, &r->err), ERR_OK);
    r->t = t;
}

void rig_close_now(struct net_rig *r)
{
    assert_false(r->closing);
    r->closing = true;
    transport_close(r->t);
    assert_false(r->closed);
}

void rig_close(struct net_rig *r)
{
    if (r->t && !r->closing) {
        rig_close_now(r);
    }
    if (r->t) {
        assert_true(loop_run_until(r->loop, &r->closed, RIG_TURNS));
    }
}

bool rig_until(struct net_rig *r, const bool *flag)
{
    return loop_run_until(r->loop, flag, RIG_TURNS);
}

void rig_turn(struct net_rig *r)
{
    const bool never = false;
    const bool done = loop_run_until(r->loop, &never, 1);
    assert_false(done);
}

static bool until_holds(struct net_rig *r, const struct buf *b, const char *text)
{
    struct patience p = {0};
    while (patience_left(&p, RIG_TURNS)) {
        if (b->len > 0 && memmem(b->data, b->len, text, strlen(text))) {
            return true;
        }
        rig_turn(r);
    }
    return false;
}

bool rig_until_log(struct net_rig *r, const char *text)
{
    return until_holds(r, &r->log, text);
}

bool rig_until_got(struct net_rig *r, const char *text)
{
    return until_holds(r, &r->got, text);
}

bool rig_until_got_len(struct net_rig *r, size_t n)
{
    struct patience p = {0};
    while (r->got.len < n && patience_left(&p, RIG_TURNS)) {
        rig_turn(r);
    }
    return r->got.len >= n;
}

void rig_turns(struct net_rig *r, unsigned n)
{
    loop_run_turns(r->loop, n);
}

/* --- both --- */

struct net_rig *rig_new(void)
{
    struct net_rig *r = mem_new(struct net_rig);
    struct sockaddr_in at;
    int len = sizeof at;
    clock_fake_init(&r->clock, 1000000);
    r->loop = loop_new();
    loop_set_clock(r->loop, &r->clock.base);
    r->net = net_new(r->loop);
    r->opener = transport_open;
    net_on_note(r->net, on_note, r);
    buf_init(&r->log, LOG_MAX);
    buf_init(&r->got, LOG_MAX);
    assert_int_equal(uv_tcp_init(loop_uv(r->loop), &r->listener), 0);
    r->listener.data = r;
    assert_int_equal(uv_ip4_addr("127.0.0.1", 0, &at), 0);
    assert_int_equal(uv_tcp_bind(&r->listener, (struct sockaddr *)&at, 0), 0);
    assert_int_equal(uv_tcp_getsockname(&r->listener, (struct sockaddr *)&at, &len), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&r->listener, 128, on_accept), 0);
    r->port = ntohs(at.sin_port);
    return r;
}

void rig_free(struct net_rig *r)
{
    rig_close(r);
    drop_peer(r, false);
    uv_close((uv_handle_t *)&r->listener, NULL);
    loop_run_turns(r->loop, 3);
    net_free(r->net);
    loop_free(r->loop);
    buf_deinit(&r->log);
    buf_deinit(&r->got);
    mem_free(r);
}
