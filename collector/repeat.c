#include "collector/repeat.h"

#include <string.h>

#include "server/core/assert.h"
#include "server/core/mem.h"

static_assert(REPEAT_KEYS_MAX < UINT16_MAX, "a place + 1 fits a slot");
static_assert((REPEAT_KEYS_MAX & (REPEAT_KEYS_MAX - 1)) == 0, "masks need a power of two");

void repeat_init(struct repeat *r)
{
    *r = (struct repeat){0};
}

void repeat_deinit(struct repeat *r)
{
    mem_free(r->keys);
    mem_free(r->slots);
    repeat_init(r);
}

static uint32_t home_of(const struct repeat *r, int64_t key)
{
    /* Keys are hashes already; the product spreads those that are not (imports). */
    return (uint32_t)(((uint64_t)key * UINT64_C(0x9E3779B97F4A7C15)) >> 32) & (2 * r->cap - 1);
}

/* The slot of the key, or the empty slot where it belongs. */
static uint32_t find(const struct repeat *r, int64_t key)
{
    const uint32_t mask = 2 * r->cap - 1;
    uint32_t s = home_of(r, key);
    while (r->slots[s] != 0 && r->keys[r->slots[s] - 1] != key) {
        s = (s + 1) & mask;
    }
    return s;
}

/* Linear probing without tombstones: what follows in the same run moves up if it may stand there. */
static void erase(struct repeat *r, uint32_t hole)
{
    const uint32_t mask = 2 * r->cap - 1;
    uint32_t s = hole;
    for (;;) {
        s = (s + 1) & mask;
        if (r->slots[s] == 0) {
            break;
        }
        const uint32_t home = home_of(r, r->keys[r->slots[s] - 1]);
        if (((s - home) & mask) >= ((s - hole) & mask)) {
            r->slots[hole] = r->slots[s];
            hole = s;
        }
    }
    r->slots[hole] = 0;
}

static bool grow(struct repeat *r)
{
    struct repeat g = {.cap = r->cap ? 2 * r->cap : REPEAT_KEYS_MIN, .n = r->n};
    if (g.cap > REPEAT_KEYS_MAX) {
        return false;
    }
    g.keys = mem_alloc(g.cap * sizeof *g.keys);
    g.slots = mem_alloc(2 * g.cap * sizeof *g.slots);
    if (!g.keys || !g.slots) {
        mem_free(g.keys);
        mem_free(g.slots);
        return false;
    }
    memset(g.slots, 0, 2 * g.cap * sizeof *g.slots);
    for (uint32_t i = 0; i < r->n; i++) {
        g.keys[i] = r->keys[(r->oldest + i) & (r->cap - 1)];
        g.slots[find(&g, g.keys[i])] = (uint16_t)(i + 1);
    }
    repeat_deinit(r);
    *r = g;
    return true;
}

bool repeat_seen(struct repeat *r, int64_t key)
{
    if (key == 0) {
        return false;
    }
    if (r->n > 0 && r->slots[find(r, key)] != 0) {
        return true;
    }
    if (r->n == r->cap && !grow(r)) {
        if (r->cap == 0) {
            return false;
        }
        erase(r, find(r, r->keys[r->oldest]));
        r->oldest = (r->oldest + 1) & (r->cap - 1);
        r->n--;
    }
    const uint32_t place = (r->oldest + r->n) & (r->cap - 1);
    r->keys[place] = key;
    r->n++;
    r->slots[find(r, key)] = (uint16_t)(place + 1);
    return false;
}
