/* collector/discover_rank.h - one list of discovery over time: who belongs to its first N, without flapping. Pure.
 *
 * A room comes in at rank N or better. It leaves when it was not even in the band (N + a tenth) for grace_ms without a
 * break:
 *
 *      rank   1 ........ N | N+1 ... N+N/10+1 | behind, or not in the list
 *             comes in     | stays as it is   | leaves after grace_ms
 *
 * A room that comes in from outside the band is `settled` at once, one that hovered in the band only after grace_ms in
 * the first N: what that means for a full collector is in fleet_rank.h.
 *
 * Threading:  one user at a time.
 * Limits:     what is in the band or left it within grace_ms is remembered; the caller bounds the length of a list.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct discover_rank;

struct discover_rank_entry {
    int64_t room_id;
    unsigned rank; /* 0: not in the list now */
    bool member;
    bool fresh;          /* came into the first N from outside the band, and has been there since */
    int64_t in_since_ms; /* in the first N since; -1 it is not */
    int64_t out_since_ms; /* behind the band since; -1 it is not */
};

struct discover_rank *discover_rank_new(unsigned top, int64_t grace_ms);
void discover_rank_free(struct discover_rank *d); /* NULL is fine */
unsigned discover_rank_band(unsigned top); /* last rank of the band: as long a list is needed */
/* A member from before (a restart, another configuration): its grace begins. */
void discover_rank_restore(struct discover_rank *d, int64_t room_id, int64_t now_ms);
/* The list as it is now: ids by rank, each once; at least the band if there are so many. */
void discover_rank_update(struct discover_rank *d, const int64_t *ids, size_t n, int64_t now_ms);
/* Members and those in the band, by room id; lent until the next update. */
const struct discover_rank_entry *discover_rank_entries(const struct discover_rank *d,
                                                        size_t *ret_n);
bool discover_rank_settled(const struct discover_rank *d, const struct discover_rank_entry *e,
                           int64_t now_ms);
