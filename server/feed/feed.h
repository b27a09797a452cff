/* server/feed/feed.h - the ring of recent events and its readers.
 *
 * A feed keeps the newest events, at most `capacity` of them and at most `max_bytes` in total. Publishing never waits
 * for a reader: all readers are lossy. A reader that was lapped is told so and finds what it missed in the spool or
 * the database; the ids are the same everywhere.
 *
 *      tail                                                  head = next sequence number
 *        v                                                     v
 *   ...  [ t ][t+1][ ... ][ r ][ ... ][h-1]                    .        r: a reader's cursor, tail <= r <= head
 *                     ^------- each slot links to the previous slot of its room (feed_room_prev)
 *
 * What the ring "covers" is said without a guess: it never claims to hold what it cannot know. The floor is an id above
 * which nothing is missing: none before the first event, then just below the first event (what the database may hold
 * from before is not in the ring), then the newest evicted event. A room keeps a floor of its own while it has events
 * in the ring: its own newest evicted event, so that a quiet room is covered although busy rooms evict all the time.
 *
 * Threading:  loop thread only.
 * Ownership:  feed_publish takes the caller's reference; feed_at and the readers lend until the next publish.
 * Limits:     capacity (a power of two, fixed at creation) and max_bytes (of the events; the newest one is kept even if it
 *             alone is larger); a room with events in the ring costs at most 96 bytes; a reader one struct of its owner.
 * Errors:     none after feed_new. Ids must be published in increasing order (asserted).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/core/attr.h"
#include "server/core/list.h"
#include "server/event/event.h"

struct feed;
struct feed_reader;

#define FEED_NO_SEQ UINT64_MAX

struct feed *feed_new(size_t capacity_pow2, size_t max_bytes);
void feed_free(struct feed *f);

void feed_publish(struct feed *f,
                  struct event *take); /* takes the reference; wakes waiting readers */
/* Before anything was published: the newest rows of the database, oldest first, so that the ring starts warm.
 * Does not wake and does not count as published. Same order rule. */
void feed_warm(struct feed *f, struct event *take);
void feed_reset(struct feed *f); /* still before that: empty again, as if nothing had been warmed */

uint64_t feed_tail(const struct feed *f);   /* oldest sequence number held; == head when empty */
uint64_t feed_head(const struct feed *f);   /* next sequence number */
int64_t feed_head_id(const struct feed *f); /* id of the newest event, 0 when empty */
int64_t feed_tail_id(const struct feed *f); /* id of the oldest event, 0 when empty */
/* True if the ring holds every event with an id greater than after_id: after_id is at or above the floor. False while
 * nothing was published or warmed: what the database holds is not known then. */
bool feed_covers(const struct feed *f, int64_t after_id);
const struct event *feed_at(const struct feed *f,
                            uint64_t seq); /* NULL: evicted or not yet there */
uint64_t feed_seek(const struct feed *f,
                   int64_t after_id); /* first seq with id > after_id (binary search) */
uint64_t feed_room_last(const struct feed *f,
                        int64_t room_id); /* newest seq of the room, or FEED_NO_SEQ */
uint64_t feed_room_prev(const struct feed *f,
                        uint64_t seq); /* previous seq of the same room, or FEED_NO_SEQ */
/* The same for the events of one room. Never false where feed_covers is true. */
bool feed_room_covers(const struct feed *f, int64_t room_id, int64_t after_id);
/* Events with ids up to this one may be in the database and not in the ring: they came by another way (reparse). Streams
 * do not care; whoever lists the past takes the ring only for what is behind. Grows only. */
void feed_set_backfilled(struct feed *f, int64_t id);
int64_t feed_backfilled(const struct feed *f); /* 0: none */
size_t feed_bytes(const struct feed *f);
uint64_t feed_evicted(const struct feed *f); /* total */
/* Sees each event that leaves the ring, before its reference is dropped; it must not call the feed. One listener. */
typedef void(feed_evict_fn)(void *ctx, const struct event *e);
void feed_on_evict(struct feed *f, feed_evict_fn *fn, void *ctx);

/* wake runs at most once after feed_wait said "nothing yet", from within the next feed_publish: it must only note
 * the fact (set a flag, start a timer), not publish and not free. */
typedef void(feed_wake_fn)(void *ctx);

struct feed_reader {
    struct list_node node; /* private: linked while waiting */
    struct feed *feed;
    uint64_t
        next; /* sequence number of the next event to read; the owner may set it, up to feed_head */
    feed_wake_fn *wake;
    void *ctx;
};

void feed_reader_init(struct feed_reader *r, struct feed *f, uint64_t next, feed_wake_fn *wake,
                      void *ctx);
void feed_reader_deinit(struct feed_reader *r);
enum feed_read { FEED_EVENT, FEED_EMPTY, FEED_LAPPED };
/* FEED_EVENT: *ret is lent and the cursor moved on. FEED_EMPTY: caught up, the reader now waits and will be woken.
 * FEED_LAPPED: events between the cursor and the tail are gone from the ring; the cursor stays, the owner seeks. */
enum feed_read feed_read(struct feed_reader *r, const struct event **ret, uint64_t *ret_seq);
