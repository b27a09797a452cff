/* collector/net/transport_priv.h - what the kinds of transports know of each other.
 *
 * Threading:  loop thread only.
 */
#pragma once

#include "collector/net/transport.h"
#include "server/core/buf.h"

struct transport_ops {
    enum err_code (*write)(struct transport *t, struct str bytes, struct err *err);
    void (*close)(struct transport *t);
};

struct transport {
    const struct transport_ops *ops;
    struct transport_handler up;
};

struct tls_ctx;
struct ws_reader;
struct ws_writer;

struct net {
    struct loop *loop; /* borrowed */
    size_t n_open;     /* transports that are not freed yet, filters included */
    void (*on_note)(void *ctx, enum net_note note);
    void *note_ctx;
    char *user_agent; /* owned, as the next two */
    char *origin;
    char *path;
    struct ws_writer *ws_writer; /* owned; whole frames only, so one is enough */
    struct ws_reader
        *ws_spare;       /* owned; clean, for the next connection with something to read; or NULL */
    struct buf ws_out;   /* a frame on its way down */
    struct tls_ctx *tls; /* owned; NULL: no wss */
    /* Filled by a read and handed up before the next read, so one buffer serves all connections. */
    char read_buf[TRANSPORT_READ_BYTES];
};

void net_note(struct net *net, enum net_note note);
