/* server/http/http.h - an HTTP server on the loop: routes, requests, whole answers, pulled streams.
 *
 * libmicrohttpd runs in external epoll mode behind this header and is visible nowhere else. A handler answers at once
 * or later (the request is then suspended), exactly once. A stream is pulled: the server asks for bytes when the
 * socket can take them, so a slow client costs one block and never a growing queue.
 *
 * Threading:  loop thread only.
 * Ownership:  a request lives until it was answered; everything read from it is lent until then. http_respond takes
 *             the body. Where a client leaves first (noticed only at shutdown), a request with http_req_on_gone ends
 *             there and must not be answered any more; one without it stays and must still be answered.
 * Limits:     opts.*; each is enforced with a problem document or, before a request exists, by closing.
 * Errors:     what libmicrohttpd refuses itself (malformed head, too long a head) has its own body.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/core/attr.h"
#include "server/core/buf.h"
#include "server/core/err.h"
#include "server/core/str.h"

struct http;
struct http_req;
struct http_stream;
struct loop;
struct stats;

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_PATCH,
    HTTP_DELETE,
    HTTP_OPTIONS,
    HTTP_METHODS
};

typedef void(http_handler_fn)(void *ctx, struct http_req *req);

struct http_route {
    enum http_method method; /* GET also answers HEAD */
    const char *path;        /* "/api/v1/rooms/{room}/events"; a parameter is one whole segment */
    http_handler_fn *handler;
    const char *operation_id;
    unsigned tag; /* the owner's own: api keeps the scope there */
};

struct http_opts {
    const char *address; /* numeric, v4 or v6 */
    uint16_t port;       /* 0: any free one, see http_port */
    unsigned max_connections;
    unsigned idle_timeout_s; /* silence; a request must be whole within twice this. 0: no limit */
    size_t max_body_bytes;
    const struct http_route *routes; /* borrowed */
    size_t n_routes;
    void *ctx; /* for the handlers and hooks */
    /* Before the handler, after routing: false means it answered itself (auth, CORS preflight). May be NULL.
     * OPTIONS that has no route of its own comes here with some route of its path; true then means 405. */
    bool (*before)(void *ctx, struct http_req *req, const struct http_route *route);
    /* Answers what has no route: status is 404, 405 (allow: the Allow value), 413, 400, 431. Required. */
    void (*refuse)(void *ctx, struct http_req *req, unsigned status, const char *allow);
    /* Adds headers to every answer (request id, CORS). May be NULL. */
    void (*decorate)(void *ctx, struct http_req *req);
};

MUST_CHECK enum err_code http_open(struct loop *loop, const struct http_opts *opts,
                                   struct stats *stats, struct http **ret, struct err *err);
uint16_t http_port(const struct http *h);
void http_quiesce(struct http *h); /* stop accepting; what runs goes on */
/* Ends streams, waits for running requests up to the deadline, closes, then calls closed once. */
void http_close(struct http *h, int64_t deadline_ms, void (*closed)(void *ctx), void *ctx);

/* The request */
const struct http_route *http_req_route(const struct http_req *r);
enum http_method http_req_method(const struct http_req *r); /* HTTP_METHODS: one we do not know */
struct str http_req_path(const struct http_req *r);         /* as it came, without the query */
struct str http_req_param(const struct http_req *r,
                          const char *name); /* of the path; percent-decoded; must exist */
size_t http_req_query_n(const struct http_req *r);
void http_req_query(const struct http_req *r, size_t i, struct str *ret_name,
                    struct str *ret_value);                             /* decoded, in order */
struct str http_req_header(const struct http_req *r, const char *name); /* empty if absent */
struct str http_req_body(const struct http_req *r);
struct str http_req_remote(const struct http_req *r);   /* numeric address */
const char *http_req_id(const struct http_req *r);      /* X-Request-Id, given or made */
void http_req_set_data(struct http_req *r, void *data); /* the owner's own, see http_req_on_gone */
void *http_req_data(const struct http_req *r);
/* fn runs once when the request ends, answered or not (peer gone, shutdown): release what belongs to it. */
void http_req_on_gone(struct http_req *r, void (*fn)(void *data));

/* The answer */
/* Copied; before answering. Left out: a value that is empty or holds a control character, and what passes 4 kB. */
void http_add_header(struct http_req *r, const char *name, struct str value);
void http_respond(struct http_req *r, unsigned status, const char *content_type,
                  struct buf *take_body);
void http_respond_static(struct http_req *r, unsigned status, const char *content_type,
                         struct str body); /* body outlives the server */

/* pull: writes at most max bytes to out and returns how many; 0 means nothing now (the stream sleeps until
 * http_stream_wake); HTTP_STREAM_END ends it well, HTTP_STREAM_ABORT cuts it so that the client sees truncation. */
enum { HTTP_STREAM_END = -1, HTTP_STREAM_ABORT = -2 };
typedef int64_t(http_pull_fn)(void *ctx, char *out, size_t max);
/* gone runs exactly once when the stream is over for whatever reason; the handle is invalid from then on.
 * max is at most block_bytes, and less (128 and up) for a client whose request had a long head. NULL, after gone has
 * run, only if the client of a deferred request has left. A client that does not read for idle_timeout_s is cut off; one
 * that vanishes while the stream sleeps is noticed when something is written: wake the stream now and then. */
struct http_stream *http_respond_stream(struct http_req *r, unsigned status,
                                        const char *content_type, size_t block_bytes,
                                        http_pull_fn *pull, void (*gone)(void *ctx), void *ctx);
void http_stream_wake(
    struct http_stream *s); /* cheap when awake; the pull runs soon, never inside */

unsigned http_n_connections(const struct http *h);
unsigned http_n_streams(const struct http *h);
