#include "collector/guard_merge.h"

#include "server/core/assert.h"
#include "server/core/hash.h"
#include "server/core/json_read.h"
#include "server/core/list.h"
#include "server/core/mem.h"
#include "server/loop/loop.h"
#include "server/stats/stats.h"

enum source { SOURCE_BUY = 1 << 0, SOURCE_TOAST = 1 << 1, SOURCE_TOAST_V2 = 1 << 2 };
enum { PAYFLOW_MAX = 64, FORGET_MS = 60000, SEEN_MS = 600000 };

/* One purchase: held (buy only, no event yet) or remembered, so that its other messages are known when they come. */
struct purchase {
    struct list_node node;
    struct event *held; /* owned; NULL once its event was told */
    int64_t hold_key;
    int64_t room_id;
    int64_t actor;    /* > 0: uid; else the name says who */
    int64_t name;     /* hash */
    int64_t at_ms;    /* upstream's time */
    int64_t nkey[3];  /* of the messages that came, by source; 0 none */
    int64_t payflow;  /* hash; 0 unknown */
    int64_t until_ms; /* wall: told alone, or forgotten */
    unsigned sources; /* bits that came */
    int16_t level;
    int32_t months; /* 0: unknown, or of another unit */
};

struct guard_merge {
    struct loop *loop;
    struct guard_merge_ops ops;
    struct stats *stats;
    struct list purchases; /* oldest first */
    struct loop_timer timer;
    size_t n_held;
};

static int64_t hash_of(struct str s)
{
    struct hash64 h;
    if (s.len == 0) {
        return 0;
    }
    hash64_init(&h, 0x6775617264); /* "guard" */
    hash64_str(&h, s);
    return hash64_done(&h);
}

static unsigned place(unsigned source)
{
    return source == SOURCE_BUY ? 0 : source == SOURCE_TOAST ? 1 : 2;
}

/* extra.source and extra.payflow_id. */
static void read_extra(struct str extra, struct purchase *p)
{
    struct json j;
    struct str key;
    struct str value;
    char text[PAYFLOW_MAX];
    p->sources = SOURCE_TOAST;
    bool other_unit = false;
    json_init(&j, extra);
    if (!json_enter_object(&j)) {
        return;
    }
    while (json_next_key(&j, &key)) {
        if (str_eq(key, STR("source")) && json_str(&j, text, sizeof(text), &value)) {
            p->sources = str_eq(value, STR("guard_buy"))  ? SOURCE_BUY
                         : str_eq(value, STR("toast_v2")) ? SOURCE_TOAST_V2
                                                          : SOURCE_TOAST;
        } else if (str_eq(key, STR("payflow_id")) && json_str(&j, text, sizeof(text), &value)) {
            p->payflow = hash_of(value);
        } else if (str_eq(key, STR("unit")) && json_str(&j, text, sizeof(text), &value)) {
            other_unit = value.len > 0 && !str_eq(value, STR("月"));
        }
    }
    p->months = other_unit ? 0 : p->months;
}

static struct purchase purchase_of(const struct event_draft *d, int64_t now_ms)
{
    struct purchase p = {
        .room_id = d->room_id,
        .actor = d->actor,
        .name = hash_of(d->uname),
        .at_ms = d->sent_ms != 0 ? d->sent_ms : now_ms,
        .level = d->guard,
        .months = d->num,
    };
    read_extra(d->extra, &p);
    p.nkey[place(p.sources)] = d->nkey;
    return p;
}

static int64_t distance(const struct purchase *a, const struct purchase *b)
{
    return a->at_ms > b->at_ms ? a->at_ms - b->at_ms : b->at_ms - a->at_ms;
}

static bool same_buyer(const struct purchase *a, const struct purchase *b)
{
    return a->actor > 0 && b->actor > 0 ? a->actor == b->actor
                                        : a->actor <= 0 && b->actor <= 0 && a->name == b->name;
}

static bool is_repeat(const struct purchase *p, const struct purchase *q)
{
    for (unsigned i = 0; i < ARRAY_LEN(p->nkey); i++) {
        if (q->nkey[i] != 0 && q->nkey[i] == p->nkey[i]) {
            return true;
        }
    }
    return false;
}

/* q: one message. The purchase it belongs to: the nearest that lacks a message of this source. */
static struct purchase *find(struct guard_merge *m, const struct purchase *q)
{
    struct purchase *best = NULL;
    for (struct list_node *node = list_first(&m->purchases); node != NULL;
         node = list_next(&m->purchases, node)) {
        struct purchase *p = CONTAINER_OF(node, struct purchase, node);
        if (p->room_id != q->room_id || p->level != q->level) {
            continue;
        }
        if (is_repeat(p, q) || (q->payflow != 0 && q->payflow == p->payflow)) {
            return p;
        }
        const bool other = (q->payflow != 0 && p->payflow != 0) ||
                           (q->months > 0 && p->months > 0 && q->months != p->months);
        if (!other && (p->sources & q->sources) == 0 && same_buyer(p, q) &&
            distance(p, q) <= GUARD_MERGE_MS &&
            (best == NULL || distance(p, q) < distance(best, q))) {
            best = p;
        }
    }
    return best;
}

static void note(struct purchase *p, const struct purchase *q)
{
    p->sources |= q->sources;
    for (unsigned i = 0; i < ARRAY_LEN(p->nkey); i++) {
        p->nkey[i] = q->nkey[i] != 0 ? q->nkey[i] : p->nkey[i];
    }
    p->payflow = q->payflow != 0 ? q->payflow : p->payflow;
}

static void drop_held(struct guard_merge *m, struct purchase *p)
{
    if (p->held != NULL) {
        event_unref(&p->held);
        m->n_held--;
        m->ops.hold_end(m->ops.ctx, p->hold_key);
    }
}

/* The event first, then the end of the hold: a crash in between tells it twice, with the same key, never not at all. */
static void tell_alone(struct guard_merge *m, struct purchase *p)
{
    struct event_draft d;
    event_draft_of(p->held, &d);
    m->ops.tell(m->ops.ctx, &d);
    stats_inc(m->stats, STAT_GUARDS_ALONE);
    drop_held(m, p);
    p->until_ms = loop_wall_ms(m->loop) + FORGET_MS;
}

static void forget(struct guard_merge *m, struct purchase *p)
{
    if (p->held != NULL) {
        tell_alone(m, p);
    }
    list_remove(&m->purchases, &p->node);
    mem_free(p);
}

static void arm(struct guard_merge *m)
{
    int64_t now = loop_wall_ms(m->loop);
    int64_t next = INT64_MAX;
    for (struct list_node *node = list_first(&m->purchases); node != NULL;
         node = list_next(&m->purchases, node)) {
        const struct purchase *p = CONTAINER_OF(node, struct purchase, node);
        next = p->until_ms < next ? p->until_ms : next;
    }
    if (next == INT64_MAX) {
        loop_timer_stop(&m->timer);
    } else {
        /* A wall clock that was set back must not hold anything for long. */
        int64_t wait = next - now;
        wait = wait < 0 ? 0 : wait > FORGET_MS ? FORGET_MS : wait;
        loop_timer_start(&m->timer, wait, 0);
    }
}

static void on_timer(void *ctx)
{
    struct guard_merge *m = ctx;
    int64_t now = loop_wall_ms(m->loop);
    struct list_node *next;
    for (struct list_node *node = list_first(&m->purchases); node != NULL; node = next) {
        struct purchase *p = CONTAINER_OF(node, struct purchase, node);
        next = list_next(&m->purchases, node);
        if (p->until_ms > now && p->until_ms <= now + SEEN_MS) {
            continue;
        }
        if (p->held != NULL) {
            tell_alone(m, p);
        } else {
            forget(m, p);
        }
    }
    arm(m);
}

static struct purchase *remember(struct guard_merge *m, const struct purchase *q)
{
    while (m->purchases.n >= GUARD_MERGE_MAX) {
        stats_inc(m->stats, STAT_GUARDS_FORGOTTEN);
        forget(m, CONTAINER_OF(list_first(&m->purchases), struct purchase, node));
    }
    struct purchase *p = mem_new(struct purchase);
    *p = *q;
    p->until_ms = loop_wall_ms(m->loop) + FORGET_MS;
    list_push_back(&m->purchases, &p->node);
    return p;
}

/* False: no memory. */
static bool keep(struct guard_merge *m, struct purchase *p, int64_t key,
                 const struct event_draft *draft, int64_t until_ms)
{
    p->held = event_new(1, draft);
    if (p->held == NULL) {
        return false;
    }
    p->hold_key = key;
    p->until_ms = until_ms;
    m->n_held++;
    return true;
}

/* Keys are unique among what is held; a message without a key of its own gets one of its content and time. */
static int64_t key_of(const struct guard_merge *m, const struct event_draft *d)
{
    struct hash64 h;
    if (d->nkey != 0) {
        return d->nkey;
    }
    hash64_init(&h, (uint64_t)d->room_id);
    hash64_i64(&h, d->actor);
    hash64_str(&h, d->uname);
    hash64_i64(&h, d->guard);
    hash64_i64(&h, loop_wall_ms(m->loop));
    hash64_i64(&h, (int64_t)m->purchases.n);
    return hash64_done(&h);
}

void guard_merge_take(struct guard_merge *m, const struct event_draft *draft)
{
    ASSERT(draft->kind == EVENT_GUARD);
    int64_t now = loop_wall_ms(m->loop);
    struct purchase q = purchase_of(draft, now);
    struct purchase *p = find(m, &q);
    if (p != NULL) {
        stats_inc(m->stats, STAT_GUARDS_MERGED);
        note(p, &q);
        if (p->held != NULL && q.sources != SOURCE_BUY) {
            m->ops.tell(m->ops.ctx, draft);
            drop_held(m, p);
            p->until_ms = now + FORGET_MS;
        }
    } else {
        p = remember(m, &q);
        if (q.sources == SOURCE_BUY && keep(m, p, key_of(m, draft), draft, now + GUARD_MERGE_MS)) {
            m->ops.hold(m->ops.ctx, p->hold_key, draft, p->until_ms);
        } else {
            m->ops.tell(m->ops.ctx, draft);
        }
    }
    arm(m);
}

void guard_merge_seen(struct guard_merge *m, const struct event *e)
{
    struct event_draft d;
    if (e->kind != EVENT_GUARD) {
        return;
    }
    event_draft_of(e, &d);
    struct purchase q = purchase_of(&d, loop_wall_ms(m->loop));
    if (find(m, &q) == NULL) {
        /* Reading what is stored may take long; what was held comes after it. */
        remember(m, &q)->until_ms = loop_wall_ms(m->loop) + SEEN_MS;
        arm(m);
    }
}

void guard_merge_restore(struct guard_merge *m, int64_t key, const struct event_draft *draft,
                         int64_t until_ms)
{
    int64_t now = loop_wall_ms(m->loop);
    struct purchase q = purchase_of(draft, now);
    struct purchase *p = find(m, &q);
    if (p != NULL) { /* the process ended between the event and the end of the hold */
        note(p, &q);
        m->ops.hold_end(m->ops.ctx, key);
        return;
    }
    p = remember(m, &q);
    /* Its toast may still come, if the connection is quick. */
    if (!keep(m, p, key, draft,
              until_ms < now + GUARD_MERGE_MS ? until_ms : now + GUARD_MERGE_MS)) {
        m->ops.tell(m->ops.ctx, draft);
        m->ops.hold_end(m->ops.ctx, key);
    }
    arm(m);
}

void guard_merge_flush(struct guard_merge *m)
{
    for (struct list_node *node = list_first(&m->purchases); node != NULL;
         node = list_next(&m->purchases, node)) {
        struct purchase *p = CONTAINER_OF(node, struct purchase, node);
        if (p->held != NULL) {
            tell_alone(m, p);
        }
    }
    loop_timer_stop(&m->timer); /* nothing keeps the loop running */
}

size_t guard_merge_n_held(const struct guard_merge *m)
{
    return m->n_held;
}

struct guard_merge *guard_merge_new(struct loop *loop, const struct guard_merge_ops *ops,
                                    struct stats *stats)
{
    struct guard_merge *m = mem_new(struct guard_merge);
    m->loop = loop;
    m->ops = *ops;
    m->stats = stats;
    list_init(&m->purchases);
    loop_timer_init(&m->timer, loop, on_timer, m);
    return m;
}

void guard_merge_free(struct guard_merge *m)
{
    struct list_node *node;
    if (m == NULL) {
        return;
    }
    loop_timer_stop(&m->timer);
    while ((node = list_first(&m->purchases)) != NULL) {
        struct purchase *p = CONTAINER_OF(node, struct purchase, node);
        event_unref(&p->held);
        list_remove(&m->purchases, node);
        mem_free(p);
    }
    mem_free(m);
}
