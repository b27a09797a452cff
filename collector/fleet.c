/* The set of rooms: found, added, taken out, asked about. */
#include "collector/fleet.h"

#include "collector/fleet_priv.h"
#include "server/core/assert.h"
#include "server/core/mem.h"
#include "server/stats/prom.h"

static const char *const origin_names[FLEET_ORIGINS] = {
    [FLEET_CONFIG] = "config",
    [FLEET_API] = "api",
    [FLEET_DISCOVERY] = "discovery",
};

static const char *const state_names[FLEET_STATES] = {
    [FLEET_ACTIVE] = "active",
    [FLEET_PAUSED] = "paused",
    [FLEET_REMOVED] = "removed",
    [FLEET_LEFT] = "left",
};

const char *fleet_origin_name(enum fleet_origin origin)
{
    return origin_names[origin];
}

const char *fleet_state_name(enum fleet_state state)
{
    return state_names[state];
}

const char *fleet_wait_name(enum fleet_wait wait)
{
    switch (wait) {
    case FLEET_WAIT_NONE:
        return "";
    case FLEET_WAIT_PAUSED:
        return "paused";
    case FLEET_WAIT_REMOVED:
        return "removed";
    case FLEET_WAIT_LEFT:
        return "left";
    case FLEET_WAIT_MAX_ROOMS:
        return "max_rooms";
    case FLEET_WAIT_RESOLVING:
        return "resolving";
    case FLEET_WAIT_UPSTREAM:
        return "upstream_unavailable";
    case FLEET_WAIT_NOT_FOUND:
        return "not_found";
    }
    UNREACHABLE();
}

/* ---- the set ---- */

/* Place of the room, or where it belongs. */
static size_t place_of(const struct fleet *f, int64_t id)
{
    size_t low = 0;
    size_t high = f->n;
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        if (f->rooms[mid]->id < id) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

struct fleet_room *fleet_at_id(const struct fleet *f, int64_t id)
{
    const size_t i = place_of(f, id);
    return i < f->n && f->rooms[i]->id == id ? f->rooms[i] : NULL;
}

struct fleet_room *fleet_find(const struct fleet *f, int64_t number)
{
    struct fleet_room *r = fleet_at_id(f, number);
    for (size_t i = 0; r == NULL && i < f->n; i++) {
        if (f->rooms[i]->facts.short_id == number) {
            r = f->rooms[i];
        }
    }
    return r;
}

static void place_room(struct fleet *f, struct fleet_room *r)
{
    const size_t place = place_of(f, r->id);
    ASSERT(f->n < f->cap && (place == f->n || f->rooms[place]->id != r->id));
    memmove(&f->rooms[place + 1], &f->rooms[place], (f->n - place) * sizeof(f->rooms[0]));
    f->rooms[place] = r;
    f->n++;
}

static void unplace_room(struct fleet *f, const struct fleet_room *r)
{
    const size_t place = place_of(f, r->id);
    ASSERT(place < f->n && f->rooms[place] == r);
    f->n--;
    memmove(&f->rooms[place], &f->rooms[place + 1], (f->n - place) * sizeof(f->rooms[0]));
}

struct fleet_room *fleet_insert(struct fleet *f, int64_t id)
{
    if (f->n == FLEET_ROOMS_MAX) {
        stats_inc(f->opts.stats, STAT_FLEET_FULL);
        return NULL;
    }
    if (f->n == f->cap) {
        const size_t cap = f->cap ? 2 * f->cap : 64;
        struct fleet_room **rooms = mem_new_array(struct fleet_room *, cap);
        if (f->n > 0) {
            memcpy(rooms, f->rooms, f->n * sizeof(rooms[0]));
        }
        mem_free(f->rooms);
        f->rooms = rooms;
        f->cap = cap;
    }
    struct fleet_room *r = mem_new(struct fleet_room);
    r->id = id;
    r->origin = FLEET_API;
    r->resolved = true;
    r->created_ms = loop_wall_ms(f->opts.loop);
    room_facts_init(&r->facts);
    place_room(f, r);
    return r;
}

static void room_free(struct fleet_room *r)
{
    room_facts_deinit(&r->facts);
    mem_free(r->groups);
    mem_free(r);
}

void fleet_erase(struct fleet *f, struct fleet_room *r)
{
    ASSERT(!r->collected && !r->busy);
    unplace_room(f, r);
    room_free(r);
    f->version++;
}

struct fleet_room *fleet_rename(struct fleet *f, struct fleet_room *r, int64_t id)
{
    struct fleet_room *there = id != r->id ? fleet_at_id(f, id) : NULL;
    ASSERT(!r->resolved && !r->collected);
    if (there != NULL && there->resolved) {
        there->by_config |= r->by_config;
        fleet_erase(f, r);
        return there;
    }
    if (there !=
        NULL) { /* a number of the configuration that nobody has looked up yet: it is this one */
        r->by_config |= there->by_config;
        fleet_erase(f, there);
    }
    unplace_room(f, r);
    r->id = id;
    r->resolved = true;
    place_room(f, r);
    return r;
}

void fleet_touch(struct fleet *f, struct fleet_room *r)
{
    r->origin = fleet_origin_of(r);
    f->version++;
    if (r->resolved) {
        r->change = ++f->changes;
        fleet_store_soon(f);
    }
    fleet_plan_soon(f);
}

void fleet_room_groups(struct fleet_room *r, struct str joined)
{
    mem_free(r->groups);
    r->groups = joined.len > 0 ? mem_dup(joined.ptr, joined.len) : NULL;
}

bool fleet_wanted(const struct fleet_room *r)
{
    return r->by_config || r->by_api || r->by_discovery || r->pinned;
}

enum fleet_origin fleet_origin_of(const struct fleet_room *r)
{
    return r->by_config      ? FLEET_CONFIG
           : r->by_api       ? FLEET_API
           : r->by_discovery ? FLEET_DISCOVERY
                             : r->origin;
}

enum fleet_state fleet_state_of(const struct fleet_room *r)
{
    return r->state == FLEET_ACTIVE && !fleet_wanted(r) ? FLEET_LEFT : r->state;
}

/* ---- configuration ---- */

void fleet_ask_upstream(struct fleet *f, bool ask)
{
    const struct fleet_source *source = ask && f->source.resolve != NULL ? &f->source : NULL;
    if (source == f->opts.source) {
        return;
    }
    f->opts.source = source;
    for (size_t i = 0; i < f->n; i++) {
        struct fleet_room *r = f->rooms[i];
        if (source == NULL) {
            r->resolved = true; /* the number is taken for the real one */
        } else if (r->unasked && r->resolved && !r->collected) {
            r->resolved = false;
            r->unresolved = FLEET_WAIT_RESOLVING;
            r->next_try_ms = 0;
        }
        r->unasked = r->unasked || source == NULL;
    }
}

static void take_configured(struct fleet *f, int64_t number)
{
    struct fleet_room *r = fleet_find(f, number);
    if (r == NULL) {
        r = fleet_insert(f, number);
        if (r == NULL) {
            LOG(ERROR, "fleet", "room of the configuration left out: too many rooms",
                KV_I64("room", number), KV_I64("most", FLEET_ROOMS_MAX));
            return;
        }
        r->resolved = f->opts.source == NULL;
        r->unasked = r->resolved;
        r->unresolved = FLEET_WAIT_RESOLVING;
    }
    if (!r->by_config) {
        r->by_config = true;
        /* What was deleted over HTTP and then written into the file is meant. */
        r->state = r->state == FLEET_REMOVED ? FLEET_ACTIVE : r->state;
        fleet_touch(f, r);
    }
}

static bool is_configured(const struct fleet *f, const struct fleet_room *r)
{
    for (size_t i = 0; i < f->n_config; i++) {
        if (f->config[i] == r->id || (r->resolved && f->config[i] == r->facts.short_id)) {
            return true;
        }
    }
    return false;
}

void fleet_apply_config(struct fleet *f)
{
    for (size_t i = f->n; i > 0; i--) {
        struct fleet_room *r = f->rooms[i - 1];
        if (r->by_config && !is_configured(f, r)) {
            r->by_config = false;
            fleet_touch(f, r);
        }
    }
    for (size_t i = 0; i < f->n_config; i++) {
        take_configured(f, f->config[i]);
    }
    fleet_resolve_soon(f);
    fleet_plan_soon(f);
}

void fleet_configure(struct fleet *f, const int64_t *numbers, size_t n, size_t max_rooms,
                     bool discovering)
{
    mem_free(f->config);
    f->config = mem_new_array(int64_t, n + 1);
    f->n_config = n;
    f->opts.max_rooms = max_rooms;
    f->discovering = discovering;
    if (n > 0) {
        memcpy(f->config, numbers, n * sizeof(numbers[0]));
    }
    if (f->begun && !f->stopping) {
        fleet_apply_config(f);
    }
}

/* ---- up and down ---- */

static void on_loaded(void *ctx, enum err_code code, const struct err *err,
                      const struct db_rows *rows)
{
    struct fleet *f = ctx;
    if (code == ERR_OK && !f->stopping) {
        if (!f->loaded) {
            fleet_unsay(f);
        }
        fleet_take_rows(f, rows);
        f->begun = f->loaded = true;
        f->version++;
        for (size_t i = 0; i < f->n; i++) {
            if (fleet_state_of(f->rooms[i]) == FLEET_LEFT) {
                fleet_touch(f, f->rooms[i]); /* of a configuration that has changed since */
            }
        }
        fleet_apply_config(f);
        fleet_plan(f);
        fleet_store_soon(f); /* what fleet_begin took over */
    }
    f->load_done(f->load_ctx, code, err);
}

void fleet_load(struct fleet *f, void (*done)(void *ctx, enum err_code code, const struct err *err),
                void *ctx)
{
    static const struct err canceled = {.code = ERR_CANCELED, .msg = "stopping"};
    struct err err = canceled;
    f->load_done = done;
    f->load_ctx = ctx;
    enum err_code code =
        f->stopping ? ERR_CANCELED : fleet_fetch(f, f->config, f->n_config, on_loaded, f, &err);
    if (code != ERR_OK) {
        done(ctx, code, &err);
    }
}

static void scrape(void *ctx, struct buf *out)
{
    static const char *const labels[FLEET_ORIGINS][FLEET_STATES] = {
#define ROW(o)                                                                                     \
    {"origin=\"" o "\",state=\"active\"", "origin=\"" o "\",state=\"paused\"",                     \
     "origin=\"" o "\",state=\"removed\"", "origin=\"" o "\",state=\"left\""}
        ROW("config"), ROW("api"), ROW("discovery")
#undef ROW
    };
    const struct fleet *f = ctx;
    int64_t n[FLEET_ORIGINS][FLEET_STATES] = {{0}};
    int64_t n_unstored = 0;
    for (size_t i = 0; i < f->n; i++) {
        n[fleet_origin_of(f->rooms[i])][fleet_state_of(f->rooms[i])]++;
        n_unstored += f->rooms[i]->change != 0;
    }
    prom_head(out, "danmakud_fleet_rooms", "gauge",
              "Rooms by who asked for them and what is to be done with them.");
    for (unsigned o = 0; o < FLEET_ORIGINS; o++) {
        for (unsigned s = 0; s < FLEET_LEFT; s++) {
            prom_i64(out, "danmakud_fleet_rooms", labels[o][s], n[o][s]);
        }
    }
    prom_head(out, "danmakud_fleet_collected", "gauge",
              "Rooms that have a place in the collector.");
    prom_i64(out, "danmakud_fleet_collected", "", (int64_t)f->n_collected);
    prom_head(out, "danmakud_fleet_unstored", "gauge",
              "Rooms with changes that are not in the database yet.");
    prom_i64(out, "danmakud_fleet_unstored", "", n_unstored);
}

struct fleet *fleet_new(const struct fleet_opts *opts)
{
    struct fleet *f = mem_new(struct fleet);
    f->opts = *opts;
    if (opts->source != NULL) {
        f->source = *opts->source;
        f->opts.source = &f->source;
    }
    if (opts->seed) {
        rng_seed(&f->rng, opts->seed);
    } else {
        rng_seed_system(&f->rng);
    }
    list_init(&f->requests);
    loop_timer_init(&f->plan_timer, opts->loop, fleet_plan, f);
    fleet_store_init(f);
    fleet_resolve_init(f);
    if (opts->stats != NULL) {
        stats_on_scrape(opts->stats, scrape, f);
    }
    return f;
}

void fleet_stop(struct fleet *f)
{
    f->stopping = true;
    loop_timer_stop(&f->plan_timer);
    loop_timer_stop(&f->store_timer);
    loop_timer_stop(&f->resolve_timer);
    fleet_requests_cancel(f);
}

void fleet_free(struct fleet *f)
{
    if (f == NULL) {
        return;
    }
    ASSERT(f->stopping && f->requests.n == 0 && !f->storing && f->lookup == NULL);
    if (f->opts.stats != NULL) {
        stats_off_scrape(f->opts.stats, f);
    }
    for (size_t i = 0; i < f->n; i++) {
        room_free(f->rooms[i]);
    }
    fleet_store_deinit(f);
    mem_free(f->rooms);
    mem_free(f->config);
    mem_free(f);
}

/* ---- answers ---- */

static enum fleet_wait wait_of(const struct fleet_room *r)
{
    switch (fleet_state_of(r)) {
    case FLEET_PAUSED:
        return FLEET_WAIT_PAUSED;
    case FLEET_REMOVED:
        return FLEET_WAIT_REMOVED;
    case FLEET_LEFT:
        return FLEET_WAIT_LEFT;
    case FLEET_ACTIVE:
    case FLEET_STATES:
        break;
    }
    return !r->resolved ? r->unresolved : r->collected ? FLEET_WAIT_NONE : FLEET_WAIT_MAX_ROOMS;
}

static struct fleet_info info_of(const struct fleet_room *r)
{
    return (struct fleet_info){
        .room_id = r->id,
        .origin = fleet_origin_of(r),
        .state = fleet_state_of(r),
        .wait = wait_of(r),
        .pinned = r->pinned,
        .collected = r->collected,
        .discovered = r->by_discovery,
        .rank = r->rank,
        .groups = r->groups != NULL ? r->groups : "",
        .facts = &r->facts,
        .created_ms = r->created_ms,
    };
}

bool fleet_get(struct fleet *f, int64_t number, struct fleet_info *ret)
{
    const struct fleet_room *r = fleet_find(f, number);
    if (r != NULL) {
        *ret = info_of(r);
    }
    return r != NULL;
}

bool fleet_wants_any(const struct fleet *f)
{
    for (size_t i = 0; i < f->n; i++) {
        if (fleet_wanted(f->rooms[i])) {
            return true;
        }
    }
    return false;
}

void fleet_each(struct fleet *f, bool (*fn)(void *ctx, const struct fleet_info *info), void *ctx)
{
    for (size_t i = 0; i < f->n; i++) {
        const struct fleet_info info = info_of(f->rooms[i]);
        if (!fn(ctx, &info)) {
            break;
        }
    }
}

void fleet_note_room(struct fleet *f, const struct upstream_room *said)
{
    struct fleet_room *r = fleet_at_id(f, said->room_id);
    if (r != NULL && r->resolved && room_facts_update(&r->facts, said)) {
        r->change = ++f->changes;
        fleet_store_soon(f);
    }
}
