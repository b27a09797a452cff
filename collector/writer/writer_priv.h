/* collector/writer/writer_priv.h - the state of a writer, and the statements of its steps.
 *
 * Threading:  loop thread only.
 */
#pragma once

#include "collector/writer/upkeep.h"
#include "collector/writer/writer.h"
#include "server/core/backoff.h"
#include "server/core/buf.h"
#include "server/core/rng.h"
#include "server/db/db_session.h"
#include "server/loop/loop.h"

/* One step is in flight at a time. A transaction is BEGIN, LOCK, COPY (or PARK), SET, COMMIT; whatever fails, the mark in
 * the database is the truth, and the source gives everything behind it again. */
enum step {
    STEP_NONE,  /* nothing in flight: connecting, idle, or waiting */
    STEP_NODE,  /* is the node number ours? */
    STEP_MARK,  /* where to go on */
    STEP_FETCH, /* the source is asked */
    STEP_BEGIN,
    STEP_LOCK, /* the mark must be where we left it */
    STEP_COPY,
    STEP_PARK, /* one row that PostgreSQL refuses, kept aside with the reason */
    STEP_SET,
    STEP_COMMIT,
    STEP_ROLLBACK,
};

struct writer {
    struct loop *loop;
    struct stats *stats;
    struct stats_histogram *batch_time;
    struct writer_opts opts;
    struct db_session *session; /* owned */
    db_done_fn *on_step;        /* completion of every step */
    struct upkeep *upkeep;      /* owned */
    struct rng rng;
    struct backoff backoff;
    struct loop_timer timer;    /* batch age, or a retry */
    struct loop_timer deadline; /* of a close */

    enum step step;
    bool waiting; /* the timer runs because something failed */
    bool ready;   /* partitions exist */
    bool node_ours;
    bool fenced;
    bool poked;
    bool mark_told;
    bool down_logged;

    int64_t committed; /* -1 unknown */
    int64_t complete;  /* every event below this id is written */
    int64_t in_doubt;  /* last id of a batch whose commit was not answered; 0 none */
    size_t cap_rows;   /* rows of the next batch; smaller while a bad row is looked for */

    struct event **batch; /* owned references, batch_n of them */
    size_t batch_n;
    struct buf copy;
    int64_t begun_ms;
    char reason[ERR_MSG_BYTES]; /* why the only row of a batch was refused */
    bool park;

    void (*closed)(void *ctx, int64_t committed);
    void *closed_ctx;
    unsigned n_open; /* session and upkeep, while closing */
    bool giving_up;
};

/* writer_sql.c: sends the statement of w->step; w->on_step follows. */
MUST_CHECK enum err_code writer_start_step(struct writer *w, struct err *err);
