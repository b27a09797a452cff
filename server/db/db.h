/* server/db/db.h - PostgreSQL, asynchronously on the loop: a pool for queries.
 *
 * A query waits in a bounded queue for a free connection; connections are made, lost and made again behind the
 * scenes (jittered backoff, for ever). While the server cannot be reached, queries are refused at once. Statements are
 * static, named, prepared once per connection. Results are whole and bounded; they are lent for the time of the
 * callback.
 *
 * A query past its time is answered; its connection gets free when the server has stopped too, which a
 * statement_timeout a bit below ours makes sure of. A connection without any answer for timeout_ms is given up, and the
 * idle ones with it.
 *
 * Threading:  loop thread only.
 * Ownership:  arguments are copied before db_query returns.
 * Limits:     opts.pool connections, opts.max_queue waiting queries, opts.timeout_ms per query (queue time included),
 *             opts.max_result_bytes of memory per result: past it reading stops and the connection is given up.
 * Errors:     ERR_UNAVAILABLE no connection (SQLSTATE 08, 57P, 53, 58, read-only 25006, or the socket broke), ERR_RETRY
 *             (40, 55, a prepared statement that is gone or outdated, COMMIT of a failed transaction), ERR_TIMEOUT
 *             (57014 or no answer), ERR_INVALID the data does not fit (22, 23, 54), ERR_FULL the queue is full,
 *             ERR_TOO_BIG the result or the arguments, ERR_CANCELED closed, ERR_INTERNAL anything else: a statement of
 *             ours is wrong (42). The message begins with the SQLSTATE if there is one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/core/attr.h"
#include "server/core/buf.h"
#include "server/core/err.h"
#include "server/core/str.h"

struct db;
struct db_rows;
struct loop;
struct stats;

/* ERR_INVALID: not a connection string at all (the message does not repeat it: it may hold a password). */
MUST_CHECK enum err_code db_conninfo_check(const char *conninfo, struct err *err);

struct db_opts {
    const char *conninfo; /* copied; URI or key=value; host names are resolved off the loop */
    unsigned pool;
    unsigned max_queue;
    int64_t connect_timeout_ms;
    int64_t timeout_ms;
    size_t max_result_bytes;
    const char *application_name;
    bool held; /* does not connect before db_release: queries are refused until then */
};

struct db *db_new(struct loop *loop, const struct db_opts *opts,
                  struct stats *stats); /* starts connecting, unless held */
void db_release(struct db *db);         /* once, when it was held */
/* Fails what waits with ERR_CANCELED, closes, then calls closed once; db is freed by then. */
void db_close(struct db *db, void (*closed)(void *ctx), void *ctx);
bool db_is_up(const struct db *db); /* the newest exchange with the server worked */
typedef void(db_state_fn)(void *ctx, bool up);
/* One listener, for changes from now on; not called any more after db_close. */
void db_on_state(struct db *db, db_state_fn *fn, void *ctx);

struct db_stmt {
    const char *name;
    const char *sql; /* $1.. ; static */
};

enum db_type { DB_NULL, DB_I64, DB_TEXT, DB_BYTES, DB_I64_ARRAY, DB_TEXT_ARRAY };
struct db_arg {
    enum db_type type;
    int64_t i64;
    struct str text; /* DB_TEXT: valid UTF-8 without NUL, else ERR_INVALID; DB_BYTES: anything */
    const int64_t *i64s;
    const struct str *texts;
    size_t n;
};
#define DB_ARG_NULL ((struct db_arg){.type = DB_NULL})
#define DB_ARG_I64(v) ((struct db_arg){.type = DB_I64, .i64 = (v)})
#define DB_ARG_TEXT(v) ((struct db_arg){.type = DB_TEXT, .text = (v)})
#define DB_ARG_BYTES(v) ((struct db_arg){.type = DB_BYTES, .text = (v)})
#define DB_ARG_I64S(v, count) ((struct db_arg){.type = DB_I64_ARRAY, .i64s = (v), .n = (count)})
#define DB_ARG_TEXTS(v, count) ((struct db_arg){.type = DB_TEXT_ARRAY, .texts = (v), .n = (count)})
enum { DB_ARGS_MAX = 24 };

/* Exactly once, never before db_query returns. rows is NULL unless code is ERR_OK; err is never NULL. */
typedef void(db_done_fn)(void *ctx, enum err_code code, const struct err *err,
                         const struct db_rows *rows);
MUST_CHECK enum err_code db_query(struct db *db, const struct db_stmt *stmt,
                                  const struct db_arg *args, size_t n_args, db_done_fn *done,
                                  void *ctx, struct err *err);
/* The callbacks of this ctx will not be called any more (the query may still run). */
void db_forget(struct db *db, const void *ctx);

size_t db_rows_n(const struct db_rows *rows);
size_t db_rows_affected(const struct db_rows *rows); /* INSERT, UPDATE, DELETE */
bool db_null(const struct db_rows *rows, size_t row, unsigned col);
int64_t db_i64(const struct db_rows *rows, size_t row, unsigned col); /* int2/4/8; 0 when NULL */
bool db_bool(const struct db_rows *rows, size_t row, unsigned col);
struct str db_text(const struct db_rows *rows, size_t row,
                   unsigned col); /* any type's text form; empty when NULL */
