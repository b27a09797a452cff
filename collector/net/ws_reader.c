#include "collector/net/ws_reader.h"

#include <string.h>

#include <wslay/wslay.h>

#include "server/core/assert.h"
#include "server/core/buf.h"
#include "server/core/bytes.h"
#include "server/core/mem.h"

enum { KEEP_BYTES = 64 * 1024 }; /* a buffer larger than this is given back after its message */

struct ws_reader {
    wslay_frame_context_ptr frames; /* owned */
    struct str in;                  /* what wslay has not taken yet, lent for the call */
    uint64_t n_given;               /* bytes wslay has taken */
    uint64_t n_used;                /* of these, the frames that are finished */
    bool in_frame;
    uint64_t frame_at; /* payload bytes seen of the frame */
    bool in_message;   /* a data frame without fin was the last one */
    bool is_text;
    size_t message_len; /* of the message so far, this frame's length included */
    struct buf message; /* binary: what is there of it; empty when a frame is whole in one piece */
    char control[WS_CONTROL_MAX];
    bool done; /* a close frame was read, or what is left is of no use */
};

static ssize_t on_want(uint8_t *to, size_t len, int flags, void *ctx)
{
    (void)flags;
    struct ws_reader *r = ctx;
    const size_t n = r->in.len < len ? r->in.len : len;
    if (n == 0) {
        return -1; /* nothing for now */
    }
    memcpy(to, r->in.ptr, n);
    r->in = str_sub(r->in, n, r->in.len);
    r->n_given += n;
    return (ssize_t)n;
}

struct ws_reader *ws_reader_new(void)
{
    static const struct wslay_frame_callbacks callbacks = {.recv_callback = on_want};
    struct ws_reader *r = mem_new(struct ws_reader);
    const int rc = wslay_frame_context_init(&r->frames, &callbacks, r);
    ASSERT(rc == 0); /* only for want of memory: fixed size, as mem_new */
    buf_init(&r->message, SIZE_MAX / 2);
    return r;
}

void ws_reader_free(struct ws_reader *r)
{
    if (!r) {
        return;
    }
    wslay_frame_context_free(r->frames);
    buf_deinit(&r->message);
    mem_free(r);
}

bool ws_reader_is_clean(const struct ws_reader *r)
{
    return !r->done && !r->in_frame && !r->in_message && r->n_given == r->n_used;
}

static bool is_control(const struct wslay_frame_iocb *f)
{
    return wslay_is_ctrl_frame(f->opcode) != 0;
}

/* The rules of a frame's head that wslay leaves to its user. */
static enum err_code check_head(struct ws_reader *r, size_t message_max,
                                const struct wslay_frame_iocb *f, struct err *err)
{
    if (f->mask || f->rsv != WSLAY_RSV_NONE) {
        return err_set(err, ERR_PROTO, "websocket: %s",
                       f->mask ? "masked frame from a server" : "reserved bits in a frame");
    }
    switch (f->opcode) {
    case WSLAY_CONNECTION_CLOSE:
    case WSLAY_PING:
    case WSLAY_PONG:
        return ERR_OK;
    case WSLAY_CONTINUATION_FRAME:
        if (!r->in_message) {
            return err_set(err, ERR_PROTO, "websocket: continuation of no message");
        }
        break;
    case WSLAY_TEXT_FRAME:
    case WSLAY_BINARY_FRAME:
        if (r->in_message) {
            return err_set(err, ERR_PROTO, "websocket: a message within a message");
        }
        r->is_text = f->opcode == WSLAY_TEXT_FRAME;
        r->message_len = 0;
        break;
    default:
        return err_set(err, ERR_PROTO, "websocket: unknown opcode %u", (unsigned)f->opcode);
    }
    if (f->payload_length > message_max - r->message_len) {
        return err_set(err, ERR_TOO_BIG, "websocket: message over %zu bytes", message_max);
    }
    r->message_len += (size_t)f->payload_length;
    return ERR_OK;
}

static void message_clear(struct ws_reader *r)
{
    if (r->message.cap > KEEP_BYTES) {
        const size_t limit = r->message.limit;
        buf_deinit(&r->message);
        buf_init(&r->message, limit);
    } else {
        buf_clear(&r->message);
    }
}

static enum err_code on_data_piece(struct ws_reader *r, const struct wslay_frame_iocb *f,
                                   const struct ws_sink *sink, struct err *err)
{
    const struct str piece = {(const char *)f->data, f->data_length};
    const bool ends = r->frame_at == f->payload_length && f->fin;
    r->in_message = !ends;
    if (r->is_text) {
        if (ends) {
            sink->on_text(sink->ctx);
        }
        return ERR_OK;
    }
    if (ends && r->message.len == 0) {
        /* The common case: the message is whole in what wslay holds and is not copied again. */
        sink->on_message(sink->ctx, piece);
        return ERR_OK;
    }
    buf_put(&r->message, piece);
    if (!buf_ok(&r->message)) {
        return err_set(err, ERR_NOMEM, "websocket: no memory for a message");
    }
    if (ends) {
        sink->on_message(sink->ctx, buf_str(&r->message));
        message_clear(r);
    }
    return ERR_OK;
}

static enum err_code on_close_frame(struct ws_reader *r, size_t len, const struct ws_sink *sink,
                                    struct err *err)
{
    r->done = true;
    if (len == 1) {
        return err_set(err, ERR_PROTO, "websocket: close frame with half a code");
    }
    const uint16_t code = len == 0 ? 0 : get_be16(r->control);
    sink->on_close(sink->ctx, code, (struct str){r->control + 2, len == 0 ? 0 : len - 2});
    return ERR_OK;
}

static enum err_code on_control_piece(struct ws_reader *r, const struct wslay_frame_iocb *f,
                                      const struct ws_sink *sink, struct err *err)
{
    const size_t at = (size_t)r->frame_at - f->data_length;
    ASSERT(r->frame_at <= WS_CONTROL_MAX); /* wslay refuses longer ones */
    if (f->data_length > 0) {
        memcpy(r->control + at, f->data, f->data_length);
    }
    if (r->frame_at < f->payload_length) {
        return ERR_OK;
    }
    if (f->opcode == WSLAY_CONNECTION_CLOSE) {
        return on_close_frame(r, (size_t)r->frame_at, sink, err);
    }
    if (f->opcode == WSLAY_PING) {
        sink->on_ping(sink->ctx, (struct str){r->control, (size_t)r->frame_at});
    }
    return ERR_OK;
}

/* wslay takes shortest lengths only, so the length tells how long the head was. */
static unsigned head_bytes(const struct wslay_frame_iocb *f)
{
    return f->payload_length < 126 ? 2 : f->payload_length < 65536 ? 4 : 10;
}

/* One piece of a frame's payload; the first one (which may be empty) tells what frame it is. */
static enum err_code on_piece(struct ws_reader *r, size_t message_max,
                              const struct wslay_frame_iocb *f, const struct ws_sink *sink,
                              struct err *err)
{
    if (!r->in_frame) {
        const enum err_code rc = check_head(r, message_max, f, err);
        if (rc != ERR_OK) {
            return rc;
        }
        r->frame_at = 0;
    }
    r->frame_at += f->data_length;
    r->in_frame = r->frame_at < f->payload_length;
    if (!r->in_frame) {
        r->n_used += head_bytes(f) + f->payload_length;
    }
    return is_control(f) ? on_control_piece(r, f, sink, err) : on_data_piece(r, f, sink, err);
}

enum err_code ws_reader_feed(struct ws_reader *r, size_t message_max, struct str bytes,
                             const struct ws_sink *sink, const bool *stop, struct err *err)
{
    enum err_code rc = ERR_OK;
    r->in = bytes;
    while (rc == ERR_OK && !r->done && !(stop && *stop)) {
        struct wslay_frame_iocb f;
        memset(&f, 0, sizeof f);
        const ssize_t n = wslay_frame_recv(r->frames, &f);
        if (n == WSLAY_ERR_WANT_READ) {
            break;
        }
        rc = n < 0 ? err_set(err, ERR_PROTO, "websocket: malformed frame")
                   : on_piece(r, message_max, &f, sink, err);
    }
    r->in = STR_NULL;
    if (rc != ERR_OK || (stop && *stop)) {
        r->done = true;
    }
    return rc;
}
