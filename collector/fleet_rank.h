/* collector/fleet_rank.h - who of the wanted rooms is collected when not all find a place. Pure.
 *
 * Order: pinned, then configuration and API, then discovery by rank. Among those of discovery a room that has its place
 * (or as good a claim to one: `settled`) is ahead of one that has not by a margin, so that two rooms that swap places
 * at the edge of the cap do not take turns:
 *
 *      place for 95:   rank  93 collected, 94 not, 95 collected, 96 collected
 *      in order of:          93 - 10       94      95 - 10       96 - 10          -> 93, 95, 96 stay, 94 waits
 *
 * Threading:  any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fleet_class { FLEET_CLASS_PINNED, FLEET_CLASS_ASKED, FLEET_CLASS_FOUND };

struct fleet_candidate {
    int64_t room_id;
    enum fleet_class class;
    unsigned rank; /* FLEET_CLASS_FOUND: 1 the first; 0 unknown, behind all others */
    bool settled;
    bool chosen; /* out */
    void *owner; /* the caller's */
};

/* How much better a rank has to be to take the place of a room that has one. */
unsigned fleet_rank_margin(unsigned rank);
/* Sorts by who comes first and chooses the first `max`. */
void fleet_rank_choose(struct fleet_candidate *c, size_t n, size_t max);
