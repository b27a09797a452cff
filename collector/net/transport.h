/* collector/net/transport.h - one connection to upstream as its owner sees it, whatever lies below.
 *
 *      room  <->  tcp                           plain tcp: a stream of bytes, cut anywhere
 *      room  <->  ws  <->  tcp                  each layer is a transport, and the handler of the one below it
 *      room  <->  ws  <->  tls  <->  tcp
 *
 * A kind of transport is a struct that begins with a struct transport and fills in its ops. Filters own what lies
 * below them, and pass on_end and on_closed up after doing their own part. The owner sees only this interface.
 *
 *      transport_open --- on_open --- on_data ... ---+--- on_end ---+--- transport_close --- on_closed (freed)
 *            \_______________________________________/              |
 *            \______________________________________________________/
 *
 * After transport_open: at most one on_open, then any number of on_data, then at most one on_end. The owner may call
 * transport_close at any time, also from within on_open, on_data and on_end; after that only on_closed comes, once.
 * Nothing is called before transport_open or transport_close returns.
 *
 * Threading:  loop thread only.
 * Ownership:  data is lent for the call (all transports of a net share one read buffer). The transport frees itself
 *             before on_closed.
 * Limits:     TRANSPORT_OUT_MAX unsent bytes; one read buffer per loop turn and transport, so that none starves the rest;
 *             a websocket message is at most dial.message_max bytes, the head of the handshake's answer 8 kB.
 * Errors:     enum transport_end in on_end; transport_write and transport_open return theirs and call nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/core/attr.h"
#include "server/core/err.h"
#include "server/core/str.h"

struct loop;
struct net;
struct transport;

enum transport_kind { TRANSPORT_TCP, TRANSPORT_WS, TRANSPORT_WSS, TRANSPORT_KINDS };
enum {
    TRANSPORT_READ_BYTES = 65536,
    TRANSPORT_OUT_MAX = 65536,
    TRANSPORT_HOST_MAX = 255,
    TRANSPORT_MESSAGE_MAX = 4 << 20,
};

enum transport_end {
    TRANSPORT_RESOLVE,   /* the host's name has no address */
    TRANSPORT_CONNECT,   /* none of its addresses accepted */
    TRANSPORT_TIMEOUT,   /* not open in time */
    TRANSPORT_HANDSHAKE, /* tls or websocket said no */
    TRANSPORT_EOF,       /* the peer closed in order */
    TRANSPORT_RESET,     /* the connection broke */
    TRANSPORT_FRAMING,   /* tls or websocket: bytes that make no sense */
    TRANSPORT_ENDS
};

struct transport_handler {
    void (*on_open)(void *ctx);
    /* whole: data is one complete message (websocket); else the next piece of a stream. */
    void (*on_data)(void *ctx, struct str data, bool whole);
    void (*on_end)(void *ctx, enum transport_end end, const struct err *err);
    void (*on_closed)(void *ctx);
    void *ctx;
};

struct transport_dial {
    enum transport_kind kind;
    struct str host; /* a name, or an address as text; copied */
    uint16_t port;
    int64_t timeout_ms;   /* until on_open, all handshakes included */
    uint32_t message_max; /* websocket: bytes of one message; 0: TRANSPORT_MESSAGE_MAX */
};

/* ERR_INVALID: no such host name; ERR_UNAVAILABLE: this kind is not built in. */
MUST_CHECK enum err_code transport_open(struct net *net, const struct transport_dial *dial,
                                        const struct transport_handler *handler,
                                        struct transport **ret, struct err *err);
/* Sends now or soon, in order; websocket kinds send one message. ERR_FULL: the peer does not read; ERR_IO: broken,
 * on_end will not tell again. */
MUST_CHECK enum err_code transport_write(struct transport *t, struct str bytes, struct err *err);
void transport_close(struct transport *t);
bool transport_kind_parse(struct str name, enum transport_kind *ret); /* "tcp", "ws", "wss" */
const char *transport_kind_name(enum transport_kind kind);

/* What all transports of one loop share. A new one speaks tcp and ws, with the defaults below. */
struct net *net_new(struct loop *loop);
void net_free(struct net *net); /* no transport may be left; NULL is fine */

struct net_opts {
    const char *user_agent; /* of the websocket handshake; NULL or "": a browser's */
    const char *origin;     /* NULL or "": the live site */
    const char *path;       /* NULL or "": /sub */
    bool tls; /* wss as well: loads the trusted certificates (startup only: reads files) */
    const char *ca_file; /* PEM; only these are trusted. NULL or "": those of the system */
};
/* Whether net_configure would succeed. */
MUST_CHECK enum err_code net_opts_check(const struct net_opts *opts, struct err *err);
/* Before the first transport. ERR_INVALID: a text that does not fit into a request, a file without certificates. */
/* Of opts, tls and ca_file from the next connection on; those that are there stay. tls once on stays on. */
MUST_CHECK enum err_code net_trust(struct net *net, const struct net_opts *opts, struct err *err);
MUST_CHECK enum err_code net_configure(struct net *net, const struct net_opts *opts,
                                       struct err *err);

/* What happened below the messages: name, label, text. Counted by the owner of the net. */
#define NET_NOTE_TABLE(X)                                                                          \
    X(WS_TEXT, "text", "text message, ignored")                                                    \
    X(WS_PING, "ping", "ping, answered")                                                           \
    X(WS_CLOSE, "close", "close frame received")                                                   \
    X(WS_TOO_LARGE, "too_large", "message over the limit")                                         \
    X(TLS_FULL, "full", "tls handshake with certificates")                                         \
    X(TLS_RESUMED, "resumed", "tls handshake that resumed a session")
enum net_note {
#define X(name, label, text) NET_NOTE_##name,
    NET_NOTE_TABLE(X)
#undef X
        NET_NOTES
};
/* fn may do nothing but count. */
void net_on_note(struct net *net, void (*fn)(void *ctx, enum net_note note), void *ctx);
