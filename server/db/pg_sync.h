/* server/db/pg_sync.h - blocking libpq that always has a deadline, for the start of the program.
 *
 * Threading:  startup only.
 */
#pragma once

#include <stdint.h>

#include <libpq-fe.h>

#include "server/core/attr.h"
#include "server/core/err.h"

/* Connects as danmakud's own sessions do: UTF-8, UTC. The conninfo may say otherwise about anything but those. */
MUST_CHECK enum err_code pg_sync_connect(const char *conninfo, PGconn **ret, struct err *err);
void pg_sync_close(PGconn **conn); /* for CLEANUP; *conn may be NULL */

/* One statement with text parameters, or without (n = 0) a whole script. timeout_ms 0: no limit. ret may be NULL.
 * ERR_TIMEOUT: no answer, the connection is of no use any more. */
MUST_CHECK enum err_code pg_sync_exec(PGconn *conn, const char *sql, int n,
                                      const char *const *params, int64_t timeout_ms,
                                      struct err *err);
/* The same for a query; PQclear *ret. */
MUST_CHECK enum err_code pg_sync_query(PGconn *conn, const char *sql, int64_t timeout_ms,
                                       PGresult **ret, struct err *err);
void pg_sync_clear(PGresult **res); /* for CLEANUP */
