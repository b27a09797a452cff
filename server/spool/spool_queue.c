#include "server/core/assert.h"
#include "server/core/mem.h"
#include "server/spool/spool_priv.h"

enum { FIRST_EVENTS = 64 };

void spool_batch_init(struct spool_batch *b, size_t limit)
{
    *b = (struct spool_batch){0};
    buf_init(&b->bytes, limit);
}

void spool_batch_deinit(struct spool_batch *b)
{
    for (size_t i = 0; i < b->n; i++) {
        event_unref(&b->events[i]);
    }
    mem_free(b->events);
    mem_free(b->recorded);
    buf_deinit(&b->bytes);
}

void spool_batch_clear_records(struct spool_batch *b)
{
    buf_clear(&b->bytes);
    b->n_records = 0;
    b->n_events = 0;
    b->first_id = 0;
    b->last_id = 0;
}

static void grow(struct spool_batch *b)
{
    size_t cap = b->cap > 0 ? b->cap * 2 : FIRST_EVENTS;
    struct event **events = mem_new_array(struct event *, cap);
    bool *recorded = mem_new_array(bool, cap);
    if (b->n > 0) {
        memcpy(events, b->events, b->n * sizeof(*events));
        memcpy(recorded, b->recorded, b->n * sizeof(*recorded));
    }
    mem_free(b->events);
    mem_free(b->recorded);
    b->events = events;
    b->recorded = recorded;
    b->cap = cap;
}

void spool_batch_add(struct spool_batch *b, struct event *take, bool recorded)
{
    if (b->n == b->cap) {
        grow(b);
    }
    b->events[b->n] = take;
    b->recorded[b->n] = recorded;
    b->n++;
    if (!recorded) {
        b->loose_bytes += take->bytes;
        return;
    }
    b->first_id = b->n_events == 0 ? take->id : b->first_id;
    b->last_id = take->id;
    b->n_events++;
    b->n_records++;
}

/* One run of equal durability. The ids are noted first: the callee owns the events then, and may append. */
static void tell_run(struct spool *s, struct event **events, size_t n, bool durable, bool written)
{
    int64_t first = events[0]->id;
    int64_t last = events[n - 1]->id;
    s->told_id = last;
    if (durable) {
        s->kept_id = last;
    } else {
        spool_missing_add(&s->missing, first, last, s->kept_id);
        spool_missing_add(&s->loose, first, last, s->kept_id);
        s->degraded_events += written ? 0 : n;
        stats_add(s->stats, written ? STAT_SPOOL_LOOSE_ROOM : STAT_SPOOL_LOOSE_DEGRADED,
                  (int64_t)n);
    }
    s->opts.on_written(s->opts.ctx, events, n, durable);
}

void spool_batch_tell(struct spool *s, struct spool_batch *b, bool written)
{
    struct event **events = TAKE_PTR(b->events);
    bool *recorded = TAKE_PTR(b->recorded);
    size_t n = b->n;
    size_t cap = b->cap;
    size_t from = 0;
    b->n = 0;
    b->cap = 0;
    b->loose_bytes = 0;
    while (from < n) {
        size_t to = from + 1;
        while (to < n && (!written || recorded[to] == recorded[from])) {
            to++;
        }
        tell_run(s, events + from, to - from, written && recorded[from], written);
        from = to;
    }
    if (b->events == NULL) { /* nothing was appended meanwhile: the arrays serve again */
        b->events = events;
        b->recorded = recorded;
        b->cap = cap;
    } else {
        mem_free(events);
        mem_free(recorded);
    }
}
