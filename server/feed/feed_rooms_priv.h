/* server/feed/feed_rooms_priv.h - a hash map of the rooms that have events in the ring.
 *
 * Open addressing with linear probing, at most half full; a removed entry's followers move up, so there are no
 * tombstones and a look-up of a room that is not there ends soon.
 *
 * Threading:  loop thread only.
 * Ownership:  entries move when one is added or removed: do not keep a pointer across.
 * Limits:     the rooms in the ring, so at most its capacity.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct feed_room {
    int64_t room_id;
    uint64_t last;    /* sequence number of its newest event; FEED_NO_SEQ: the place is free */
    int64_t floor_id; /* no event of the room above it is missing in the ring */
};

struct feed_rooms {
    struct feed_room *places; /* owned */
    size_t mask;
    size_t n;
};

void feed_rooms_init(struct feed_rooms *m);
void feed_rooms_deinit(struct feed_rooms *m);
struct feed_room *feed_rooms_find(const struct feed_rooms *m, int64_t room_id); /* NULL: none */
/* A room that is not there yet; the caller sets `last` at once. */
struct feed_room *feed_rooms_add(struct feed_rooms *m, int64_t room_id, int64_t floor_id);
void feed_rooms_remove(struct feed_rooms *m, struct feed_room *room);
