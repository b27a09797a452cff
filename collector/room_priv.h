/* collector/room_priv.h - a room as its two source files see it: room.c its life, room_wire.c what it receives.
 *
 * Threading:  loop thread only.
 */
#pragma once

#include "collector/net/transport.h"
#include "collector/pacer.h"
#include "collector/repeat.h"
#include "collector/room.h"
#include "server/core/backoff.h"
#include "server/loop/loop.h"

struct room {
    struct room_env *env; /* borrowed */
    int64_t id;
    struct fsm fsm;
    struct list_node state_node; /* in env->by_state[fsm.state] */

    struct transport *transport;  /* owned until its on_closed */
    struct packet_stream *stream; /* owned, while there is a connection */
    struct loop_timer timer;      /* auth: reply; live: liveness; backoff: next try */
    struct loop_timer heartbeat;
    struct pacer_slot slot;
    struct backoff backoff;
    struct repeat repeat;
    struct endpoint_choice choice; /* of the transport */

    char *peer;  /* owned: "host:port" of the last try, NULL before the first */
    char *host;  /* owned, from the endpoint's answer to the connection's start */
    char *token; /* owned, until it is sent; never logged */
    char *buvid;
    int64_t uid;
    enum transport_kind kind;
    uint16_t port;

    unsigned n_asking; /* answers of the provider still to come */
    bool reading;      /* inside the packet stream: it may not be freed */
    bool stop;         /* leave the packet stream, then end for stop_reason */
    enum close_reason stop_reason;
    bool removing;
    bool was_live;     /* in this connection */
    bool token_failed; /* the last try ended during auth */
    bool ever_closed;
    enum close_reason last_close;
    enum close_reason logged; /* reason of the last line; CLOSE_REASONS: none since it was live */
    char detail[96];          /* of stop_reason */
    char last_detail[96];     /* of last_close */
    int64_t last_close_wall_ms;

    int64_t live_mono_ms;
    int64_t live_wall_ms;
    int64_t next_try_mono_ms;
    int64_t next_try_wall_ms;
    int64_t last_event_ms;
    int64_t heard_mono_ms; /* the newest bytes of this connection */
    int64_t popularity;
    int64_t faults_since_ms;
    unsigned n_faults;
    uint64_t n_tries;        /* connection starts */
    uint64_t n_failed_tries; /* since it was last live */
    uint64_t n_connects;
    uint64_t n_messages;
    uint64_t n_events;
    uint64_t n_repeats;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* room.c */
void room_end(struct room *r, enum close_reason why, const char *detail);
void room_authenticated(struct room *r);
void room_alive(struct room *r);
/* room_wire.c: what upstream sent. */
void room_receive(struct room *r, struct str data, bool whole);
