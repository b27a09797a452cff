#include "server/core/id.h"

#include "server/core/assert.h"

/* UNSTORED_MS: with the clock standing still behind them, this is room for 4 million messages. */
enum { NODE_SHIFT = 16, SEQ_SHIFT = 4, SEQ_MAX = 4095, UNSTORED_MS = 1000 };
#define TIME_MAX_MS ((INT64_C(1) << 41) - 1)

static_assert(ID_NODES == 1 << (ID_TIME_SHIFT - NODE_SHIFT), "the node fills its bits");
static_assert(ID_EVENTS_PER_MESSAGE == 1 << SEQ_SHIFT, "events fill their bits");
static_assert(SEQ_MAX + 1 == 1 << (NODE_SHIFT - SEQ_SHIFT), "messages fill their bits");

void id_gen_init(struct id_gen *g, uint32_t node)
{
    ASSERT(node < ID_NODES);
    /* Message 0 of ms 0 counts as given, so that no id is ever 0. */
    *g = (struct id_gen){.node = node};
}

void id_gen_seed(struct id_gen *g, int64_t known_id)
{
    int64_t ms;
    uint32_t seq = 0;

    if (known_id <= 0) {
        return;
    }
    ms = known_id >> ID_TIME_SHIFT;
    /* Within one ms a higher node's ids are greater: an id of a lower node is passed already, one of a higher node
     * only by the next ms. */
    if (id_node(known_id) == g->node) {
        seq = (uint32_t)(known_id >> SEQ_SHIFT) & SEQ_MAX;
    } else if (id_node(known_id) > g->node) {
        ms++;
    }
    if (ms > g->last_ms || (ms == g->last_ms && seq > g->seq)) {
        g->last_ms = ms;
        g->seq = seq;
    }
}

void id_gen_begin(struct id_gen *g, int64_t wall_ms)
{
    if (wall_ms <= g->last_ms + ID_EPOCH_MS) {
        g->last_ms += UNSTORED_MS;
        g->seq = 0;
    }
}

int64_t id_gen_message(struct id_gen *g, int64_t wall_ms)
{
    return id_gen_numbers(g, wall_ms, 1);
}

int64_t id_gen_numbers(struct id_gen *g, int64_t wall_ms, uint32_t numbers)
{
    uint32_t first = 0;
    int64_t ms = wall_ms < ID_EPOCH_MS ? 0 : wall_ms - ID_EPOCH_MS;

    ASSERT(numbers >= 1 && numbers <= ID_NUMBERS_MAX);
    if (ms > TIME_MAX_MS) {
        ms = TIME_MAX_MS;
    }
    if (ms > g->last_ms) {
        g->last_ms = ms;
    } else {
        g->clock_back += ms < g->last_ms;
        first = g->seq + 1;
        if (first + numbers - 1 > SEQ_MAX) {
            g->last_ms++;
            first = 0;
            g->borrowed++;
        }
    }
    g->seq = first + numbers - 1;
    ASSERT(g->last_ms <= TIME_MAX_MS);
    return (g->last_ms << ID_TIME_SHIFT) | ((int64_t)g->node << NODE_SHIFT) |
           ((int64_t)first << SEQ_SHIFT);
}

int64_t id_ts_ms(int64_t id)
{
    return (id >> ID_TIME_SHIFT) + ID_EPOCH_MS;
}

int64_t id_first_of_ms(int64_t wall_ms)
{
    if (wall_ms <= ID_EPOCH_MS) {
        return 0;
    }
    if (wall_ms - ID_EPOCH_MS > TIME_MAX_MS) {
        return ID_MAX;
    }
    return (wall_ms - ID_EPOCH_MS) << ID_TIME_SHIFT;
}

int64_t id_message(int64_t id)
{
    return id & ~(int64_t)(ID_EVENTS_PER_MESSAGE - 1);
}

uint32_t id_node(int64_t id)
{
    return (uint32_t)(id >> NODE_SHIFT) & (ID_NODES - 1);
}
