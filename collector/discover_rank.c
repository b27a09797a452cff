#include "collector/discover_rank.h"

#include <stdlib.h>
#include <string.h>

#include "server/core/mem.h"

struct discover_rank {
    unsigned top;
    int64_t grace_ms;
    struct discover_rank_entry *entries; /* owned; by room id */
    size_t n, cap;
};

struct discover_rank *discover_rank_new(unsigned top, int64_t grace_ms)
{
    struct discover_rank *d = mem_new(struct discover_rank);
    d->top = top;
    d->grace_ms = grace_ms;
    return d;
}

void discover_rank_free(struct discover_rank *d)
{
    if (d != NULL) {
        mem_free(d->entries);
        mem_free(d);
    }
}

unsigned discover_rank_band(unsigned top)
{
    return top + top / 10 + 1;
}

static int compare(const void *pa, const void *pb)
{
    const struct discover_rank_entry *a = pa;
    const struct discover_rank_entry *b = pb;
    return (a->room_id > b->room_id) - (a->room_id < b->room_id);
}

static struct discover_rank_entry *find(struct discover_rank *d, size_t n, int64_t room_id)
{
    const struct discover_rank_entry key = {.room_id = room_id};
    return n > 0 ? bsearch(&key, d->entries, n, sizeof(key), compare) : NULL;
}

/* Behind the sorted ones; the caller sorts. */
static struct discover_rank_entry *append(struct discover_rank *d, int64_t room_id)
{
    if (d->n == d->cap) {
        const size_t cap = d->cap ? 2 * d->cap : 64;
        struct discover_rank_entry *entries = mem_new_array(struct discover_rank_entry, cap);
        if (d->n > 0) {
            memcpy(entries, d->entries, d->n * sizeof(entries[0]));
        }
        mem_free(d->entries);
        d->entries = entries;
        d->cap = cap;
    }
    struct discover_rank_entry *e = &d->entries[d->n++];
    *e = (struct discover_rank_entry){.room_id = room_id, .in_since_ms = -1, .out_since_ms = -1};
    return e;
}

static void sort(struct discover_rank *d)
{
    if (d->n > 1) {
        qsort(d->entries, d->n, sizeof(d->entries[0]), compare);
    }
}

void discover_rank_restore(struct discover_rank *d, int64_t room_id, int64_t now_ms)
{
    if (find(d, d->n, room_id) != NULL) {
        return;
    }
    struct discover_rank_entry *e = append(d, room_id);
    e->member = true;
    e->out_since_ms = now_ms;
    if (d->n > 1 && d->entries[d->n - 2].room_id > room_id) { /* they come in order */
        sort(d);
    }
}

/* False: nothing is left to remember of it. */
static bool move_entry(const struct discover_rank *d, struct discover_rank_entry *e, bool is_new,
                       int64_t now_ms)
{
    const bool in = e->rank > 0 && e->rank <= d->top;
    const bool in_band = e->rank > 0 && e->rank <= discover_rank_band(d->top);
    if (!in) {
        e->fresh = false;
        e->in_since_ms = -1;
    } else if (e->in_since_ms < 0) {
        e->fresh = is_new || e->out_since_ms >= 0;
        e->in_since_ms = now_ms;
    }
    if (in_band) {
        e->out_since_ms = -1;
    } else if (e->out_since_ms < 0) {
        e->out_since_ms = now_ms;
    }
    e->member = in || (e->member && (in_band || now_ms - e->out_since_ms < d->grace_ms));
    return e->member || in_band;
}

void discover_rank_update(struct discover_rank *d, const int64_t *ids, size_t n, int64_t now_ms)
{
    const size_t n_old = d->n;
    for (size_t i = 0; i < n_old; i++) {
        d->entries[i].rank = 0;
    }
    for (size_t i = 0; i < n; i++) {
        struct discover_rank_entry *e = find(d, n_old, ids[i]);
        e = e != NULL ? e : append(d, ids[i]);
        e->rank = (unsigned)i + 1;
    }
    size_t kept = 0;
    for (size_t i = 0; i < d->n; i++) {
        if (move_entry(d, &d->entries[i], i >= n_old, now_ms)) {
            d->entries[kept++] = d->entries[i];
        }
    }
    d->n = kept;
    sort(d);
}

const struct discover_rank_entry *discover_rank_entries(const struct discover_rank *d,
                                                        size_t *ret_n)
{
    *ret_n = d->n;
    return d->entries;
}

bool discover_rank_settled(const struct discover_rank *d, const struct discover_rank_entry *e,
                           int64_t now_ms)
{
    return e->fresh || (e->in_since_ms >= 0 && now_ms - e->in_since_ms >= d->grace_ms);
}
