/* api/rooms_named.h - the rooms that a request names: real ids, short ids, rooms that were never collected.
 *
 * A room that is collected now, or has events in the ring, is known without the database.
 *
 * Threading:  loop thread only.
 */
#pragma once

#include "api/job.h"
#include "api/query/params.h"

struct rooms_named {
    int64_t
        rooms[PARAMS_ROOMS_MAX]; /* in: what was given; out: ascending real ids without repeats */
    size_t n;
    const char *param;             /* static: the parameter that named them */
    void (*done)(struct job *job); /* all are known */
};

/* Calls done, now or later, or answers the request: 404 room_not_found naming the unknown ones, or 503. rn lives at
 * least as long as the job. */
void rooms_named_find(struct job *j, struct rooms_named *rn);
/* The room in the path, as a list of one. False: it is no number; that was answered. */
MUST_CHECK bool rooms_named_path(struct job *j, struct rooms_named *rn);
