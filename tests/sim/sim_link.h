/* tests/sim/sim_link.h - what lies between a connection's packets and its socket: nothing, or websocket, or both.
 *
 *      sim_conn  --packets-->  sim_ws  --frames-->  sim_tls  --records-->  sim_sock
 *
 * Everything is written through at once, so that `sock.queued` right behind a put is the place in the stream at which
 * it is complete: the accounts of sim_sock hold on every transport.
 *
 * Threading:  loop thread only.
 * Ownership:  embedded in its owner, the socket is borrowed from it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/core/buf.h"
#include "server/core/str.h"
#include "tests/sim/sim_sock.h"
#include "tests/sim/sim_tls.h"
#include "tests/sim/sim_ws.h"

enum sim_link_kind { SIM_LINK_TCP, SIM_LINK_WS, SIM_LINK_WSS };

struct sim_link_ops {
    /* whole: one message of a websocket; else the next piece of a stream */
    void (*on_bytes)(void *ctx, struct str bytes, bool whole);
    void (*on_tls)(void *ctx, bool resumed); /* the handshake is done */
    /* The answer, or none, is the owner's: sim_link_agree or sim_link_raw. */
    void (*on_request)(void *ctx, const struct sim_ws_request *q);
    void (*on_pong)(void *ctx);
    void (*on_end)(void *ctx,
                   const char *why); /* the client closed, or did what it may not; close it */
};

struct sim_link {
    enum sim_link_kind kind;
    const struct sim_link_ops *ops; /* borrowed */
    void *ctx;
    struct sim_sock *sock; /* borrowed */
    struct sim_tls *tls;   /* owned */
    struct sim_ws *ws;     /* owned */
    bool tls_open;
    bool over;       /* nothing more is read */
    bool cut;        /* half a frame was sent, or the last one: none can follow */
    size_t fragment; /* messages in pieces of so many bytes, with pings in between; 0: whole */
};

/* tls: for SIM_LINK_WSS, borrowed. */
void sim_link_init(struct sim_link *l, enum sim_link_kind kind, struct sim_sock *sock,
                   struct sim_tls_ctx *tls, const struct sim_link_ops *ops, void *ctx);
void sim_link_deinit(struct sim_link *l);
bool sim_link_is_ws(const struct sim_link *l);
void sim_link_in(struct sim_link *l, struct str bytes); /* from the socket */

void sim_link_agree(struct sim_link *l, const struct sim_ws_request *q);
void sim_link_put(struct sim_link *l, struct str packets); /* websocket: one message */
/* Only the first n bytes of what sim_link_put would send, its frame announcing all of them. Nothing can follow. */
void sim_link_put_cut(struct sim_link *l, struct str packets, size_t n);
void sim_link_raw(struct sim_link *l,
                  struct str bytes); /* no frame around it, but tls if there is any */
void sim_link_bye(struct sim_link *l, unsigned code); /* close frame, close_notify */
