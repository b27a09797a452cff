#include "collector/audience.h"

#include <string.h>

#include "server/core/id.h"
#include "server/core/json_read.h"
#include "server/core/mem.h"
#include "server/stats/stats.h"

enum { FIGURE_NAME_MAX = 32 };

struct room_audience {
    struct audience_row now;
    int64_t put_ms;      /* of the newest row; 0 none */
    int64_t up_since_ms; /* 0: not connected */
    int64_t looked_ms;   /* newest audience_look; 0 none yet */
    bool live;
    bool changed; /* since the newest row */
    bool known;   /* there is a figure */
};

struct audience {
    struct audience_opts opts;
    struct stats *stats;
    struct room_audience *rooms; /* owned, n of cap, by room id */
    size_t n;
    size_t cap;
};

static const char *const names[AUDIENCE_N] = {
#define X(name) #name,
    AUDIENCE_FIGURES(X)
#undef X
};

static size_t place_of(const struct audience *a, int64_t room_id)
{
    size_t low = 0;
    size_t high = a->n;
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        if (a->rooms[mid].now.room_id < room_id) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static void forget(struct room_audience *r, bool all)
{
    for (unsigned i = 0; i < AUDIENCE_N; i++) {
        const bool of_the_live = i != AUDIENCE_followers && i != AUDIENCE_fans_club;
        if ((all || of_the_live) && r->now.v[i] >= 0) {
            r->now.v[i] = -1;
            r->changed = true;
        }
    }
}

static struct room_audience *find_or_add(struct audience *a, int64_t room_id)
{
    size_t at = place_of(a, room_id);
    if (at < a->n && a->rooms[at].now.room_id == room_id) {
        return &a->rooms[at];
    }
    if (a->n == a->opts.max_rooms) {
        stats_inc(a->stats, STAT_AUDIENCE_ROOMS_OVERFLOW);
        return NULL;
    }
    if (a->n == a->cap) {
        size_t cap = a->cap > 0 ? a->cap * 2 : 64;
        struct room_audience *bigger = mem_new_array(struct room_audience, cap);
        if (a->n > 0) {
            memcpy(bigger, a->rooms, a->n * sizeof(*bigger));
        }
        mem_free(a->rooms);
        a->rooms = bigger;
        a->cap = cap;
    }
    memmove(a->rooms + at + 1, a->rooms + at, (a->n - at) * sizeof(*a->rooms));
    a->rooms[at] = (struct room_audience){.now = {.room_id = room_id}};
    for (unsigned i = 0; i < AUDIENCE_N; i++) {
        a->rooms[at].now.v[i] = -1;
    }
    a->n++;
    return &a->rooms[at];
}

/* A clock that went back begins anew. */
static void put_if_due(struct audience *a, struct room_audience *r, int64_t now_ms)
{
    const int64_t age = now_ms - r->put_ms;
    const int64_t least = r->live ? AUDIENCE_LIVE_MS : AUDIENCE_OFF_MS;
    const bool due = r->put_ms == 0 || (r->changed ? age >= least : age >= AUDIENCE_SAME_MS);
    if (!r->known || !due) {
        r->put_ms = age < 0 ? now_ms : r->put_ms;
        return;
    }
    r->now.at_ms = now_ms;
    r->put_ms = now_ms;
    r->changed = false;
    a->opts.put(a->opts.ctx, &r->now);
}

static void set(struct audience *a, struct room_audience *r, unsigned which, int64_t value,
                int64_t now_ms)
{
    if (value < 0 || (which == AUDIENCE_popularity && value < 2) ||
        ((which == AUDIENCE_rank_users || which == AUDIENCE_fans_club) && value > INT32_MAX)) {
        return;
    }
    r->changed |= r->now.v[which] != value;
    r->now.v[which] = value;
    r->known = true;
    put_if_due(a, r, now_ms);
}

void audience_set(struct audience *a, int64_t room_id, enum audience_figure which, int64_t value,
                  int64_t now_ms)
{
    struct room_audience *r = find_or_add(a, room_id);
    if (r != NULL && r->up_since_ms != 0) {
        set(a, r, which, value, now_ms);
    }
}

void audience_event(struct audience *a, const struct event *e)
{
    struct json j;
    struct str key;
    struct str name = STR_NULL;
    char text[FIGURE_NAME_MAX];
    int64_t value = -1;
    if (e->kind != EVENT_AUDIENCE) {
        return;
    }
    json_init(&j, e->extra);
    if (!json_enter_object(&j)) {
        return;
    }
    while (json_next_key(&j, &key)) {
        if (str_eq(key, STR("figure"))) {
            (void)json_str(&j, text, sizeof(text), &name);
        } else if (str_eq(key, STR("value"))) {
            (void)json_int(&j, &value);
        }
    }
    for (unsigned i = 0; i < AUDIENCE_N; i++) {
        if (str_eq(name, str_of(names[i]))) {
            struct room_audience *r = find_or_add(a, e->room_id);
            if (r != NULL) {
                set(a, r, i, value, id_ts_ms(e->id));
            }
            return;
        }
    }
}

void audience_look(struct audience *a, int64_t room_id, int64_t up_since_ms, bool live,
                   int64_t now_ms)
{
    struct room_audience *r = find_or_add(a, room_id);
    if (r == NULL) {
        return;
    }
    r->looked_ms = now_ms;
    if (up_since_ms != r->up_since_ms) {
        /* What came on this connection before it was looked at stays. */
        if (r->put_ms < up_since_ms || up_since_ms == 0) {
            forget(r, true);
            r->known = false;
            r->changed = false;
        }
        r->up_since_ms = up_since_ms;
    }
    if (r->live && !live) {
        forget(r, false);
    }
    r->live = live;
    if (up_since_ms != 0) {
        put_if_due(a, r, now_ms);
    }
}

void audience_tick(struct audience *a, int64_t now_ms)
{
    size_t kept = 0;
    for (size_t i = 0; i < a->n; i++) {
        struct room_audience *r = &a->rooms[i];
        if (r->looked_ms == 0 || r->looked_ms > now_ms) {
            r->looked_ms = now_ms;
        }
        if (now_ms - r->looked_ms > AUDIENCE_KEEP_MS) {
            continue;
        }
        if (kept < i) {
            a->rooms[kept] = *r;
        }
        kept++;
    }
    a->n = kept;
}

struct audience *audience_new(const struct audience_opts *opts, struct stats *stats)
{
    struct audience *a = mem_new(struct audience);
    a->opts = *opts;
    a->stats = stats;
    return a;
}

void audience_free(struct audience *a)
{
    if (a != NULL) {
        mem_free(a->rooms);
        mem_free(a);
    }
}
