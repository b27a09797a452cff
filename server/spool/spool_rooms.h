/* server/spool/spool_rooms.h - what was dropped: intervals by room while they are counted, then a list of reports.
 *
 * Threading:  one user at a time (the thread pool counts, the loop reports).
 * Limits:     SPOOL_ROOMS_MAX rooms and SPOOL_REPORTS_MAX reports; what is beyond goes to room 0, which stands for all rooms.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "server/spool/spool.h"

enum { SPOOL_ROOMS_MAX = 65536, SPOOL_REPORTS_MAX = 262144 };

struct spool_rooms {
    struct spool_dropped *slots; /* owned; open addressing by room_id, n = 0: free */
    size_t cap;                  /* a power of two, or 0 */
    size_t n;
};

void spool_rooms_deinit(struct spool_rooms *r); /* a zeroed one is fine */
/* Extends the room's interval by [first_id, last_id] and its count by n > 0. */
void spool_rooms_add(struct spool_rooms *r, const struct spool_dropped *d);

struct spool_reports {
    struct spool_dropped *items; /* owned */
    size_t n;
    size_t cap;
};

void spool_reports_deinit(struct spool_reports *list); /* empty afterwards */
void spool_reports_add(struct spool_reports *list, const struct spool_dropped *d);
/* Moves what was counted into the list, by room_id; r is empty afterwards. */
void spool_reports_add_rooms(struct spool_reports *list, struct spool_rooms *r);
