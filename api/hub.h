/* api/hub.h - all live streams, and when they are woken.
 *
 * A stream is a cursor into the ring and a filter. One reader of the ring stands for all of them: when something is
 * published, or a gap begins or ends, the streams that sleep are looked through, and those with a match are woken. Few streams are woken at the
 * end of the loop's turn; many are woken per tick that grows with their number, up to HUB_TICK_MAX_MS, because the
 * cost of a live feed is the number of sends, not of events.
 *
 * Streams that are behind the ring read from the database, a few at a time (HUB_READS_MAX), and hold what they have
 * read until it is sent (HUB_PAGES_MAX at once); the others wait in line, with heartbeats. Pages begin small and grow
 * for a client that takes them quickly, so that one that catches up gets them at the database's speed and a slow one
 * holds little. A client that takes nothing for long loses its page; the rest of it is read again when it does.
 *
 * Threading:  loop thread only.
 * Ownership:  a stream belongs to its HTTP stream and frees itself when that is over.
 * Limits:     config.max_streams streams; a stream looks at HUB_SCAN_MAX events of the ring at once; pages are of
 *             HUB_PAGE_EVENTS while HUB_HELD_MAX events are held in pages.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "api/api_priv.h"
#include "api/query/filter.h"
#include "server/core/attr.h"

struct json_out;
struct span;
struct stream;

enum {
    HUB_HEARTBEAT_MS = 15000,
    HUB_RETRY_MS = 3000, /* told to clients: wait before they connect again */
    HUB_LIFE_MIN_MS = 30 * 60000,
    HUB_LIFE_MAX_MS = 60 * 60000,
    HUB_AT_ONCE = 64, /* up to so many streams are woken without a tick */
    HUB_TICK_MAX_MS = 100,
    HUB_SLICE = 512, /* streams looked through per turn of the loop */
    HUB_SCAN_MAX = 4096,
    HUB_READS_MAX = 3,
    HUB_RESUMES_MAX = 2, /* questions for the gaps of streams that resume */
    HUB_PAGES_MAX = 256,
    HUB_PAGE_EVENTS = 200,      /* the first page of a stream, and each one of a slow client */
    HUB_PAGE_EVENTS_MAX = 2000, /* of a quick one: a few ms to read from the rows, under 1 MB */
    HUB_PAGE_QUICK_MS =
        500, /* a page that is read and sent within this makes the next one larger */
    HUB_HELD_MAX = HUB_PAGES_MAX * HUB_PAGE_EVENTS,
    HUB_STALLED_MS =
        5000, /* a page of which nothing was taken for so long goes at the next heartbeat */
    HUB_HOLE_MS = 250, /* asks again after so long whether the database has caught up */
    HUB_DOWN_MS = 1000,
};

struct hub *hub_new(struct api *a);
void hub_free(struct hub *h); /* every stream is gone by then */
size_t hub_n(const struct hub *h);
/* Each stream ends after what it has begun to send; clients connect again and go on behind their last id. */
void hub_rotate_all(struct hub *h);
void hub_end_all(struct hub *h); /* the same, and there are no new ones */
/* A gap began or is over: the streams that follow the room are told with the next look through them. */
void hub_gap(struct hub *h, const struct span *span);
/* An array of all kinds but those of the bit set. */
void hub_put_kinds(struct json_out *w, uint32_t without);

struct hub_opts {
    struct filter filter; /* its rooms are copied */
    int64_t resume_id;    /* -1: none */
    size_t backlog;       /* newest events to begin with; unless resumed */
};
/* Answers the request with a stream, or with too_many_streams. */
void hub_open(struct hub *h, struct http_req *req, const struct hub_opts *opts);
