/* api/ledger.h - what of a range is known to be missing: of some rooms, or of all.
 *
 *      ledger_init(&l, a, rooms, n, from_ms, to_ms, true);
 *      ledger_made_of(&l, API_KEPT_EVENTS);
 *      if (ledger_needs_rows(&l)) ... a query with ledger_sql and ledger_args, then ledger_take(&l, rows)
 *      else ledger_take(&l, NULL)
 *      ledger_put_completeness(&l, &w, pending);       ledger_deinit(&l);
 *
 * The newest is in memory (api_ops); what ended before memory begins is in the database. Of all rooms, those are left out
 * that the operator did not want to be collected then; a room that is named is told about in any case.
 *
 * Threading:  loop thread only.
 * Ownership:  rooms are borrowed for the life of the ledger; of rows everything is copied.
 * Limits:     LEDGER_GAPS_MAX gaps are told, then `truncated`; SPANS_MAX spans are looked at, of gaps only the newest 2000 rows.
 */
#pragma once

#include "api/api_priv.h"
#include "api/job.h"
#include "api/query/params.h"
#include "api/query/spans.h"
#include "api/query/sql.h"
#include "server/core/buf.h"

struct json_out;

enum { LEDGER_GAPS_MAX = 100, LEDGER_ARGS = 5 };
struct ledger {
    struct api *api; /* borrowed */
    const int64_t *rooms;
    size_t n_rooms; /* 0: all */
    bool gaps_only;
    struct spans spans;
    char *texts;                      /* owned: of the rows */
    int64_t begins[PARAMS_ROOMS_MAX]; /* of the rooms; INT64_MAX: never collected */
    int64_t now_ms;
    int64_t kept_ms; /* wall: before, what the answer is about may be dropped */
    bool unknown;    /* there should have been rows */
};

/* to_ms is cut off at the time that it is. */
void ledger_init(struct ledger *l, struct api *a, const int64_t *rooms, size_t n_rooms,
                 int64_t from_ms, int64_t to_ms, bool gaps_only);
/* What the answer is made of: of times before which that was dropped because it was old, or what is known to be missing was, a
 * gap with the cause `expired` is told. Before ledger_take. */
void ledger_made_of(struct ledger *l, enum api_kept what);
void ledger_deinit(struct ledger *l); /* a zeroed one is fine */
bool ledger_needs_rows(const struct ledger *l);
/* The statement, and its arguments; returns how many. */
enum sql ledger_sql(const struct ledger *l);
size_t ledger_args(const struct ledger *l, struct db_arg args[static LEDGER_ARGS]);
/* rows: NULL when memory knows it all, or nobody does. */
void ledger_take(struct ledger *l, const struct db_rows *rows);
/* The two in one: from memory, or by a query whose answer done takes, or without it while the database is away. True: done
 * runs later, or the request is answered with a problem. */
MUST_CHECK bool ledger_read(struct ledger *l, struct job *j, db_done_fn *done);
/* The first LEDGER_GAPS_MAX gaps by room and time; truncated with the last of them: there are more. room_id 0: every room.
 * A gap that goes on has to_ms SPAN_OPEN. */
typedef void(ledger_gap_fn)(void *ctx, int64_t room_id, const struct span_interval *gap,
                            bool truncated);
void ledger_each_gap(const struct ledger *l, ledger_gap_fn *fn, void *ctx);
/* "completeness": {...}; complete only if there is no gap and nothing pending. */
void ledger_put_completeness(const struct ledger *l, struct json_out *w, bool pending);
/* {"room_id":..,"from":..,"from_ms":..,"to":..,"to_ms":..,"cause":..} without the braces; to_ms SPAN_OPEN: null. */
void ledger_put_gap(struct json_out *w, int64_t room_id, const struct span_interval *gap);
void ledger_put_time(struct json_out *w, const char *key, const char *key_ms, int64_t ms);
