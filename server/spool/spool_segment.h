/* server/spool/spool_segment.h - one segment as the loop knows it, and the table of those that are kept, oldest first.
 *
 * Threading:  loop thread only. The thread pool gets copies of what it needs.
 * Limits:     about SPOOL_SEGMENTS_MAX segments: spool_open does not take a segment size that would need more.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/core/list.h"

enum { SPOOL_SEGMENTS_MAX = 1024 };
#define SPOOL_NOT_PASSED INT64_MAX

struct spool_segment {
    struct list_node node; /* in spool.retiring or spool.doomed */
    uint64_t name;
    int64_t first_id; /* of its events, 0: none */
    int64_t last_id;
    uint64_t n_events;
    uint64_t end;    /* complete records end here; readers go no further */
    uint64_t bytes;  /* of the file: end, and damage behind it that could not be cut off */
    uint64_t synced; /* of end */
    size_t n_holds;  /* open holds whose record is here */
    int64_t kept_id; /* dropped: up to here its events were in the database by then */
    int fd;          /* -1: not open for writing */
    int64_t
        passed_id; /* dropped, not reported: a reader passed over what is behind this id; SPOOL_NOT_PASSED: none did */
    bool dropped;  /* doomed by overflow: its rooms are to be reported first ... */
    bool reported; /* ... which has happened */
    /* Doomed: its open holds and its reports are written anew, in front of this place, which is to be synced before the
     * file goes: a power loss in between would take both. */
    bool moved;
    uint64_t moved_name; /* of the segment with the place; 0: not known yet */
    uint64_t moved_end;
};

struct spool_segment *spool_segment_new(uint64_t name);
void spool_segment_free(struct spool_segment *seg); /* closes its descriptor; NULL is fine */

struct spool_segments {
    struct spool_segment **items; /* owned */
    size_t n;
    size_t cap;
    uint64_t bytes; /* of all files */
};

void spool_segments_deinit(struct spool_segments *t);
void spool_segments_push(struct spool_segments *t, struct spool_segment *take); /* newest */
struct spool_segment *spool_segments_shift(struct spool_segments *t);           /* oldest; given */
void spool_segments_grow(struct spool_segments *t, struct spool_segment *seg, uint64_t bytes);
