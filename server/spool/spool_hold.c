#include "server/spool/spool_hold.h"

#include "server/core/assert.h"
#include "server/core/mem.h"
#include "server/spool/spool_record.h"
#include "server/spool/spool_segment.h"

static_assert((SPOOL_HOLD_BUCKETS & (SPOOL_HOLD_BUCKETS - 1)) == 0, "buckets are masked");

/* The largest hold, and whatever else is small. */
enum { ROOM_FOR_ONE = SPOOL_RECORD_MAX + SPOOL_RECORD_HEAD_BYTES };

void spool_holds_init(struct spool_holds *h)
{
    *h = (struct spool_holds){0};
    list_init(&h->waiting);
    list_init(&h->writing);
    list_init(&h->kept);
}

static struct spool_hold **place_of(struct spool_holds *h, int64_t key)
{
    uint64_t x = (uint64_t)key * UINT64_C(0x9E3779B97F4A7C15);
    struct spool_hold **at = &h->buckets[(x >> 32) & (SPOOL_HOLD_BUCKETS - 1)];
    while (*at != NULL && (*at)->key != key) {
        at = &(*at)->next;
    }
    return at;
}

static void move_to(struct spool_hold *hold, struct list *to)
{
    if (hold->in != NULL) {
        list_remove(hold->in, &hold->node);
    }
    list_push_back(to, &hold->node);
    hold->in = to;
}

static void leave_segment(struct spool_hold *hold)
{
    if (hold->seg != NULL) {
        ASSERT(hold->seg->n_holds > 0);
        hold->seg->n_holds--;
        hold->seg = NULL;
    }
}

static void hold_free(struct spool_holds *h, struct spool_hold *hold)
{
    *place_of(h, hold->key) = hold->next;
    list_remove(hold->in, &hold->node);
    h->n_open -= hold->draft != NULL;
    h->n--;
    event_unref(&hold->draft);
    mem_free(hold);
}

void spool_holds_deinit(struct spool_holds *h)
{
    for (size_t i = 0; i < SPOOL_HOLD_BUCKETS; i++) {
        while (h->buckets[i] != NULL) {
            hold_free(h, h->buckets[i]);
        }
    }
}

struct spool_hold *spool_holds_get(struct spool_holds *h, int64_t key)
{
    return *place_of(h, key);
}

enum err_code spool_holds_set(struct spool_holds *h, int64_t key, const struct event_draft *draft,
                              int64_t until_ms)
{
    struct spool_hold *hold = spool_holds_get(h, key);
    if (hold == NULL && h->n >= SPOOL_HOLDS_MAX) {
        return ERR_FULL;
    }
    struct event *copy = event_new(1, draft);
    if (copy == NULL) {
        return ERR_NOMEM;
    }
    if (hold == NULL) {
        hold = mem_new(struct spool_hold);
        hold->key = key;
        *place_of(h, key) = hold;
        h->n++;
    }
    h->n_open += hold->draft == NULL;
    event_unref(&hold->draft);
    hold->draft = copy;
    hold->until_ms = until_ms;
    move_to(hold, &h->waiting);
    return ERR_OK;
}

void spool_holds_end(struct spool_holds *h, int64_t key)
{
    struct spool_hold *hold = spool_holds_get(h, key);
    if (hold == NULL || hold->draft == NULL) {
        return;
    }
    leave_segment(hold);
    if (!hold->tried) {
        hold_free(h, hold);
        return;
    }
    event_unref(&hold->draft);
    h->n_open--;
    move_to(hold, &h->waiting);
}

void spool_holds_found(struct spool_holds *h, int64_t key, struct spool_segment *seg)
{
    struct spool_hold *hold = spool_holds_get(h, key);
    ASSERT(hold != NULL);
    leave_segment(hold);
    hold->tried = true;
    hold->seg = seg;
    seg->n_holds++;
    move_to(hold, &h->kept);
}

void spool_holds_found_end(struct spool_holds *h, int64_t key)
{
    struct spool_hold *hold = spool_holds_get(h, key);
    if (hold != NULL) {
        leave_segment(hold);
        hold_free(h, hold);
    }
}

size_t spool_holds_write(struct spool_holds *h, struct buf *out)
{
    size_t n = 0;
    struct list_node *node;
    while ((node = list_first(&h->waiting)) != NULL) {
        struct spool_hold *hold = CONTAINER_OF(node, struct spool_hold, node);
        if (out->limit - out->len < ROOM_FOR_ONE) {
            break;
        }
        if (hold->draft != NULL) {
            spool_hold_put(out, hold->key, hold->until_ms, hold->draft);
        } else {
            spool_hold_end_put(out, hold->key);
        }
        if (!buf_ok(out)) {
            out->failed = false; /* out of memory for now; the record is not there */
            break;
        }
        hold->tried = true;
        move_to(hold, &h->writing);
        n++;
    }
    return n;
}

void spool_holds_written(struct spool_holds *h, struct spool_segment *seg)
{
    struct list_node *node;
    while ((node = list_first(&h->writing)) != NULL) {
        struct spool_hold *hold = CONTAINER_OF(node, struct spool_hold, node);
        if (seg == NULL) {
            move_to(hold, &h->waiting);
        } else if (hold->draft == NULL) {
            hold_free(h, hold);
        } else {
            spool_holds_found(h, hold->key, seg);
        }
    }
}

void spool_holds_move(struct spool_holds *h, struct spool_segment *seg, bool forget)
{
    struct list_node *next;
    for (struct list_node *node = list_first(&h->kept); node != NULL; node = next) {
        struct spool_hold *hold = CONTAINER_OF(node, struct spool_hold, node);
        next = list_next(&h->kept, node);
        if (hold->seg == seg) {
            move_to(hold, &h->waiting);
        }
    }
    if (!forget || seg->n_holds == 0) {
        return;
    }
    for (size_t i = 0; i < SPOOL_HOLD_BUCKETS; i++) {
        for (struct spool_hold *hold = h->buckets[i]; hold != NULL; hold = hold->next) {
            if (hold->seg == seg) {
                leave_segment(hold);
            }
        }
    }
}
