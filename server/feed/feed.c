#include "server/feed/feed.h"

#include "server/core/assert.h"
#include "server/core/mem.h"
#include "server/feed/feed_rooms_priv.h"

struct slot {
    struct event *ev; /* owned reference */
    int64_t id;       /* beside the pointer, so that a binary search does not touch the events */
    uint64_t
        prev; /* sequence number of the room's previous event when this one came; it may be evicted by now */
};

struct feed {
    struct slot *slots; /* owned; capacity of them, slot of seq is seq & mask */
    uint64_t mask;
    uint64_t tail;
    uint64_t head;
    int64_t floor_id; /* nothing above it is missing */
    int64_t backfilled_id;
    size_t bytes;
    size_t max_bytes;
    uint64_t evicted;
    feed_evict_fn *on_evict; /* may be NULL */
    void *on_evict_ctx;
    bool published;
    struct feed_rooms rooms; /* of all rooms with events in the ring */
    struct list waiting;     /* readers that are to be woken */
};

static inline struct slot *slot_of(const struct feed *f, uint64_t seq)
{
    return &f->slots[seq & f->mask];
}

struct feed *feed_new(size_t capacity_pow2, size_t max_bytes)
{
    ASSERT(capacity_pow2 > 0 && (capacity_pow2 & (capacity_pow2 - 1)) == 0);
    struct feed *f = mem_new(struct feed);
    f->slots = mem_new_array(struct slot, capacity_pow2);
    f->mask = capacity_pow2 - 1;
    f->floor_id = INT64_MAX;
    f->max_bytes = max_bytes;
    feed_rooms_init(&f->rooms);
    list_init(&f->waiting);
    return f;
}

void feed_free(struct feed *f)
{
    if (f == NULL) {
        return;
    }
    for (struct list_node *node; (node = list_first(&f->waiting)) != NULL;) {
        list_remove(&f->waiting, node);
    }
    for (uint64_t seq = f->tail; seq != f->head; seq++) {
        event_unref(&slot_of(f, seq)->ev);
    }
    feed_rooms_deinit(&f->rooms);
    mem_free(f->slots);
    mem_free(f);
}

/* ---- in and out ---- */

static void evict(struct feed *f)
{
    struct slot *s = slot_of(f, f->tail);
    struct feed_room *room = feed_rooms_find(&f->rooms, s->ev->room_id);
    ASSERT(room != NULL);
    if (room->last == f->tail) {
        feed_rooms_remove(&f->rooms, room);
    } else {
        room->floor_id = s->id;
    }
    f->floor_id = s->id;
    f->bytes -= s->ev->bytes;
    f->evicted++;
    f->tail++;
    if (f->on_evict != NULL) {
        f->on_evict(f->on_evict_ctx, s->ev);
    }
    event_unref(&s->ev);
}

static void append(struct feed *f, struct event *take)
{
    ASSERT(f->head == f->tail || take->id > feed_head_id(f));
    if (f->head == 0) {
        f->floor_id = take->id - 1;
    }
    if (f->head - f->tail > f->mask) {
        evict(f);
    }
    while (f->head != f->tail && f->bytes + take->bytes > f->max_bytes) {
        evict(f);
    }
    struct feed_room *room = feed_rooms_find(&f->rooms, take->room_id);
    uint64_t prev = room != NULL ? room->last : FEED_NO_SEQ;
    if (room == NULL) {
        /* All its events that the ring does not hold are at or below the floor of all. */
        room = feed_rooms_add(&f->rooms, take->room_id, f->floor_id);
    }
    room->last = f->head;
    *slot_of(f, f->head) = (struct slot){.ev = take, .id = take->id, .prev = prev};
    f->bytes += take->bytes;
    f->head++;
}

void feed_publish(struct feed *f, struct event *take)
{
    f->published = true;
    append(f, take);
    /* Only those that wait now: a reader may wait again from within its wake. */
    for (size_t n = f->waiting.n; n > 0; n--) {
        struct list_node *node = list_first(&f->waiting);
        if (node == NULL) {
            break;
        }
        list_remove(&f->waiting, node);
        struct feed_reader *r = CONTAINER_OF(node, struct feed_reader, node);
        r->wake(r->ctx);
    }
}

void feed_warm(struct feed *f, struct event *take)
{
    ASSERT(!f->published);
    append(f, take);
}

void feed_reset(struct feed *f)
{
    ASSERT(!f->published);
    while (f->tail != f->head) {
        evict(f);
    }
    f->tail = f->head = 0;
    f->evicted = 0;
    f->floor_id = INT64_MAX;
}

/* ---- what is there ---- */

uint64_t feed_tail(const struct feed *f)
{
    return f->tail;
}

uint64_t feed_head(const struct feed *f)
{
    return f->head;
}

int64_t feed_head_id(const struct feed *f)
{
    return f->head != f->tail ? slot_of(f, f->head - 1)->id : 0;
}

int64_t feed_tail_id(const struct feed *f)
{
    return f->head != f->tail ? slot_of(f, f->tail)->id : 0;
}

bool feed_covers(const struct feed *f, int64_t after_id)
{
    return f->head != 0 && after_id >= f->floor_id;
}

static bool holds(const struct feed *f, uint64_t seq)
{
    return seq >= f->tail && seq < f->head;
}

const struct event *feed_at(const struct feed *f, uint64_t seq)
{
    return holds(f, seq) ? slot_of(f, seq)->ev : NULL;
}

uint64_t feed_seek(const struct feed *f, int64_t after_id)
{
    uint64_t low = f->tail;
    uint64_t high = f->head;
    while (low < high) {
        uint64_t mid = low + (high - low) / 2;
        if (slot_of(f, mid)->id > after_id) {
            high = mid;
        } else {
            low = mid + 1;
        }
    }
    return low;
}

uint64_t feed_room_last(const struct feed *f, int64_t room_id)
{
    const struct feed_room *room = feed_rooms_find(&f->rooms, room_id);
    return room != NULL ? room->last : FEED_NO_SEQ;
}

uint64_t feed_room_prev(const struct feed *f, uint64_t seq)
{
    if (!holds(f, seq)) {
        return FEED_NO_SEQ;
    }
    uint64_t prev = slot_of(f, seq)->prev;
    return prev != FEED_NO_SEQ && prev >= f->tail ? prev : FEED_NO_SEQ;
}

bool feed_room_covers(const struct feed *f, int64_t room_id, int64_t after_id)
{
    const struct feed_room *room = feed_rooms_find(&f->rooms, room_id);
    return room != NULL ? after_id >= room->floor_id : feed_covers(f, after_id);
}

void feed_set_backfilled(struct feed *f, int64_t id)
{
    f->backfilled_id = id > f->backfilled_id ? id : f->backfilled_id;
}

int64_t feed_backfilled(const struct feed *f)
{
    return f->backfilled_id;
}

size_t feed_bytes(const struct feed *f)
{
    return f->bytes;
}

void feed_on_evict(struct feed *f, feed_evict_fn *fn, void *ctx)
{
    f->on_evict = fn;
    f->on_evict_ctx = ctx;
}

uint64_t feed_evicted(const struct feed *f)
{
    return f->evicted;
}

/* ---- readers ---- */

void feed_reader_init(struct feed_reader *r, struct feed *f, uint64_t next, feed_wake_fn *wake,
                      void *ctx)
{
    *r = (struct feed_reader){.feed = f, .next = next, .wake = wake, .ctx = ctx};
}

void feed_reader_deinit(struct feed_reader *r)
{
    if (r->feed != NULL) {
        list_remove(&r->feed->waiting, &r->node);
        r->feed = NULL;
    }
}

enum feed_read feed_read(struct feed_reader *r, const struct event **ret, uint64_t *ret_seq)
{
    struct feed *f = r->feed;
    if (r->next < f->tail) {
        return FEED_LAPPED;
    }
    ASSERT(r->next <= f->head);
    if (r->next == f->head) {
        if (!list_linked(&r->node)) {
            list_push_back(&f->waiting, &r->node);
        }
        return FEED_EMPTY;
    }
    *ret = slot_of(f, r->next)->ev;
    *ret_seq = r->next;
    r->next++;
    return FEED_EVENT;
}
