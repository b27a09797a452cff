/* server/spool/spool_hold.h - events that wait for their second half, and where their records are.
 *
 *            set                    write begins            write done
 *   (new) ---------> waiting ------------------> writing ----------------> kept (in segment `seg`)
 *                     ^  ^                          |  failed                |
 *                     |  \--------------------------/                        |
 *                     \---- its segment is about to go, or it ended <--------/
 *
 * An ended hold whose record may be on disk waits and is written once more, as a hold end, and is gone after that.
 *
 * Threading:  loop thread only.
 * Limits:     SPOOL_HOLDS_MAX at once; a draft costs as much memory as its event.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/core/attr.h"
#include "server/core/buf.h"
#include "server/core/err.h"
#include "server/core/list.h"
#include "server/event/event.h"

struct spool_segment;

enum { SPOOL_HOLDS_MAX = 4096, SPOOL_HOLD_BUCKETS = 1024 };

struct spool_hold {
    struct list_node node;
    struct list *in;         /* the one list it is in */
    struct spool_hold *next; /* in its bucket */
    int64_t key;
    int64_t until_ms;
    struct event *draft; /* owned reference: the draft's copy, without an id; NULL once ended */
    struct spool_segment *seg; /* holds its record, NULL: none does */
    bool tried;                /* a record may be on disk */
};

struct spool_holds {
    struct spool_hold *buckets[SPOOL_HOLD_BUCKETS]; /* owned */
    struct list waiting;
    struct list writing;
    struct list kept;
    size_t n;
    size_t n_open;
};

void spool_holds_init(struct spool_holds *h);
void spool_holds_deinit(struct spool_holds *h);

/* ERR_FULL, ERR_NOMEM: it is not recorded. A key that is open already gets the new draft. */
MUST_CHECK enum err_code spool_holds_set(struct spool_holds *h, int64_t key,
                                         const struct event_draft *draft, int64_t until_ms);
void spool_holds_end(struct spool_holds *h, int64_t key); /* unknown: nothing happens */
/* The startup scan: a record of it, or of its end, was found in seg. */
void spool_holds_found(struct spool_holds *h, int64_t key, struct spool_segment *seg);
void spool_holds_found_end(struct spool_holds *h, int64_t key);
struct spool_hold *spool_holds_get(struct spool_holds *h, int64_t key); /* open or ended, or NULL */

/* Appends the records of those that wait, as far as they fit, and moves them on. Returns how many. */
size_t spool_holds_write(struct spool_holds *h, struct buf *out);
void spool_holds_written(struct spool_holds *h,
                         struct spool_segment *seg); /* NULL: the write failed */
/* seg will be deleted: its holds wait to be written anew. forget: it goes before they are. */
void spool_holds_move(struct spool_holds *h, struct spool_segment *seg, bool forget);
