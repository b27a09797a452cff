/* collector/writer/upkeep.h - what the stored events need besides being written: partitions of the coming days,
 * minutes rolled up, the BRIN index summarized.
 *
 * One task at a time, on a connection of its own, so that it never delays a batch.
 *
 *   partitions   at start (on_ready tells the writer) and hourly: from the day of the mark to three days ahead; rows
 *                that had to go to event_default get their day
 *   roll-up      every few seconds: minutes that are over and completely written, in steps of at most an hour
 *                What is written into a minute that is rolled up already takes the mark back (writer: STEP_REWIND)
 *   dirty        every few seconds: minutes of table minute_dirty (reparse) are counted again, behind a lock of the
 *                table: whoever adds to one is waited for
 *   summarize    each minute, and when many rows were written since: the newest partitions and that of the mark, so
 *                that all-room windows stay quick. What is not summarized is read by each of them
 *   analyze      after that, each time the rows written since start have doubled: the ids of those partitions. Without
 *                statistics the server reads a partition from end to end for each window, and autovacuum's come late
 *
 * Threading:  loop thread only.
 * Errors:     logged once per change, tried again with the next tick.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct stats;
struct upkeep;

struct upkeep_opts {
    const char *conninfo;
    int64_t timeout_ms;
    void (*on_ready)(void *ctx);       /* partitions and the roll-up mark exist; once */
    int64_t (*mark_id)(void *ctx);     /* committed id, -1 unknown: partitions begin at its day */
    int64_t (*complete_id)(void *ctx); /* every event below is written */
    void *ctx;
};

struct upkeep *upkeep_new(struct loop *loop, const struct upkeep_opts *opts, struct stats *stats);
void upkeep_start(struct upkeep *u); /* the mark is known */
/* No minute from here on is rolled up, nor being counted now. INT32_MAX: not known. */
int32_t upkeep_rolled_to(const struct upkeep *u);
void upkeep_written(struct upkeep *u, size_t rows); /* a batch of so many was committed */
void upkeep_rewound(struct upkeep *u); /* the mark in the database is another one now */
void upkeep_close(struct upkeep *u, void (*closed)(void *ctx), void *ctx);
