/* server/event/amend.h - events that say something about earlier events: recalls, deletions, translations.
 *
 *   event                           hits earlier events of its room, at most AMEND_BACK_MS before it
 *   superchat_delete                the super chat with its number: deleted
 *   notice superchat_translation    the super chat with its number: translated
 *   recall                          the danmaku of that number, all of a user, or all: recalled
 *
 * Rows are never updated: table amend says which event is hit by which, and readers attach that.
 *
 * Threading:  any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/event/event.h"

#define AMEND_BACK_MS INT64_C(86400000)

enum amend_how { AMEND_SUPERCHAT, AMEND_DANMAKU, AMEND_USER, AMEND_ALL };

struct amend {
    enum amend_how how;
    const char *what; /* "deleted", "translated", "recalled" */
    int64_t room_id;
    int64_t key;     /* super chat id, nkey of the danmaku, uid; 0 for all */
    int64_t by_id;   /* the event that says so */
    int64_t from_id; /* the oldest that it can hit */
    bool has_data;   /* the event's extra belongs to it */
};

bool amend_of(const struct event *e, struct amend *ret); /* false: it says nothing about others */
bool amend_hits(const struct amend *a, const struct event *target);
