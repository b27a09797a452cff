/* collector/writer/batch.h - events to the text of COPY event. Pure.
 *
 * A field that has its default is NULL, as the columns are declared in migrations/0001_init.sql; api/query/event_row
 * reads it back.
 *
 * Threading:  any thread.
 * Limits:     the buf's.
 */
#pragma once

#include "server/core/buf.h"
#include "server/event/event.h"

#define BATCH_COLUMNS                                                                              \
    "room_id, id, nkey, actor, value_mcny, item_id, medal_uid, sent_off_ms, color, num, kind, "    \
    "flags, guard, medal_lv, mode, wealth, uname, text, medal, extra"
#define BATCH_COPY_SQL "COPY event (" BATCH_COLUMNS ") FROM STDIN"

void batch_put(struct buf *out, const struct event *e); /* one line */
