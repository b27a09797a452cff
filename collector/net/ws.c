#include "collector/net/ws.h"

#include <stdio.h>
#include <string.h>

#include "collector/net/tcp.h"
#include "collector/net/tls.h"
#include "collector/net/transport_priv.h"
#include "collector/net/ws_head.h"
#include "collector/net/ws_reader.h"
#include "collector/net/ws_writer.h"
#include "server/core/assert.h"
#include "server/core/buf.h"
#include "server/core/mem.h"
#include "server/loop/loop.h"

enum ws_code { CODE_NORMAL = 1000, CODE_PROTOCOL = 1002, CODE_TOO_BIG = 1009 };

/* What is needed until the server has agreed. */
struct handshake {
    struct buf request;
    struct buf head; /* of the answer, as far as it has come */
    char accept[WS_ACCEPT_BYTES];
    bool asked;
};

struct ws {
    struct transport base;    /* first */
    struct net *net;          /* borrowed */
    struct transport *below;  /* owned until its on_closed */
    struct handshake *hand;   /* owned; NULL once open */
    struct ws_reader *reader; /* owned; NULL while nothing is unfinished */
    struct loop_timer timer;  /* of the handshake */
    int64_t deadline_ms;
    size_t message_max;
    struct err why; /* of an end that the reader met */
    enum transport_end end;
    bool ending; /* `why` and `end` are to be told when the reader has returned */
    bool stop;   /* leave the reader */
    bool ended;
    bool closing;
};

static struct ws *ws_of(struct transport *base)
{
    return CONTAINER_OF(base, struct ws, base);
}

static void forget_handshake(struct ws *w)
{
    if (w->hand) {
        buf_deinit(&w->hand->request);
        buf_deinit(&w->hand->head);
        mem_free(TAKE_PTR(w->hand));
    }
}

static void tell_end(struct ws *w, enum transport_end why, const struct err *err)
{
    if (w->ended || w->closing) {
        return;
    }
    w->ended = true;
    w->stop = true;
    loop_timer_stop(&w->timer);
    w->base.up.on_end(w->base.up.ctx, why, err);
}

/* From within the reader: it is left first, then the end is told. */
static void end_soon(struct ws *w, enum transport_end why)
{
    w->end = why;
    w->ending = true;
    w->stop = true;
}

/* --- up: what the server sends --- */

static enum err_code send_frame(struct ws *w, enum err_code framed, struct err *err)
{
    if (framed != ERR_OK) {
        buf_clear(&w->net->ws_out);
        return framed;
    }
    const enum err_code rc = transport_write(w->below, buf_str(&w->net->ws_out), err);
    buf_clear(&w->net->ws_out);
    return rc;
}

static void say_goodbye(struct ws *w, uint16_t code)
{
    /* Best effort: the connection is over whether the server hears of it or not. */
    (void)send_frame(w, ws_put_close(w->net->ws_writer, &w->net->ws_out, code, NULL), NULL);
}

static void on_message(void *ctx, struct str message)
{
    struct ws *w = ctx;
    if (message.len > 0) {
        w->base.up.on_data(w->base.up.ctx, message, true);
    }
}

static void on_text(void *ctx)
{
    struct ws *w = ctx;
    net_note(w->net, NET_NOTE_WS_TEXT);
}

static void on_ping(void *ctx, struct str payload)
{
    struct ws *w = ctx;
    net_note(w->net, NET_NOTE_WS_PING);
    const enum err_code framed = ws_put_pong(w->net->ws_writer, &w->net->ws_out, payload, &w->why);
    if (send_frame(w, framed, &w->why) != ERR_OK) {
        end_soon(w, TRANSPORT_RESET);
    }
}

/* RFC 6455, 7.4: the rest has a meaning without being sent, or none. */
static bool may_be_sent(uint16_t code)
{
    return (code >= 1000 && code <= 1014 && (code < 1004 || code > 1006)) ||
           (code >= 3000 && code <= 4999);
}

static void on_close(void *ctx, uint16_t code, struct str reason)
{
    struct ws *w = ctx;
    char text[64];
    size_t n = 0;
    for (; n < reason.len && n < sizeof text - 1; n++) {
        text[n] = reason.ptr[n] >= 0x20 && reason.ptr[n] < 0x7f ? reason.ptr[n] : '?';
    }
    text[n] = 0;
    (void)err_set(&w->why, ERR_IO, "websocket: closed by upstream: %u%s%s", (unsigned)code,
                  n > 0 ? " " : "", text);
    net_note(w->net, NET_NOTE_WS_CLOSE);
    say_goodbye(w, code == 0 || may_be_sent(code) ? code : CODE_PROTOCOL);
    end_soon(w, TRANSPORT_EOF);
}

static struct ws_reader *take_reader(struct ws *w)
{
    struct ws_reader *r = w->reader;
    if (r) {
        w->reader = NULL;
    } else {
        r = w->net->ws_spare ? TAKE_PTR(w->net->ws_spare) : ws_reader_new();
    }
    return r;
}

static void give_reader(struct ws *w, struct ws_reader *r)
{
    if (w->ended || w->closing) {
        ws_reader_free(r);
    } else if (!ws_reader_is_clean(r)) {
        w->reader = r;
    } else if (!w->net->ws_spare) {
        w->net->ws_spare = r;
    } else {
        ws_reader_free(r);
    }
}

static void receive(struct ws *w, struct str bytes)
{
    const struct ws_sink sink = {on_message, on_text, on_ping, on_close, w};
    struct ws_reader *r = take_reader(w);
    struct err err;
    const enum err_code rc = ws_reader_feed(r, w->message_max, bytes, &sink, &w->stop, &err);
    if (rc != ERR_OK && !w->ended && !w->closing) {
        if (rc == ERR_TOO_BIG) {
            net_note(w->net, NET_NOTE_WS_TOO_LARGE);
        }
        say_goodbye(w, rc == ERR_TOO_BIG ? CODE_TOO_BIG : CODE_PROTOCOL);
        tell_end(w, TRANSPORT_FRAMING, &err);
    } else if (w->ending) {
        tell_end(w, w->end, &w->why);
    }
    give_reader(w, r);
}

/* --- the handshake --- */

static void on_timer(void *ctx)
{
    struct ws *w = ctx;
    struct err err;
    (void)err_set(&err, ERR_TIMEOUT, "websocket: no answer to the handshake");
    tell_end(w, TRANSPORT_TIMEOUT, &err);
}

static void on_below_open(void *ctx)
{
    struct ws *w = ctx;
    struct err err;
    if (w->closing) {
        return;
    }
    const int64_t left = w->deadline_ms - loop_now_ms(w->net->loop);
    if (transport_write(w->below, buf_str(&w->hand->request), &err) != ERR_OK) {
        tell_end(w, TRANSPORT_HANDSHAKE, &err);
        return;
    }
    w->hand->asked = true;
    buf_deinit(&w->hand->request);
    loop_timer_start(&w->timer, left > 0 ? left : 0, 0);
}

/* The bytes of data that are behind the head, or the end of the try. */
static bool take_head(struct ws *w, struct str *data, struct err *err)
{
    struct buf *head = &w->hand->head;
    const size_t had = head->len;
    const size_t room = WS_HEAD_MAX - had;
    buf_put(head, str_sub(*data, 0, data->len < room ? data->len : room));
    if (!buf_ok(head)) {
        (void)err_set(err, ERR_NOMEM, "websocket: no memory for the answer");
        tell_end(w, TRANSPORT_HANDSHAKE, err);
        return false;
    }
    const size_t len = ws_head_len(buf_str(head), had);
    if (len == 0) {
        if (head->len == WS_HEAD_MAX) {
            (void)err_set(err, ERR_TOO_BIG, "websocket: head of the answer over %d bytes",
                          WS_HEAD_MAX);
            tell_end(w, TRANSPORT_HANDSHAKE, err);
        }
        return false;
    }
    if (ws_answer_check(str_sub(buf_str(head), 0, len), w->hand->accept, err) != ERR_OK) {
        tell_end(w, TRANSPORT_HANDSHAKE, err);
        return false;
    }
    *data = str_sub(*data, len - had, data->len);
    return true;
}

static void on_below_data(void *ctx, struct str data, bool whole)
{
    (void)whole;
    struct ws *w = ctx;
    struct err err;
    if (w->ended || w->closing) {
        return;
    }
    if (w->hand) {
        if (!take_head(w, &data, &err)) {
            return;
        }
        loop_timer_stop(&w->timer);
        forget_handshake(w);
        w->base.up.on_open(w->base.up.ctx);
    }
    if (data.len > 0 && !w->ended && !w->closing) {
        receive(w, data);
    }
}

static void on_below_end(void *ctx, enum transport_end why, const struct err *err)
{
    struct ws *w = ctx;
    struct err mine;
    if (w->hand && w->hand->asked) {
        (void)err_set(&mine, ERR_IO, "websocket: closed during the handshake: %s",
                      err ? err->msg : "");
        tell_end(w, TRANSPORT_HANDSHAKE, &mine);
    } else if (!w->hand && why == TRANSPORT_EOF) {
        (void)err_set(&mine, ERR_IO, "websocket: closed without a close frame");
        tell_end(w, why, &mine);
    } else {
        tell_end(w, why, err);
    }
}

static void on_below_closed(void *ctx)
{
    struct ws *w = ctx;
    const struct transport_handler up = w->base.up;
    ASSERT(w->closing);
    forget_handshake(w);
    ws_reader_free(w->reader);
    ASSERT(w->net->n_open > 0);
    w->net->n_open--;
    mem_free(w);
    up.on_closed(up.ctx);
}

/* --- down --- */

static enum err_code ws_write(struct transport *base, struct str bytes, struct err *err)
{
    struct ws *w = ws_of(base);
    if (w->hand || w->ended || w->closing) {
        return err_set(err, ERR_IO, "write: not open");
    }
    if (bytes.len > TRANSPORT_OUT_MAX) {
        return err_set(err, ERR_FULL, "write: message over %d bytes", TRANSPORT_OUT_MAX);
    }
    const enum err_code rc =
        send_frame(w, ws_put_message(w->net->ws_writer, &w->net->ws_out, bytes, err), err);
    if (rc != ERR_OK) {
        w->ended = true; /* part of the frame may be gone: nothing can follow it */
        w->stop = true;
    }
    return rc;
}

static void ws_close(struct transport *base)
{
    struct ws *w = ws_of(base);
    ASSERT(!w->closing);
    if (!w->hand && !w->ended) {
        say_goodbye(w, CODE_NORMAL);
    }
    w->closing = true;
    w->stop = true;
    loop_timer_stop(&w->timer);
    transport_close(w->below);
}

static const struct transport_ops ws_ops = {ws_write, ws_close};

static enum err_code prepare(struct ws *w, const struct transport_dial *dial, struct err *err)
{
    const struct ws_request request = {
        .host = dial->host,
        .port = dial->port,
        .tls = dial->kind == TRANSPORT_WSS,
        .path = str_of(w->net->path),
        .origin = str_of(w->net->origin),
        .user_agent = str_of(w->net->user_agent),
    };
    char key[WS_KEY_BYTES];
    if (!ws_is_host(dial->host)) {
        return err_set(err, ERR_INVALID, "no host name");
    }
    const enum err_code rc = ws_key_new(key, w->hand->accept, err);
    if (rc == ERR_OK) {
        ws_request_put(&w->hand->request, &request, key);
        ASSERT(buf_ok(&w->hand->request)); /* all texts are bounded */
    }
    return rc;
}

enum err_code ws_open(struct net *net, const struct transport_dial *dial,
                      const struct transport_handler *handler, struct transport **ret,
                      struct err *err)
{
    struct ws *w = mem_new(struct ws);
    const struct transport_handler mine = {on_below_open, on_below_data, on_below_end,
                                           on_below_closed, w};
    w->base.ops = &ws_ops;
    w->base.up = *handler;
    w->net = net;
    w->message_max = dial->message_max > 0 ? dial->message_max : TRANSPORT_MESSAGE_MAX;
    w->deadline_ms = loop_now_ms(net->loop) + dial->timeout_ms;
    w->hand = mem_new(struct handshake);
    buf_init(&w->hand->request, WS_REQUEST_MAX);
    buf_init(&w->hand->head, WS_HEAD_MAX);
    loop_timer_init(&w->timer, net->loop, on_timer, w);
    enum err_code rc = prepare(w, dial, err);
    if (rc == ERR_OK) {
        rc = dial->kind == TRANSPORT_WSS ? tls_open(net, dial, &mine, &w->below, err)
                                         : tcp_open(net, dial, &mine, &w->below, err);
    }
    if (rc != ERR_OK) {
        forget_handshake(w);
        mem_free(w);
        return rc;
    }
    net->n_open++;
    *ret = &w->base;
    return ERR_OK;
}
