/* tests/sim/sim_pem.h - a PEM file as a C string, for a library that takes no file names.
 *
 * Threading:  startup only.
 * Errors:     ERR_IO with the file's name; also when it is longer than out's limit.
 */
#pragma once

#include "server/core/attr.h"
#include "server/core/buf.h"
#include "server/core/err.h"

/* The file, or, when dir is not NULL, DIR/name; with a NUL at its end. */
MUST_CHECK enum err_code sim_pem_read(const char *file, const char *dir, const char *name,
                                      struct buf *out, struct err *err);
