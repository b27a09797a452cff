/* server/spool/spool.h - durable, append-only segments: what was received survives kill -9 and a database outage.
 *
 *   data_dir/spool/<first id, 16 hex digits>.seg     a segment: header, then records
 *   record: | length u32 | crc32c u32 | type u8 | payload ... |        crc over type and payload, little-endian
 *
 * Records are appended in order, written off the loop (uv_fs_*), one write in flight, the next collects meanwhile;
 * fdatasync at most every sync_ms. spool_append's `done` order is the append order: publication follows it.
 *
 * Threading:  loop thread only; the writes run in libuv's thread pool.
 * Ownership:  an append keeps a reference of the event until it is written.
 * Limits:     max_bytes on disk, segment_bytes per file, queue_bytes not yet written.
 * Errors:     disk full, unwritable: the spool degrades (spool_state), events are published without durability,
 *             loudly and counted, and it tries again; nothing else stops.
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

struct spool_opts {
    const char *dir;
    int64_t sync_ms;
    size_t max_bytes;
    size_t segment_bytes;
    size_t queue_bytes;
    /* In append order, after the write of these events completed (durable against a crash of the process; against
     * power loss after the following sync). The references move to the callee. */
    void (*on_written)(void *ctx, struct event **events, size_t n);
    void *ctx;
};
