/* What a process tells the next one of its rooms, for a start while the table cannot be read. */
#include "collector/fleet_priv.h"
#include "server/core/assert.h"

void fleet_each_kept(const struct fleet *f, void (*fn)(void *ctx, const struct fleet_kept *room),
                     void *ctx)
{
    for (size_t i = 0; i < f->n; i++) {
        const struct fleet_room *r = f->rooms[i];
        const bool said = fleet_wanted(r) || r->state != FLEET_ACTIVE || r->groups != NULL;
        if (r->resolved && (said || (f->loaded && r->change != 0))) {
            const struct fleet_kept kept = {
                .room_id = r->id,
                .short_id = r->facts.short_id,
                .created_ms = r->created_ms,
                .origin = fleet_origin_of(r),
                .state = r->state,
                .by_api = r->by_api,
                .pinned = r->pinned,
                .collected = r->collected,
                /* Before the table was read, nobody but the last process had anything to say. */
                .unstored = r->kept || (f->loaded && r->change != 0),
                .rank = r->rank,
                .groups = r->groups != NULL ? r->groups : "",
            };
            fn(ctx, &kept);
        }
    }
}

uint64_t fleet_kept_version(const struct fleet *f)
{
    return f->version;
}

static void take_kept(struct fleet *f, const struct fleet_kept *kept)
{
    if (kept->room_id <= 0 || fleet_at_id(f, kept->room_id) != NULL) {
        return;
    }
    struct fleet_room *r = fleet_insert(f, kept->room_id);
    if (r == NULL) {
        return;
    }
    r->facts.short_id = kept->short_id;
    r->state = kept->state;
    r->origin = kept->origin;
    r->by_api = kept->by_api;
    r->pinned = kept->pinned;
    r->by_discovery =
        f->discovering && kept->origin == FLEET_DISCOVERY && kept->state == FLEET_ACTIVE;
    r->rank = kept->rank;
    r->settled = kept->collected;
    r->kept = kept->unstored;
    r->change = kept->unstored ? ++f->changes : 0;
    r->created_ms = kept->created_ms;
    fleet_room_groups(r, str_of(kept->groups));
}

void fleet_begin(struct fleet *f, const struct fleet_kept *rooms, size_t n)
{
    ASSERT(!f->begun);
    for (size_t i = 0; i < n; i++) {
        take_kept(f, &rooms[i]);
    }
    f->begun = true;
    f->version++;
    fleet_apply_config(f);
    fleet_plan(f);
}

/* What the table and the configuration are about to say again; what they do not is forgotten. */
void fleet_unsay(struct fleet *f)
{
    for (size_t i = 0; i < f->n; i++) {
        struct fleet_room *r = f->rooms[i];
        r->by_config = false;
        if (!r->kept) {
            r->by_api = r->by_discovery = r->pinned = false;
            r->state = FLEET_ACTIVE;
            fleet_room_groups(r, STR_NULL);
        }
    }
}
