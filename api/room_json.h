/* api/room_json.h - a room as JSON, the same in every answer: what the set of rooms knows, else what its row has.
 *
 * Threading:  loop thread only.
 */
#pragma once

#include "api/api_priv.h"
#include "server/core/json_write.h"
#include "server/db/db.h"

/* rows: row `row` of ROOM or ROOMS; NULL: it has none, or the database is away. room: NULL: not in the set. */
void room_json_put(struct json_out *w, int64_t room_id, const struct db_rows *rows, size_t row,
                   const struct api_room *room);
void room_json_completeness(struct json_out *w, bool pending);
/* How asking upstream goes: without it a list of rooms may be empty, or without connections, for no reason. */
void room_json_upstream(struct api *a, struct json_out *w);
/* {"data": room, "completeness": ...}; out is initialised here. rows as above, its first row. */
void room_json_answer(struct api *a, int64_t room_id, const struct db_rows *rows, bool pending,
                      struct buf *out);
