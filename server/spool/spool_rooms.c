#include "server/spool/spool_rooms.h"

#include <stdlib.h>

#include "server/core/assert.h"
#include "server/core/mem.h"

enum { FIRST_SLOTS = 64 };

void spool_rooms_deinit(struct spool_rooms *r)
{
    mem_free(r->slots);
    *r = (struct spool_rooms){0};
}

static void widen(struct spool_dropped *to, const struct spool_dropped *by)
{
    to->first_id = by->first_id < to->first_id ? by->first_id : to->first_id;
    to->last_id = by->last_id > to->last_id ? by->last_id : to->last_id;
    to->n += by->n;
}

/* The room's slot, or the free one where it belongs. */
static struct spool_dropped *slot_of(struct spool_dropped *slots, size_t cap, int64_t room_id)
{
    uint64_t h = (uint64_t)room_id * UINT64_C(0x9E3779B97F4A7C15);
    size_t i = (size_t)(h >> 32) & (cap - 1);
    while (slots[i].n > 0 && slots[i].room_id != room_id) {
        i = (i + 1) & (cap - 1);
    }
    return &slots[i];
}

static void grow(struct spool_rooms *r)
{
    size_t cap = r->cap > 0 ? r->cap * 2 : FIRST_SLOTS;
    struct spool_dropped *slots = mem_new_array(struct spool_dropped, cap);
    for (size_t i = 0; i < r->cap; i++) {
        if (r->slots[i].n > 0) {
            *slot_of(slots, cap, r->slots[i].room_id) = r->slots[i];
        }
    }
    mem_free(r->slots);
    r->slots = slots;
    r->cap = cap;
}

void spool_rooms_add(struct spool_rooms *r, const struct spool_dropped *d)
{
    struct spool_dropped all = *d;
    ASSERT(d->n > 0);
    if (r->n * 2 >= r->cap) {
        grow(r);
    }
    struct spool_dropped *slot = slot_of(r->slots, r->cap, d->room_id);
    if (slot->n == 0 && r->n >= SPOOL_ROOMS_MAX) {
        all.room_id = 0;
        slot = slot_of(r->slots, r->cap, 0);
    }
    if (slot->n == 0) {
        *slot = all;
        r->n++;
    } else {
        widen(slot, &all);
    }
}

void spool_reports_deinit(struct spool_reports *list)
{
    mem_free(list->items);
    *list = (struct spool_reports){0};
}

void spool_reports_add(struct spool_reports *list, const struct spool_dropped *d)
{
    if (list->n >= SPOOL_REPORTS_MAX) {
        struct spool_dropped *last = &list->items[list->n - 1];
        widen(last, d);
        last->room_id = 0;
        return;
    }
    if (list->n == list->cap) {
        size_t cap = list->cap > 0 ? list->cap * 2 : FIRST_SLOTS;
        struct spool_dropped *items = mem_new_array(struct spool_dropped, cap);
        if (list->n > 0) {
            memcpy(items, list->items, list->n * sizeof(*items));
        }
        mem_free(list->items);
        list->items = items;
        list->cap = cap;
    }
    list->items[list->n++] = *d;
}

static int by_room(const void *a, const void *b)
{
    int64_t x = ((const struct spool_dropped *)a)->room_id;
    int64_t y = ((const struct spool_dropped *)b)->room_id;
    return (x > y) - (x < y);
}

void spool_reports_add_rooms(struct spool_reports *list, struct spool_rooms *r)
{
    size_t from = list->n;
    for (size_t i = 0; i < r->cap; i++) {
        if (r->slots[i].n > 0) {
            spool_reports_add(list, &r->slots[i]);
        }
    }
    if (list->n > from) {
        qsort(list->items + from, list->n - from, sizeof(list->items[0]), by_room);
    }
    spool_rooms_deinit(r);
}
