/* server/db/pg_params.h - struct db_arg in the form libpq takes: one block of text, one pointer per value.
 *
 * Threading:  any thread.
 * Ownership:  owns a copy of everything.
 * Limits:     PG_PARAMS_BYTES_MAX for the values of a statement together.
 */
#pragma once

#include "server/db/db.h"

enum { PG_PARAMS_BYTES_MAX = 16 << 20 };

struct pg_params {
    int n;
    char *text;                      /* owned: all values, each with a NUL behind */
    const char *values[DB_ARGS_MAX]; /* into text; NULL: SQL NULL */
    int lengths[DB_ARGS_MAX];
    int formats[DB_ARGS_MAX];
};

/* ERR_INVALID a text with a NUL, ERR_TOO_BIG over the limit or out of memory; p is empty then. */
MUST_CHECK enum err_code pg_params_init(struct pg_params *p, const struct db_arg *args, size_t n,
                                        struct err *err);
void pg_params_deinit(struct pg_params *p);
