#include "server/spool/spool_segment.h"

#include <string.h>
#include <unistd.h>

#include "server/core/assert.h"
#include "server/core/mem.h"

struct spool_segment *spool_segment_new(uint64_t name)
{
    struct spool_segment *seg = mem_new(struct spool_segment);
    seg->name = name;
    seg->fd = -1;
    seg->passed_id = SPOOL_NOT_PASSED;
    return seg;
}

void spool_segment_free(struct spool_segment *seg)
{
    if (seg == NULL) {
        return;
    }
    if (seg->fd >= 0) {
        (void)close(seg->fd);
    }
    mem_free(seg);
}

void spool_segments_deinit(struct spool_segments *t)
{
    for (size_t i = 0; i < t->n; i++) {
        spool_segment_free(t->items[i]);
    }
    mem_free(t->items);
    *t = (struct spool_segments){0};
}

void spool_segments_push(struct spool_segments *t, struct spool_segment *take)
{
    ASSERT(t->n == 0 || t->items[t->n - 1]->name < take->name);
    if (t->n == t->cap) {
        size_t cap = t->cap > 0 ? t->cap * 2 : 64;
        struct spool_segment **items = mem_new_array(struct spool_segment *, cap);
        if (t->n > 0) {
            memcpy(items, t->items, t->n * sizeof(*items));
        }
        mem_free(t->items);
        t->items = items;
        t->cap = cap;
    }
    t->items[t->n++] = take;
    t->bytes += take->bytes;
}

struct spool_segment *spool_segments_shift(struct spool_segments *t)
{
    ASSERT(t->n > 0);
    struct spool_segment *seg = t->items[0];
    t->n--;
    memmove(t->items, t->items + 1, t->n * sizeof(*t->items));
    ASSERT(t->bytes >= seg->bytes);
    t->bytes -= seg->bytes;
    return seg;
}

void spool_segments_grow(struct spool_segments *t, struct spool_segment *seg, uint64_t bytes)
{
    seg->bytes += bytes;
    t->bytes += bytes;
}
