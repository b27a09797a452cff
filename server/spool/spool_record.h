/* server/spool/spool_record.h - records and segment headers to bytes and back. Pure.
 *
 *   segment: | "DMSPOOL1" | node u32 | reserved u32 |                                     16 bytes
 *   record:  | length u32 | crc32c u32 | type u8 | payload |     length counts type and payload; crc is over both
 *   event:   | id i64 | the scalars of EVENT_SCALARS in order | 4 x (length u16, bytes) |
 *   alive:   | wall ms i64 |
 *   hold:    | key i64 | until ms i64 | as event without the id |       hold end: | key i64 |
 *
 * Integers are little-endian. The crc makes a torn or damaged record visible; the length is bounded, so that a damaged
 * one cannot ask for memory.
 *
 * Threading:  any thread.
 * Errors:     ERR_CORRUPT: these bytes are no record. ERR_RETRY: they may be the beginning of one.
 */
#pragma once

#include <stdint.h>

#include "server/core/attr.h"
#include "server/core/buf.h"
#include "server/core/err.h"
#include "server/event/event.h"

enum { SPOOL_HEADER_BYTES = 16, SPOOL_RECORD_HEAD_BYTES = 9, SPOOL_RECORD_MAX = 16384 };
enum spool_type { SPOOL_EVENT = 1, SPOOL_ALIVE = 2, SPOOL_HOLD = 3, SPOOL_HOLD_END = 4 };

struct spool_record {
    enum spool_type type;
    int64_t id;               /* SPOOL_EVENT */
    int64_t key;              /* SPOOL_HOLD, SPOOL_HOLD_END */
    int64_t ms;               /* SPOOL_ALIVE: wall; SPOOL_HOLD: until */
    struct event_draft draft; /* SPOOL_EVENT, SPOOL_HOLD; strings point into the bytes */
};

void spool_header_put(struct buf *out, uint32_t node);
bool spool_header_ok(struct str bytes);

void spool_event_put(struct buf *out, const struct event *e);
void spool_alive_put(struct buf *out, int64_t wall_ms);
void spool_hold_put(struct buf *out, int64_t key, const struct event_draft *draft,
                    int64_t until_ms);
void spool_hold_end_put(struct buf *out, int64_t key);

/* The record at the start of bytes. *ret_used is how many bytes it takes. */
MUST_CHECK enum err_code spool_record_get(struct str bytes, size_t *ret_used,
                                          struct spool_record *ret);
