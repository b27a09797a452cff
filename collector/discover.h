/* collector/discover.h - finds rooms: reads upstream's lists every interval_ms and tells the fleet who is in them.
 *
 *      [areas, if names are used] -> list 1 page by page -> list 2 ... -> ranks -> fleet_discovered
 *
 * A list that cannot be read, or is empty, changes nothing: what it gave before stays. A room of two lists counts by the
 * better of its ranks. Names of areas are looked up once, and again each hour while one is not found.
 *
 * Threading:  loop thread only.
 * Ownership:  options are copied; the fleet is borrowed and outlives this.
 * Limits:     one question at a time, one run at a time; discover_select.h; pages of UPSTREAM_PAGE_MAX rooms.
 * Errors:     counted, told once per change; asked again with the next run.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/discover_select.h"
#include "collector/upstream/upstream.h"

struct discover;
struct fleet;
struct loop;
struct stats;

struct discover_opts {
    struct loop *loop;
    struct stats *stats; /* NULL is fine */
    struct fleet *fleet;
    /* The functions of collector/upstream/upstream.h, or a test's. */
    void (*list)(void *ctx, int64_t parent_area_id, int64_t area_id, unsigned page,
                 unsigned page_size, upstream_rooms_fn *done, void *done_ctx);
    void (*areas)(void *ctx, upstream_areas_fn *done, void *done_ctx);
    void *ctx;
    uint64_t seed; /* jitter; 0: from the system */
};

struct discover *discover_new(const struct discover_opts *opts);
/* No question is asked and the fleet told nothing any more. */
void discover_stop(struct discover *d);
/* After discover_stop, when upstream has closed. NULL is fine. */
void discover_free(struct discover *d);
/* What to look for, from now on; n 0: nothing, and the fleet is told so. The first run begins at once. */
void discover_configure(struct discover *d, const struct discover_select *selects, size_t n,
                        int64_t interval_ms, int64_t grace_ms);
