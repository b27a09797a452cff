/* api/reader.h - events of a range of ids, in one direction, from the ring and the database as if they were one.
 *
 *      ids   low ........................ M ............................ head
 *            [ database: committed up to M ]
 *                             [ ring: everything behind its floor       ]
 *
 * The newest events come from the ring as far as it reaches, the rest from the database up to the mark M, so what is
 * not flushed yet is seen and nothing is seen twice. What has left the ring and is not committed yet (the database was
 * away for long) is a hole: the reader stops in front of it and says `pending`.
 *
 *      reader_init(&r, a, &opts);
 *      if (reader_start(&r)) ... it is done already;  else opts.done runs later
 *      r.code, r.items[0 .. r.n), r.more, r.at, r.pending
 *      reader_deinit(&r);           also while it waits: done does not run any more then
 *
 * Threading:  loop thread only.
 * Ownership:  owns the items until reader_deinit. The filter's rooms are borrowed for its life.
 * Limits:     opts.limit items; READER_RING_MAX events of the ring looked at; WINDOW_STEPS_MAX statements per range.
 *             Where one of them ends the reading early, `more` is set and `at` says how far it came.
 */
#pragma once

#include "api/api_priv.h"
#include "api/query/filter.h"
#include "api/query/window.h"
#include "server/core/err.h"
#include "server/db/db.h"

enum { READER_LIMIT_MAX = 2000, READER_RING_MAX = 300000, READER_RING_SOME = 30000 };

struct reader_item {
    struct event *event; /* owned reference */
    uint64_t seq;        /* in the ring; FEED_NO_SEQ when it came from the database */
};

struct reader_opts {
    struct filter filter;
    uint32_t without; /* bit set of kinds to pass over in the ring: those that are not stored */
    bool descending;
    int64_t low;  /* smallest id wanted */
    int64_t high; /* first id no longer wanted */
    size_t limit;
    int64_t
        width_ms; /* oldest first, all rooms: what the page before this one found to be wide enough; 0: none */
    void (*done)(void *ctx);
    void *ctx;
};

struct reader {
    struct api *api; /* borrowed */
    struct reader_opts opts;
    struct reader_item *items; /* owned; in the direction of reading */
    size_t n;
    bool more;        /* there is more behind, or the reading stopped early */
    bool pending;     /* it stopped at a hole */
    int64_t at;       /* everything up to this id, in the direction of reading, was looked at */
    int64_t width_ms; /* for the next page; 0: nothing was learned */
    enum err_code code;
    struct err err;

    struct window window; /* private, as all below */
    int64_t mark;
    bool waiting; /* for a statement */
    bool probing; /* which is a probe */
};

void reader_init(struct reader *r, struct api *a, const struct reader_opts *opts);
/* True: done at once, opts.done does not run. */
MUST_CHECK bool reader_start(struct reader *r);
void reader_deinit(struct reader *r);
