#include "collector/discover.h"

#include <stdlib.h>

#include "collector/discover_rank.h"
#include "collector/fleet.h"
#include "collector/room_facts.h"
#include "server/core/assert.h"
#include "server/core/log.h"
#include "server/core/mem.h"
#include "server/core/rng.h"
#include "server/loop/loop.h"
#include "server/stats/stats.h"

enum {
    AREAS_RETRY_MS = 60 * 60 * 1000, /* while upstream does not have a name */
    JITTER_PCT = 10,
    PAGES_SPARE = 3, /* pages may be shorter than asked for, or repeat rooms of others */
};

struct selection {
    struct discover_select select;
    struct discover_rank *rank; /* owned */
};

/* What a list said of a room, until the run ends. */
struct seen {
    int64_t room_id;
    struct room_facts facts;
};

struct discover {
    struct discover_opts opts;
    struct rng rng;
    struct loop_timer timer;
    struct selection selections[DISCOVER_SELECTS_MAX];
    size_t n;
    struct discover_rank
        *before; /* owned; members of before this configuration: their grace runs */
    int64_t interval_ms, grace_ms;
    int64_t areas_ms; /* mono: not asked for before; 0: now */
    bool restored;    /* the fleet's rooms are in the ranks */
    bool stopping;
    bool asking;          /* a question is under way */
    unsigned generation;  /* of the configuration */
    unsigned asked_under; /* the generation that the question belongs to */
    bool failing;         /* told */

    /* The run */
    int64_t began_ms;
    size_t at;     /* selection being read */
    unsigned page; /* being read */
    int64_t *ids;  /* owned; of the list so far */
    size_t n_ids, ids_cap;
    struct seen *seen; /* owned; all lists of the run, not sorted, may repeat */
    size_t n_seen, seen_cap;
    size_t n_read, n_failed; /* lists */
};

static void next_page(struct discover *d);

/* ---- the end of a run ---- */

static void forget_seen(struct discover *d)
{
    for (size_t i = 0; i < d->n_seen; i++) {
        room_facts_deinit(&d->seen[i].facts);
    }
    d->n_seen = 0;
}

static int compare_found(const void *pa, const void *pb)
{
    const struct fleet_found *a = pa;
    const struct fleet_found *b = pb;
    if (a->room_id != b->room_id) {
        return a->room_id < b->room_id ? -1 : 1;
    }
    return a->rank < b->rank ? -1 : a->rank > b->rank;
}

static int compare_seen(const void *pa, const void *pb)
{
    const struct seen *a = pa;
    const struct seen *b = pb;
    return (a->room_id > b->room_id) - (a->room_id < b->room_id);
}

static const struct room_facts *facts_of(const struct discover *d, int64_t room_id)
{
    const struct seen key = {.room_id = room_id};
    const struct seen *s =
        d->n_seen > 0 ? bsearch(&key, d->seen, d->n_seen, sizeof(key), compare_seen) : NULL;
    return s != NULL ? &s->facts : NULL;
}

/* The members of one selection. One that is not in the list now has the rank behind the band. */
static size_t gather(const struct discover *d, const struct discover_rank *rank, unsigned top,
                     struct fleet_found *out, int64_t now)
{
    size_t n_entries;
    size_t n = 0;
    const struct discover_rank_entry *e = discover_rank_entries(rank, &n_entries);
    for (size_t i = 0; i < n_entries; i++) {
        if (e[i].member) {
            out[n++] = (struct fleet_found){
                .room_id = e[i].room_id,
                .rank = e[i].rank > 0 ? e[i].rank : discover_rank_band(top) + 1,
                .settled = discover_rank_settled(rank, &e[i], now),
                .facts = facts_of(d, e[i].room_id),
            };
        }
    }
    return n;
}

/* The best of each room's ranks. */
static size_t unite(struct fleet_found *found, size_t n)
{
    size_t kept = 0;
    if (n > 1) {
        qsort(found, n, sizeof(found[0]), compare_found);
    }
    for (size_t i = 0; i < n; i++) {
        if (kept == 0 || found[kept - 1].room_id != found[i].room_id) {
            found[kept++] = found[i];
        } else {
            found[kept - 1].settled |= found[i].settled;
        }
    }
    return kept;
}

static void tell(struct discover *d)
{
    const int64_t now = loop_now_ms(d->opts.loop);
    size_t max = 0;
    size_t n = 0;
    if (d->n_read > 0) { /* upstream works: who is not in its lists is on the way out */
        discover_rank_update(d->before, NULL, 0, now);
    }
    (void)discover_rank_entries(d->before, &max);
    for (size_t i = 0; i < d->n; i++) {
        size_t n_entries;
        (void)discover_rank_entries(d->selections[i].rank, &n_entries);
        max += n_entries;
    }
    struct fleet_found *found = mem_new_array(struct fleet_found, max + 1);
    if (d->n_seen > 1) {
        qsort(d->seen, d->n_seen, sizeof(d->seen[0]), compare_seen);
    }
    for (size_t i = 0; i < d->n; i++) {
        const struct selection *s = &d->selections[i];
        n += gather(d, s->rank, s->select.top, found + n, now);
    }
    n += gather(d, d->before, DISCOVER_TOP_MAX, found + n, now);
    n = unite(found, n);
    stats_set(d->opts.stats, STAT_DISCOVER_ROOMS, (int64_t)n);
    fleet_discovered(d->opts.fleet, found, n);
    mem_free(found);
}

static void end_run(struct discover *d)
{
    const int64_t wait = d->interval_ms - (loop_now_ms(d->opts.loop) - d->began_ms);
    const int64_t jitter = d->interval_ms * JITTER_PCT / 100;
    stats_inc(d->opts.stats, STAT_DISCOVER_RUNS);
    if (d->n_failed == 0 && d->failing) {
        LOG(INFO, "discover", "upstream's lists can be read again", KV_I64("lists", d->n));
    }
    d->failing = d->n_failed > 0;
    tell(d);
    forget_seen(d);
    loop_timer_start(&d->timer, (wait > 0 ? wait : 0) + rng_between(&d->rng, 0, jitter), 0);
}

static void failed(struct discover *d, const char *what, const char *why)
{
    d->n_failed++;
    stats_inc(d->opts.stats, STAT_DISCOVER_FAILED);
    if (!d->failing && d->n_failed == 1) {
        LOG(WARN, "discover", what, KV_I64("parent_area", d->selections[d->at].select.parent_id),
            KV_CSTR("error", why));
    }
}

/* ---- one list ---- */

static void next_list(struct discover *d)
{
    d->at++;
    d->page = 0;
    d->n_ids = 0;
    next_page(d);
}

static void list_read(struct discover *d)
{
    if (d->n_ids == 0) {
        failed(d, "upstream's list is empty: what it had before stays", "no rooms");
    } else {
        d->n_read++;
        discover_rank_update(d->selections[d->at].rank, d->ids, d->n_ids,
                             loop_now_ms(d->opts.loop));
    }
    next_list(d);
}

static bool has_id(const struct discover *d, int64_t id)
{
    for (size_t i = 0; i < d->n_ids; i++) {
        if (d->ids[i] == id) {
            return true;
        }
    }
    return false;
}

static void *grow(void *old, size_t n, size_t *cap, size_t size)
{
    if (n < *cap) {
        return old;
    }
    const size_t more = *cap ? 2 * *cap : 128;
    char *fresh = mem_zero_or_abort(more, size);
    if (n > 0) {
        memcpy(fresh, old, n * size);
    }
    mem_free(old);
    *cap = more;
    return fresh;
}

/* LIMIT: DISCOVER_SELECTS_MAX lists of what the band of DISCOVER_TOP_MAX needs. */
static void take_room(struct discover *d, const struct upstream_room *room)
{
    if (room->room_id <= 0 || has_id(d, room->room_id)) {
        return; /* the order moves between pages */
    }
    d->ids = grow(d->ids, d->n_ids, &d->ids_cap, sizeof(d->ids[0]));
    d->ids[d->n_ids++] = room->room_id;
    d->seen = grow(d->seen, d->n_seen, &d->seen_cap, sizeof(d->seen[0]));
    struct seen *s = &d->seen[d->n_seen++];
    s->room_id = room->room_id;
    room_facts_init(&s->facts);
    (void)room_facts_update(&s->facts, room);
}

static unsigned page_size(unsigned need)
{
    return need < UPSTREAM_PAGE_MAX ? need : UPSTREAM_PAGE_MAX;
}

static void on_list(void *ctx, enum err_code code, const struct upstream_room *rooms, size_t n,
                    const struct err *err)
{
    struct discover *d = ctx;
    d->asking = false;
    if (d->stopping) {
        return;
    }
    if (d->asked_under != d->generation) { /* of a configuration that is gone */
        loop_timer_start(&d->timer, 0, 0);
        return;
    }
    if (code != ERR_OK) {
        failed(d, "upstream's list cannot be read: what it had before stays", err->msg);
        next_list(d);
        return;
    }
    const unsigned need = discover_rank_band(d->selections[d->at].select.top);
    const unsigned pages = need / page_size(need) + 1 + PAGES_SPARE;
    for (size_t i = 0; i < n && d->n_ids < need; i++) {
        take_room(d, &rooms[i]);
    }
    if (n == 0 || d->n_ids >= need || d->page >= pages) {
        list_read(d);
    } else {
        next_page(d);
    }
}

static void next_page(struct discover *d)
{
    while (d->at < d->n && !discover_select_named(&d->selections[d->at].select)) {
        failed(d, "upstream's areas could not be read, or have no such name", "not named yet");
        d->at++;
    }
    if (d->at == d->n) {
        end_run(d);
        return;
    }
    const struct discover_select *s = &d->selections[d->at].select;
    d->asking = true;
    d->asked_under = d->generation;
    d->opts.list(d->opts.ctx, s->parent_id, s->area_id, ++d->page,
                 page_size(discover_rank_band(s->top)), on_list, d);
}

/* ---- a run ---- */

static void on_areas(void *ctx, enum err_code code, const struct upstream_area *areas, size_t n,
                     const struct err *err)
{
    struct discover *d = ctx;
    struct err why;
    d->asking = false;
    if (d->stopping) {
        return;
    }
    if (d->asked_under !=
        d->generation) { /* of a configuration that is gone: the run begins anew */
        loop_timer_start(&d->timer, 0, 0);
        return;
    }
    if (code != ERR_OK) {
        failed(d, "upstream's areas cannot be read", err->msg);
    }
    for (size_t i = 0; i < d->n && code == ERR_OK; i++) {
        if (discover_select_name(&d->selections[i].select, areas, n, &why) != ERR_OK) {
            d->areas_ms = loop_now_ms(d->opts.loop) + AREAS_RETRY_MS;
            LOG(ERROR, "discover", "no such area, asking again in an hour",
                KV_CSTR("error", why.msg));
        }
    }
    next_page(d);
}

static bool restore_room(void *ctx, const struct fleet_info *info)
{
    struct discover *d = ctx;
    if (info->discovered) {
        discover_rank_restore(d->before, info->room_id, loop_now_ms(d->opts.loop));
    }
    return true;
}

static bool areas_needed(const struct discover *d)
{
    for (size_t i = 0; i < d->n; i++) {
        if (!discover_select_named(&d->selections[i].select)) {
            return loop_now_ms(d->opts.loop) >= d->areas_ms;
        }
    }
    return false;
}

static void begin(void *ctx)
{
    struct discover *d = ctx;
    if (d->asking || d->stopping || d->n == 0) {
        return;
    }
    if (!d->restored) {
        d->restored = true;
        fleet_each(d->opts.fleet, restore_room, d);
    }
    forget_seen(d);
    d->began_ms = loop_now_ms(d->opts.loop);
    d->at = 0;
    d->page = 0;
    d->n_ids = 0;
    d->n_read = d->n_failed = 0;
    if (areas_needed(d)) {
        d->asking = true;
        d->asked_under = d->generation;
        d->opts.areas(d->opts.ctx, on_areas, d);
        return;
    }
    next_page(d);
}

/* ---- up and down ---- */

struct discover *discover_new(const struct discover_opts *opts)
{
    struct discover *d = mem_new(struct discover);
    d->opts = *opts;
    if (opts->seed) {
        rng_seed(&d->rng, opts->seed);
    } else {
        rng_seed_system(&d->rng);
    }
    loop_timer_init(&d->timer, opts->loop, begin, d);
    return d;
}

static void free_ranks(struct discover *d)
{
    for (size_t i = 0; i < d->n; i++) {
        discover_rank_free(d->selections[i].rank);
    }
    discover_rank_free(d->before);
}

void discover_stop(struct discover *d)
{
    d->stopping = true;
    loop_timer_stop(&d->timer);
}

void discover_free(struct discover *d)
{
    if (d == NULL) {
        return;
    }
    ASSERT(d->stopping && !d->asking);
    free_ranks(d);
    forget_seen(d);
    mem_free(d->seen);
    mem_free(d->ids);
    mem_free(d);
}

void discover_configure(struct discover *d, const struct discover_select *selects, size_t n,
                        int64_t interval_ms, int64_t grace_ms)
{
    ASSERT(n <= DISCOVER_SELECTS_MAX);
    free_ranks(d);
    d->before = discover_rank_new(DISCOVER_TOP_MAX, grace_ms);
    d->n = n;
    d->interval_ms = interval_ms;
    d->grace_ms = grace_ms;
    d->areas_ms = 0;
    d->restored = false;
    d->generation++;
    for (size_t i = 0; i < n; i++) {
        d->selections[i] = (struct selection){
            .select = selects[i],
            .rank = discover_rank_new(selects[i].top, grace_ms),
        };
    }
    if (n == 0) {
        stats_set(d->opts.stats, STAT_DISCOVER_ROOMS, 0);
        fleet_discovered(d->opts.fleet, NULL, 0);
        loop_timer_stop(&d->timer);
    } else {
        loop_timer_start(&d->timer, 0, 0);
    }
}
