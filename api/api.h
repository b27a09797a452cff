/* api/api.h - everything about answering HTTP: routes, parameters, queries, encodings, the live stream.
 *
 * The api never includes the collector. What it needs from there it declares here as functions, and server/app fills
 * them in; tests pass fakes.
 *
 * Threading:  loop thread only.
 * Ownership:  everything in api_opts is borrowed for the life of the api.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "api/query/spans.h"
#include "server/core/attr.h"
#include "server/core/buf.h"
#include "server/core/err.h"
#include "server/core/str.h"
#include "server/http/http.h"

struct api;
struct config;
struct db;
struct feed;
struct loop;
struct stats;

/* What a client may know of a room's collection. */
struct api_room {
    int64_t room_id;
    const char *state;
    const char *last_close;
    int64_t connected_since_ms;
    int64_t next_try_ms;
    int64_t last_event_ms;
    int64_t popularity; /* -1 unknown */
    uint64_t n_connects, n_messages, n_events, n_repeats;
    struct span coverage; /* the worst that goes on; its cause is static */
    bool covered;         /* nothing is missing now: `coverage` is empty */
};
typedef bool(api_span_fn)(void *ctx, const struct span *span);

struct api_ops {
    bool (*room)(void *ctx, int64_t room_id, struct api_room *ret); /* false: not collected now */
    void (*each_room)(void *ctx, bool (*fn)(void *fn_ctx, const struct api_room *room),
                      void *fn_ctx); /* by room id */
    int64_t (*committed)(void *ctx); /* newest event id known to be in the database; -1 unknown */
    bool (*ready)(void *ctx,
                  const char **ret_reason); /* for /readyz; reason is a short static text */
    /* What is known to be missing, as far as memory has it: spans that overlap [from_ms, to_ms), and those that the
     * database may still have otherwise; of a room or (0) of all that are collected; room 0 in a span stands for every room. fn returns false to stop. NULL: nothing. */
    void (*coverage)(void *ctx, int64_t room_id, int64_t from_ms, int64_t to_ms, api_span_fn *fn,
                     void *fn_ctx);
    /* From when on memory has all of it; INT64_MAX: it does not know the room. NULL: always. */
    int64_t (*coverage_known)(void *ctx, int64_t room_id);
    void *ctx;
};

struct api_opts {
    struct loop *loop;
    const struct config *config;
    struct db *db;
    struct feed *feed;
    struct stats *stats;
    struct api_ops ops;
    uint32_t counted_kinds; /* bit set of enum event_kind: in the live feed, but not stored */
    bool
        local_only; /* bound to loopback: without any token everybody has the scopes read and stream */
};

struct api *api_new(const struct api_opts *opts);
/* The routes and hooks for http_open; address, port and limits come from config. */
MUST_CHECK enum err_code api_listen(struct api *a, const char *address, uint16_t port,
                                    struct http **ret, struct err *err);
void api_quiesce(struct api *a); /* readyz says 503, streams end politely */
void api_free(struct api *a);    /* after http_close, before the db is closed */

/* One line per route: "GET /api/v1/rooms listRooms". */
void api_print_routes(struct buf *out);
