#include "collector/net/ws_writer.h"

#include <string.h>

#include <openssl/rand.h>
#include <wslay/wslay.h>

#include "server/core/assert.h"
#include "server/core/bytes.h"
#include "server/core/mem.h"

struct ws_writer {
    wslay_frame_context_ptr frames; /* owned */
    struct buf *out;                /* borrowed for the call */
};

static ssize_t on_bytes(const uint8_t *data, size_t len, int flags, void *ctx)
{
    (void)flags;
    struct ws_writer *w = ctx;
    /* All of it, always: so wslay is between frames whenever it returns. What did not fit shows in buf_ok. */
    buf_put(w->out, (struct str){(const char *)data, len});
    return (ssize_t)len;
}

static int on_mask(uint8_t *key, size_t len, void *ctx)
{
    (void)ctx;
    return RAND_bytes(key, (int)len) == 1 ? 0 : -1;
}

struct ws_writer *ws_writer_new(void)
{
    static const struct wslay_frame_callbacks callbacks = {.send_callback = on_bytes,
                                                           .genmask_callback = on_mask};
    struct ws_writer *w = mem_new(struct ws_writer);
    const int rc = wslay_frame_context_init(&w->frames, &callbacks, w);
    ASSERT(rc == 0); /* only for want of memory: fixed size, as mem_new */
    return w;
}

void ws_writer_free(struct ws_writer *w)
{
    if (!w) {
        return;
    }
    wslay_frame_context_free(w->frames);
    mem_free(w);
}

static enum err_code put(struct ws_writer *w, struct buf *out, uint8_t opcode, struct str payload,
                         struct err *err)
{
    struct wslay_frame_iocb f = {
        .fin = 1,
        .opcode = opcode,
        .payload_length = payload.len,
        .mask = 1,
        .data = (const uint8_t *)payload.ptr,
        .data_length = payload.len,
    };
    w->out = out;
    const ssize_t n = wslay_frame_send(w->frames, &f);
    w->out = NULL;
    if (n == WSLAY_ERR_INVALID_CALLBACK) {
        return err_set(err, ERR_UNAVAILABLE, "websocket: no random mask");
    }
    ASSERT(n == (ssize_t)payload.len);
    return buf_ok(out) ? ERR_OK : err_set(err, ERR_NOMEM, "websocket: no room for a frame");
}

enum err_code ws_put_message(struct ws_writer *w, struct buf *out, struct str bytes,
                             struct err *err)
{
    return put(w, out, WSLAY_BINARY_FRAME, bytes, err);
}

enum err_code ws_put_pong(struct ws_writer *w, struct buf *out, struct str payload, struct err *err)
{
    return put(w, out, WSLAY_PONG, payload, err);
}

enum err_code ws_put_close(struct ws_writer *w, struct buf *out, uint16_t code, struct err *err)
{
    char payload[2];
    put_be16(payload, code);
    return put(w, out, WSLAY_CONNECTION_CLOSE, (struct str){payload, code ? sizeof payload : 0},
               err);
}
