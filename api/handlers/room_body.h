/* api/handlers/room_body.h - bodies of requests that change rooms: typed, bounded, all errors at once.
 *
 * Threading:  any thread.
 * Ownership:  everything is inside the struct.
 * Limits:     API_GROUPS_MAX groups, API_ROOMS_SET_MAX rooms; the length of the text is http's to bound.
 * Errors:     as of query parameters: one per field, named; a field that is not known is one.
 */
#pragma once

#include "api/api.h"
#include "api/query/params.h"

/* Fields of a body. */
enum {
    ROOM_FIELD_ROOM = 1,
    ROOM_FIELD_ROOMS = 2,
    ROOM_FIELD_CHANGE = 4, /* paused, pinned, groups */
};

struct room_body {
    int64_t room;                     /* ROOM_FIELD_ROOM, required then */
    int64_t rooms[API_ROOMS_SET_MAX]; /* ROOM_FIELD_ROOMS, required then; no repeats */
    size_t n_rooms;
    struct api_room_change change; /* its groups are below */
    struct str groups[API_GROUPS_MAX];
    char text[API_GROUPS_MAX][API_GROUP_BYTES + 1];
};

/* False: errors has what is wrong, at least one. */
MUST_CHECK bool room_body_read(struct str json, unsigned fields, struct room_body *ret,
                               struct params *errors);
