#include "collector/pacer.h"

#include "server/core/assert.h"
#include "server/core/mem.h"
#include "server/core/rng.h"
#include "server/loop/loop.h"

struct pacer {
    struct loop *loop; /* borrowed */
    struct rng *rng;   /* borrowed */
    struct loop_timer timer;
    struct list waiting; /* of pacer_slot */
    int64_t interval_ms;
    int64_t next_ms; /* mono: no start before */
};

static void arm(struct pacer *p)
{
    if (p->waiting.n == 0) {
        loop_timer_stop(&p->timer);
        return;
    }
    const int64_t in_ms = p->next_ms - loop_now_ms(p->loop);
    loop_timer_start(&p->timer, in_ms > 0 ? in_ms : 0, 0);
}

static void on_timer(void *ctx)
{
    struct pacer *p = ctx;
    for (int i = 0; i < PACER_TURN_MAX && p->waiting.n > 0; i++) {
        struct pacer_slot *slot = CONTAINER_OF(list_first(&p->waiting), struct pacer_slot, node);
        list_remove(&p->waiting, &slot->node);
        p->next_ms = loop_now_ms(p->loop);
        if (p->interval_ms > 0) {
            p->next_ms += rng_between(p->rng, p->interval_ms,
                                      p->interval_ms + p->interval_ms * PACER_JITTER_PCT / 100);
        }
        slot->go(slot->ctx);
        if (p->interval_ms > 0) {
            break;
        }
    }
    arm(p);
}

struct pacer *pacer_new(struct loop *loop, int64_t interval_ms, struct rng *rng)
{
    struct pacer *p = mem_new(struct pacer);
    p->loop = loop;
    p->rng = rng;
    p->interval_ms = interval_ms;
    p->next_ms = loop_now_ms(loop);
    list_init(&p->waiting);
    loop_timer_init(&p->timer, loop, on_timer, p);
    return p;
}

void pacer_free(struct pacer *p)
{
    if (!p) {
        return;
    }
    ASSERT(p->waiting.n == 0);
    loop_timer_stop(&p->timer);
    mem_free(p);
}

void pacer_set_interval(struct pacer *p, int64_t interval_ms)
{
    p->interval_ms = interval_ms;
    const int64_t soonest = loop_now_ms(p->loop) + interval_ms;
    if (p->next_ms > soonest) {
        p->next_ms = soonest;
        arm(p);
    }
}

void pacer_join(struct pacer *p, struct pacer_slot *slot)
{
    ASSERT(!list_linked(&slot->node));
    list_push_back(&p->waiting, &slot->node);
    if (!loop_timer_armed(&p->timer)) {
        arm(p);
    }
}

void pacer_leave(struct pacer *p, struct pacer_slot *slot)
{
    list_remove(&p->waiting, &slot->node);
}

bool pacer_is_waiting(const struct pacer_slot *slot)
{
    return list_linked(&slot->node);
}

size_t pacer_n(const struct pacer *p)
{
    return p->waiting.n;
}
