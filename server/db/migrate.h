/* server/db/migrate.h - forward-only schema migrations, embedded at build from migrations/NNNN_name.sql.
 *
 * Under an advisory lock: compares the SHA-256 of the applied files, refuses a newer or a changed schema, applies each
 * missing file in its own transaction. A file that fails leaves nothing behind. migrations/README.md has the rules.
 *
 * Threading:  startup only (blocking libpq; the loop does not run yet).
 * Errors:     ERR_CONFLICT the schema is newer than this program, or an applied file differs (exit 3).
 *             ERR_UNAVAILABLE no connection yet, or another process migrates for long; ERR_RETRY a table stayed
 *             locked: try again. ERR_INVALID no conninfo, or the server is too old or not UTF8. Anything else: a migration failed.
 */
#pragma once

#include "server/core/attr.h"
#include "server/core/err.h"

struct migrate_result {
    int from_version; /* what was there: 0 for an empty database */
    int to_version;   /* migrate_run: what is there now; migrate_check: what this program needs */
};
MUST_CHECK enum err_code migrate_run(const char *conninfo, struct migrate_result *ret,
                                     struct err *err);
/* Changes nothing. ERR_OK with from_version < to_version: migrate_run has something to do. */
MUST_CHECK enum err_code migrate_check(const char *conninfo, struct migrate_result *ret,
                                       struct err *err);
