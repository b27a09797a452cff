/* api/minutes.h - figures per minute: rolled-up rows, counted rows and counted events of the ring in one table.
 *
 * Threading:  any thread.
 * Limits:     MINUTES_MAX minutes; MINUTES_CHATTERS_MAX distinct senders in what is counted here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/query/sql.h"
#include "server/core/attr.h"
#include "server/event/event.h"

struct json_out;

enum {
    MINUTES_MAX = 31 * 1440 + 2,
    MINUTES_CHATTERS_MAX = 1 << 20,
    MINUTE_VALUES = MINUTE_COLS - 1
};
#define MINUTE_MS INT64_C(60000)

struct minute {
    int64_t v[MINUTE_VALUES]; /* MINUTE_COL_DANMAKU and following */
    bool chatters_unknown;    /* counted in two places that cannot be added */
};

struct minutes {
    int64_t from; /* minutes since 1970 */
    int64_t to;
    struct minute *all; /* owned; to - from of them */
    uint64_t *seen;     /* owned; hashes of minute and sender, open addressing */
    size_t seen_n;
    size_t seen_cap; /* a power of two, or 0 */
    bool overflow;   /* too many senders: some are not in the figures */
};

/* False: out of memory. from <= to, at most MINUTES_MAX apart. */
MUST_CHECK bool minutes_init(struct minutes *m, int64_t from, int64_t to);
void minutes_deinit(struct minutes *m);
/* Adds rows of COUNT_*. */
void minutes_add_counted(struct minutes *m, const struct db_rows *rows);
/* Adds rows of MINUTES_*, as far as they are final; returns the mark, 0 if there is none. */
int64_t minutes_add_final(struct minutes *m, const struct db_rows *rows);
/* Counts one event, if its minute is in the range. */
void minutes_add_event(struct minutes *m, const struct event *e);
/* The members from_ms, to_ms, step_ms, columns, rows. Sums of money only with_value. */
void minutes_write(const struct minutes *m, bool with_value, struct json_out *w);
