/* server/core/fsm.h - a checked state machine: states in a table, illegal moves abort.
 *
 * The owner keeps the machine, moves it only by fsm_move, and gives an invariant that is checked after each move.
 *
 * Threading:  one user at a time.
 * Limits:     32 states.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct fsm_state {
    const char *name;
    uint32_t next; /* bit set of allowed successors: 1u << STATE */
    bool initial;
    bool final;
};

struct fsm_table {
    const char *name; /* of the machine: "room" */
    const struct fsm_state *states;
    unsigned n;
};

struct fsm {
    const struct fsm_table *table; /* borrowed, static */
    unsigned state;
    bool (*invariant)(void *ctx, unsigned state); /* may be NULL */
    void (*on_move)(void *ctx, unsigned from, unsigned to,
                    const char *reason); /* may be NULL: tracing */
    void *ctx;
};

void fsm_init(struct fsm *m, const struct fsm_table *table, unsigned initial, void *ctx);
void fsm_move(struct fsm *m, unsigned to, const char *reason);
bool fsm_may_move(const struct fsm *m, unsigned to);
const char *fsm_state_name(const struct fsm *m);
