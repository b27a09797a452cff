/* What discovery tells: rooms that come, stay with a new rank, and leave. */
#include "collector/fleet_priv.h"

static const struct fleet_found *find(const struct fleet_found *found, size_t n, int64_t id)
{
    size_t low = 0;
    size_t high = n;
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        if (found[mid].room_id < id) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < n && found[low].room_id == id ? &found[low] : NULL;
}

static size_t let_go(struct fleet *f, const struct fleet_found *found, size_t n)
{
    size_t n_left = 0;
    for (size_t i = 0; i < f->n; i++) {
        struct fleet_room *r = f->rooms[i];
        if (r->by_discovery && find(found, n, r->id) == NULL) {
            r->by_discovery = false;
            r->rank = 0;
            r->settled = false;
            n_left += !fleet_wanted(r);
            fleet_touch(f, r);
        }
    }
    return n_left;
}

/* True: it came now. */
static bool take_found(struct fleet *f, const struct fleet_found *found)
{
    struct fleet_room *r = fleet_at_id(f, found->room_id);
    r = r != NULL ? r : fleet_insert(f, found->room_id);
    if (r == NULL) {
        return false; /* counted by fleet_insert */
    }
    const bool came = !r->by_discovery && r->state != FLEET_REMOVED;
    const bool news = found->facts != NULL && room_facts_merge(&r->facts, found->facts);
    const bool real =
        !r->resolved; /* a number of the configuration that nobody has looked up yet */
    r->resolved = true;
    r->by_discovery = r->state != FLEET_REMOVED;
    r->rank = found->rank;
    r->settled = found->settled;
    if (came || real) {
        fleet_touch(f, r);
    } else if (news) {
        r->change = ++f->changes;
        fleet_store_soon(f);
    }
    return came;
}

void fleet_discovered(struct fleet *f, const struct fleet_found *found, size_t n)
{
    if (!f->loaded || f->stopping) {
        return;
    }
    size_t n_came = 0;
    const size_t n_left = let_go(f, found, n);
    for (size_t i = 0; i < n; i++) {
        n_came += take_found(f, &found[i]);
    }
    stats_add(f->opts.stats, STAT_DISCOVER_ENTERED, (int64_t)n_came);
    stats_add(f->opts.stats, STAT_DISCOVER_LEFT, (int64_t)n_left);
    if (n_came > 0 || n_left > 0) {
        LOG(INFO, "fleet", "discovery", KV_I64("rooms", n), KV_I64("entered", n_came),
            KV_I64("left", n_left));
    }
    fleet_plan_soon(f); /* ranks may have moved */
}
