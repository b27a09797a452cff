/* server/db/db_conn_priv.h - the parts of a connection, shared by the files that implement it.
 *
 *   db_conn.c          states, opening and closing, the socket's events
 *   db_conn_connect.c  from a conninfo to a connected libpq
 *   db_conn_op.c       what is sent and what comes back
 *
 * Threading:  loop thread only.
 */
#pragma once

#include <uv.h>

#include <libpq-fe.h>

#include "server/core/fsm.h"
#include "server/db/db_conn.h"
#include "server/db/pg_target.h"
#include "server/loop/loop.h"

enum conn_state {
    CONN_CLOSED,
    CONN_RESOLVING,
    CONN_CONNECTING,
    CONN_SETUP,
    CONN_READY,
    CONN_BUSY,
    CONN_CLOSING,
};

enum conn_phase { PHASE_PREPARE, PHASE_EXEC, PHASE_COPY };

/* LIMIT: statements are static and few; session settings are a short text. */
enum { STMTS_MAX = 128, SETUP_BYTES = 512 };

/* libpq may change its socket in every step of connecting, even to a new one with the old number, so each step takes a
 * fresh handle while the last one still closes: two are enough, because a step takes a turn of the loop. */
struct conn_poll {
    uv_poll_t handle; /* data: the connection */
    bool open;        /* initialised, close callback not yet seen */
    int events;       /* being watched for */
};

struct db_conn {
    struct loop *loop;
    struct db_conn_opts opts; /* strings owned */
    struct fsm fsm;
    unsigned n_open;         /* handles, requests and deferred calls that still come back */
    struct loop_timer timer; /* of connecting as a whole, of an operation */
    struct err err;          /* why it closes */

    struct pg_target target;
    uv_getaddrinfo_t lookup;
    size_t lookup_at; /* host being looked up */
    bool looking;     /* lookup is in flight */

    PGconn *pg; /* owned */
    struct conn_poll polls[2];
    struct conn_poll *poll; /* the one in use, or NULL */
    char setup_sql[SETUP_BYTES];
    char notice[ERR_MSG_BYTES]; /* the server's last word outside an operation */

    const struct db_stmt *prepared[STMTS_MAX];
    size_t n_prepared;

    const struct db_op *op; /* borrowed; NULL: none */
    enum conn_phase phase;
    bool was_prepared;  /* before this operation */
    PGresult *res;      /* owned: the result so far */
    enum err_code code; /* of the operation so far */
    struct err op_err;  /* ... */
    size_t wire_bytes;  /* received for this operation */
    bool copying;       /* the server waits for data */
    bool copy_ended;    /* PQputCopyEnd is done */
    size_t copied;      /* bytes handed to libpq */
};

/* db_conn.c */
void conn_fail(struct db_conn *c,
               const struct err *why); /* -> closing; an operation is done with it */
MUST_CHECK bool conn_watch(struct db_conn *c, int events); /* a fresh handle on the socket of now */
void conn_unwatch(struct db_conn *c);
void conn_events(struct db_conn *c, int events); /* changes what is watched */
void conn_maybe_closed(struct db_conn *c);

/* db_conn_connect.c */
void conn_resolve(struct db_conn *c); /* state resolving */
void conn_step(struct db_conn *c);    /* state connecting: the socket is ready for the next step */

/* db_conn_op.c */
void conn_send_setup(struct db_conn *c); /* state setup */
void conn_io(struct db_conn *c, int events);
