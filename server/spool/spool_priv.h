/* server/spool/spool_priv.h - the spool's state and what its files share. Only for this folder.
 *
 * Four lanes, each with at most one job in libuv's thread pool; a job touches only its own struct:
 *
 *   write    queue -> batch -> active segment (spool_write.c). A rotation is part of a write: the new file is made by the
 *            first write into it, so that there is always a newest segment with something in it.
 *   sync     fdatasync of the active segment; of a retiring one too, which is then closed (spool_sync.c)
 *   remove   doomed segments, oldest first: report what is dropped, wait for its holds to be written anew, unlink
 *            (spool_remove.c)
 *   read     events after an id (spool_read.c)
 *
 * Threading:  loop thread only, but for the functions that a job runs (they end in _work).
 */
#pragma once

#include "server/core/backoff.h"
#include "server/core/buf.h"
#include "server/core/log.h"
#include "server/core/rng.h"
#include "server/loop/loop.h"
#include "server/spool/spool.h"
#include "server/spool/spool_file.h"
#include "server/spool/spool_hold.h"
#include "server/spool/spool_missing.h"
#include "server/spool/spool_rooms.h"
#include "server/spool/spool_segment.h"
#include "server/stats/stats.h"

enum {
    SPOOL_ALIVE_MS = 1000,
    SPOOL_STALL_MS = 10000,     /* LIMIT: a write that takes longer is no longer waited for */
    SPOOL_RETRY_MS = 500,       /* LIMIT: first and ... */
    SPOOL_RETRY_MAX_MS = 30000, /* ... longest wait before a degraded spool tries again */
    SPOOL_REPORT_MS = 100,      /* LIMIT: refused events are told at most this often */
    SPOOL_IDLE_BYTES =
        65536, /* LIMIT: an acknowledged active segment larger than this is given up */
    SPOOL_SLACK_BYTES = 1 << 20 /* LIMIT: room in a batch for what is small and always allowed */
};

/* Events in append order and the records of those that have one. */
struct spool_batch {
    struct buf bytes;
    struct event **events; /* owned references */
    bool *recorded;        /* parallel: it has a record in bytes */
    size_t n;
    size_t cap;
    size_t loose_bytes; /* of the events without a record */
    size_t n_records;
    uint64_t n_events; /* records that are events, with the ids: */
    int64_t first_id;
    int64_t last_id;
};

struct spool_write {
    uv_work_t req;
    bool busy;
    bool fresh;    /* makes the file */
    bool given_up; /* took too long: its events were told as not durable */
    int64_t began_ms;
    struct spool_segment *seg; /* borrowed from the table, or owned until it is in there */
    struct buf head;           /* of a fresh segment: header and alive record */
    /* the job's */
    int dirfd;
    int fd;
    uint64_t name;
    uint64_t at;
    struct str bytes;
    int sys;
    const char *what;
    uint64_t garbage; /* bytes behind `at` that could not be cut off */
};

struct spool_sync {
    uv_work_t req;
    bool busy;
    bool closing; /* the segment retires */
    struct spool_segment *seg;
    uint64_t upto;
    uint64_t n_made;
    /* the job's */
    int fd;
    int dirfd; /* -1: the directory needs none */
    int sys;
    uint64_t took_ns;
};

struct spool_remove {
    uv_work_t req;
    bool busy;
    bool reading; /* what is dropped, for the report */
    bool failing;
    struct spool_segment *seg; /* first of doomed */
    /* the job's */
    int dirfd;
    uint64_t name;
    uint64_t end;
    int64_t after;   /* in the database: what is up to here is not dropped */
    uint64_t n_seen; /* events that could be read */
    int sys;
    struct spool_rooms rooms;
    struct spool_reports older; /* reports that stood in it */
};

struct spool_reader; /* spool_read.c */

struct spool {
    struct loop *loop;
    struct stats *stats; /* may be NULL */
    struct spool_opts opts;
    char *dir; /* owned */
    int dirfd;
    int lockfd;

    struct spool_segments table;
    struct spool_segment *active; /* in table, open for writing; NULL before the first write */
    struct list retiring;         /* in table: to be synced a last time and closed */
    struct list doomed;           /* owned: no longer in table, to be deleted, oldest first */
    uint64_t doomed_bytes;
    uint64_t next_name; /* names only grow */

    int64_t appended_id; /* last one appended */
    int64_t told_id;     /* last one told by on_written */
    int64_t kept_id;     /* last one told as durable: nothing between told_id and here is on disk */
    int64_t disk_id;     /* newest on disk */
    int64_t acked_id;
    int64_t stored_id;  /* in the database; may be beyond acked_id */
    int64_t dropped_id; /* newest in a dropped segment: readers pass it over */
    struct spool_missing missing;
    struct spool_missing loose; /* of these: told without being on disk, so in no segment */
    struct spool_holds holds;

    struct spool_batch queue;  /* the next write */
    struct spool_batch flight; /* the one under way */
    bool flush_due;            /* deferred, as is ... */
    bool found_due;            /* ... telling what the start found */
    bool rotate;               /* the next write begins a segment */
    struct spool_write write;
    struct spool_sync sync;
    struct spool_remove remove;
    struct spool_reader *reader; /* owned */

    bool degraded; /* writes fail */
    int64_t degraded_ms;
    uint64_t degraded_events;
    int failed_sys; /* a sync failed while a write was under way */
    const char *failed_what;
    bool full;
    bool freed;                     /* an acknowledged segment went */
    uint64_t full_events;           /* dropped since */
    struct spool_rooms refused;     /* not told yet */
    struct spool_rooms episode;     /* all refused since refusing_from */
    int64_t refusing_from;          /* 0: appends are not refused */
    struct spool_reports unwritten; /* reports that shall stand in the spool */
    int64_t acking_id;          /* as spool_ack was told; acked_id waits for what is not reported */
    size_t n_reports_flight;    /* the first of them, in the write under way */
    struct spool_reports found; /* at startup, not told yet */

    struct backoff write_backoff;
    struct backoff remove_backoff;
    struct rng rng;
    struct loop_timer alive_timer;
    struct loop_timer sync_timer;
    struct loop_timer retry_timer;
    struct loop_timer remove_timer;
    struct loop_timer report_timer;
    int64_t sync_began_ms;
    bool sync_now;          /* somebody waits for it */
    uint64_t n_made;        /* files, and how many of their ... */
    uint64_t n_made_synced; /* ... directory entries are synced */
    struct log_limit hold_limit;
    struct stats_histogram *sync_time;

    bool resting; /* no alive records */
    bool closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* spool.c */
void spool_flush_soon(struct spool *s);   /* deferred: what is queued gets written, or told */
void spool_step_close(struct spool *s);   /* every completion ends with it */
const char *spool_advice(int sys);        /* what the operator may do about an errno */
bool spool_hushed(const struct spool *s); /* degraded or closing: no new work is begun by itself */

/* spool_queue.c */
void spool_batch_init(struct spool_batch *b, size_t limit);
void spool_batch_deinit(struct spool_batch *b);
void spool_batch_clear_records(struct spool_batch *b);
void spool_batch_add(struct spool_batch *b, struct event *take, bool recorded);
/* Tells on_written about all events, in order; those without a record, or all if !written, are not durable. */
void spool_batch_tell(struct spool *s, struct spool_batch *b, bool written);

/* spool_write.c */
void spool_write_step(struct spool *s,
                      bool probe); /* begins a write if there is something and none is under way */
void spool_write_degrade(struct spool *s, const char *what, int sys);
void spool_write_give_up(struct spool *s);
void spool_write_refusing(struct spool *s); /* notes s->refusing_from in the spool */

/* spool_sync.c */
void spool_sync_step(struct spool *s);
void spool_sync_soon(struct spool *s); /* does not wait for sync_ms */
/* Is everything in front of this place of a segment that was active then on the disk? */
bool spool_sync_reached(const struct spool *s, uint64_t name, uint64_t end);
bool spool_sync_idle(
    const struct spool *s); /* nothing is under way and nothing is to be synced or closed */

/* spool_remove.c */
bool spool_make_room(struct spool *s, size_t bytes); /* drops the oldest; false: it does not fit */
void spool_refuse(struct spool *s, struct event *take);
void spool_tell_refused(struct spool *s);
void spool_ack_sweep(struct spool *s);
/* Acknowledges what may be, of what the caller has asked for. */
void spool_ack_step(struct spool *s);
/* Has a segment behind the id been dropped whose report is not in the spool yet? */
bool spool_report_is_due(const struct spool *s, int64_t after);
/* A reader passes over what was dropped behind the id. */
void spool_passed_over(struct spool *s, int64_t after);
void spool_remove_step(struct spool *s);
void spool_end_full(struct spool *s);

/* spool_read.c */
struct spool_reader *spool_reader_new(void);
void spool_reader_free(struct spool_reader *r);
bool spool_reader_busy(const struct spool_reader *r);
/* The reports that a read waits for may have been made. */
void spool_reader_go_on(struct spool *s);
void spool_reader_let_go(
    struct spool *s); /* a deleted segment does not stay open, which would keep its bytes on disk */

/* spool_scan.c */
MUST_CHECK enum err_code spool_scan(struct spool *s, struct spool_found *found, struct err *err);
