/* collector/fleet_priv.h - what the files of the fleet share.
 *
 * fleet.c the set and its answers; fleet_plan.c who is collected; fleet_found.c what discovery tells; fleet_kept.c what the next process has to know; fleet_store.c table room; fleet_resolve.c numbers that
 * upstream is asked about; fleet_request.c changes by request.
 *
 * Threading:  loop thread only.
 */
#pragma once

#include "collector/fleet.h"
#include "collector/room_facts.h"
#include "server/core/backoff.h"
#include "server/core/list.h"
#include "server/core/log.h"
#include "server/core/rng.h"
#include "server/db/db.h"
#include "server/loop/loop.h"
#include "server/stats/stats.h"

struct lookup;

struct fleet_room {
    int64_t id; /* real; while unresolved the number that was given */
    struct room_facts facts;
    enum fleet_origin origin; /* who wanted it last */
    enum fleet_state state;   /* never FLEET_LEFT: that follows from nobody wanting it */
    bool by_config, by_api, by_discovery, pinned;
    bool unasked; /* its number was taken for real: nobody was there to be asked */
    bool resolved;
    bool collected;
    bool chosen;  /* by the plan being made */
    bool settled; /* of discovery: has as good a claim to a place as those that have one */
    bool kept;    /* of fleet_begin: an unstored change, newer than the row */
    bool busy;    /* a look-up or a write of it is under way: it stays in memory */
    enum fleet_wait unresolved; /* while not resolved: why */
    int64_t next_try_ms;        /* mono, while not resolved */
    unsigned tries;
    unsigned rank;
    char *groups;    /* owned; joined by commas */
    uint64_t change; /* number of its newest change that is not stored; 0: all is */
    int64_t created_ms;
};

struct fleet {
    struct fleet_opts opts;
    struct fleet_source source; /* of opts.source */
    struct rng rng;
    struct fleet_room **rooms; /* owned; by id */
    size_t n, cap;
    size_t n_collected;
    int64_t *config; /* owned; the numbers of the configuration */
    size_t n_config;
    bool discovering;
    bool begun;  /* there may be rooms in the collector: fleet_begin, or loaded */
    bool loaded; /* the table was read */
    bool stopping;
    uint64_t version; /* of what fleet_each_kept tells */
    struct loop_timer plan_timer;

    /* fleet_store.c */
    uint64_t changes; /* numbers given to changes so far */
    bool storing;
    bool store_failing; /* told, and tried again */
    bool store_single;  /* one room a time: the database refused something among several */
    struct loop_timer store_timer;
    struct fleet_room **batch; /* owned; the rooms being stored, in order */
    uint64_t *batch_changes;   /* owned */
    size_t n_batch;
    void (*load_done)(void *ctx, enum err_code code, const struct err *err);
    void *load_ctx;

    /* fleet_resolve.c */
    struct lookup *lookup; /* NULL: none under way */
    struct loop_timer resolve_timer;
    struct log_limit resolve_log;

    /* fleet_request.c */
    struct list requests;
};

/* fleet.c */
struct fleet_room *fleet_at_id(const struct fleet *f, int64_t id); /* NULL: none */
struct fleet_room *fleet_find(const struct fleet *f,
                              int64_t number); /* by real, then by short id */
/* NULL: FLEET_ROOMS_MAX. There is none of this id. */
struct fleet_room *fleet_insert(struct fleet *f, int64_t id);
void fleet_erase(struct fleet *f, struct fleet_room *r); /* not collected */
/* Gives an unresolved room its real id; it may become one with a room that is there. */
struct fleet_room *fleet_rename(struct fleet *f, struct fleet_room *r, int64_t id);
void fleet_touch(struct fleet *f, struct fleet_room *r); /* changed: store it, plan again */
bool fleet_wanted(const struct fleet_room *r);
enum fleet_origin fleet_origin_of(const struct fleet_room *r);
enum fleet_state fleet_state_of(const struct fleet_room *r);
void fleet_room_groups(struct fleet_room *r, struct str joined);

void fleet_apply_config(struct fleet *f);

/* fleet_kept.c */
void fleet_unsay(struct fleet *f);

/* fleet_plan.c */
void fleet_plan_soon(struct fleet *f);
void fleet_plan(void *fleet);

/* fleet_store.c */
void fleet_store_soon(struct fleet *f);
void fleet_store_init(struct fleet *f);
void fleet_store_deinit(struct fleet *f);
/* The smallest number of a change that is not stored; UINT64_MAX: none. */
uint64_t fleet_unstored(const struct fleet *f);
/* Reads the rows that the numbers name into memory. ERR_OK: done comes later. */
MUST_CHECK enum err_code fleet_fetch(struct fleet *f, const int64_t *numbers, size_t n,
                                     db_done_fn *done, void *ctx, struct err *err);
void fleet_take_rows(struct fleet *f, const struct db_rows *rows);

/* fleet_resolve.c */
void fleet_resolve_soon(struct fleet *f);
void fleet_resolve_init(struct fleet *f);

/* fleet_request.c */
void fleet_requests_stored(struct fleet *f);                        /* something was stored */
void fleet_requests_failed(struct fleet *f, const struct err *err); /* storing failed */
void fleet_requests_cancel(struct fleet *f);
