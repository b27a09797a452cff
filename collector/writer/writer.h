/* collector/writer/writer.h - events to PostgreSQL: batches, one transaction each, exactly once.
 *
 * The writer asks its source for "the next after id", so it does not care whether that comes from the ring or from
 * disk. One batch is in flight while the next collects. A batch is: lock and set writer_mark(node).last_id,
 * COPY event. After anything ambiguous (connection lost, no answer, restart) the mark says where to go on.
 * Then minutes that are closed are recomputed into room_minute, and partitions of the coming days are made.
 *
 * Threading:  loop thread only.
 * Limits:     opts.batch_*; the writer holds one batch.
 * Errors:     retried for ever with backoff; told by writer_state and logged once per change.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/core/attr.h"
#include "server/core/err.h"
#include "server/event/event.h"

/* One live process per node: its writer holds the advisory lock (WRITER_LOCK_CLASS, node) while it is connected. */
enum { WRITER_LOCK_CLASS = 71530 };

struct writer;
struct loop;
struct stats;

/* Where events come from. All calls on the loop thread. */
struct writer_source {
    /* Asks for events with id > after, in order, at most max_rows and about max_bytes. done is called exactly once,
     * never before fetch returns: events (a reference each, taken by the callee), n = 0 if there is none yet.
     * Events that are gone are passed over: the source counts and tells them. */
    void (*fetch)(void *ctx, int64_t after, size_t max_rows, size_t max_bytes,
                  void (*done)(void *done_ctx, struct event **events, size_t n), void *done_ctx);
    /* Everything up to id is committed. */
    void (*committed)(void *ctx, int64_t id);
    /* Every event with a smaller id has been told by writer_poke, and none will be made any more: what is below and
     * committed is complete. NULL: the clock says so. */
    int64_t (*horizon)(void *ctx);
    void *ctx;
};

struct writer_opts {
    const char *conninfo;
    unsigned node;
    uint32_t counted_kinds; /* bit set of enum event_kind: not stored, added to room_minute_kind */
    size_t batch_rows;
    size_t batch_bytes;
    int64_t batch_age_ms;
    int64_t timeout_ms; /* no answer from the server for this long: the connection is given up */
    struct writer_source source;
    /* The mark was read for the first time: ids continue behind it. May be NULL. */
    void (*on_mark)(void *ctx, int64_t last_id);
    void *ctx;
};

struct writer *writer_new(struct loop *loop, const struct writer_opts *opts, struct stats *stats);
/* There are n more events after writer_committed than were told so far; cheap. They wait for at most batch_age_ms, and
 * only until a batch is full. */
void writer_poke(struct writer *w, size_t n);
/* Writes what the source still has, until nothing is left or the deadline; then closes and calls closed once with the
 * last committed id. */
void writer_close(struct writer *w, int64_t deadline_ms,
                  void (*closed)(void *ctx, int64_t committed), void *ctx);

int64_t writer_committed(
    const struct writer *w); /* newest id known to be in the database; -1: not known yet */
enum writer_state { WRITER_CONNECTING, WRITER_IDLE, WRITER_WRITING, WRITER_WAITING, WRITER_FENCED };
enum writer_state writer_state(const struct writer *w);
