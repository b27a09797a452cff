/* server/spool/spool_record.h - records and segment headers to bytes and back. Pure.
 *
 *   segment: | "DMSPOOL1" | node u32 | crc32c u32 of what is before |                     16 bytes
 *   record:  | length u32 | crc32c u32 | type u8 | payload |     length counts type and payload; crc is over both
 *   event:   | id i64 | the scalars of EVENT_SCALARS in order | 4 x (length u16, bytes) |
 *   alive:   | wall ms i64 |
 *   hold:    | key i64 | until ms i64 | as event without the id |       hold end: | key i64 |
 *   dropped: | room i64 | first id i64 | last id i64 | n u64 |     last id SPOOL_OPEN_END: appends are refused from first id on,
 *                                                                   until the next event in the log
 *
 * Integers are little-endian. The crc makes a torn or damaged record visible; the length is bounded, so that a damaged
 * one cannot ask for memory.
 *
 * Threading:  any thread.
 * Errors:     ERR_CORRUPT: these bytes are no record. ERR_RETRY: they may be the beginning of one. ERR_INVALID: a whole
 *             record, crc and all, that says nothing we understand (of another version): may be skipped.
 */
#pragma once

#include <stdint.h>

#include "server/core/attr.h"
#include "server/core/buf.h"
#include "server/core/err.h"
#include "server/event/event.h"
#include "server/spool/spool.h"

enum { SPOOL_HEADER_BYTES = 16, SPOOL_RECORD_HEAD_BYTES = 9 };
enum { SPOOL_RECORD_MAX = 16384 }; /* of type and payload */
enum spool_type {
    SPOOL_EVENT = 1,
    SPOOL_ALIVE = 2,
    SPOOL_HOLD = 3,
    SPOOL_HOLD_END = 4,
    SPOOL_DROPPED = 5
};
#define SPOOL_OPEN_END INT64_MAX

struct spool_record {
    enum spool_type type;
    int64_t id;                   /* SPOOL_EVENT */
    int64_t key;                  /* SPOOL_HOLD, SPOOL_HOLD_END */
    int64_t ms;                   /* SPOOL_ALIVE: wall; SPOOL_HOLD: until */
    struct spool_dropped dropped; /* SPOOL_DROPPED */
    struct event_draft draft;     /* SPOOL_EVENT, SPOOL_HOLD; strings point into the bytes */
};

void spool_header_put(struct buf *out, uint32_t node);
bool spool_header_ok(struct str bytes);

/* A buffer that is full stays as it was: never a part of a record. */
void spool_event_put(struct buf *out, const struct event *e);
size_t spool_event_bytes(const struct event *e); /* what spool_event_put will append */
void spool_alive_put(struct buf *out, int64_t wall_ms);
void spool_hold_put(struct buf *out, int64_t key, int64_t until_ms, const struct event *e);
void spool_hold_end_put(struct buf *out, int64_t key);
void spool_dropped_put(struct buf *out, const struct spool_dropped *d);

/* The record at the start of bytes. *ret_used is how many bytes it takes, also with ERR_INVALID. */
MUST_CHECK enum err_code spool_record_get(struct str bytes, size_t *ret_used,
                                          struct spool_record *ret);
