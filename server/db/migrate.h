/* server/db/migrate.h - forward-only schema migrations, embedded at build from migrations/NNNN_name.sql.
 *
 * Under an advisory lock: compares the SHA-256 of the applied files, refuses a newer or a changed schema, applies each
 * missing file in its own transaction.
 *
 * Threading:  startup only (blocking libpq; the loop does not run yet).
 */
#pragma once

#include "server/core/attr.h"
#include "server/core/err.h"

struct migrate_result {
    int from_version;
    int to_version;
};
/* ERR_CONFLICT: the schema is newer than this program or an applied file differs (exit 3).
 * ERR_UNAVAILABLE: no connection yet, try again. */
MUST_CHECK enum err_code migrate_run(const char *conninfo, struct migrate_result *ret,
                                     struct err *err);
MUST_CHECK enum err_code migrate_check(const char *conninfo, struct migrate_result *ret,
                                       struct err *err); /* changes nothing */
