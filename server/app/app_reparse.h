/* server/app/app_reparse.h - decoding again what was kept of upstream's messages.
 *
 * Threading:  a program of its own: app_reparse_run runs a loop until it is done.
 * Errors:     told on stderr; the exit code says that there was one. Running it again goes on with what is missing.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/core/attr.h"
#include "server/core/str.h"

struct config;

enum { REPARSE_CMDS_MAX = 4096 };

struct reparse_opts {
    bool has_cmd; /* else all */
    struct str cmd;
    int64_t from_id; /* message ids [from, to) */
    int64_t to_id;
    bool dry_run;
};

MUST_CHECK int app_reparse_run(const char *conninfo, const struct config *config,
                               const struct reparse_opts *opts);
