/* collector/upstream/parse_priv.h - objects read by a table of their members. Only for this folder.
 *
 * Threading:  any thread.
 */
#pragma once

#include "collector/upstream/parse.h"
#include "server/core/json_read.h"

enum parse_type {
    PARSE_I64,
    PARSE_BOOL,
    PARSE_TEXT,
    PARSE_LONG_TEXT,
    PARSE_RAW,  /* its text as it stands, borrowed */
    PARSE_TIME, /* int64_t ms of parse_time_ms */
};
struct parse_field {
    const char *key;
    enum parse_type type;
    size_t offset; /* in the target: int64_t, bool or struct str */
};
struct parse_shape {
    const struct parse_field *fields;
    size_t n;
};

/* The next value. Members that are missing or do not fit leave the target as it is. */
MUST_CHECK enum err_code parse_object(struct json *j, const struct parse_shape *shape,
                                      struct arena *a, void *target, struct err *err);
/* The same of a text of its own. */
MUST_CHECK enum err_code parse_whole(struct str json, const struct parse_shape *shape,
                                     struct arena *a, void *target, struct err *err);
size_t parse_count(struct str json, size_t max);
