/* collector/retention.h - what is older than the operator wants to keep it goes, in whole UTC days, and that it is gone is noted.
 *
 *   events     days of table event, one per statement, none before its minutes are rolled up; then the rows of amend about them
 *   minutes    rows of room_minute and room_minute_kind
 *   audience   days of table audience
 *   coverage   spans that ended before; the first one of a room's link stays: it says since when the room is collected
 *
 * At a start and hourly, one statement at a time on the pool, RETENTION_ROWS rows or one day in each, with a pause between two. Table
 * kept gets the time in the transaction that drops the first thing before it: retention_from is never behind the truth.
 *
 * Threading:  loop thread only.
 * Ownership:  db is borrowed.
 * Errors:     tried again a minute later, counted; what the database does not want at all is logged, and tried again in an hour.
 */
#pragma once

#include <stdint.h>

struct db;
struct loop;
struct retention;
struct stats;

enum { RETENTION_ROWS = 5000 };

/* X(name): as in table kept. */
#define RETENTION_TABLE(X)                                                                         \
    X(events)                                                                                      \
    X(minutes)                                                                                     \
    X(audience)                                                                                    \
    X(coverage)
enum retention_what {
#define X(name) RETENTION_##name,
    RETENTION_TABLE(X)
#undef X
        RETENTION_N
};

struct retention_opts {
    struct db *db;
    int64_t (*keep_ms)(void *ctx, enum retention_what what); /* 0: for ever */
    void *ctx;
};

struct retention *retention_new(struct loop *loop, const struct retention_opts *opts,
                                struct stats *stats);
void retention_free(struct retention *r); /* NULL is fine; forgets what is under way */
void retention_start(struct retention *r);
/* What is of an earlier time, wall ms, is perhaps dropped; 0: nothing was, as far as is known. */
int64_t retention_from(const struct retention *r, enum retention_what what);
