/* server/db/db_conn.h - one connection to PostgreSQL on the loop, as a checked state machine.
 *
 *   closed -> resolving -> connecting -> setup -> ready <-> busy
 *     ^            \            |          |        |       /
 *     \------------------------ closing <------------------/
 *
 * It neither connects again by itself nor queues: that is its owner's (pool, session). An operation that gets no answer
 * in time closes the connection; what the server does then is bounded by statement_timeout, a bit below ours, so no
 * cancel is ever sent.
 *
 * Threading:  loop thread only.
 * Limits:     opts.max_result_bytes per result, STMTS_MAX prepared statements per connection.
 * Errors:     as db.h.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/core/err.h"
#include "server/core/str.h"
#include "server/db/db.h"
#include "server/db/pg_params.h"

struct db_conn;
struct loop;

struct db_conn_opts {
    const char *conninfo;
    const char *application_name;
    int64_t connect_timeout_ms;
    int64_t answer_timeout_ms; /* of an operation */
    size_t max_result_bytes;
    void (*ready)(void *ctx); /* connected and set up */
    /* Closed, or could not connect; everything is released. It may be opened again or freed in here. */
    void (*gone)(void *ctx, const struct err *err);
    void *ctx;
};

/* A statement, a script or a COPY. Borrowed by the connection until done. */
struct db_op {
    const struct db_stmt *stmt;
    const struct pg_params *params;
    const char *script;   /* not NULL: statements without parameters, in one message */
    const char *copy_sql; /* not NULL: COPY ... FROM STDIN */
    struct str copy_data;
    /* Exactly once, never before db_conn_start returns. The connection is ready again, or closing. */
    void (*done)(void *ctx, enum err_code code, const struct err *err, const struct db_rows *rows);
    void *ctx;
};

struct db_conn *db_conn_new(struct loop *loop, const struct db_conn_opts *opts);
void db_conn_free(struct db_conn *c); /* closed ones only; NULL is fine */

void db_conn_open(struct db_conn *c); /* closed ones only; ends in ready or gone */
/* Closes, from any state; an operation in flight is done with ERR_CANCELED first. `gone` follows, never before this
 * returns; no-op when closed or closing. */
void db_conn_drop(struct db_conn *c, const struct err *why);
void db_conn_start(struct db_conn *c, const struct db_op *op); /* ready ones only */

bool db_conn_is_closed(const struct db_conn *c);
bool db_conn_is_ready(const struct db_conn *c);
bool db_conn_is_live(const struct db_conn *c); /* ready or busy */
