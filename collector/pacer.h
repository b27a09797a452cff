/* collector/pacer.h - spaces the connection starts of all rooms, first come first served.
 *
 * Between two starts lie at least interval_ms and up to 40 % more, at random. An interval of 0 lets all start, a
 * bounded number per loop turn.
 *
 * Threading:  loop thread only.
 * Ownership:  a slot belongs to who waits; it must leave before it is freed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/core/list.h"

struct loop;
struct pacer;
struct rng;

enum { PACER_JITTER_PCT = 40, PACER_TURN_MAX = 64 };

struct pacer_slot {
    struct list_node node; /* private: linked while waiting */
    void (*go)(void *ctx);
    void *ctx;
};

struct pacer *pacer_new(struct loop *loop, int64_t interval_ms, struct rng *rng); /* borrows rng */
void pacer_free(struct pacer *p); /* nobody may wait any more; NULL is fine */
void pacer_set_interval(struct pacer *p, int64_t interval_ms);
/* slot->go(ctx) once, never before this returns. */
void pacer_join(struct pacer *p, struct pacer_slot *slot);
void pacer_leave(struct pacer *p, struct pacer_slot *slot); /* no-op when not waiting */
bool pacer_is_waiting(const struct pacer_slot *slot);
size_t pacer_n(const struct pacer *p);
