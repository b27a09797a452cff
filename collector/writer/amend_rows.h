/* collector/writer/amend_rows.h - what the events of a batch say about earlier ones, as columns for one statement. Pure.
 *
 * Threading:  any thread.
 * Ownership:  texts borrow from the events, which must live as long.
 * Limits:     as many as it was made for.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "server/core/str.h"
#include "server/event/event.h"

struct amend_rows {
    int64_t *numbers;  /* owned: how, room, key, by, from; max of each */
    struct str *texts; /* owned: what, data; max of each */
    size_t n;
    size_t max;
};

void amend_rows_init(struct amend_rows *a, size_t max);
void amend_rows_deinit(struct amend_rows *a);
void amend_rows_clear(struct amend_rows *a);
void amend_rows_add(struct amend_rows *a, const struct event *e); /* most events add nothing */
