/* collector/writer/amend_rows.h - what the events of a batch say about earlier ones, as columns for one statement. Pure.
 *
 * Threading:  any thread.
 * Ownership:  texts borrow from the events, which must live as long.
 * Limits:     as many as it was made for.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "server/core/str.h"
#include "server/db/db.h"
#include "server/event/event.h"

/* Their statement; LIMIT: 10000 events are hit by one. The events that say it, and those they hit, are there already. */
#define AMEND_ROWS_SQL                                                                             \
    "INSERT INTO amend (room_id, target_id, by_id, what, data) "                                   \
    "SELECT a.room_id, t.id, a.by_id, a.what, nullif(a.data, '')::json "                           \
    "FROM unnest($1::int8[], $2::int8[], $3::int8[], $4::int8[], $5::int8[], $6::text[], "         \
    "$7::text[]) AS a(how, room_id, key, by_id, from_id, what, data) CROSS JOIN LATERAL ("         \
    "(SELECT e.id FROM event e WHERE a.how = 0 AND e.room_id = a.room_id "                         \
    "AND e.id >= a.from_id AND e.id < a.by_id AND e.kind NOT IN (1, 10, 12) AND e.kind = 6 "       \
    "AND e.item_id = a.key) UNION ALL "                                                            \
    "(SELECT e.id FROM event e WHERE a.how > 0 AND e.room_id = a.room_id "                         \
    "AND e.id >= a.from_id AND e.id < a.by_id AND e.kind = 1 "                                     \
    "AND (a.how = 3 OR a.how = 1 AND e.nkey = a.key OR a.how = 2 AND e.actor = a.key) "            \
    "ORDER BY e.id DESC LIMIT 10000)) AS t ON CONFLICT DO NOTHING"
enum { AMEND_ROWS_ARGS = 7 };

struct amend_rows {
    int64_t *numbers;  /* owned: how, room, key, by, from; max of each */
    struct str *texts; /* owned: what, data; max of each */
    size_t n;
    size_t max;
};

void amend_rows_init(struct amend_rows *a, size_t max);
void amend_rows_deinit(struct amend_rows *a);
void amend_rows_clear(struct amend_rows *a);
void amend_rows_args(const struct amend_rows *a, struct db_arg *ret); /* AMEND_ROWS_ARGS */
void amend_rows_add(struct amend_rows *a, const struct event *e);     /* most events add nothing */
