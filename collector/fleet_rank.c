#include "collector/fleet_rank.h"

#include <stdlib.h>

enum { UNKNOWN = INT32_MAX };

unsigned fleet_rank_margin(unsigned rank)
{
    return 1 + rank / 10;
}

/* The rank that counts. It grows with the rank, so that among equals the better one stays ahead. */
static int64_t weight(const struct fleet_candidate *c)
{
    if (c->class != FLEET_CLASS_FOUND) {
        return 0;
    }
    const int64_t rank = c->rank > 0 ? c->rank : UNKNOWN;
    return c->settled && c->rank > 0 ? rank - (int64_t)fleet_rank_margin(c->rank) : rank;
}

static int compare(const void *pa, const void *pb)
{
    const struct fleet_candidate *a = pa;
    const struct fleet_candidate *b = pb;
    if (a->class != b->class) {
        return a->class < b->class ? -1 : 1;
    }
    const int64_t wa = weight(a);
    const int64_t wb = weight(b);
    if (wa != wb) {
        return wa < wb ? -1 : 1;
    }
    if (a->settled != b->settled) {
        return a->settled ? -1 : 1;
    }
    if (a->class == FLEET_CLASS_FOUND && a->rank != b->rank) {
        return a->rank < b->rank ? -1 : 1;
    }
    return a->room_id < b->room_id ? -1 : a->room_id > b->room_id;
}

void fleet_rank_choose(struct fleet_candidate *c, size_t n, size_t max)
{
    if (n > 1) {
        qsort(c, n, sizeof(c[0]), compare);
    }
    for (size_t i = 0; i < n; i++) {
        c[i].chosen = i < max;
    }
}
