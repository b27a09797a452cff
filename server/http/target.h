/* server/http/target.h - the target of a request line taken apart: path segments and query parameters, decoded.
 *
 *      /api/v1/rooms/a%2Fb/events?from=1&kinds=gift&kinds=guard
 *      path      as it came, without the query
 *      segments  "api" "v1" "rooms" "a/b" "events"       split first, then decoded, so %2F separates nothing
 *      query     ("from","1") ("kinds","gift") ("kinds","guard")      in order, repeats kept, '+' is a space
 *
 * Threading:  one user at a time.
 * Ownership:  a target owns one block of memory that all its views point into.
 * Limits:     TARGET_SEGMENTS (past it: too_deep, no route has so many) and TARGET_QUERY parameters.
 * Errors:     ERR_INVALID for a bad escape, a decoded NUL or text that is not UTF-8, with the detail in err.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "server/core/attr.h"
#include "server/core/err.h"
#include "server/core/str.h"

enum { TARGET_SEGMENTS = 12, TARGET_QUERY = 128 };

struct target_pair {
    struct str name;
    struct str value;
};

struct target {
    char *memory; /* owned: the target as it came, its decoded parts, the pairs */
    struct str uri;
    struct str path;
    struct target_pair *query; /* in memory */
    size_t n_query;
};

/* What routing needs and nobody later. */
struct target_path {
    struct str segments[TARGET_SEGMENTS];
    size_t n;
    bool too_deep;
};

/* Copies uri. ERR_NOMEM leaves an empty target. */
MUST_CHECK enum err_code target_init(struct target *t, struct str uri);
MUST_CHECK enum err_code target_parse(struct target *t, struct target_path *ret, struct err *err);
void target_deinit(struct target *t);
