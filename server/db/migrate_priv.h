/* server/db/migrate_priv.h - migrations as data, so that tests can bring their own.
 *
 * Threading:  startup only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "server/db/migrate.h"

struct migration {
    int version;        /* 1, 2, 3, ... */
    const char *name;   /* "0001_init" */
    const char *sha256; /* of the file, hex */
    const char *sql;
};

struct migration_set {
    const struct migration *rows; /* by version, without holes */
    size_t n;
};

/* Generated at build from migrations/ (cmake/embed_migrations.cmake). */
extern const struct migration_set migrations_embedded;

/* migrate_run (apply) and migrate_check with another set than the embedded one. */
MUST_CHECK enum err_code migrate_with(const char *conninfo, const struct migration_set *set,
                                      bool apply, struct migrate_result *ret, struct err *err);
