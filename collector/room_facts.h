/* collector/room_facts.h - what upstream says of a room, kept: owned, valid UTF-8, bounded.
 *
 * Threading:  loop thread only.
 * Limits:     ROOM_FACTS_TEXT bytes a text; what is longer is cut at a whole character.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/core/str.h"

struct upstream_room;

enum { ROOM_FACTS_TEXT = 512 };

/* 0, -1 (live) or NULL: unknown. */
struct room_facts {
    int64_t short_id;
    int64_t uid; /* of the anchor */
    int live;    /* 0 off, 1 live, -1 unknown */
    int64_t live_since_ms;
    int64_t area_id, parent_area_id;
    char *uname, *title, *area, *parent_area; /* owned */
};

void room_facts_init(struct room_facts *f);
void room_facts_deinit(struct room_facts *f);
/* Takes over what `said` knows, keeps the rest; true if anything that is kept changed. */
bool room_facts_update(struct room_facts *f, const struct upstream_room *said);
/* The same from facts. */
bool room_facts_merge(struct room_facts *f, const struct room_facts *said);
