/* server/http/http_priv.h - what the files of this folder share.
 *
 *      http.c         open and close, one run of libmicrohttpd per loop turn, timers
 *      http_listen.c  the socket
 *      http_mhd.c     libmicrohttpd: the only file that includes its header
 *      http_req.c     a request from its first line to its answer
 *      http_stream.c  pulled bodies
 *      http_sleep.c   suspending and resuming
 *      target, router pure
 *
 * Everything here happens on the loop thread, most of it inside mhd_run. A request's life:
 *
 *      READING -> RUNNING (the handler has it) -> ANSWERED (response built) -> SENDING -> ended
 *
 * It ends when libmicrohttpd says so (answer sent, peer gone, daemon stopped), in whatever state it is.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "server/core/list.h"
#include "server/core/rng.h"
#include "server/http/http.h"
#include "server/http/router.h"
#include "server/http/target.h"
#include "server/loop/loop.h"
#include "server/stats/stats.h"

struct MHD_Connection;
struct MHD_Daemon;
struct MHD_Response;

enum {
    /* LIMIT: memory of a connection for the request's head, the answer's head and a stream's block. A head of 3 kB with
     * 28 fields and query parameters fits, cookies count twice. */
    HTTP_POOL_BYTES = 5888,
    HTTP_ANSWER_HEAD_BYTES = 1024, /* LIMIT: kept free for the head of the answer */
    HTTP_ANSWER_OWN_BYTES = 256,   /* status line and fields that libmicrohttpd adds */
    HTTP_BACKLOG = 4096,
    HTTP_SPARE_CONNECTIONS = 64,    /* accepted past max_connections only to be closed at once */
    HTTP_ADDED_HEADER_BYTES = 4096, /* LIMIT: headers added to one answer */
    HTTP_DISCARD_BYTES =
        1024 * 1024, /* LIMIT: of a body too large, read so that the client sees the 413 */
    HTTP_ID_BYTES = 64,
    HTTP_REMOTE_BYTES = 46, /* INET6_ADDRSTRLEN */
    HTTP_SLICE_NS = 5 * 1000 * 1000,
    HTTP_RUN_PASSES = 4,
    HTTP_ACCEPTS_PER_RUN = 10, /* libmicrohttpd accepts so many and then returns */
};

enum http_phase { HTTP_OPEN, HTTP_CLOSING, HTTP_STOPPING, HTTP_STOPPED };

struct http {
    struct loop *loop;            /* borrowed */
    struct stats *stats;          /* borrowed, may be NULL */
    struct stats_histogram *time; /* borrowed from stats */
    struct http_opts opts;        /* routes borrowed */
    struct router *router;        /* owned */
    struct MHD_Daemon *daemon;    /* owned */
    struct rng rng;
    uint16_t port;
    enum http_phase phase;
    bool listening;

    uv_poll_t poll;   /* the daemon's epoll descriptor */
    uv_check_t check; /* where the daemon runs, once per turn */
    uv_idle_t idle;   /* active while a run is wanted: the loop then does not sleep */
    unsigned n_handles;
    bool run_wanted;
    struct loop_timer timer; /* the daemon's own next timeout */
    int64_t timer_due_ms;
    struct loop_timer resumer;  /* wakers wait for company, see http_sleep.c */
    struct loop_timer sweeper;  /* closes connections that never finish a request */
    struct loop_timer deadline; /* of http_close */
    void (*closed)(void *ctx);
    void *closed_ctx;

    struct list fresh;      /* connections that owe us a request, the longest waiting first ... */
    struct list idle_conns; /* ... and after they were looked at once */
    struct list reqs;       /* every request that has not ended */
    struct list answers_up; /* suspended connections to resume: with an answer, ... */
    struct list streams_up; /* ... with a stream */
    size_t n_asleep;        /* suspended connections */
    int64_t resumed_ms;     /* when some were resumed last */
    size_t slice;           /* streams resumed per run, adapted to HTTP_SLICE_NS */
    unsigned n_accepted;    /* since the last pass of a run */
    unsigned n_connections;
    unsigned n_running; /* requests between dispatch and end, streams included */
    unsigned n_streams;
};

/* A TCP connection. */
struct http_conn {
    struct list_node node;
    struct list
        *in; /* the list of http it is in: fresh, idle_conns, answers_up, streams_up or none */
    struct http *http;
    struct MHD_Connection *mhd;
    struct http_req *req; /* the current one, owned by http.reqs */
    int64_t since_ms;     /* when it began to owe us a request */
    bool asleep;          /* suspended */
    char remote[HTTP_REMOTE_BYTES];
};

enum http_req_state { REQ_READING, REQ_RUNNING, REQ_ANSWERED, REQ_SENDING };

struct http_req {
    struct list_node node; /* in http.reqs */
    struct http *http;     /* NULL: the client left before the answer */
    struct http_conn *conn;
    enum http_req_state state;
    enum http_method method;
    unsigned status;
    bool head_seen;
    bool http10;
    bool head_too_long; /* it leaves no room for the head of the answer: 431 */
    bool too_big;       /* body over the limit: 413 */
    bool early;         /* answered before the body was read; closes the connection */
    bool in_call;       /* the handler is on the stack */
    bool settled;       /* see http_req_on_complete */
    bool counted;       /* in http.n_running */
    bool ending;
    size_t discarded; /* bytes of the body past the limit */
    uint64_t started_ns;
    struct target target;
    struct target_pair params[ROUTER_PARAMS];
    size_t n_params;
    const struct http_route *route;
    struct buf body;
    struct buf headers;            /* name NUL value NUL ..., until answered */
    struct MHD_Response *response; /* owned from building to queueing */
    struct http_stream *stream;    /* owned */
    char id[HTTP_ID_BYTES + 1];
    void *data; /* the owner's */
    void (*gone)(void *data);
};

struct http_stream {
    struct http_req *req;
    http_pull_fn *pull;
    void (*gone)(void *ctx);
    void *ctx;
    size_t block;
    struct MHD_Response *response; /* borrowed from the connection; NULL once its head was sent */
    bool woken;                    /* while awake: pull again instead of sleeping */
    bool ended;                    /* well, by the puller */
};

struct http_answer {
    unsigned status;
    const char *content_type; /* or NULL */
    struct str body;
    bool take_body; /* free it with mem_free */
    struct http_stream *stream;
};

/* http.c */
void http_want_run(struct http *h);
void http_conn_waits(struct http_conn *c); /* from now on it owes us a request */

/* http_listen.c */
MUST_CHECK enum err_code http_listen(const struct http_opts *o, int *ret_fd, uint16_t *ret_port,
                                     struct err *err);

/* http_mhd.c: the daemon */
MUST_CHECK enum err_code mhd_start(struct http *h, int listen_fd, struct err *err);
int mhd_epoll_fd(const struct http *h);
void mhd_run(struct http *h);
bool mhd_timeout_ms(struct http *h, int64_t *ret); /* false: nothing waits for a time */
int mhd_quiesce(struct http *h);                   /* gives the listening socket back, or -1 */
void mhd_stop(struct http *h);
/* http_mhd.c: a connection */
void mhd_suspend(struct MHD_Connection *c);
void mhd_resume(struct MHD_Connection *c);
void mhd_shut(struct MHD_Connection *c); /* ends the socket; the daemon notices */
bool mhd_peer_has_shut(struct MHD_Connection *c);
size_t mhd_head_bytes(struct MHD_Connection *c); /* of the pool, taken by the request's head */
struct str mhd_header(struct MHD_Connection *c, const char *name);
/* NULL: no memory. Takes the body in any case. */
struct MHD_Response *mhd_response(const struct http_req *r, struct http_answer *a);
void mhd_response_free(struct MHD_Response *response);
void mhd_response_forget_head(struct MHD_Response *response); /* it was sent */

/* http_req.c, called by http_mhd.c */
enum req_verdict {
    REQ_GO_ON,  /* libmicrohttpd calls again */
    REQ_QUEUE,  /* take r->response */
    REQ_SLEEP,  /* suspend until the answer is there */
    REQ_REFUSE, /* close the connection */
};
struct http_req *http_req_new(struct http_conn *c, struct str uri); /* NULL: no memory */
enum req_verdict http_req_on_head(struct http_req *r, struct str method, struct str version);
enum req_verdict http_req_on_body(struct http_req *r, struct str bytes);
enum req_verdict http_req_on_complete(struct http_req *r);
void http_req_on_end(struct http_req *r);

/* http_stream.c */
int64_t http_stream_pull(struct http_stream *s, char *out, size_t max);
void http_stream_free(struct http_stream *s);

/* http_sleep.c */
void http_conn_move(struct http_conn *c, struct list *to); /* NULL: into none */
void http_conn_sleep(struct http_conn *c);
void http_conn_wake(struct http_conn *c); /* no-op when awake or already waking */
size_t http_n_waking(const struct http *h);
int64_t http_resume_in_ms(struct http *h);              /* 0: those that wake may be resumed now */
size_t http_resume(struct http *h, size_t max_streams); /* all answers, some streams; how many */
