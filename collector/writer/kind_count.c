#include "collector/writer/kind_count.h"

#include <stdlib.h>

#include "server/core/assert.h"
#include "server/core/id.h"
#include "server/core/mem.h"

enum { MINUTE_MS = 60000, COLUMNS = 4 };

void kind_count_init(struct kind_count *c, size_t max)
{
    *c = (struct kind_count){
        .rows = mem_new_array(struct kind_count_row, max),
        .max = max,
        .columns = mem_new_array(int64_t, max * COLUMNS),
    };
}

void kind_count_deinit(struct kind_count *c)
{
    mem_free(c->rows);
    mem_free(c->columns);
    *c = (struct kind_count){0};
}

void kind_count_clear(struct kind_count *c)
{
    c->n = 0;
}

void kind_count_add(struct kind_count *c, const struct event *e)
{
    ASSERT(c->n < c->max);
    c->rows[c->n++] = (struct kind_count_row){
        .room_id = e->room_id,
        .minute = id_ts_ms(e->id) / MINUTE_MS,
        .kind = e->kind,
        .n = 1,
    };
}

static int order(const struct kind_count_row *a, const struct kind_count_row *b)
{
    if (a->room_id != b->room_id) {
        return a->room_id < b->room_id ? -1 : 1;
    }
    if (a->minute != b->minute) {
        return a->minute < b->minute ? -1 : 1;
    }
    return a->kind < b->kind ? -1 : a->kind > b->kind;
}

static int compare(const void *a, const void *b)
{
    return order(a, b);
}

/* Sorted, so that transactions that meet lock the rows in the same order. */
void kind_count_sum(struct kind_count *c)
{
    size_t n = 0;
    if (c->n > 1) {
        qsort(c->rows, c->n, sizeof(*c->rows), compare);
    }
    for (size_t i = 0; i < c->n; i++) {
        if (n > 0 && order(&c->rows[n - 1], &c->rows[i]) == 0) {
            c->rows[n - 1].n += c->rows[i].n;
        } else {
            c->rows[n++] = c->rows[i];
        }
    }
    c->n = n;
    for (size_t i = 0; i < n; i++) {
        c->columns[i] = c->rows[i].room_id;
        c->columns[c->max + i] = c->rows[i].minute;
        c->columns[2 * c->max + i] = c->rows[i].kind;
        c->columns[3 * c->max + i] = c->rows[i].n;
    }
}
