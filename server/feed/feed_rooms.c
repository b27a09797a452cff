#include "server/feed/feed_rooms_priv.h"

#include "server/core/mem.h"
#include "server/feed/feed.h"

enum { PLACES_MIN = 64 };

static void alloc_places(struct feed_rooms *m, size_t places)
{
    m->places = mem_new_array(struct feed_room, places);
    m->mask = places - 1;
    for (size_t i = 0; i < places; i++) {
        m->places[i].last = FEED_NO_SEQ;
    }
}

void feed_rooms_init(struct feed_rooms *m)
{
    m->n = 0;
    alloc_places(m, PLACES_MIN);
}

void feed_rooms_deinit(struct feed_rooms *m)
{
    mem_free(m->places);
    *m = (struct feed_rooms){.places = NULL};
}

/* Room ids are small numbers with long runs: the high half of a product spreads them. */
static size_t home_of(const struct feed_rooms *m, int64_t room_id)
{
    return (size_t)(((uint64_t)room_id * UINT64_C(0x9E3779B97F4A7C15)) >> 32) & m->mask;
}

/* The room's place, or the free one where it would go. */
static struct feed_room *probe(const struct feed_rooms *m, int64_t room_id)
{
    size_t i = home_of(m, room_id);
    while (m->places[i].last != FEED_NO_SEQ && m->places[i].room_id != room_id) {
        i = (i + 1) & m->mask;
    }
    return &m->places[i];
}

struct feed_room *feed_rooms_find(const struct feed_rooms *m, int64_t room_id)
{
    struct feed_room *room = probe(m, room_id);
    return room->last != FEED_NO_SEQ ? room : NULL;
}

static void grow(struct feed_rooms *m)
{
    struct feed_rooms old = *m;
    alloc_places(m, (old.mask + 1) * 2);
    for (size_t i = 0; i <= old.mask; i++) {
        if (old.places[i].last != FEED_NO_SEQ) {
            *probe(m, old.places[i].room_id) = old.places[i];
        }
    }
    mem_free(old.places);
}

struct feed_room *feed_rooms_add(struct feed_rooms *m, int64_t room_id, int64_t floor_id)
{
    if ((m->n + 1) * 2 > m->mask + 1) {
        grow(m);
    }
    struct feed_room *room = probe(m, room_id);
    *room = (struct feed_room){.room_id = room_id, .last = 0, .floor_id = floor_id};
    m->n++;
    return room;
}

void feed_rooms_remove(struct feed_rooms *m, struct feed_room *room)
{
    size_t hole = (size_t)(room - m->places);
    for (size_t i = (hole + 1) & m->mask; m->places[i].last != FEED_NO_SEQ; i = (i + 1) & m->mask) {
        /* An entry may move up to the hole only if that does not put it before its home. */
        size_t home = home_of(m, m->places[i].room_id);
        if (((i - home) & m->mask) >= ((i - hole) & m->mask)) {
            m->places[hole] = m->places[i];
            hole = i;
        }
    }
    m->places[hole].last = FEED_NO_SEQ;
    m->n--;
}
