#include "api/query/spans.h"

#include <stdlib.h>
#include <string.h>

#include "server/core/json_write.h"
#include "server/core/mem.h"

const char *span_state_name(enum span_state s)
{
    static const char *const names[SPAN_STATES] = {"ok", "degraded", "gap"};
    return names[s];
}

enum span_state span_state_of(const struct span *s)
{
    if (s == NULL) {
        return SPAN_OK;
    }
    return s->source == SPAN_LINK || s->source == SPAN_LOST ? SPAN_GAP : SPAN_DEGRADED;
}

bool span_is_unwanted(const struct span *s)
{
    return s->source == SPAN_LINK &&
           (str_eq(s->cause, STR("removed")) || str_eq(s->cause, STR("paused")) ||
            str_eq(s->cause, STR("max_rooms")));
}

void span_put_detail(struct json_out *w, const struct span *s)
{
    jw_object(w);
    if (s->source == SPAN_LOST) {
        if (s->n > 0) {
            jw_ki64(w, "events", s->n);
        }
        jw_key(w, STR("first_id"));
        jw_i64_str(w, s->first_id);
        jw_key(w, STR("last_id"));
        jw_i64_str(w, s->last_id);
    } else if (s->source == SPAN_LINK) {
        if (s->n > 0) {
            jw_ki64(w, "failed_tries", s->n);
        }
        if (s->extra.len > 0) {
            jw_kstr(w, "last_failure", s->extra);
        }
    } else if (s->source == SPAN_MASKED) {
        jw_ki64(w, "masked_per_mille", s->n);
    } else if (s->source == SPAN_SILENCE) {
        jw_ki64(w, "usual_ms", s->n);
    } else if (s->source == SPAN_BROKEN) {
        jw_ki64(w, "thrown_away", s->n);
    }
    jw_object_end(w);
}

void spans_init(struct spans *set, int64_t from_ms, int64_t to_ms)
{
    *set = (struct spans){.from_ms = from_ms, .to_ms = to_ms};
}

void spans_deinit(struct spans *set)
{
    mem_free(TAKE_PTR(set->all));
    set->n = 0;
}

void spans_add(struct spans *set, const struct span *s)
{
    if (set->n == SPANS_MAX) {
        set->overflow = true;
        return;
    }
    if (set->n == set->cap) {
        size_t cap = set->cap > 0 ? set->cap * 2 : 16;
        struct span *all = mem_new_array(struct span, cap);
        if (set->n > 0) {
            memcpy(all, set->all, set->n * sizeof(*all));
        }
        mem_free(set->all);
        set->all = all;
        set->cap = cap;
    }
    set->all[set->n++] = *s;
}

static int compare(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int by_key(const struct span *a, const struct span *b)
{
    int c = compare(a->room_id, b->room_id);
    c = c != 0 ? c : compare(a->from_ms, b->from_ms);
    c = c != 0 ? c : compare(a->source, b->source);
    return c != 0 ? c : compare(a->first_id, b->first_id);
}

/* Of pointers into one array, in which they were added: qsort does not keep the order of equal ones. */
static int by_place(const void *a, const void *b)
{
    const struct span *x = *(const struct span *const *)a;
    const struct span *y = *(const struct span *const *)b;
    int c = by_key(x, y);
    return c != 0 ? c : (x > y) - (x < y);
}

/* Two processes never have a room's link open at a time: what is open in the database while memory knows a newer one was
 * left by a process that is gone. */
static void end_links(struct spans *set)
{
    struct span *before = NULL;
    for (size_t i = 0; i < set->n; i++) {
        struct span *s = &set->all[i];
        if (s->source != SPAN_LINK) {
            continue;
        }
        if (before != NULL && before->room_id == s->room_id && before->to_ms > s->from_ms) {
            before->to_ms = s->from_ms;
        }
        before = s;
    }
}

void spans_settle(struct spans *set)
{
    if (set->n == 0) {
        return;
    }
    const struct span **places = mem_new_array(const struct span *, set->n);
    struct span *sorted = mem_new_array(struct span, set->n);
    for (size_t i = 0; i < set->n; i++) {
        places[i] = &set->all[i];
    }
    qsort(places, set->n, sizeof(places[0]), by_place);
    size_t n = 0;
    for (size_t i = 0; i < set->n; i++) {
        n -= n > 0 && by_key(&sorted[n - 1], places[i]) == 0;
        sorted[n++] = *places[i];
    }
    mem_free(places);
    mem_free(set->all);
    set->all = sorted;
    set->cap = set->n;
    set->n = n;
    end_links(set);
}

/* ---- walking ---- */

struct walk {
    const struct span **held; /* owned: those that cover `at` */
    size_t n_held;
    struct span_interval now; /* not told yet */
    spans_fn *fn;
    void *ctx;
};

/* a holds rather than b. */
static bool worse(const struct span *a, const struct span *b)
{
    enum span_state x = span_state_of(a);
    enum span_state y = span_state_of(b);
    if (x != y) {
        return x > y;
    }
    return a->from_ms != b->from_ms ? a->from_ms < b->from_ms : a->source < b->source;
}

static bool tell(struct walk *w)
{
    return w->now.to_ms <= w->now.from_ms || w->fn(w->ctx, &w->now);
}

/* [from, to) is the next piece. */
static bool piece(struct walk *w, int64_t from_ms, int64_t to_ms, bool collected)
{
    struct span_interval next = {.from_ms = from_ms, .to_ms = to_ms, .cause = STR("")};
    for (size_t i = 0; i < w->n_held; i++) {
        if (next.span == NULL || worse(w->held[i], next.span)) {
            next.span = w->held[i];
        }
    }
    next.state = span_state_of(next.span);
    next.cause = next.span != NULL ? next.span->cause : STR("");
    if (!collected) {
        next.span = NULL;
        next.state = SPAN_GAP;
        next.cause = STR("not_collected");
    }
    if (w->now.to_ms == from_ms && w->now.span == next.span && w->now.state == next.state) {
        w->now.to_ms = to_ms;
        return true;
    }
    if (!tell(w)) {
        return false;
    }
    w->now = next;
    return true;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Where the room's spans begin, or would. */
static size_t first_of(const struct spans *set, int64_t room_id)
{
    size_t low = 0;
    size_t high = set->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (set->all[mid].room_id < room_id) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

void spans_walk(const struct spans *set, int64_t room_id, int64_t begin_ms, spans_fn *fn, void *ctx)
{
    size_t next = first_of(set, room_id);
    size_t past = next;
    while (past < set->n && set->all[past].room_id == room_id) {
        past++;
    }
    struct walk w = {
        .held = mem_new_array(const struct span *, past - next + 1), .fn = fn, .ctx = ctx};
    int64_t at = set->from_ms;
    bool going = true;
    w.now.from_ms = w.now.to_ms = at;
    w.now.state = SPAN_STATES; /* of nothing yet */
    while (going && at < set->to_ms) {
        int64_t end = set->to_ms;
        for (; next < past; next++) {
            const struct span *s = &set->all[next];
            if (s->from_ms > at) {
                end = least(end, s->from_ms);
                break;
            }
            w.held[w.n_held++] = s;
        }
        size_t kept = 0;
        for (size_t i = 0; i < w.n_held; i++) {
            if (w.held[i]->to_ms > at) {
                end = least(end, w.held[i]->to_ms);
                w.held[kept++] = w.held[i];
            }
        }
        w.n_held = kept;
        if (begin_ms > at) {
            end = least(end, begin_ms);
        }
        going = piece(&w, at, end, begin_ms <= at);
        at = end;
    }
    if (going) {
        (void)tell(&w);
    }
    mem_free(w.held);
}
