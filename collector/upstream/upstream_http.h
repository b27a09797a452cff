/* collector/upstream/upstream_http.h - plain GETs over libcurl's multi interface on the loop; the only file that knows curl.
 *
 * No policy: no waiting, no repeating, no judging of answers. Redirects are not followed (their status is the answer),
 * certificates are always checked, the environment's proxies are not used, compressed answers are unpacked. Names are
 * resolved by curl's own threads, which are left behind when nobody waits for them any more: the loop never blocks.
 *
 * Threading:  loop thread only. Timeouts run by the real clock, whatever clock the loop has.
 * Ownership:  arguments are copied; an answer is lent for the callback.
 * Limits:     opts.body_max bytes of an unpacked body, UPSTREAM_HTTP_HEAD_MAX of a head; UPSTREAM_HTTP_CONNS connections.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "server/core/err.h"
#include "server/core/str.h"

struct loop;
struct upstream_http;

enum { UPSTREAM_HTTP_CONNS = 16, UPSTREAM_HTTP_HEAD_MAX = 64 * 1024 };

struct upstream_http_opts {
    struct str user_agent;
    struct str ca_file; /* "": the system's */
    size_t body_max;
    int64_t timeout_ms; /* of a whole exchange */
};

struct upstream_http_ask {
    struct str url, referer;
    struct str cookie; /* "": none */
};

enum upstream_http_end {
    UPSTREAM_HTTP_ANSWERED,
    UPSTREAM_HTTP_NETWORK, /* no name, no connection, bad certificate, broken off */
    UPSTREAM_HTTP_TIMEOUT,
    UPSTREAM_HTTP_TOO_BIG,
};
struct upstream_http_answer {
    enum upstream_http_end how;
    const char *error; /* "" if answered */
    long status;
    struct str body;
    int64_t date_ms;  /* of the Date header, wall; 0 none */
    struct str buvid; /* of Set-Cookie: buvid3=...; "" none */
};
typedef void(upstream_http_fn)(void *ctx, const struct upstream_http_answer *answer);

struct upstream_http *upstream_http_new(struct loop *loop, const struct upstream_http_opts *opts);
/* From the next exchange on. */
void upstream_http_configure(struct upstream_http *h, struct str ca_file, int64_t timeout_ms);
/* done comes exactly once, never before this returns, unless upstream_http_close comes before. */
void upstream_http_get(struct upstream_http *h, const struct upstream_http_ask *ask,
                       upstream_http_fn *done, void *ctx);
/* Breaks everything off: no done comes any more, then closed once; freed by then. */
void upstream_http_close(struct upstream_http *h, void (*closed)(void *ctx), void *ctx);
