/* api/amends.h - what is attached to an event as `amended`: later events that recall, delete or translate it.
 *
 * What the ring holds is found by walking those of its events that amend others (an event in the ring is older than
 * what amends it, so that is in the ring too); for events of the database, table amend is asked.
 *
 * Threading:  loop thread only.
 * Ownership:  owns references to the amending events of the ring.
 * Limits:     AMENDS_MAX of them, the newest; AMENDS_PER_EVENT are shown with one event.
 */
#pragma once

#include "server/core/json_write.h"
#include "server/db/db.h"
#include "server/event/event.h"

enum { AMENDS_MAX = 4096, AMENDS_PER_EVENT = 16 };

struct amends;
struct feed;

struct amends *amends_new(const struct feed *feed);
void amends_free(struct amends *a);
/* Before a page is written: takes in what the ring got since. */
void amends_sync(struct amends *a);
/* Could table amend have rows about this event? */
bool amends_can_hit(const struct event *e);
/* True if the event is amended. rows: of SQL_AMENDS, or NULL. */
bool amends_any(const struct amends *a, const struct event *e, const struct db_rows *rows);
/* One value: the event with `amended`. */
void amends_put_event(const struct amends *a, struct json_out *w, const struct event *e,
                      const struct db_rows *rows);
