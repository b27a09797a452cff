/* collector/guard_merge.h - the up to three messages of one guard purchase become one event, with the price that was paid.
 *
 *                      a toast of the purchase came
 *      guard_buy  -->  [ held, at most 5 s ] -----------> the toast is the event
 *                              \  none came
 *                               \-----------------------> the guard_buy is the event: the list price
 *      toast, toast_v2  --> the event at once, unless the purchase has had its event
 *
 * Two messages are of one purchase when they are in the same room, of the same level and buyer (the name, if upstream
 * masks the uid), at most 5 s apart by upstream's time, of different sources, and neither their payflow numbers nor their
 * numbers of months disagree. Two with the same natural key are the same message.
 *
 * What cannot be told apart, as upstream says nothing that differs: a purchase told by its guard_buy alone, and another one of
 * the same buyer, level and number of months within 5 s of which no guard_buy comes (then its guard_buy is the nearer one),
 * become one; so do two told by nothing but guard_buys of the same second. Neither their prices nor their gifts help: a
 * guard_buy has the list price and a gift that follows from the level.
 *
 * Threading:  loop thread only.
 * Ownership:  drafts are lent for the call; what is held is copied. ops are copied.
 * Limits:     GUARD_MERGE_MAX purchases remembered or held; past it the oldest is let go (held ones are told).
 * Errors:     none: what cannot be held is told at once.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/event/event.h"

struct guard_merge;
struct loop;
struct stats;

enum { GUARD_MERGE_MS = 5000, GUARD_MERGE_MAX = 2048 };

struct guard_merge_ops {
    /* Keep it beyond a crash, until hold_end: the caller's spool. */
    void (*hold)(void *ctx, int64_t key, const struct event_draft *draft, int64_t until_ms);
    /* Called after the event that stands for it was told. */
    void (*hold_end)(void *ctx, int64_t key);
    /* One purchase. */
    void (*tell)(void *ctx, const struct event_draft *draft);
    void *ctx;
};

struct guard_merge *guard_merge_new(struct loop *loop, const struct guard_merge_ops *ops,
                                    struct stats *stats);
void guard_merge_free(struct guard_merge *m); /* what is held stays with the caller's spool */

/* A draft of kind guard as the decoder made it. */
void guard_merge_take(struct guard_merge *m, const struct event_draft *draft);
/* At start: a purchase that has its event already; then what was held when the last process ended. */
void guard_merge_seen(struct guard_merge *m, const struct event *e);
void guard_merge_restore(struct guard_merge *m, int64_t key, const struct event_draft *draft,
                         int64_t until_ms);
/* At the end: tells everything that is held; the loop may end. */
void guard_merge_flush(struct guard_merge *m);
size_t guard_merge_n_held(const struct guard_merge *m);
