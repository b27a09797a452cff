/* api/query/filter.h - which events a client asked for.
 *
 * Threading:  any thread.
 * Ownership:  borrows the room ids and the sessions.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/event/event.h"

/* A session, as far as it matters: events of the room with low <= id < high are its own. */
struct filter_span {
    int64_t room_id;
    int64_t low;
    int64_t high;
};

enum filter_live { FILTER_ANY, FILTER_INSIDE, FILTER_OUTSIDE }; /* of sessions */

struct filter {
    const int64_t *rooms; /* ascending; borrowed */
    size_t n_rooms;       /* 0: all */
    uint32_t kinds;       /* bit set of enum event_kind; 0: all */
    int64_t min_value;    /* 0: no condition */
    int64_t
        session_id; /* 0: any; the range and the room say it already, but cursors are of one only */
    enum filter_live live;
    const struct filter_span
        *spans; /* borrowed; by room and low, never overlapping; for filter_match */
    size_t n_spans;
};

bool filter_match(const struct filter *f, const struct event *e);
/* Only kinds that the partial index of rare kinds holds can match. */
bool filter_is_rare(const struct filter *f);
/* Writes the kinds asked for as an array for SQL; returns their number, 0 for all. */
size_t filter_kinds(const struct filter *f, int64_t out[static EVENT_KIND_END]);
/* Tells one filter and range from another; stable, because cursors carry it. */
int64_t filter_hash(const struct filter *f, int64_t from_ms, int64_t to_ms, int64_t since_ms);
