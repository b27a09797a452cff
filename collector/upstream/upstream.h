/* collector/upstream/upstream.h - the upstream's HTTP APIs: what rooms are there, which are live, where to connect.
 *
 * One identity (user agent, device id kept on disk, optional login cookie), one token bucket per host, one breaker for
 * all of them: when upstream bans or suspects us, no request leaves for breaker_ms, calls fail at once with
 * ERR_UNAVAILABLE, and rooms that are connected go on. Nothing here tries to get around such a ban.
 *
 * Threading:  loop thread only.
 * Ownership:  answers and their strings are lent for the callback. Options are copied.
 * Limits:     UPSTREAM_CALLS_MAX calls wait or run (ERR_FULL past it), UPSTREAM_BODY_MAX bytes an answer,
 *             UPSTREAM_TRIES tries of one call, opts.timeout_ms each.
 * Errors:     ERR_NOT_FOUND: upstream says there is no such thing; ERR_UNAVAILABLE: breaker, network, or upstream's own
 *             failure (the message says which and for how long); ERR_PROTO: an answer that makes no sense; ERR_FORBIDDEN:
 *             refused by risk control; ERR_FULL; ERR_CANCELED: closing. Tokens and cookies are never in a message or a
 *             log line. A callback comes exactly once and never before its call returns. What concerns everybody (a host
 *             that cannot be reached, the breaker, the login) is logged here, once; callers need not.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/core/attr.h"
#include "server/core/err.h"
#include "server/core/str.h"

struct loop;
struct stats;
struct upstream;

enum {
    UPSTREAM_CALLS_MAX = 4096,
    UPSTREAM_BODY_MAX = 4 * 1024 * 1024,
    UPSTREAM_TRIES = 3,
    UPSTREAM_STATUS_MAX = 50, /* rooms in one question for status */
    UPSTREAM_PAGE_MAX = 99,   /* rooms on one page of a list */
    UPSTREAM_HOSTS_MAX = 32,  /* danmaku hosts in one answer; the rest is left out */
};

/* What we say we are, if the options do not say: an ordinary browser's. The same is to be said on the connections that
 * are made with what upstream answers. */
#define UPSTREAM_USER_AGENT                                                                        \
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 "     \
    "Safari/537.36"

struct upstream_opts {
    struct str live_url;    /* base of the live APIs, https://api.live.bilibili.com */
    struct str api_url;     /* base of the main site's APIs, https://api.bilibili.com */
    struct str www_url;     /* base of the site, https://www.bilibili.com */
    struct str user_agent;  /* "": UPSTREAM_USER_AGENT */
    struct str cookie_file; /* "": anonymous */
    struct str state_dir;   /* where the device id is kept; "": nowhere */
    struct str ca_file;     /* "": the system's */
    int64_t timeout_ms;
    double rate; /* requests per second and host */
    unsigned burst;
    int64_t breaker_ms; /* nothing is sent for so long after a ban; doubled for each that follows
                           at once, up to an hour */
    uint64_t seed;      /* jitter; 0: from the system */
    /* While no answer has come whose Date is this near to our clock, those that come are not used: calls fail with
     * ERR_UNAVAILABLE. Afterwards a difference is only told. 0: any clock will do. */
    int64_t clock_off_max_ms;
};

struct upstream *upstream_new(struct loop *loop, const struct upstream_opts *opts,
                              struct stats *stats);
/* Every pending call ends with ERR_CANCELED, then closed comes once; freed by then. A device id that is being written
 * to the disk is not waited for: the loop has that work left until the disk answers. */
void upstream_close(struct upstream *u, void (*closed)(void *ctx), void *ctx);

bool upstream_saves(const struct upstream *u); /* the device id is on its way to the disk */

/* What upstream says of one room. -1 or "": it does not say. */
struct upstream_room {
    int64_t room_id;
    int64_t short_id;      /* 0: none */
    int64_t uid;           /* of the anchor */
    int live_status;       /* 0 off, 1 live, 2 replays (not live), -1 unknown */
    int64_t live_since_ms; /* wall; 0 not live or unknown */
    struct str uname, title, area, parent_area;
    int64_t area_id, parent_area_id;
    int64_t popularity;
    int64_t followers;
};

typedef void(upstream_room_fn)(void *ctx, enum err_code code, const struct upstream_room *room,
                               const struct err *err);
/* By real or short id. */
void upstream_resolve(struct upstream *u, int64_t room, upstream_room_fn *done, void *ctx);

typedef void(upstream_rooms_fn)(void *ctx, enum err_code code, const struct upstream_room *rooms,
                                size_t n, const struct err *err);
/* Status of up to UPSTREAM_STATUS_MAX rooms by their real ids; rooms that upstream leaves out are not in the answer. */
void upstream_status(struct upstream *u, const int64_t *room_ids, size_t n, upstream_rooms_fn *done,
                     void *ctx);
/* One page, by popularity, 1 the first; 0 areas: the whole site, the whole parent area. n 0: past the end. */
void upstream_list(struct upstream *u, int64_t parent_area_id, int64_t area_id, unsigned page,
                   unsigned page_size, upstream_rooms_fn *done, void *ctx);

struct upstream_area {
    int64_t id, parent_id; /* parent_id 0: a parent area */
    struct str name;
};
typedef void(upstream_areas_fn)(void *ctx, enum err_code code, const struct upstream_area *areas,
                                size_t n, const struct err *err);
void upstream_areas(struct upstream *u, upstream_areas_fn *done, void *ctx);

struct upstream_host {
    struct str host;
    uint16_t tcp, ws, wss; /* ports; 0: not offered */
};
struct upstream_danmu {
    struct str token;
    struct str buvid;
    int64_t uid; /* of the login, 0 anonymous */
    const struct upstream_host *hosts;
    size_t n_hosts;
    bool legacy; /* from the old endpoint */
};
typedef void(upstream_danmu_fn)(void *ctx, enum err_code code, const struct upstream_danmu *info,
                                const struct err *err);
/* Token and hosts for a room's connection. fresh: the last token was refused. */
void upstream_danmu_info(struct upstream *u, int64_t room_id, bool fresh, upstream_danmu_fn *done,
                         void *ctx);

enum upstream_breaker { UPSTREAM_CLOSED, UPSTREAM_OPEN, UPSTREAM_HALF_OPEN };
struct upstream_info {
    enum upstream_breaker breaker;
    int64_t breaker_until_ms; /* wall; 0 closed */
    const char
        *breaker_cause; /* "" closed; "http_412", "code_-412", "code_-352", "v_voucher", "page" */
    int64_t uid;        /* 0 anonymous */
    bool login_expired; /* a cookie file is there, but upstream does not take it */
    bool has_buvid;
    int64_t last_ok_ms; /* wall; 0 never */
    int64_t skew_ms;    /* upstream's Date - our clock at the last answer; INT64_MIN unknown */
    size_t n_waiting;
    uint64_t n_requests, n_failed;
    struct err last_error; /* of the newest failure */
    int64_t last_error_ms; /* wall; 0 none */
};
void upstream_info(const struct upstream *u, struct upstream_info *ret);
struct upstream_host_info {
    struct str host;
    uint64_t n_requests, n_failed;
    int64_t last_failed_ms; /* wall; 0 never */
};
/* The HTTP hosts, each once; fn returns false to stop. */
void upstream_each_host(const struct upstream *u,
                        bool (*fn)(void *ctx, const struct upstream_host_info *host), void *ctx);
/* Asks something small, to learn upstream's clock (upstream_info: skew_ms). told comes once, never before this returns: an
 * answer has come, or none will. One at a time. */
void upstream_ask_clock(struct upstream *u, void (*told)(void *ctx), void *ctx);
/* SIGHUP: takes over the options but user_agent, state_dir, seed, clock_off_max_ms, and reads cookie_file again. What is
 * under way goes on; if a base has changed, it is asked again there, and a ban by the server before does not count. */
void upstream_configure(struct upstream *u, const struct upstream_opts *opts);
