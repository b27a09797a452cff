/* collector/fleet.h - which rooms are collected: who asked for them, what the user said about them, who finds a place.
 *
 * A room is wanted because the configuration names it, because it was asked for over HTTP, because it is pinned, or
 * because discovery found it; and unless it is paused or was removed. Of the wanted rooms the first max_rooms are
 * collected: pinned ones first, then those of configuration and API, then those of discovery by rank.
 *
 *      configuration --+                              +-- fleet_sink (the collector): add, remove
 *      API ------------+--> rooms --> plan by rank -->|
 *      discovery ------+      |                       +-- what has no place waits
 *                             +--> table room (read at start, written on change, again until it worked)
 *
 * A number may be a real or a short room id. With a source it is looked up once, before the room is collected; without
 * one (danmaku hosts are configured, and nothing is asked of upstream) it is taken for the real id.
 *
 * Threading:  loop thread only.
 * Ownership:  options are copied, what they point to is borrowed. Answers and infos are lent for the callback, or until
 *             the next call into the fleet.
 * Limits:     FLEET_ROOMS_MAX rooms, FLEET_REQUESTS_MAX changes under way, FLEET_SET_MAX rooms in one list. Changes wait
 *             for the database in the rooms themselves.
 * Errors:     of the requests: ERR_NOT_FOUND upstream knows no such room (or, for change and remove, we do not);
 *             ERR_CONFLICT the configuration names it (remove), or it was removed (change); ERR_UNAVAILABLE the database
 *             is away; ERR_PROTO, ERR_AUTH, ERR_TIMEOUT, ... what upstream said to the look-up; ERR_FULL a limit;
 *             ERR_CANCELED stopping.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/upstream/upstream.h"
#include "server/core/attr.h"
#include "server/core/err.h"
#include "server/core/str.h"

struct db;
struct fleet;
struct loop;
struct room_facts;
struct stats;

enum {
    FLEET_ROOMS_MAX = 50000,
    FLEET_REQUESTS_MAX = 64,
    FLEET_SET_MAX = 1000,
    FLEET_GROUPS_MAX = 16,
    FLEET_GROUP_BYTES = 32,
};

/* What is asked of upstream: the functions of collector/upstream/upstream.h, or a test's. */
struct fleet_source {
    void (*resolve)(void *ctx, int64_t room, upstream_room_fn *done, void *done_ctx);
    void (*status)(void *ctx, const int64_t *room_ids, size_t n, upstream_rooms_fn *done,
                   void *done_ctx);
    void *ctx;
};

struct fleet_sink {
    enum err_code (*add)(void *ctx, int64_t room_id, struct err *err);
    enum err_code (*remove)(void *ctx, int64_t room_id, struct err *err);
    void *ctx;
};

struct fleet_opts {
    struct loop *loop;
    struct db *db;
    struct stats *stats;               /* NULL is fine */
    const struct fleet_source *source; /* NULL: upstream is not asked */
    struct fleet_sink sink;
    size_t max_rooms;
    int64_t retry_max_ms; /* longest wait until upstream is asked again about a number */
    uint64_t seed;        /* jitter; 0: from the system */
};

struct fleet *fleet_new(const struct fleet_opts *opts);
/* Reads table room; then done comes once, ERR_OK or why not (call it again). Before that nothing is collected, unless
 * fleet_begin was called. */
void fleet_load(struct fleet *f, void (*done)(void *ctx, enum err_code code, const struct err *err),
                void *ctx);
enum fleet_origin { FLEET_CONFIG, FLEET_API, FLEET_DISCOVERY, FLEET_ORIGINS };
enum fleet_state {
    FLEET_ACTIVE,
    FLEET_PAUSED,
    FLEET_REMOVED, /* by request: discovery does not bring it back */
    FLEET_LEFT,    /* nobody asks for it any more */
    FLEET_STATES
};

/* What a process has to know of a room to go on while the table cannot be read. */
struct fleet_kept {
    int64_t room_id, short_id, created_ms;
    enum fleet_origin origin;
    enum fleet_state state; /* never FLEET_LEFT */
    bool by_api, pinned;
    bool collected;
    bool
        unstored; /* its newest change is not in the table yet: it holds against what stands there */
    unsigned rank;
    const char *groups; /* joined by commas; never NULL */
};
/* Before fleet_load: collects what the process before knew and what the configuration says. The table has the last word
 * once fleet_load has read it. Discovery and changes by request wait for that. */
void fleet_begin(struct fleet *f, const struct fleet_kept *rooms, size_t n);
/* All rooms that are resolved and that somebody wants or said something about. */
void fleet_each_kept(const struct fleet *f, void (*fn)(void *ctx, const struct fleet_kept *room),
                     void *ctx);
uint64_t fleet_kept_version(const struct fleet *f); /* another one when they may have changed */
/* No change reaches the sink any more; requests end with ERR_CANCELED. */
void fleet_stop(struct fleet *f);
/* After upstream and db have closed. NULL is fine. */
void fleet_free(struct fleet *f);

/* The configuration: its rooms, real or short ids, without repeats. Again after each reload. discovering: what was found
 * before a restart is wanted until fleet_discovered says otherwise. */
void fleet_configure(struct fleet *f, const int64_t *numbers, size_t n, size_t max_rooms,
                     bool discovering);
/* Whether upstream is asked about numbers, by the source of the options; true at first if there is one. Rooms that have a
 * connection keep the number they have. Before fleet_configure, which acts on it. */
void fleet_ask_upstream(struct fleet *f, bool ask);
/* What upstream says of a room, from whoever asked: title, area, anchor, live. Unknown rooms are no matter. */
void fleet_note_room(struct fleet *f, const struct upstream_room *said);

/* All rooms that discovery wants now, by room id, each once. */
struct fleet_found {
    int64_t room_id;
    unsigned rank;                  /* 1 the first */
    bool settled;                   /* fleet_rank.h */
    const struct room_facts *facts; /* NULL: nothing new is known */
};
void fleet_discovered(struct fleet *f, const struct fleet_found *found, size_t n);

/* Why a room is not in the collector. */
enum fleet_wait {
    FLEET_WAIT_NONE, /* it is */
    FLEET_WAIT_PAUSED,
    FLEET_WAIT_REMOVED,
    FLEET_WAIT_LEFT,
    FLEET_WAIT_MAX_ROOMS, /* others come first */
    FLEET_WAIT_RESOLVING, /* upstream is being asked what the number means */
    FLEET_WAIT_UPSTREAM,  /* upstream did not answer that */
    FLEET_WAIT_NOT_FOUND, /* upstream knows no such room */
};
const char *fleet_origin_name(enum fleet_origin origin);
const char *fleet_state_name(enum fleet_state state);
const char *fleet_wait_name(enum fleet_wait wait); /* "" for NONE */

struct fleet_info {
    int64_t room_id; /* while it is not resolved: the number that was given */
    enum fleet_origin origin;
    enum fleet_state state;
    enum fleet_wait wait;
    bool pinned;
    bool collected;
    bool discovered;    /* discovery wants it, whoever else does */
    unsigned rank;      /* of discovery, 1 the first; 0 none */
    const char *groups; /* joined by commas */
    const struct room_facts *facts;
    int64_t created_ms;
};
/* By real or short id; false: not in memory (it may have a row all the same). */
bool fleet_get(struct fleet *f, int64_t number, struct fleet_info *ret);
/* By room id; fn returns false to stop. */
bool fleet_wants_any(const struct fleet *f);
void fleet_each(struct fleet *f, bool (*fn)(void *ctx, const struct fleet_info *info), void *ctx);

/* ---- changes by request; applied at once, answered when stored ---- */

struct fleet_change {
    bool has_paused, paused;
    bool has_pinned, pinned;
    bool has_groups;
    const struct str *
        groups; /* each 1..FLEET_GROUP_BYTES bytes of UTF-8 without commas and control characters */
    size_t n_groups; /* at most FLEET_GROUPS_MAX */
};
struct fleet_done {
    int64_t room_id;           /* of add, change, remove */
    size_t n_added, n_removed; /* rooms that are wanted now and were not before, and the reverse */
    const int64_t *unknown;    /* ERR_NOT_FOUND: the numbers that are no room */
    size_t n_unknown;
    bool
        upstream_failed; /* the error is upstream's: the rooms could not be looked up, nothing changed */
};
/* Exactly once, never before the call returns. ERR_UNAVAILABLE with done->room_id set, or any rooms added or removed:
 * done and to be stored when the database is back. err is never NULL. */
typedef void(fleet_done_fn)(void *ctx, enum err_code code, const struct err *err,
                            const struct fleet_done *done);
/* Wanted by the API from now on; what was paused or removed is active again unless the change says otherwise. */
void fleet_add(struct fleet *f, int64_t number, const struct fleet_change *change,
               fleet_done_fn *done, void *ctx);
/* The whole list of the API's rooms. One number that is no room: nothing changes. */
void fleet_set(struct fleet *f, const int64_t *numbers, size_t n, fleet_done_fn *done, void *ctx);
void fleet_change(struct fleet *f, int64_t number, const struct fleet_change *change,
                  fleet_done_fn *done, void *ctx);
void fleet_remove(struct fleet *f, int64_t number, fleet_done_fn *done, void *ctx);
