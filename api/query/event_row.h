/* api/query/event_row.h - a row of table event back into an event: the inverse of the writer's COPY columns.
 *
 * A NULL stands for the default of the field (migrations/0001_init.sql), so ring and database give the same JSON.
 * A program that uses it links `db` too.
 *
 * Threading:  any thread.
 */
#pragma once

#include "server/core/attr.h"
#include "server/db/db.h"
#include "server/event/event.h"

/* The columns behind id, in order; SQL_EVENT_COLUMNS in sql.c lists the same. */
#define EVENT_ROW_COLUMNS(X)                                                                       \
    X(id)                                                                                          \
    X(room_id)                                                                                     \
    X(nkey)                                                                                        \
    X(actor)                                                                                       \
    X(value_mcny)                                                                                  \
    X(item_id)                                                                                     \
    X(medal_uid)                                                                                   \
    X(sent_off_ms)                                                                                 \
    X(color)                                                                                       \
    X(num)                                                                                         \
    X(kind)                                                                                        \
    X(flags)                                                                                       \
    X(guard)                                                                                       \
    X(medal_lv)                                                                                    \
    X(mode)                                                                                        \
    X(wealth)                                                                                      \
    X(uname)                                                                                       \
    X(text)                                                                                        \
    X(medal)                                                                                       \
    X(extra)

enum {
#define X(name) EVENT_COL_##name,
    EVENT_ROW_COLUMNS(X)
#undef X
        EVENT_COLS
};

/* The draft's strings borrow from rows. */
int64_t event_draft_from_row(const struct db_rows *rows, size_t row, struct event_draft *ret);
/* One reference for the caller; NULL when out of memory. */
MUST_CHECK struct event *event_from_row(const struct db_rows *rows, size_t row);
