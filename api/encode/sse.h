/* api/encode/sse.h - text/event-stream framing (HTML standard, section 9.2).
 *
 * Data is one line: our JSON has no raw line breaks. Events of data carry an id; control events do not, because a
 * client would take a control event's id for the place to resume from.
 *
 * Threading:  any thread.
 */
#pragma once

#include <stdint.h>

#include "server/core/buf.h"
#include "server/core/str.h"

enum { SSE_NO_ID = -1 };

void sse_retry(struct buf *out, int64_t ms);
void sse_comment(struct buf *out, const char *text); /* a literal of ours, one line */
/* Head of an event: append the JSON, then sse_end. */
void sse_begin(struct buf *out, int64_t id, const char *name);
void sse_end(struct buf *out);
