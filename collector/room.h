/* collector/room.h - one room's life: ask where to connect, wait for a turn, connect, authenticate, stay alive, retry.
 *
 * The states and their order are in room_state.def, the reasons a connection ends for in close_reason.def. A room
 * never gives up: after each end it waits (jittered backoff) and asks again. The only way out is room_close.
 *
 * Threading:  loop thread only.
 * Ownership:  the environment is borrowed for the life of the room. The room frees itself before `closed` is called.
 * Limits:     one connection, one unfinished packet (env->limits), REPEAT_KEYS_MAX keys, ROOM_FAULTS_MAX broken frames
 *             per minute.
 * Errors:     whatever happens to a connection is a close reason: counted, logged once by the room, retried.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/collector.h"
#include "collector/endpoint.h"
#include "collector/wire/packet.h"
#include "server/core/fsm.h"
#include "server/core/list.h"
#include "server/core/rng.h"

struct decoder;
struct inflate;
struct loop;
struct net;
struct pacer;
struct registry;
struct room;
struct stats;

enum {
    ROOM_AUTH_TIMEOUT_MS = 10000,
    ROOM_CONNECT_TIMEOUT_MS = 10000,
    ROOM_HEALTHY_MS = 60000, /* a connection that lived this long resets the backoff */
    ROOM_BACKOFF_BASE_MS = 1000,
    ROOM_BACKOFF_JITTER_PCT = 25,
    ROOM_BACKOFF_LONG_TRIES = 5,
    ROOM_FAULTS_MAX = 100,
    ROOM_LOG_LINES =
        20, /* per ROOM_LOG_PERIOD_MS, over all rooms; the rest is held back and counted */
    ROOM_LOG_PERIOD_MS = 10000,
};

enum room_state {
#define X(name, text, next) ROOM_##name,
#include "collector/room_state.def"
#undef X
    ROOM_STATES
};

enum close_reason {
#define X(name, label, is_error, backoff, text) CLOSE_##name,
#include "collector/close_reason.def"
#undef X
    CLOSE_REASONS
};
const char *close_reason_name(enum close_reason r);
const struct fsm_table *room_fsm_table(void);

/* What all rooms of a collector share. */
struct room_env {
    struct loop *loop;
    struct net *net;
    struct pacer *pacer;
    struct stats *stats;
    struct decoder *decoder;
    struct inflate *inflate;
    struct registry *registry;
    struct rng *rng;
    struct endpoint_provider endpoints;
    const struct packet_limits *limits; /* NULL: the default */
    int64_t heartbeat_interval_ms;
    int64_t heartbeat_timeout_ms;
    int64_t backoff_max_ms;
    enum collector_raw_mode raw;
    void (*on_raw)(void *ctx, const struct collector_raw *raw);
    void (*on_events)(void *ctx, const struct event_draft *drafts, const uint8_t *places, size_t n);
    void (*on_link)(void *ctx, const struct collector_link *link); /* may be NULL */
    void (*on_broken)(void *ctx, int64_t room_id, uint64_t n);     /* may be NULL */
    void *ctx;

    struct list by_state[ROOM_STATES]; /* kept by the rooms */
    struct event_draft *kept; /* DECODE_EVENTS_MAX: what is left of a message with repeats */
    uint8_t *places;          /* the same: which of its events that is */
    int64_t log_window_ms;    /* mono: end of the period that log_lines counts */
    unsigned log_lines;
    uint64_t log_held;
};

struct room *room_new(struct room_env *env, int64_t room_id);
void room_start(struct room *r); /* from idle; later calls do nothing */
/* Stops reading at once; closed comes once, never before this returns. */
void room_close(struct room *r, void (*closed)(void *ctx), void *ctx);
int64_t room_id(const struct room *r);
enum room_state room_state(const struct room *r);
enum transport_kind room_transport(const struct room *r); /* of the last try */
void room_seen(struct room *r, int64_t nkey);
void room_info(const struct room *r, struct collector_room_info *ret);
