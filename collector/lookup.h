/* collector/lookup.h - what numbers mean: real ids or short ids of rooms, asked of upstream.
 *
 * Several are first asked in one question for status; what that leaves out is asked one by one.
 *
 * Threading:  loop thread only.
 * Ownership:  a look-up frees itself after done; items are lent for done (facts may be taken out of them).
 * Limits:     LOOKUP_MAX numbers; one question at a time, whose pace upstream/ keeps.
 * Errors:     per number, see struct lookup_item. Once upstream is away, what is left is not asked.
 */
#pragma once

#include "collector/fleet.h"
#include "collector/room_facts.h"

enum { LOOKUP_MAX = FLEET_SET_MAX };

struct lookup_item {
    int64_t number;
    enum err_code code; /* ERR_OK; ERR_NOT_FOUND: no such room; else why it is not known */
    int64_t room_id;
    struct room_facts facts;
};

typedef void(lookup_done_fn)(void *ctx, struct lookup_item *items, size_t n, const struct err *err);
/* done comes once, never before this returns; err is of the last failure that was not ERR_NOT_FOUND. */
struct lookup *lookup_start(struct loop *loop, const struct fleet_source *source,
                            const int64_t *numbers, size_t n, lookup_done_fn *done, void *ctx);
