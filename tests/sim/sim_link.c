#include "tests/sim/sim_link.h"

#include "server/core/assert.h"

enum { BYTES_MAX = 128 << 20 };

void sim_link_init(struct sim_link *l, enum sim_link_kind kind, struct sim_sock *sock,
                   struct sim_tls_ctx *tls, const struct sim_link_ops *ops, void *ctx)
{
    *l = (struct sim_link){.kind = kind, .ops = ops, .ctx = ctx, .sock = sock};
    if (kind == SIM_LINK_WSS) {
        ASSERT(tls);
        l->tls = sim_tls_new(tls);
    }
    if (kind != SIM_LINK_TCP) {
        l->ws = sim_ws_new();
    }
}

void sim_link_deinit(struct sim_link *l)
{
    sim_tls_free(l->tls);
    sim_ws_free(l->ws);
    l->tls = NULL;
    l->ws = NULL;
}

bool sim_link_is_ws(const struct sim_link *l)
{
    return l->kind != SIM_LINK_TCP;
}

static void end(struct sim_link *l, const char *why)
{
    if (!l->over) {
        l->over = true;
        l->ops->on_end(l->ctx, why);
    }
}

/* --- in --- */

static void on_request(void *ctx, const struct sim_ws_request *q)
{
    struct sim_link *l = ctx;

    l->ops->on_request(l->ctx, q);
}

static void on_message(void *ctx, struct str message)
{
    struct sim_link *l = ctx;

    l->ops->on_bytes(l->ctx, message, true);
}

static void on_control(void *ctx, enum sim_ws_frame what, struct str payload)
{
    struct sim_link *l = ctx;
    struct buf out;

    if (what == SIM_WS_PONG) {
        l->ops->on_pong(l->ctx);
        return;
    }
    buf_init(&out, 256);
    sim_ws_put(&out, SIM_WS_FIN | (what == SIM_WS_PING ? SIM_WS_PONG : SIM_WS_CLOSE), payload);
    sim_link_raw(l, buf_str(&out));
    buf_deinit(&out);
    if (what == SIM_WS_CLOSE) {
        l->cut = true;
        end(l, "ws_close");
    }
}

static void frames_in(struct sim_link *l, struct str bytes)
{
    const struct sim_ws_sink sink = {on_request, on_message, on_control, l};
    const char *wrong;

    if (!l->ws) {
        l->ops->on_bytes(l->ctx, bytes, false);
        return;
    }
    wrong = sim_ws_in(l->ws, bytes, &sink);
    if (wrong) {
        end(l, wrong);
    }
}

void sim_link_in(struct sim_link *l, struct str bytes)
{
    struct buf plain;
    struct buf cipher;
    enum sim_tls_state state;

    if (l->over) {
        return;
    }
    if (!l->tls) {
        frames_in(l, bytes);
        return;
    }
    buf_init(&plain, BYTES_MAX);
    buf_init(&cipher, BYTES_MAX);
    state = sim_tls_in(l->tls, bytes, &plain, &cipher);
    sim_sock_put(l->sock, buf_str(&cipher));
    if (state == SIM_TLS_OPEN && !l->tls_open) {
        l->tls_open = true;
        l->ops->on_tls(l->ctx, sim_tls_resumed(l->tls));
    }
    if (plain.len > 0) {
        frames_in(l, buf_str(&plain));
    }
    if (state == SIM_TLS_OVER || state == SIM_TLS_FAILED) {
        end(l, state == SIM_TLS_OVER ? "tls_close" : "tls_failed");
    }
    buf_deinit(&plain);
    buf_deinit(&cipher);
}

/* --- out --- */

void sim_link_raw(struct sim_link *l, struct str bytes)
{
    struct buf cipher;

    if (!l->tls) {
        sim_sock_put(l->sock, bytes);
        return;
    }
    buf_init(&cipher, BYTES_MAX);
    sim_tls_out(l->tls, bytes, &cipher);
    sim_sock_put(l->sock, buf_str(&cipher));
    buf_deinit(&cipher);
}

void sim_link_agree(struct sim_link *l, const struct sim_ws_request *q)
{
    struct buf out;

    buf_init(&out, 1024);
    sim_ws_put_answer(&out, q->key);
    sim_ws_agree(l->ws);
    sim_link_raw(l, buf_str(&out));
    buf_deinit(&out);
}

static void put_message(struct sim_link *l, struct str packets, struct buf *out)
{
    unsigned first = SIM_WS_BINARY;

    while (l->fragment > 0 && packets.len > l->fragment) {
        sim_ws_put(out, first, str_sub(packets, 0, l->fragment));
        sim_ws_put(out, SIM_WS_FIN | SIM_WS_PING, STR("between"));
        packets = str_sub(packets, l->fragment, packets.len);
        first = SIM_WS_CONTINUE;
    }
    sim_ws_put(out, SIM_WS_FIN | first, packets);
}

void sim_link_put(struct sim_link *l, struct str packets)
{
    struct buf out;

    if (!l->ws) {
        sim_sock_put(l->sock, packets);
        return;
    }
    buf_init(&out, BYTES_MAX);
    put_message(l, packets, &out);
    sim_link_raw(l, buf_str(&out));
    buf_deinit(&out);
}

void sim_link_put_cut(struct sim_link *l, struct str packets, size_t n)
{
    struct buf out;

    buf_init(&out, BYTES_MAX);
    if (l->ws) {
        sim_ws_put_head(&out, SIM_WS_FIN | SIM_WS_BINARY, packets.len);
    }
    buf_put(&out, str_sub(packets, 0, n));
    sim_link_raw(l, buf_str(&out));
    l->cut = true;
    buf_deinit(&out);
}

void sim_link_bye(struct sim_link *l, unsigned code)
{
    struct buf out;

    buf_init(&out, 4096);
    if (l->ws && sim_ws_is_open(l->ws) && !l->cut) {
        sim_ws_put_close(&out, code);
        sim_link_raw(l, buf_str(&out));
        sim_ws_stop(l->ws);
    }
    buf_clear(&out);
    if (l->tls) {
        sim_tls_bye(l->tls, &out);
        sim_sock_put(l->sock, buf_str(&out));
    }
    buf_deinit(&out);
}
