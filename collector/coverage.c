#include "collector/coverage_priv.h"

#include <string.h>

#include "server/core/assert.h"
#include "server/core/id.h"
#include "server/core/mem.h"

enum { GROWN_MS = 1000 };

const char *coverage_state_name(enum coverage_state s)
{
    static const char *const names[COVERAGE_STATES] = {"ok", "degraded", "gap"};
    ASSERT(s < COVERAGE_STATES);
    return names[s];
}

struct coverage *coverage_new(int64_t start_ms, coverage_change_fn *changed, void *ctx)
{
    struct coverage *c = mem_new(struct coverage);
    c->start_ms = start_ms;
    c->known_from = start_ms;
    c->changed = changed;
    c->ctx = ctx;
    return c;
}

static void room_free(struct coverage_room *r)
{
    mem_free(r->spans);
    mem_free(r);
}

void coverage_free(struct coverage *c)
{
    if (c == NULL) {
        return;
    }
    for (size_t i = 0; i < c->n; i++) {
        room_free(c->rooms[i]);
    }
    mem_free(c->rooms);
    mem_free(c);
}

/* ---- rooms ---- */

static size_t place_of(const struct coverage *c, int64_t id)
{
    size_t low = 0;
    size_t high = c->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (c->rooms[mid]->id < id) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

struct coverage_room *coverage_room(const struct coverage *c, int64_t id)
{
    size_t at = place_of(c, id);
    return at < c->n && c->rooms[at]->id == id ? c->rooms[at] : NULL;
}

static struct coverage_room *find_or_add(struct coverage *c, int64_t id)
{
    size_t at = place_of(c, id);
    if (at < c->n && c->rooms[at]->id == id) {
        return c->rooms[at];
    }
    if (c->n == c->cap) {
        size_t cap = c->cap > 0 ? c->cap * 2 : 16;
        struct coverage_room **rooms = mem_new_array(struct coverage_room *, cap);
        if (c->n > 0) {
            memcpy(rooms, c->rooms, c->n * sizeof(*rooms));
        }
        mem_free(c->rooms);
        c->rooms = rooms;
        c->cap = cap;
    }
    memmove(&c->rooms[at + 1], &c->rooms[at], (c->n - at) * sizeof(*c->rooms));
    struct coverage_room *r = mem_new(struct coverage_room);
    r->id = id;
    /* Of a room that only lost something, nothing else is known. */
    r->known_from = id == 0 ? c->start_ms : INT64_MAX;
    r->leaving = id != 0;
    r->link_ms = c->start_ms;
    c->rooms[at] = r;
    c->n++;
    return r;
}

/* ---- spans ---- */

static void mark_dirty(struct coverage *c, struct coverage_room *r, struct coverage_span *s)
{
    c->changes++;
    if (!s->dirty) {
        s->dirty = true;
        r->n_dirty++;
        c->n_dirty++;
        c->n_lost_dirty += s->source == COVERAGE_LOST;
    }
}

static void mark_clean(struct coverage *c, struct coverage_room *r, struct coverage_span *s)
{
    if (s->dirty) {
        s->dirty = false;
        r->n_dirty--;
        c->n_dirty--;
        c->n_lost_dirty -= s->source == COVERAGE_LOST;
    }
}

static void remove_span(struct coverage *c, struct coverage_room *r, size_t at)
{
    mark_clean(c, r, &r->spans[at]);
    r->n--;
    memmove(&r->spans[at], &r->spans[at + 1], (r->n - at) * sizeof(*r->spans));
}

static struct coverage_span *open_span(const struct coverage_room *r, enum coverage_source source)
{
    for (size_t i = r->n; i > 0; i--) {
        struct coverage_span *s = &r->spans[i - 1];
        if (s->source == source) {
            return s->to_ms == COVERAGE_OPEN ? s : NULL;
        }
    }
    return NULL;
}

/* a grows over b, which is about to go. */
static void swallow(struct coverage *c, struct coverage_room *r, struct coverage_span *a,
                    const struct coverage_span *b)
{
    a->to_ms = b->to_ms > a->to_ms ? b->to_ms : a->to_ms;
    if (a->source == COVERAGE_LOST) {
        a->n = a->n > 0 && b->n > 0 ? a->n + b->n : 0;
        a->first_id = b->first_id < a->first_id ? b->first_id : a->first_id;
        a->last_id = b->last_id > a->last_id ? b->last_id : a->last_id;
        a->from_ms = b->from_ms < a->from_ms ? b->from_ms : a->from_ms;
    } else {
        a->n += b->n;
    }
    mark_dirty(c, r, a);
    c->n_merged++;
}

static bool may_join(const struct coverage_span *a, const struct coverage_span *b)
{
    if (a->source != b->source || b->told || b->sent || a->sent || a->to_ms == COVERAGE_OPEN ||
        b->to_ms == COVERAGE_OPEN) {
        return false;
    }
    /* The key of what the database has may not move. */
    return a->source != COVERAGE_LOST ||
           (a->cause == b->cause && (!a->told || a->from_ms <= b->from_ms));
}

/* Too many wait: the two neighbours with the shortest time between them become one. Rather a gap too long than one left
 * out. */
static void join_some(struct coverage *c, struct coverage_room *r)
{
    size_t best = 0;
    size_t best_before = 0;
    int64_t best_hole = INT64_MAX;
    for (size_t j = 1; j < r->n; j++) {
        size_t i = j;
        while (i > 0 && r->spans[i - 1].source != r->spans[j].source) {
            i--;
        }
        if (i == 0 || !may_join(&r->spans[i - 1], &r->spans[j])) {
            continue;
        }
        int64_t hole = r->spans[j].from_ms - r->spans[i - 1].to_ms;
        hole = hole < 0 ? 0 : hole;
        if (hole < best_hole) {
            best_hole = hole;
            best = j;
            best_before = i - 1;
        }
    }
    if (best > 0) {
        swallow(c, r, &r->spans[best_before], &r->spans[best]);
        remove_span(c, r, best);
    }
}

/* What is stored and over is remembered for a while only. */
static void trim(struct coverage *c, struct coverage_room *r)
{
    size_t n = 0;
    for (size_t i = r->n; i > 0; i--) {
        struct coverage_span *s = &r->spans[i - 1];
        if (s->dirty || s->sent || s->to_ms == COVERAGE_OPEN || ++n <= COVERAGE_KEPT) {
            continue;
        }
        if (r->known_from != INT64_MAX && s->to_ms > r->known_from) {
            r->known_from = s->to_ms;
        }
        c->known_from = s->to_ms > c->known_from ? s->to_ms : c->known_from;
        remove_span(c, r, i - 1);
    }
}

static struct coverage_span *add_span(struct coverage *c, struct coverage_room *r,
                                      const struct coverage_span *span)
{
    if (r->n_dirty >= COVERAGE_DIRTY_MAX) {
        join_some(c, r);
    }
    trim(c, r);
    if (r->n == r->cap) {
        size_t cap = r->cap > 0 ? r->cap * 2 : 4;
        struct coverage_span *spans = mem_new_array(struct coverage_span, cap);
        if (r->n > 0) {
            memcpy(spans, r->spans, r->n * sizeof(*spans));
        }
        mem_free(r->spans);
        r->spans = spans;
        r->cap = cap;
    }
    struct coverage_span *s = &r->spans[r->n++];
    *s = *span;
    mark_dirty(c, r, s);
    return s;
}

static void tell(struct coverage *c, struct coverage_span *s)
{
    s->heard_ms = s->to_ms;
    if (c->changed != NULL) {
        c->changed(c->ctx, s);
    }
}

/* ---- what happens ---- */

/* No span is empty: its beginning is its key. */
static void close_span(struct coverage *c, struct coverage_room *r, struct coverage_span *s,
                       int64_t at_ms)
{
    s->to_ms = at_ms > s->from_ms ? at_ms : s->from_ms + 1;
    mark_dirty(c, r, s);
    tell(c, s);
}

/* A gap of the link begins, in place of the one that may be open. */
static void begin_gap(struct coverage *c, struct coverage_room *r, int64_t at_ms, const char *cause)
{
    struct coverage_span *s = open_span(r, COVERAGE_LINK);
    at_ms = at_ms > r->link_ms ? at_ms : r->link_ms;
    if (s != NULL) {
        close_span(c, r, s, at_ms);
        at_ms = s->to_ms;
    }
    r->link_ms = at_ms;
    r->known_from = r->known_from == INT64_MAX ? at_ms : r->known_from;
    const struct coverage_span span = {.room_id = r->id,
                                       .from_ms = at_ms,
                                       .to_ms = COVERAGE_OPEN,
                                       .cause = cause,
                                       .source = COVERAGE_LINK};
    tell(c, add_span(c, r, &span));
}

void coverage_down(struct coverage *c, int64_t room_id, int64_t at_ms, const char *cause)
{
    struct coverage_room *r = find_or_add(c, room_id);
    struct coverage_span *s = open_span(r, COVERAGE_LINK);
    if (s != NULL && !r->leaving) {
        s->n++;
        s->extra = cause;
    } else {
        r->leaving = false;
        begin_gap(c, r, at_ms, cause);
    }
}

void coverage_up(struct coverage *c, int64_t room_id, int64_t at_ms)
{
    struct coverage_room *r = coverage_room(c, room_id);
    if (r == NULL) { /* a span, however short, says that the room is collected */
        coverage_down(c, room_id, at_ms, "connecting");
        r = coverage_room(c, room_id);
    }
    struct coverage_span *s = open_span(r, COVERAGE_LINK);
    if (s == NULL) {
        return;
    }
    close_span(c, r, s, at_ms);
    r->link_ms = s->to_ms;
}

void coverage_restore(struct coverage *c, const struct coverage_span *span)
{
    struct coverage_room *r = find_or_add(c, span->room_id);
    struct coverage_span *s = add_span(c, r, span);
    s->told = true; /* perhaps: its key stays */
    s->heard_ms = s->to_ms;
    if (s->source == COVERAGE_LINK) {
        r->link_ms = s->to_ms != COVERAGE_OPEN ? s->to_ms : s->from_ms;
    }
}

void coverage_degrade(struct coverage *c, int64_t room_id, enum coverage_source source,
                      int64_t at_ms, uint64_t n)
{
    static const char *const causes[COVERAGE_SOURCES] = {[COVERAGE_MASKED] = "masked",
                                                         [COVERAGE_LOGIN] = "login",
                                                         [COVERAGE_SILENCE] = "silence",
                                                         [COVERAGE_BROKEN] = "broken"};
    struct coverage_room *r = coverage_room(c, room_id);
    ASSERT(source > COVERAGE_LOST && source < COVERAGE_SOURCES);
    struct coverage_span *open = r != NULL ? open_span(r, source) : NULL;
    if (r == NULL || open != NULL) {
        if (open != NULL && source == COVERAGE_BROKEN) {
            open->n = n; /* the database gets it with the end */
        }
        return;
    }
    for (size_t i = r->n; i > 0; i--) {
        if (r->spans[i - 1].source == source) {
            at_ms = at_ms > r->spans[i - 1].to_ms ? at_ms : r->spans[i - 1].to_ms;
            break;
        }
    }
    struct coverage_span span = {.room_id = room_id, .from_ms = at_ms, .source = source, .n = n};
    span.to_ms = COVERAGE_OPEN;
    span.cause = causes[source];
    tell(c, add_span(c, r, &span));
}

void coverage_recover(struct coverage *c, int64_t room_id, enum coverage_source source,
                      int64_t at_ms)
{
    struct coverage_room *r = coverage_room(c, room_id);
    struct coverage_span *s = r != NULL ? open_span(r, source) : NULL;
    ASSERT(source > COVERAGE_LOST && source < COVERAGE_SOURCES);
    if (s != NULL) {
        close_span(c, r, s, at_ms);
    }
}

/* The newest waiting span of the room with this cause. */
static struct coverage_span *waiting_lost(const struct coverage_room *r, const char *cause)
{
    for (size_t i = r->n; i > 0; i--) {
        struct coverage_span *s = &r->spans[i - 1];
        if (s->source == COVERAGE_LOST && s->dirty && !s->sent && !s->told && s->cause == cause) {
            return s;
        }
    }
    return NULL;
}

void coverage_lost(struct coverage *c, const struct coverage_lost *lost, coverage_apart_fn *apart,
                   void *ctx)
{
    const struct coverage_span span = {
        .room_id = lost->room_id,
        .from_ms = id_ts_ms(lost->first_id),
        .to_ms = id_ts_ms(lost->last_id) + 1,
        .cause = lost->cause,
        .source = COVERAGE_LOST,
        .first_id = lost->first_id,
        .last_id = lost->last_id,
        .n = lost->n,
    };
    struct coverage_room *r = find_or_add(c, lost->room_id);
    struct coverage_span *s = waiting_lost(r, lost->cause);
    if (s != NULL && apart != NULL && apart(ctx, s, lost)) {
        s = NULL;
    }
    if (s == NULL && c->n_lost_dirty >= COVERAGE_LOST_MAX) {
        r = find_or_add(c, 0);
        s = waiting_lost(r, lost->cause);
        c->n_merged++;
    }
    if (s != NULL) {
        uint64_t merged = c->n_merged;
        swallow(c, r, s, &span);
        c->n_merged = merged; /* what follows itself is one interval */
        if (s->to_ms - s->heard_ms >= GROWN_MS) {
            tell(c, s);
        }
        return;
    }
    struct coverage_span *added = add_span(c, r, &span);
    added->room_id = r->id;
    tell(c, added);
}

static void drop_if_left(struct coverage *c, struct coverage_room *r)
{
    if (!r->leaving || r->n_dirty > 0) {
        return;
    }
    for (size_t i = 0; i < r->n; i++) {
        if (r->spans[i].sent) {
            return;
        }
    }
    for (size_t i = 0; i < r->n; i++) {
        const struct coverage_span *s = &r->spans[i];
        int64_t known = s->to_ms == COVERAGE_OPEN ? s->from_ms : s->to_ms;
        c->known_from = known > c->known_from ? known : c->known_from;
    }
    size_t at = place_of(c, r->id);
    c->n--;
    memmove(&c->rooms[at], &c->rooms[at + 1], (c->n - at) * sizeof(*c->rooms));
    room_free(r);
}

void coverage_leave(struct coverage *c, int64_t room_id, int64_t at_ms, const char *cause)
{
    struct coverage_room *r = coverage_room(c, room_id);
    if (r == NULL || r->leaving) {
        return;
    }
    for (unsigned source = COVERAGE_LOST + 1; source < COVERAGE_SOURCES; source++) {
        coverage_recover(c, room_id, (enum coverage_source)source, at_ms);
    }
    begin_gap(c, r, at_ms, cause);
    r->leaving = true;
}

/* ---- writing ---- */

size_t coverage_n_dirty(const struct coverage *c)
{
    return c->n_dirty;
}

size_t coverage_n_unstored(const struct coverage *c)
{
    return c->n_dirty + c->n_sent;
}

uint64_t coverage_changes(const struct coverage *c)
{
    return c->changes;
}

size_t coverage_send(struct coverage *c, struct coverage_span *out, size_t max)
{
    ASSERT(c->n_sent == 0);
    for (size_t i = 0; i < c->n && c->n_dirty > 0 && c->n_sent < max; i++) {
        struct coverage_room *r = c->rooms[i];
        for (size_t k = 0; k < r->n && r->n_dirty > 0 && c->n_sent < max; k++) {
            struct coverage_span *s = &r->spans[k];
            if (s->dirty) {
                mark_clean(c, r, s);
                s->sent = true;
                s->told = true;
                c->n_lost_sent += s->source == COVERAGE_LOST;
                if (s->source == COVERAGE_LOST && s->to_ms > s->heard_ms) {
                    tell(c, s);
                }
                out[c->n_sent++] = *s;
            }
        }
    }
    return c->n_sent;
}

void coverage_stored(struct coverage *c, bool ok)
{
    for (size_t i = c->n; i > 0 && c->n_sent > 0; i--) {
        struct coverage_room *r = c->rooms[i - 1];
        for (size_t k = 0; k < r->n; k++) {
            if (r->spans[k].sent) {
                r->spans[k].sent = false;
                c->n_sent--;
                c->n_lost_sent -= r->spans[k].source == COVERAGE_LOST;
                if (!ok) { /* it waits as before: that is no change */
                    uint64_t changes = c->changes;
                    mark_dirty(c, r, &r->spans[k]);
                    c->changes = changes;
                }
            }
        }
        trim(c, r);
        drop_if_left(c, r);
    }
    ASSERT(c->n_sent == 0);
}

int64_t coverage_safe_id(const struct coverage *c)
{
    int64_t safe = INT64_MAX;
    size_t left = c->n_lost_dirty + c->n_lost_sent; /* mostly none; a span may count in both */
    for (size_t i = 0; i < c->n && left > 0; i++) {
        const struct coverage_room *r = c->rooms[i];
        for (size_t k = 0; k < r->n; k++) {
            const struct coverage_span *s = &r->spans[k];
            if (s->source == COVERAGE_LOST && (s->dirty || s->sent)) {
                left -= (size_t)s->dirty + (size_t)s->sent;
                safe = s->first_id <= safe ? s->first_id - 1 : safe;
            }
        }
    }
    return safe;
}

uint64_t coverage_n_merged(const struct coverage *c)
{
    return c->n_merged;
}
