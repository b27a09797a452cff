/* Who is collected: the plan is made anew after each change, and the collector told the difference. */
#include "collector/fleet_priv.h"
#include "collector/fleet_rank.h"
#include "server/core/mem.h"

void fleet_plan_soon(struct fleet *f)
{
    if (f->begun && !f->stopping && !loop_timer_armed(&f->plan_timer)) {
        loop_timer_start(&f->plan_timer, 0, 0);
    }
}

static size_t gather(struct fleet *f, struct fleet_candidate *c)
{
    size_t n = 0;
    for (size_t i = 0; i < f->n; i++) {
        struct fleet_room *r = f->rooms[i];
        if (!r->resolved || r->state != FLEET_ACTIVE || !fleet_wanted(r)) {
            continue;
        }
        c[n++] = (struct fleet_candidate){
            .room_id = r->id,
            .class = r->pinned                   ? FLEET_CLASS_PINNED
                     : r->by_config || r->by_api ? FLEET_CLASS_ASKED
                                                 : FLEET_CLASS_FOUND,
            .rank = r->rank,
            .settled = r->collected || r->settled,
            .owner = r,
        };
    }
    return n;
}

/* Why it is not collected any more, and what brings it back. */
static const char *why_out(const struct fleet_room *r)
{
    switch (fleet_state_of(r)) {
    case FLEET_PAUSED:
        return "room paused by request: its connection is closed";
    case FLEET_REMOVED:
        return "room removed by request: its connection is closed, its events stay";
    case FLEET_LEFT:
        return fleet_origin_of(r) == FLEET_DISCOVERY
                   ? "room left the lists of discover: its connection is closed until it is back"
                   : "nobody asks for this room any more: its connection is closed";
    case FLEET_ACTIVE:
    case FLEET_STATES:
        break;
    }
    return "room waits, others come first (max_rooms): its connection is closed";
}

static void take_out(struct fleet *f, struct fleet_room *r)
{
    struct err err = {0};
    r->collected = false;
    f->version++;
    f->n_collected--;
    stats_inc(f->opts.stats, STAT_FLEET_DROPPED);
    if (f->opts.sink.remove(f->opts.sink.ctx, r->id, &err) != ERR_OK) {
        LOG(ERROR, "fleet", "room could not be taken out", KV_I64("room", r->id),
            KV_CSTR("error", err.msg));
        return;
    }
    LOG(INFO, "fleet", why_out(r), KV_I64("room", r->id),
        KV_CSTR("origin", fleet_origin_name(fleet_origin_of(r))),
        KV_CSTR("state", fleet_state_name(fleet_state_of(r))));
}

static void put_in(struct fleet *f, struct fleet_room *r)
{
    struct err err = {0};
    if (f->opts.sink.add(f->opts.sink.ctx, r->id, &err) != ERR_OK) {
        LOG(ERROR, "fleet", "room could not be connected", KV_I64("room", r->id),
            KV_CSTR("error", err.msg));
        return;
    }
    r->collected = true;
    f->version++;
    f->n_collected++;
    stats_inc(f->opts.stats, STAT_FLEET_ADDED);
    LOG(DEBUG, "fleet", "room is going to be connected", KV_I64("room", r->id),
        KV_CSTR("origin", fleet_origin_name(fleet_origin_of(r))));
}

void fleet_plan(void *fleet)
{
    struct fleet *f = fleet;
    struct fleet_candidate *c = mem_new_array(struct fleet_candidate, f->n + 1);
    loop_timer_stop(&f->plan_timer);
    const size_t n = gather(f, c);
    fleet_rank_choose(c, n, f->opts.max_rooms);
    for (size_t i = 0; i < f->n; i++) {
        f->rooms[i]->chosen = false;
    }
    for (size_t i = 0; i < n; i++) {
        ((struct fleet_room *)c[i].owner)->chosen = c[i].chosen;
    }
    for (size_t i = 0; i < f->n; i++) {
        if (f->rooms[i]->collected && !f->rooms[i]->chosen) {
            take_out(f, f->rooms[i]);
        }
    }
    for (size_t i = 0; i < n && c[i].chosen; i++) { /* the best first: connections are spaced */
        struct fleet_room *r = c[i].owner;
        if (!r->collected) {
            put_in(f, r);
        }
    }
    stats_set(f->opts.stats, STAT_FLEET_WAITING,
              n > f->opts.max_rooms ? (int64_t)(n - f->opts.max_rooms) : 0);
    mem_free(c);
}
