/* collector/writer/kind_count.h - events that are not stored, counted by room, minute and kind. Pure.
 *
 *      kind_count_add ...  ->  kind_count_sum  ->  columns for one statement
 *
 * Threading:  any thread.
 * Limits:     as many events as it was made for.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "server/event/event.h"

struct kind_count_row {
    int64_t room_id;
    int64_t minute; /* since 1970 */
    int64_t kind;
    int64_t n;
};

struct kind_count {
    struct kind_count_row *rows; /* owned, n of max */
    size_t n;
    size_t max;
    int64_t *
        columns; /* owned: rooms, minutes, kinds, counts; max of each, n in use after kind_count_sum */
};

void kind_count_init(struct kind_count *c, size_t max);
void kind_count_deinit(struct kind_count *c);
void kind_count_clear(struct kind_count *c);
void kind_count_add(struct kind_count *c, const struct event *e);
/* Adds up what is of the same room, minute and kind. Column i begins at columns + i * max. */
void kind_count_sum(struct kind_count *c);
