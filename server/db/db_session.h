/* server/db/db_session.h - one connection of its owner, for transactions and COPY: the writer's.
 *
 * One operation at a time (asserted). After ERR_UNAVAILABLE or ERR_TIMEOUT the connection is gone, whether the operation took
 * effect is unknown; the session connects again by itself and calls on_up, and the owner finds out what holds. The
 * operation's done comes first, then on_down, then some time later on_up. Prepared statements and an open transaction
 * are gone with the connection; a transaction that is left open without a word for timeout_ms is ended by the server.
 *
 * Threading:  loop thread only.
 * Ownership:  the script and data of an operation are borrowed until its done; rows are lent for the callback.
 * Limits:     a result has at most DB_SESSION_RESULT_MAX bytes.
 * Errors:     as db.h; ERR_UNAVAILABLE from starting an operation: not connected.
 */
#pragma once

#include "server/db/db.h"

struct db_session;
enum { DB_SESSION_RESULT_MAX = 64 << 20 };

struct db_session_opts {
    const char *conninfo; /* strings are copied */
    const char *application_name;
    int64_t connect_timeout_ms;
    int64_t
        timeout_ms; /* per operation: no answer for this long means the server hangs; the connection is dropped */
    void (*on_up)(void *ctx); /* connected, idle */
    void (*on_down)(void *ctx,
                    const struct err *err); /* lost or could not connect; once per change */
    void *ctx;
};

struct db_session *db_session_new(struct loop *loop, const struct db_session_opts *opts,
                                  struct stats *stats);
/* An operation in flight is done with ERR_CANCELED; then closed is called once, never before this returns. */
void db_session_close(struct db_session *s, void (*closed)(void *ctx), void *ctx);
bool db_session_is_up(const struct db_session *s);

/* done: exactly once, never before this returns. It may start the next operation. */
MUST_CHECK enum err_code db_session_exec(struct db_session *s, const struct db_stmt *stmt,
                                         const struct db_arg *args, size_t n_args, db_done_fn *done,
                                         void *ctx, struct err *err);
/* Several statements in one round trip; done gets the result of the last. The first that fails ends the script, and
 * without a BEGIN in it or before it nothing of it holds. Nothing from outside may be written into `sql`. */
MUST_CHECK enum err_code db_session_script(struct db_session *s, const char *sql, db_done_fn *done,
                                           void *ctx, struct err *err);
/* `sql` is COPY ... FROM STDIN (text format); data is the whole text. done's rows say how many in db_rows_affected. */
MUST_CHECK enum err_code db_session_copy(struct db_session *s, const char *sql, struct str data,
                                         db_done_fn *done, void *ctx, struct err *err);

/* COPY text format, one value after another; the caller puts '\t' and '\n'. */
void db_copy_text(struct buf *out, struct str value); /* escapes \ \t \n \r */
/* The same into room that the caller has made: up to twice its bytes. Returns where it ends. */
char *db_copy_text_at(char *at, struct str value);
