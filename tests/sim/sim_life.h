/* tests/sim/sim_life.h - what the site says of a room: title, area, popularity; and how that changes.
 *
 * Popularity is that of the room's place (k-th of all, as 1/k^0.7) and moves slowly around it, each room in its own
 * time, so that neighbours in the list change places; --churn besides starts and ends lives, renames, and lets rooms
 * jump up and down the list.
 *
 * Threading:  loop thread only.
 * Units:      now_ms: wall.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/core/attr.h"
#include "server/core/err.h"
#include "server/core/str.h"

struct sim_room;
struct sim_server;

struct sim_area;

enum { SIM_TITLE_MAX = 160 };

struct sim_life {
    uint32_t title_len;
    char title[SIM_TITLE_MAX];
    const struct sim_area *area;
    int64_t short_id; /* 0: none */
    double factor;    /* of the popularity its place gives it */
};

void sim_life_init(struct sim_room *r);
int64_t sim_life_popularity(const struct sim_room *r, int64_t now_ms);
int sim_life_status(const struct sim_room *r); /* 0 off, 1 live, 2 replays */
/* By real or short id; made when --any-room. NULL: no such room. */
struct sim_room *sim_life_find(struct sim_server *s, int64_t id);
struct sim_room *sim_life_by_uid(const struct sim_server *s, int64_t uid);
/* Live rooms of an area (0: any), most popular first: at most max into ret; returns how many there are in all. */
size_t sim_life_list(const struct sim_server *s, int64_t parent_id, int64_t area_id,
                     const struct sim_room **ret, size_t max, int64_t now_ms);

/* Renamed, and told to who is there. */
void sim_life_set_title(struct sim_room *r, struct str title);
/* From now on the n-th of the list (1: the first), as far as popularity decides. */
void sim_life_set_rank(struct sim_room *r, size_t n, int64_t now_ms);
void sim_life_tick(struct sim_server *s, int64_t dt_ms); /* --churn */
