/* tests/support/net_rig.h - one connection of collector/net and the other end of it, on one loop and a fake clock.
 *
 * The rig owns a transport and writes down what it is told; it fails the test when a call comes that the contract
 * of collector/net/transport.h forbids. The other end is plain libuv and says what the test tells it to.
 *
 * Threading:  loop thread only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "collector/net/transport.h"
#include "server/core/buf.h"
#include "server/core/clock.h"
#include "server/loop/loop.h"

enum { RIG_TURNS = 2000, RIG_TIMEOUT_MS = 5000 };
enum rig_when { RIG_NEVER, RIG_ON_OPEN, RIG_ON_DATA, RIG_ON_END };

struct rig_peer;
struct net_rig {
    struct clock_fake clock;
    struct loop *loop;
    struct net *net;

    /* our end */
    enum err_code (*opener)(struct net *net, const struct transport_dial *dial,
                            const struct transport_handler *handler, struct transport **ret,
                            struct err *err); /* transport_open, or one layer of it */
    struct transport *t;
    enum rig_when close_on;
    bool opened, ended, closed, closing;
    unsigned n_data;
    enum transport_end why;
    struct err err;
    struct buf log; /* "open\n", "whole:...\n", "piece:...\n", "end\n" */
    unsigned notes[NET_NOTES];

    /* the other end */
    uv_tcp_t listener;
    uint16_t port;
    struct rig_peer *peer; /* owned; the newest connection's, NULL before the first */
    unsigned n_accepted;
    struct buf got;    /* what it received on the newest connection */
    bool peer_is_over; /* and that it ended */
    void (*on_got)(struct net_rig *r,
                   struct str bytes);       /* after it was added to `got`; may be NULL */
    void (*on_accepted)(struct net_rig *r); /* may be NULL */
    void *ctx;                              /* the test's */
};

struct net_rig *rig_new(void);
void rig_free(struct net_rig *r); /* closes whatever is open */

void rig_open(struct net_rig *r, enum transport_kind kind, const char *host, uint32_t message_max);
void rig_close(struct net_rig *r);     /* if it is open, and waits until it is closed */
void rig_close_now(struct net_rig *r); /* only asks for it */
bool rig_until(struct net_rig *r, const bool *flag);
/* Waits until the log holds `text`, or has grown to n bytes. */
bool rig_until_log(struct net_rig *r, const char *text);
bool rig_until_got(struct net_rig *r, const char *text);
bool rig_until_got_len(struct net_rig *r, size_t n);
void rig_turn(struct net_rig *r);              /* one, that waits for the machine a little */
void rig_turns(struct net_rig *r, unsigned n); /* without waiting */

void rig_send(struct net_rig *r, struct str bytes);
void rig_send_slowly(struct net_rig *r, struct str bytes); /* each byte in a turn of its own */
void rig_drop_peer(struct net_rig *r); /* nothing of the newest connection is heard any more */
void rig_peer_close(struct net_rig *r, bool reset); /* after what was sent */
