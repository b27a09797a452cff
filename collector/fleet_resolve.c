/* The numbers of the configuration that upstream is asked about, in the background, until it has answered. */
#include "collector/fleet_priv.h"
#include "collector/lookup.h"
#include "server/core/mem.h"

enum {
    RETRY_MIN_MS = 1000,
    RETRY_JITTER_PCT = 25,
    LOG_PERIOD_MS = 60000,
    NOT_FOUND_MS = 10 * 60 * 1000, /* a room that does not exist may come to exist */
};

static void arm(struct fleet *f)
{
    int64_t due = INT64_MAX;
    for (size_t i = 0; i < f->n; i++) {
        const struct fleet_room *r = f->rooms[i];
        due = !r->resolved && r->next_try_ms < due ? r->next_try_ms : due;
    }
    loop_timer_stop(&f->resolve_timer);
    if (due != INT64_MAX && f->lookup == NULL && f->begun && !f->stopping) {
        const int64_t in_ms = due - loop_now_ms(f->opts.loop);
        loop_timer_start(&f->resolve_timer, in_ms > 0 ? in_ms : 0, 0);
    }
}

static void failed(struct fleet *f, struct fleet_room *r, const struct lookup_item *item)
{
    const bool not_found = item->code == ERR_NOT_FOUND;
    struct backoff b;
    const int64_t max = f->opts.retry_max_ms;
    backoff_init(&b, max < RETRY_MIN_MS ? max : RETRY_MIN_MS, max, RETRY_JITTER_PCT);
    b.tries = r->tries;
    if (not_found && r->unresolved != FLEET_WAIT_NOT_FOUND) {
        LOG(ERROR, "fleet", "upstream knows no such room, asking again in 10 minutes",
            KV_I64("room", r->id));
    }
    r->unresolved = not_found ? FLEET_WAIT_NOT_FOUND : FLEET_WAIT_UPSTREAM;
    r->next_try_ms =
        loop_now_ms(f->opts.loop) + (not_found ? NOT_FOUND_MS : backoff_next_ms(&b, &f->rng));
    r->tries++;
}

static void resolved(struct fleet *f, struct fleet_room *r, struct lookup_item *item)
{
    const int64_t number = r->id;
    r = fleet_rename(f, r, item->room_id);
    room_facts_deinit(&r->facts);
    r->facts = item->facts;
    room_facts_init(&item->facts);
    if (number != r->id) {
        LOG(INFO, "fleet", "short id resolved", KV_I64("short_id", number), KV_I64("room", r->id));
    }
    fleet_touch(f, r);
}

static void on_looked_up(void *ctx, struct lookup_item *items, size_t n, const struct err *err)
{
    struct fleet *f = ctx;
    size_t n_failed = 0;
    f->lookup = NULL;
    for (size_t i = 0; i < n && !f->stopping; i++) {
        struct fleet_room *r = fleet_at_id(f, items[i].number);
        if (r == NULL || r->resolved) {
            continue; /* gone, or a request resolved it meanwhile */
        }
        if (items[i].code == ERR_OK) {
            resolved(f, r, &items[i]);
        } else {
            n_failed += items[i].code != ERR_NOT_FOUND;
            failed(f, r, &items[i]);
        }
    }
    if (n_failed > 0) {
        stats_add(f->opts.stats, STAT_FLEET_RESOLVE_FAILED, (int64_t)n_failed);
        uint64_t held = 0;
        if (log_limit(&f->resolve_log, loop_now_ms(f->opts.loop), LOG_PERIOD_MS, &held)) {
            LOG(WARN, "fleet", "upstream could not be asked about rooms, trying again",
                KV_I64("rooms", n_failed), KV_CSTR("error", err->msg), KV_I64("held_back", held));
        }
    }
    arm(f);
}

static void look_up(void *ctx)
{
    struct fleet *f = ctx;
    int64_t *numbers = mem_new_array(int64_t, LOOKUP_MAX);
    const int64_t now = loop_now_ms(f->opts.loop);
    size_t n = 0;
    for (size_t i = 0; i < f->n && n < LOOKUP_MAX; i++) {
        if (!f->rooms[i]->resolved && f->rooms[i]->next_try_ms <= now) {
            numbers[n++] = f->rooms[i]->id;
        }
    }
    if (n > 0 && f->lookup == NULL) {
        f->lookup = lookup_start(f->opts.loop, f->opts.source, numbers, n, on_looked_up, f);
    }
    mem_free(numbers);
    arm(f);
}

void fleet_resolve_soon(struct fleet *f)
{
    /* Those that nobody wants any more are not looked up. */
    for (size_t i = f->n; i > 0; i--) {
        struct fleet_room *r = f->rooms[i - 1];
        if (!r->resolved && !fleet_wanted(r)) {
            fleet_erase(f, r);
        }
    }
    arm(f);
}

void fleet_resolve_init(struct fleet *f)
{
    loop_timer_init(&f->resolve_timer, f->opts.loop, look_up, f);
}
