/* tests/sim/sim_ws.h - the server's side of a websocket, frames read and written by hand. No sockets.
 *
 * It is strict where the standard lets a server be: a request that a browser would not send, a frame that is not
 * masked, ends the connection. So whoever gets through has done it right.
 *
 * Threading:  loop thread only.
 * Limits:     SIM_WS_HEAD_MAX bytes of request, SIM_WS_MESSAGE_MAX of a client's message.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/core/buf.h"
#include "server/core/str.h"

enum { SIM_WS_HEAD_MAX = 8192, SIM_WS_MESSAGE_MAX = 64 * 1024, SIM_WS_KEY_LEN = 24 };

enum sim_ws_frame {
    SIM_WS_CONTINUE = 0,
    SIM_WS_TEXT = 1,
    SIM_WS_BINARY = 2,
    SIM_WS_CLOSE = 8,
    SIM_WS_PING = 9,
    SIM_WS_PONG = 10,
    SIM_WS_FIN = 0x80, /* or'ed to the above */
};

struct sim_ws_request {
    struct str path;
    struct str host;
    struct str origin;
    struct str user_agent;
    struct str key;
};

struct sim_ws_sink {
    /* The client has asked; lent. To agree: sim_ws_agree, then the answer. */
    void (*on_request)(void *ctx, const struct sim_ws_request *q);
    void (*on_message)(void *ctx, struct str message); /* binary or text, whole */
    void (*on_control)(void *ctx, enum sim_ws_frame what, struct str payload);
    void *ctx;
};

struct sim_ws;
struct sim_ws *sim_ws_new(void);
void sim_ws_free(struct sim_ws *w); /* NULL is fine */
/* NULL: go on; else what the client did wrong. The sink may end the connection, but not free w. */
const char *sim_ws_in(struct sim_ws *w, struct str bytes, const struct sim_ws_sink *sink);
void sim_ws_agree(struct sim_ws *w); /* from here on its bytes are frames */
void sim_ws_stop(struct sim_ws *w);  /* nothing more is read */
bool sim_ws_is_open(const struct sim_ws *w);

void sim_ws_put_answer(struct buf *out, struct str key);
/* The head of a frame whose payload is `len` bytes long. */
void sim_ws_put_head(struct buf *out, unsigned first, uint64_t len);
void sim_ws_put(struct buf *out, unsigned first, struct str payload);
void sim_ws_put_close(struct buf *out, unsigned code);
