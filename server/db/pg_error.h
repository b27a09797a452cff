/* server/db/pg_error.h - what libpq and the server say, as our error codes (the list in db.h).
 *
 * Threading:  any thread.
 */
#pragma once

#include <libpq-fe.h>

#include "server/core/err.h"

/* sqlstate: five characters, or NULL when libpq made the error itself (the connection broke). */
enum err_code pg_error_code(const char *sqlstate);
/* An error of a statement: "23505: duplicate key value ...". */
enum err_code pg_error_from_result(struct err *err, const PGresult *res);
/* The connection failed or broke: ERR_UNAVAILABLE with the first line of what libpq says. */
enum err_code pg_error_from_conn(struct err *err, const PGconn *conn);
