/* server/core/json_write.h - exact, streaming writer of JSON into a buf.
 *
 * Commas and colons are the writer's business. Integers are exact over all of int64. Text is escaped minimally
 * (", \, control characters); it must be valid UTF-8. The buf's limit is the only failure: check buf_ok at the end.
 *
 * Threading:  one user at a time.
 * Limits:     32 levels (asserted: nesting is ours, not a peer's).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/core/buf.h"

struct json_out {
    struct buf *b;      /* borrowed */
    uint32_t has_value; /* bit per level: a comma is due */
    uint8_t depth;
    bool after_key;
};

void jw_init(struct json_out *w, struct buf *b);
void jw_object(struct json_out *w);
void jw_object_end(struct json_out *w);
void jw_array(struct json_out *w);
void jw_array_end(struct json_out *w);
void jw_key(struct json_out *w, struct str key); /* a literal of ours: not escaped */
void jw_str(struct json_out *w, struct str s);
void jw_i64(struct json_out *w, int64_t v);
void jw_u64(struct json_out *w, uint64_t v);
void jw_i64_str(struct json_out *w, int64_t v); /* "123": ids */
void jw_double(struct json_out *w, double v);   /* shortest of up to 17 digits; not finite: null */
void jw_bool(struct json_out *w, bool v);
void jw_null(struct json_out *w);
void jw_raw(struct json_out *w, struct str json); /* one complete value, trusted */
/* Splices the members of a trusted object's text; what is no {...} is left out. */
void jw_members(struct json_out *w, struct str object);
void jw_members_raw(struct json_out *w,
                    struct str members); /* the same without the braces; may be empty */

/* key + value in one call; the common case */
void jw_kstr(struct json_out *w, const char *key, struct str s);
void jw_ki64(struct json_out *w, const char *key, int64_t v);
void jw_kbool(struct json_out *w, const char *key, bool v);
