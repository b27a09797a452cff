/* tests/support/drafts.h - what the decoder makes of messages, as lines of text.
 *
 * A line per event: its natural key in hex, a blank, what a client sees. Room and time of reception are fixed.
 *
 * Threading:  one user at a time.
 */
#pragma once

#include <stdint.h>

#include "collector/wire/decode.h"
#include "server/core/buf.h"
#include "server/core/str.h"

enum { DRAFTS_ROOM = 1000, DRAFTS_FILE_MAX = 8 << 20 };
#define DRAFTS_RECEIVED_MS INT64_C(1790000000500)

/* Appends one event as it is shown. */
void drafts_put_json(struct buf *out, const struct event_draft *e, int64_t id);
/* Appends the lines of one message: "broken: <reason>", "unknown: <cmd>", "nothing: <cmd>", or its events. */
void drafts_put_message(struct buf *out, struct decoder *d, struct str message, int64_t id);
/* Decodes the messages of a JSON array. False: it is none. */
bool drafts_put_file(struct buf *out, struct decoder *d, struct str text);
bool drafts_read(const char *path, struct buf *out); /* appends a file */
