/* One client's handshakes: what is agreed, and what the rules make of it. */
#include "tests/sim/sim_priv.h"

enum { LOST_CLOSE_MS = 10000, LONG_HEADER_BYTES = 9000 };

static const char BROWSER_ORIGIN[] = "https://live.bilibili.com";

static void on_lost_for_long(void *ctx)
{
    sim_conn_kill(ctx, "lost", false);
}

void sim_conn_on_lost(struct sim_conn *c)
{
    c->lost = true;
    loop_timer_stop(&c->timeout);
    loop_timer_stop(&c->mode_end);
    loop_timer_init(&c->mode_end, c->server->loop, on_lost_for_long, c);
    loop_timer_start(&c->mode_end, LOST_CLOSE_MS, 0);
}

/* The client is not answered, and not disconnected either. */
static void stay_silent(struct sim_conn *c)
{
    c->lost = true;
    loop_timer_stop(&c->timeout);
}

static void answer_text(struct sim_conn *c, const char *text)
{
    sim_link_raw(&c->link, str_of(text));
    sim_conn_end(c, "ws_answer", false);
}

static void answer_long(struct sim_conn *c)
{
    struct buf out;

    buf_init(&out, 2 * (size_t)LONG_HEADER_BYTES);
    buf_put(&out, STR("HTTP/1.1 101 Switching Protocols\r\nX-Long: "));
    for (int i = 0; i < LONG_HEADER_BYTES; i++) {
        buf_put_c(&out, 'x');
    }
    sim_link_raw(&c->link, buf_str(&out));
    buf_deinit(&out);
    sim_conn_on_lost(c);
}

/* An answer that agrees, but for the one thing that `what` says. */
static void answer_wrong(struct sim_conn *c, const struct sim_ws_request *q, struct str what)
{
    const struct str other_key = STR("AAAAAAAAAAAAAAAAAAAAAA==");
    struct buf out;

    buf_init(&out, 1024);
    if (str_eq(what, STR("upgrade"))) {
        buf_put(&out, STR("HTTP/1.1 101 Switching Protocols\r\nConnection: close\r\n\r\n"));
    } else {
        sim_ws_put_answer(&out, str_eq(what, STR("accept")) ? other_key : q->key);
    }
    if (str_eq(what, STR("extension"))) {
        out.len -= 2;
        buf_put(&out, STR("Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"));
    }
    sim_link_raw(&c->link, buf_str(&out));
    buf_deinit(&out);
    sim_conn_on_lost(c);
}

static void play_answer(struct sim_conn *c, const struct sim_ws_request *q,
                        const struct sim_fault *f)
{
    struct str what = str_of(f->what);

    if (str_eq(what, STR("redirect"))) {
        answer_text(c, "HTTP/1.1 302 Found\r\nLocation: https://elsewhere.invalid/sub\r\n\r\n");
    } else if (str_eq(what, STR("close")) || str_eq(what, STR("reset"))) {
        sim_conn_end(c, "ws_answer", str_eq(what, STR("reset")));
    } else if (str_eq(what, STR("long"))) {
        answer_long(c);
    } else if (str_eq(what, STR("accept")) || str_eq(what, STR("upgrade")) ||
               str_eq(what, STR("extension"))) {
        answer_wrong(c, q, what);
    } else {
        answer_text(c, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    }
}

static void play_stall(struct sim_conn *c, const struct sim_ws_request *q,
                       const struct sim_fault *f)
{
    struct buf out;

    buf_init(&out, 1024);
    sim_ws_put_answer(&out, q->key);
    if (f->size > 0 && (size_t)f->size < out.len) {
        sim_link_raw(&c->link, str_sub(buf_str(&out), 0, (size_t)f->size));
    }
    buf_deinit(&out);
    stay_silent(c);
}

/* What the live site's own page sends. */
static bool is_browser(const struct sim_ws_request *q)
{
    return str_eq(q->origin, str_of(BROWSER_ORIGIN)) &&
           str_starts(q->user_agent, STR("Mozilla/5.0 "));
}

static void on_request(void *ctx, const struct sim_ws_request *q)
{
    struct sim_conn *c = ctx;
    const struct sim_fault *f;

    if (c->state == SIM_CONN_ENDING) {
        return;
    }
    if (!str_eq(q->path, STR("/sub"))) {
        c->server->stats.ws_refused++;
        answer_text(c, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        return;
    }
    if (c->server->o->ws_strict && !is_browser(q)) {
        c->server->stats.ws_refused++;
        answer_text(c, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
        return;
    }
    f = sim_conn_shake_fault(c, false);
    if (!f) {
        c->server->stats.ws_upgrades++;
        sim_link_agree(&c->link, q);
    } else if (f->kind == SIM_FAULT_KIND_WS_STALL) {
        play_stall(c, q, f);
    } else {
        play_answer(c, q, f);
    }
}

static void on_packets(void *ctx, struct str packets, bool whole)
{
    struct sim_conn *c = ctx;

    if (c->state != SIM_CONN_ENDING) {
        sim_conn_take(c, packets, whole);
    }
}

static void on_tls(void *ctx, bool resumed)
{
    struct sim_conn *c = ctx;

    if (resumed) {
        c->server->stats.tls_resumed++;
    } else {
        c->server->stats.tls_full++;
    }
}

static void on_pong(void *ctx)
{
    struct sim_conn *c = ctx;

    c->server->stats.ws_pongs++;
}

static void on_end(void *ctx, const char *why)
{
    struct sim_conn *c = ctx;

    if (str_eq(str_of(why), STR("ws_close"))) {
        c->server->stats.ws_closes++;
    } else if (str_eq(str_of(why), STR("tls_failed"))) {
        c->server->stats.tls_failed++;
    } else if (!str_eq(str_of(why), STR("tls_close"))) {
        c->server->stats.bad_packets++;
    }
    if (c->state != SIM_CONN_ENDING) {
        sim_conn_end(c, why, false);
    }
}

static const struct sim_link_ops LINK_OPS = {.on_bytes = on_packets,
                                             .on_tls = on_tls,
                                             .on_request = on_request,
                                             .on_pong = on_pong,
                                             .on_end = on_end};

void sim_conn_link(struct sim_conn *c)
{
    struct sim_server *s = c->server;
    enum sim_link_kind kind = s->hosts[c->host].kind;
    const struct sim_fault *f;

    sim_link_init(&c->link, kind, &c->sock, s->tls, &LINK_OPS, c);
    f = kind == SIM_LINK_WSS ? sim_conn_shake_fault(c, true) : NULL;
    if (f) {
        c->link.over = true; /* the client may say what it likes */
        stay_silent(c);
    }
    if (f && f->kind == SIM_FAULT_KIND_TLS_PLAIN) {
        sim_sock_put(&c->sock, STR("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"));
    }
}
