/* tests/support/writer_rig.h - a writer over a real PostgreSQL, fed from a list of events in memory.
 *
 * The list is what a spool would be: it gives "the next after id" for ever, so that what is in the database can be
 * compared with it at any time, row by row.
 *
 * Threading:  loop thread only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/writer/writer.h"
#include "server/core/clock.h"
#include "server/core/id.h"
#include "server/core/rng.h"
#include "server/loop/loop.h"
#include "server/stats/stats.h"
#include "tests/support/pg_server.h"

enum { RIG_EVENTS_MAX = 400000, RIG_TURNS = 6000, RIG_NODE = 7 };

struct writer_rig {
    char conninfo[PG_SERVER_CONNINFO_BYTES];
    struct loop *loop;
    struct stats *stats;
    struct clock_fake clock; /* used if `faked` */
    bool faked;
    struct rng rng;
    struct id_gen ids;

    struct event **events; /* owned references, by id */
    size_t n;
    size_t first;  /* events before this are gone from the source: it has lost them */
    size_t hidden; /* so many of the newest have an id and are not published yet */

    struct writer *w;
    unsigned n_marks; /* on_mark */
    int64_t mark;
    int64_t committed; /* as told to the source */
    unsigned n_fetches;
    bool fetch_pending;
    bool closed;
    int64_t closed_at;
};

/* A fresh, migrated database. faked: the loop runs on r->clock. */
void writer_rig_init(struct writer_rig *r, struct pg_server *server, bool faked);
void writer_rig_share(struct writer_rig *r, const struct writer_rig *other); /* same database */
void writer_rig_deinit(struct writer_rig *r); /* closes the writer if it is open */

struct writer_opts writer_rig_opts(struct writer_rig *r);
void writer_rig_open(struct writer_rig *r, const struct writer_opts *opts); /* NULL: the above */
/* False: not closed in time. */
bool writer_rig_close(struct writer_rig *r, int64_t deadline_ms);

/* n messages of one event each, random, at the loop's wall time; poked. */
void writer_rig_add(struct writer_rig *r, size_t n);
void writer_rig_add_at(struct writer_rig *r, size_t n, int64_t wall_ms);
/* One event whose `extra` is no JSON: PostgreSQL refuses it. Returns its id. */
int64_t writer_rig_add_poison(struct writer_rig *r);
int64_t writer_rig_last(const struct writer_rig *r); /* id of the newest event */

void writer_rig_turn(struct writer_rig *r);
bool writer_rig_until(struct writer_rig *r, bool (*is)(struct writer_rig *r));
bool writer_rig_until_state(struct writer_rig *r, enum writer_state state);
bool writer_rig_until_written(struct writer_rig *r); /* everything in the list is committed */

/* The table holds exactly the list's events (but for `n_parked` of them), each once, with the same contents. */
void writer_rig_check(struct writer_rig *r, size_t n_parked);
int64_t writer_rig_i64(struct writer_rig *r, const char *sql);

/* Turns until the writer's backend waits for this event of pg_stat_activity; adds ten events whenever all are written, as
 * a commit before the wait began goes through. Fails when tests/support/patience.h is used up. */
void writer_rig_add_until_waits(struct writer_rig *r, const char *event);
/* From now on COMMIT naps before it does anything (wait event PgSleep); NULL: no more. */
void writer_rig_nap_commits(struct writer_rig *r, const char *seconds);
