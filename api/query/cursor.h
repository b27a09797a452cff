/* api/query/cursor.h - page tokens: opaque to clients, checked on the way in.
 *
 *   | version 1 | flags 1 | id 8 | floor_ms 8 | hash 8 |   as base64url, 35 characters
 *
 * Threading:  any thread.
 * Errors:     cursor_parse says false to anything that cursor_write cannot have written.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "api/query/params.h"
#include "server/core/attr.h"
#include "server/core/str.h"

enum { CURSOR_TEXT_LEN = 35 };

struct cursor {
    int64_t id;       /* exclusive: the page begins behind it, in the direction of travel; >= -1 */
    int64_t floor_ms; /* where `since` pointed when the first page was made; 0 without since */
    int64_t hash;     /* of the filter, see filter_hash */
    enum order order; /* of the list */
    bool back;        /* leads to the previous page */
};

void cursor_write(const struct cursor *c, char out[static CURSOR_TEXT_LEN + 1]);
MUST_CHECK bool cursor_parse(struct str text, struct cursor *ret);
