/* collector/collector.h - the set of rooms we collect: connect, authenticate, keep alive, decode, drop repeats.
 *
 * Events of all rooms arrive at one callback, in the order they were received per room. The id is given there.
 *
 * Threading:  loop thread only.
 * Ownership:  drafts are lent for the callback. Options are copied.
 * Limits:     opts.max_rooms connections; connection starts are spaced; memory per room is bounded by the packet limits.
 * Errors:     nothing the upstream does is an error here: it is a close reason, counted, logged once, retried for ever.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/core/attr.h"
#include "server/core/err.h"
#include "server/core/str.h"
#include "server/event/event.h"

struct collector;
struct endpoint_provider;
struct loop;
struct registry;
struct stats;

enum collector_raw_mode {
    COLLECTOR_RAW_OFF,
    COLLECTOR_RAW_UNKNOWN, /* without a decoder, or broken */
    COLLECTOR_RAW_ALL,
};

/* Lent for the call. */
struct collector_raw {
    int64_t room_id;
    int64_t actor;      /* of its first event; 0: none, or no event */
    struct str cmd;     /* as the decoder cuts it */
    const char *reason; /* static: "unknown", "kept", else why it is broken */
    struct str json;
};

/* A room's connection, told when it is added, is authenticated, ends, fails to come about, or the room is removed. */
struct collector_link {
    int64_t room_id;
    bool up;            /* authenticated */
    const char *reason; /* not up: why it ended (close_reason.def), static; "": it was just added */
    int64_t at_ms; /* wall: since when. Of a connection that went silent: the last sign of life */
};

struct collector_opts {
    const struct str *hosts; /* "host:port", tcp; or "wss://host:port", "ws://host:port" */
    size_t n_hosts;
    const struct endpoint_provider *endpoints; /* who says where to connect; NULL: `hosts` */
    bool tls;            /* `endpoints` may name wss hosts (of `hosts` it is seen) */
    const char *ca_file; /* PEM: who may vouch for wss hosts; NULL or "": whom the system trusts */
    const char *user_agent; /* of websocket handshakes; NULL or "": a browser's */
    int64_t connect_interval_ms;
    int64_t heartbeat_interval_ms;
    int64_t heartbeat_timeout_ms;
    int64_t backoff_max_ms;
    unsigned max_rooms;
    uint64_t seed; /* jitter; 0: from the system */
    /* Which messages are handed to on_raw. */
    enum collector_raw_mode raw;
    /* A message that is to be kept as it came; before its events, if it has any. NULL: that was all of the message. */
    void (*on_raw)(void *ctx, const struct collector_raw *raw);
    /* All events of one upstream message in one call, so that they share a message id. places: which of the message's
     * events each is, from 0, ascending; repeats leave holes. NULL: there are none. */
    void (*on_events)(void *ctx, const struct event_draft *drafts, const uint8_t *places, size_t n);
    /* So much of what a room received was thrown away: messages or parts of them that cannot be decoded, damaged or oversized
     * frames. May be NULL. */
    void (*on_broken)(void *ctx, int64_t room_id, uint64_t n);
    /* May be NULL. Comes from within collector_add, collector_remove and collector_close, too. */
    void (*on_link)(void *ctx, const struct collector_link *link);
    void *ctx;
};

/* What collector_new could only log. ERR_INVALID: the certificates cannot be read, or the user agent is no text. */
MUST_CHECK enum err_code collector_check(const struct collector_opts *opts, struct err *err);
struct collector *collector_new(struct loop *loop, const struct collector_opts *opts,
                                struct stats *stats);
/* Stops reading at once, closes all connections, then calls closed once; freed by then. */
void collector_close(struct collector *c, void (*closed)(void *ctx), void *ctx);
void collector_start(struct collector *c);
/* Takes over hosts, endpoints, tls, ca_file and connect_interval_ms, from the next connection on: those that are there stay. */
void collector_configure(struct collector *c, const struct collector_opts *opts);

/* ERR_CONFLICT: there already; ERR_FULL: max_rooms. */
MUST_CHECK enum err_code collector_add(struct collector *c, int64_t room_id, struct err *err);
MUST_CHECK enum err_code collector_remove(struct collector *c, int64_t room_id, struct err *err);

/* Refills the window of repeats, oldest first: at start, from what is stored already. */
void collector_seen(struct collector *c, int64_t room_id, int64_t nkey);

struct collector_room_info {
    int64_t room_id;
    const char *state;           /* "connect", "connected", "backoff", ... (room_state.def) */
    const char *last_close;      /* close reason of the last connection, "" if none */
    const char *last_close_text; /* the same for people */
    const char
        *last_close_detail; /* what exactly, "" if nothing; lent, may be cut within a character */
    int64_t last_close_ms;  /* wall; 0 none */
    struct str host;        /* lent until the next call into the collector */
    const char *transport;  /* "tcp", "ws" or "wss" of the last try, "" if none */
    int64_t connected_since_ms; /* wall; 0 when not connected */
    int64_t next_try_ms;        /* wall; 0 unless waiting */
    int64_t last_event_ms;      /* wall of the last message; 0 none */
    int64_t popularity;         /* of the last heartbeat reply; -1 unknown */
    uint64_t n_connects;
    uint64_t n_messages;
    uint64_t n_events;
    uint64_t n_repeats;
};
bool collector_room(struct collector *c, int64_t room_id, struct collector_room_info *ret);
size_t collector_n_rooms(const struct collector *c);
size_t collector_n_connected(const struct collector *c);
/* In order of room id; fn returns false to stop. */
void collector_each(struct collector *c,
                    bool (*fn)(void *ctx, const struct collector_room_info *info), void *ctx);
/* The commands upstream has sent (collector/registry.h). */
const struct registry *collector_registry(const struct collector *c);
