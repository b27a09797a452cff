/* collector/writer/writer_priv.h - the state of a writer, and the statements of its steps.
 *
 * Threading:  loop thread only.
 */
#pragma once

#include "collector/writer/amend_rows.h"
#include "collector/writer/kind_count.h"
#include "collector/writer/upkeep.h"
#include "collector/writer/writer.h"
#include "server/core/backoff.h"
#include "server/core/buf.h"
#include "server/core/rng.h"
#include "server/core/utf8.h"
#include "server/db/db_session.h"
#include "server/loop/loop.h"

/* One step is in flight at a time. A transaction is LOCK, (REWIND,) COPY and COUNT (or PARK), COMMIT; each is a round
 * trip in which the database waits for us, so BEGIN goes with the first and the mark with the last of them.
 * Whatever fails, the mark in the database is the truth, and the source gives everything behind it again. */
enum step {
    STEP_NONE,   /* nothing in flight: connecting, idle, or waiting */
    STEP_NODE,   /* is the node number ours? */
    STEP_MARK,   /* where to go on */
    STEP_FETCH,  /* the source is asked */
    STEP_LOCK,   /* BEGIN; the mark must be where we left it */
    STEP_REWIND, /* the batch reaches into minutes that are rolled up: they are counted again */
    STEP_COPY,
    STEP_COUNT,  /* kinds that are not stored */
    STEP_AMEND,  /* what its events say about earlier ones */
    STEP_PARK,   /* one row that PostgreSQL refuses, kept aside with the reason */
    STEP_COMMIT, /* the mark, and COMMIT */
    STEP_ROLLBACK,
    STEP_UNLOCK, /* fenced: the node number is given back */
};

enum { WRITER_SCRIPT_BYTES = 160 };

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
    bool
        node_held; /* it was ours in an earlier connection, which the server may not have ended yet */
    bool node_taken; /* somebody else has it, and that is no leftover of ourselves */
    bool fenced;     /* for good: the mark moved without us */
    bool poked;      /* there may be something behind `committed` */
    size_t told;     /* by writer_poke since the source was asked */
    bool mark_told;
    bool failure_told; /* since the last commit */

    int64_t committed;     /* -1 unknown */
    int64_t complete;      /* every event below this id is written */
    int64_t in_doubt;      /* last id of a batch whose commit was not answered; 0 none */
    int64_t node_asked_ms; /* since when the node number is asked for in vain; 0 not */
    size_t cap_rows;       /* rows of the next batch; smaller while a bad row is looked for */

    struct event **batch; /* owned references, batch_n of them */
    size_t batch_n;
    size_t n_stored; /* of the batch; the rest is only counted */
    struct amend_rows amends;
    struct kind_count counts;         /* of the rest */
    bool batch_full;                  /* the source probably has more */
    bool rewound;                     /* its transaction takes the roll-up's mark back */
    char script[WRITER_SCRIPT_BYTES]; /* of the step in flight */
    struct buf copy;
    int64_t begun_ms;
    int64_t park_id; /* this event was refused alone and is parked next; 0 none */
    char reason[UTF8_CLEAN_MAX(ERR_MSG_BYTES)]; /* valid UTF-8 */
    size_t reason_len;

    void (*closed)(void *ctx, int64_t committed);
    void *closed_ctx;
    unsigned n_open; /* session and upkeep, while closing */
    bool giving_up;
};

/* writer_sql.c: sends the statement of w->step; w->on_step follows. */
MUST_CHECK enum err_code writer_start_step(struct writer *w, struct err *err);

/* writer.c */
void writer_proceed(struct writer *w);
void writer_drop_batch(struct writer *w);
bool writer_close_if_drained(struct writer *w);
int32_t writer_first_minute(const struct writer *w); /* of the batch */

/* writer_fail.c: what is done about a step that did not work. */
void writer_retry_later(struct writer *w);
void writer_step_failed(struct writer *w, enum err_code code, const struct err *err);
void writer_fence(struct writer *w, int64_t found);
void writer_node_is_taken(struct writer *w);
