/* server/spool/spool.h - durable, append-only segments: what was received survives kill -9 and a database outage.
 *
 *   DIR/LOCK                                     held by flock for the life of the process: one owner at a time
 *   DIR/<first id, 16 hex digits>.seg            a segment: header, then records, ids increasing
 *   record: | length u32 | crc32c u32 | type u8 | payload ... |     little-endian; crc over type and payload
 *
 *        acknowledged (deleted whole segments)   written, synced     written      queued in memory
 *   ... [ seg ][ seg ][ seg ............................|...............|........] -> on_written follows the write
 *
 * Appends are written in order, one write in flight, the next collects meanwhile, off the loop (libuv's thread pool);
 * fdatasync beside the writes, at most every sync_ms while there is something to sync. An alive record once a second
 * tells a later start how long the process was away. A start never writes to a segment that it found.
 *
 * Threading:  loop thread only; file operations run in libuv's thread pool. spool_open is startup only (blocking).
 * Ownership:  spool_append takes the reference and gives it back by on_written.
 * Limits:     max_bytes on disk (up to half more while files are being deleted), segment_bytes per file,
 *             queue_bytes in memory not yet written; 4096 holds.
 * Errors:     disk full, unwritable, no answer for 10 s: the spool is degraded (SPOOL_DEGRADED): on_written follows at
 *             once with durable = false, counted, loud; it tries again with backoff in a fresh segment and recovers by
 *             itself.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/core/attr.h"
#include "server/core/err.h"
#include "server/event/event.h"

struct spool;
struct loop;
struct stats;

enum spool_overflow { SPOOL_DROP_OLDEST, SPOOL_DROP_NEWEST };

/* One room's part of what was dropped: its events with first_id <= id <= last_id that are not in the database. room_id 0:
 * events of any room (a damaged part of a segment, a crash while events were refused). n 0: nobody knows how many. */
struct spool_dropped {
    int64_t room_id;
    int64_t first_id;
    int64_t last_id;
    uint64_t n;
};

struct spool_opts {
    const char *dir;
    int64_t sync_ms;
    size_t max_bytes;
    size_t segment_bytes; /* made to fit: 4 to 1024 segments in max_bytes */
    size_t queue_bytes;   /* 0: 8 MiB */
    enum spool_overflow overflow;
    /* In append order, after the write that holds these events completed (they survive the process; power loss only
     * after the next sync). durable false: they are not in the spool, because it is degraded or queue_bytes are waiting.
     * References move to the callee, the array does not. May append again. Never called from within spool_append. */
    void (*on_written)(void *ctx, struct event **events, size_t n, bool durable);
    /* Dropped for ever: what a full spool deleted (oldest, told before the file goes) or refused (newest; their on_written
     * does not follow; told at most once per 100 ms), and what cannot be read. Called from the loop and from spool_ack.
     * Reports are in the spool too: a start repeats those whose segment was not acknowledged. So a report is safe when it
     * is in the database before the next spool_ack that goes beyond its last_id. */
    void (*on_dropped)(void *ctx, const struct spool_dropped *rooms, size_t n);
    void *ctx;
};

/* What a start found. */
struct spool_found {
    int64_t first_id; /* 0: nothing */
    int64_t last_id;  /* seeds the ids */
    int64_t alive_ms; /* wall time of the last alive record or event; 0: none */
    uint64_t n_events;
    uint64_t torn_bytes; /* cut off the end of the newest segment */
    uint64_t bad_bytes;  /* unreadable parts of older segments, skipped */
    uint64_t n_segments;
};

/* ERR_CONFLICT: another process holds the lock. ERR_IO: the directory cannot be made or read; the message says what to
 * do. A full disk is no error here: the spool then begins degraded. */
MUST_CHECK enum err_code spool_open(struct loop *loop, const struct spool_opts *opts,
                                    struct stats *stats, struct spool **ret,
                                    struct spool_found *ret_found, struct err *err);
/* Writes what is queued, syncs, closes, unlocks, then calls closed once; freed by then. A read under way ends with n = 0. */
void spool_close(struct spool *s, void (*closed)(void *ctx), void *ctx);

/* Nothing that was appended still waits for on_written. */
bool spool_flushed(const struct spool *s);
/* Nothing is received, not yet or not any more: no alive records, so that a later start knows since when. What is
 * appended is written all the same. */
void spool_rest(struct spool *s, bool rest);

void spool_append(struct spool *s, struct event *take); /* ids increase; asserted */

/* Held back: an event that waits for its second half (a guard purchase for its toast). Survives a restart: spool_open's
 * holds are told by spool_each_hold. key is the owner's (natural key); holding it again replaces the draft. A hold lasts
 * until spool_hold_end, whatever until_ms says; it moves on when its segment is deleted. */
void spool_hold(struct spool *s, int64_t key, const struct event_draft *draft, int64_t until_ms);
void spool_hold_end(struct spool *s, int64_t key);
typedef void(spool_hold_fn)(void *ctx, int64_t key, const struct event_draft *draft,
                            int64_t until_ms);
void spool_each_hold(struct spool *s, spool_hold_fn *fn, void *ctx); /* startup: open holds found */

/* Events with id > after in order, at most max_rows and about max_bytes, from disk. done exactly once, never before
 * returning; a reference to each event moves to the callee, the array does not; n = 0: none that is on disk. One read at a
 * time. Reading on from the last id returned is sequential and cheap. What was dropped is passed over; what cannot be read
 * is told by on_dropped and passed over. An answer that passes over what was dropped comes when on_dropped has told of it and
 * the report is in the spool (unless the spool cannot write or delete): who stores it hides nothing from a later start. */
typedef void(spool_read_fn)(void *ctx, struct event **events, size_t n);
void spool_read(struct spool *s, int64_t after, size_t max_rows, size_t max_bytes,
                spool_read_fn *done, void *ctx);

/* Everything up to id is in the database: whole segments up to it are deleted. What a read has passed over, and on_dropped has
 * not told of yet, is not acknowledged before it has. */
void spool_ack(struct spool *s, int64_t id);
/* Everything up to id is in the database, though it is not acknowledged yet, because reports wait: a full spool that drops
 * such events loses nothing. Once before spool_ack with the same id, or a greater one. */
void spool_stored(struct spool *s, int64_t id);

enum spool_state { SPOOL_OK, SPOOL_FULL, SPOOL_DEGRADED };
enum spool_state spool_state(const struct spool *s);
size_t spool_bytes(const struct spool *s);    /* on disk */
int64_t spool_last_id(const struct spool *s); /* newest id on disk, 0: none */
/* Is an event with this id, if it was appended, on disk or acknowledged? False if the id fell into a time when the spool was
 * degraded, was dropped, or has not been told by on_written. Remembers 256 intervals; past that it may say false although
 * the event is there. */
bool spool_has(const struct spool *s, int64_t id);
/* Is the event in a segment that overflow drops, and on_dropped has not told of it yet? It will. */
bool spool_dropping(const struct spool *s, int64_t id);
