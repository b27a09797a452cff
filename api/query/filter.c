#include "api/query/filter.h"

#include "server/core/hash.h"

static bool has_room(const struct filter *f, int64_t room_id)
{
    size_t low = 0;
    size_t high = f->n_rooms;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (f->rooms[mid] < room_id) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < f->n_rooms && f->rooms[low] == room_id;
}

static bool is_inside(const struct filter *f, const struct event *e)
{
    size_t low = 0;
    size_t high = f->n_spans; /* the last span that begins at or before the event */
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const struct filter_span *s = &f->spans[mid];
        if (s->room_id < e->room_id || (s->room_id == e->room_id && s->low <= e->id)) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low > 0 && f->spans[low - 1].room_id == e->room_id && e->id < f->spans[low - 1].high;
}

bool filter_match(const struct filter *f, const struct event *e)
{
    if (f->kinds != 0 && ((unsigned)e->kind >= EVENT_KIND_END || (f->kinds >> e->kind & 1) == 0)) {
        return false;
    }
    if (e->value_mcny < f->min_value) {
        return false;
    }
    if (f->live != FILTER_ANY && is_inside(f, e) != (f->live == FILTER_INSIDE)) {
        return false;
    }
    return f->n_rooms == 0 || has_room(f, e->room_id);
}

bool filter_is_rare(const struct filter *f)
{
    if (f->min_value > 0) {
        return true; /* what is paid is rare: checked by a unit test of the table of kinds */
    }
    if (f->kinds == 0) {
        return false;
    }
    for (unsigned k = 0; k < EVENT_KIND_END; k++) {
        if ((f->kinds >> k & 1) != 0 && !event_kind_is_rare((enum event_kind)k)) {
            return false;
        }
    }
    return true;
}

size_t filter_kinds(const struct filter *f, int64_t out[static EVENT_KIND_END])
{
    size_t n = 0;
    for (unsigned k = 0; k < EVENT_KIND_END; k++) {
        if ((f->kinds >> k & 1) != 0) {
            out[n++] = k;
        }
    }
    return n;
}

int64_t filter_hash(const struct filter *f, int64_t from_ms, int64_t to_ms, int64_t since_ms)
{
    struct hash64 h;
    hash64_init(&h, 0x66696c74); /* "filt" */
    hash64_i64(&h, (int64_t)f->n_rooms);
    for (size_t i = 0; i < f->n_rooms; i++) {
        hash64_i64(&h, f->rooms[i]);
    }
    hash64_i64(&h, f->kinds);
    hash64_i64(&h, f->min_value);
    hash64_i64(&h, from_ms);
    hash64_i64(&h, to_ms);
    hash64_i64(&h, since_ms);
    if (f->live != FILTER_ANY || f->session_id != 0) { /* older cursors stay good */
        hash64_i64(&h, f->live);
        hash64_i64(&h, f->session_id);
    }
    return hash64_done(&h);
}
