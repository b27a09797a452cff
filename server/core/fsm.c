#include "server/core/fsm.h"

#include <stdio.h>

#include "server/core/assert.h"

enum { FSM_STATES_MAX = 32 };

void fsm_init(struct fsm *m, const struct fsm_table *table, unsigned initial, void *ctx)
{
    ASSERT(table->n <= FSM_STATES_MAX);
    ASSERT(initial < table->n && table->states[initial].initial);
    *m = (struct fsm){.table = table, .state = initial, .ctx = ctx};
}

bool fsm_may_move(const struct fsm *m, unsigned to)
{
    return to < m->table->n && (m->table->states[m->state].next & (UINT32_C(1) << to)) != 0;
}

static const char *name_of(const struct fsm *m, unsigned state)
{
    return state < m->table->n ? m->table->states[state].name : "?";
}

void fsm_move(struct fsm *m, unsigned to, const char *reason)
{
    unsigned from = m->state;

    if (!fsm_may_move(m, to)) {
        fprintf(stderr, "%s: illegal move %s -> %s (%s)\n", m->table->name, name_of(m, from),
                name_of(m, to), reason ? reason : "");
        ASSERT(fsm_may_move(m, to));
    }
    m->state = to;
    if (m->on_move) {
        m->on_move(m->ctx, from, to, reason);
    }
    if (m->invariant && !m->invariant(m->ctx, to)) {
        fprintf(stderr, "%s: invariant broken after %s -> %s (%s)\n", m->table->name,
                name_of(m, from), name_of(m, to), reason ? reason : "");
        ASSERT(m->invariant(m->ctx, to));
    }
}

const char *fsm_state_name(const struct fsm *m)
{
    return name_of(m, m->state);
}
