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

/* What a client may know of a room: of its place in the set of rooms, and of its connection. */
struct api_room {
    int64_t room_id;
    /* Of the set; texts are lent until the next call. NULL or 0: not known here, its row may know. */
    const char *origin;        /* "config", "api", "discovery" */
    const char *status;        /* "active", "paused", "removed", "left" */
    const char *not_connected; /* why; NULL when it is connected */
    const char *groups;        /* joined by commas; NULL or "": none */
    bool pinned;
    unsigned rank; /* of discovery; 0 none */
    int64_t short_id, anchor_uid, area_id, parent_area_id;
    const char *uname, *title, *area, *parent_area;
    int live; /* 1, 0; -1 unknown */
    int64_t live_since_ms;
    /* Of the connection */
    const char *state; /* NULL: it is not collected now */
    const char *last_close;
    /* Why the last try to connect, or the last connection, failed; 0 ms: none did. Texts need not be UTF-8. */
    int64_t last_error_ms;
    const char *last_error_code, *last_error_text, *last_error_detail;
    const char *transport; /* NULL or "": none yet */
    struct str host;
    int64_t connected_since_ms;
    int64_t next_try_ms;
    int64_t last_event_ms;
    int64_t popularity; /* -1 unknown */
    uint64_t n_connects, n_messages, n_events, n_repeats;
    struct span coverage; /* the worst that goes on; its cause is static */
    bool covered;         /* nothing is missing now: `coverage` is empty */
};
typedef bool(api_span_fn)(void *ctx, const struct span *span);

/* A change of a room by request. */
struct api_room_change {
    bool has_paused, paused;
    bool has_pinned, pinned;
    bool has_groups;
    const struct str *groups; /* 1..API_GROUP_BYTES bytes each, no commas */
    size_t n_groups;
};
enum { API_GROUPS_MAX = 16, API_GROUP_BYTES = 32, API_ROOMS_SET_MAX = 1000 };

struct api_rooms_changed {
    int64_t room_id;           /* the real id; 0: none, or several */
    size_t n_added, n_removed; /* rooms that are wanted now and were not, and the reverse */
    const int64_t *unknown;    /* ERR_NOT_FOUND: these are no rooms */
    size_t n_unknown;
    bool upstream_failed; /* the error is upstream's, and nothing has changed */
};
/* Exactly once, never before the call returned, unless forgotten. ERR_NOT_FOUND, ERR_CONFLICT, ERR_UNAVAILABLE (the
 * database), ERR_FULL, ERR_CANCELED, or what upstream failed with. */
typedef void(api_rooms_done_fn)(void *ctx, enum err_code code, const struct err *err,
                                const struct api_rooms_changed *done);

/* How asking upstream goes. Texts are static or lent until the next call. */
struct api_upstream {
    bool asked;                /* false: danmaku hosts are configured, and upstream is not asked */
    const char *breaker;       /* "closed", "open", "half_open" */
    int64_t breaker_until_ms;  /* wall; 0 closed */
    const char *breaker_cause; /* "" closed */
    int64_t uid;               /* 0 anonymous */
    bool login_expired, has_device_id;
    int64_t last_ok_ms; /* wall; 0 never */
    int64_t skew_ms;    /* INT64_MIN unknown */
    uint64_t n_waiting, n_requests, n_failed;
    struct str last_error; /* "" none */
    int64_t last_error_ms; /* wall; 0 none */
};
struct api_upstream_host {
    struct str host;
    uint64_t n_requests, n_failed;
    int64_t last_failed_ms; /* wall; 0 never */
};
typedef bool(api_upstream_host_fn)(void *ctx, const struct api_upstream_host *host);

enum api_kept {
    API_KEPT_EVENTS,
    API_KEPT_MINUTES,
    API_KEPT_AUDIENCE,
    API_KEPT_COVERAGE, /* what is known to be missing */
    API_KEPT_N
};

struct api_ops {
    bool (*room)(void *ctx, int64_t number,
                 struct api_room *ret); /* by real or short id; false: not known */
    void (*each_room)(void *ctx, bool (*fn)(void *fn_ctx, const struct api_room *room),
                      void *fn_ctx); /* by room id */
    int64_t (*committed)(void *ctx); /* newest event id known to be in the database; -1 unknown */
    bool (*ready)(void *ctx,
                  const char **ret_reason); /* for /readyz; reason is a short static text */
    /* Who may do what is known, and all that is needed to answer: until then only what needs no scope is answered. NULL:
     * always. */
    bool (*open)(void *ctx);
    /* What is known to be missing, as far as memory has it: spans that overlap [from_ms, to_ms), and those that the
     * database may still have otherwise; of a room or (0) of all that are collected; room 0 in a span stands for every room. fn returns false to stop. NULL: nothing. */
    void (*coverage)(void *ctx, int64_t room_id, int64_t from_ms, int64_t to_ms, api_span_fn *fn,
                     void *fn_ctx);
    /* From when on memory has all of it; INT64_MAX: it does not know the room. NULL: always. */
    int64_t (*coverage_known)(void *ctx, int64_t room_id);
    /* What was dropped because it was old: of earlier times perhaps nothing is there. 0, or NULL: nothing was dropped. */
    int64_t (*kept_from)(void *ctx, enum api_kept what);
    /* Changes of the set of rooms. Numbers are real or short ids. */
    void (*room_add)(void *ctx, int64_t number, const struct api_room_change *change,
                     api_rooms_done_fn *done, void *done_ctx);
    void (*rooms_set)(void *ctx, const int64_t *numbers, size_t n, api_rooms_done_fn *done,
                      void *done_ctx);
    void (*room_change)(void *ctx, int64_t number, const struct api_room_change *change,
                        api_rooms_done_fn *done, void *done_ctx);
    void (*room_remove)(void *ctx, int64_t number, api_rooms_done_fn *done, void *done_ctx);
    void (*rooms_forget)(void *ctx, const void *done_ctx); /* nobody waits for it any more */
    /* False: stopping. The HTTP hosts go to fn. */
    bool (*upstream)(void *ctx, struct api_upstream *ret, api_upstream_host_fn *fn, void *fn_ctx);
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
void api_database_there(struct api *a); /* the tokens are read at once */
void api_quiesce(struct api *a);        /* readyz says 503, streams end politely */
/* Something goes missing (span->to_ms SPAN_OPEN), or did: live streams are told. Other states than gaps are no matter. */
void api_gap(struct api *a, const struct span *span);
void api_free(struct api *a); /* after http_close, before the db is closed */

/* One line per route: "GET /api/v1/rooms listRooms". */
void api_print_routes(struct buf *out);
