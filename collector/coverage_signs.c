#include "collector/coverage_signs.h"

#include <string.h>

#include "collector/coverage.h"
#include "server/core/mem.h"
#include "server/event/event.h"

struct room {
    int64_t id;
    bool up;
    bool silent;
    unsigned n_senders; /* of the window that runs */
    unsigned n_masked;
    int64_t window_ms; /* begin of it */
    int64_t last_ms;   /* newest message of somebody, or since when we are connected */
    int64_t usual_ms;  /* between two messages, times SIGNS_USUAL_OF */
    int64_t broken_ms; /* when something was thrown away last */
    uint64_t n_broken; /* how much, since the span began; 0: none is open */
    unsigned n_usual;  /* messages it is known from, up to SIGNS_USUAL_MIN */
};

struct signs {
    struct coverage *ledger; /* borrowed */
    struct signs_opts opts;
    bool masks_off;     /* not looked for any more: what is open ends with the next tick */
    struct room *rooms; /* owned; sorted by id */
    size_t n;
    size_t cap;
};

struct signs *signs_new(struct coverage *ledger)
{
    struct signs *s = mem_new(struct signs);
    s->ledger = ledger;
    return s;
}

void signs_free(struct signs *s)
{
    if (s != NULL) {
        mem_free(s->rooms);
        mem_free(s);
    }
}

void signs_set(struct signs *s, const struct signs_opts *opts)
{
    s->masks_off = opts->masked_percent == 0 && (s->masks_off || s->opts.masked_percent > 0);
    s->opts = *opts;
}

/* Place of the room, or where it belongs. */
static size_t place_of(const struct signs *s, int64_t id)
{
    size_t low = 0;
    size_t high = s->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (s->rooms[mid].id < id) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static struct room *find(const struct signs *s, int64_t id)
{
    size_t at = place_of(s, id);
    return at < s->n && s->rooms[at].id == id ? &s->rooms[at] : NULL;
}

static struct room *find_or_add(struct signs *s, int64_t id)
{
    size_t at = place_of(s, id);
    if (at < s->n && s->rooms[at].id == id) {
        return &s->rooms[at];
    }
    if (s->n == s->cap) {
        size_t cap = s->cap > 0 ? s->cap * 2 : 16;
        struct room *rooms = mem_new_array(struct room, cap);
        if (s->n > 0) {
            memcpy(rooms, s->rooms, s->n * sizeof(*rooms));
        }
        mem_free(s->rooms);
        s->rooms = rooms;
        s->cap = cap;
    }
    memmove(&s->rooms[at + 1], &s->rooms[at], (s->n - at) * sizeof(*s->rooms));
    s->n++;
    s->rooms[at] = (struct room){.id = id};
    return &s->rooms[at];
}

static void end_silence(struct signs *s, struct room *r, int64_t at_ms)
{
    if (r->silent) {
        r->silent = false;
        coverage_recover(s->ledger, r->id, COVERAGE_SILENCE, at_ms);
    }
}

static void end_broken(struct signs *s, struct room *r, int64_t at_ms)
{
    if (r->n_broken > 0) {
        coverage_recover(s->ledger, r->id, COVERAGE_BROKEN, at_ms);
        r->n_broken = 0;
    }
}

void signs_broken(struct signs *s, int64_t room_id, uint64_t n, int64_t at_ms)
{
    struct room *r = find(s, room_id);
    if (r == NULL || !r->up) {
        return; /* there is a gap anyway */
    }
    if (r->n_broken > 0 && at_ms - r->broken_ms >= SIGNS_BROKEN_MS) {
        end_broken(s, r, r->broken_ms + 1);
    }
    r->n_broken += n;
    r->broken_ms = at_ms > r->broken_ms ? at_ms : r->broken_ms;
    coverage_degrade(s->ledger, room_id, COVERAGE_BROKEN, at_ms, r->n_broken);
}

void signs_link(struct signs *s, int64_t room_id, bool up, int64_t at_ms)
{
    struct room *r = find_or_add(s, room_id);
    r->up = up;
    r->last_ms = at_ms;
    r->n_senders = 0; /* another connection may be shown other things */
    r->n_masked = 0;
    if (!up) {
        end_silence(s, r, at_ms);
        end_broken(s, r, r->broken_ms + 1);
        coverage_recover(s->ledger, room_id, COVERAGE_LOGIN, at_ms);
    }
}

void signs_leave(struct signs *s, int64_t room_id)
{
    size_t at = place_of(s, room_id);
    if (at < s->n && s->rooms[at].id == room_id) {
        s->n--;
        memmove(&s->rooms[at], &s->rooms[at + 1], (s->n - at) * sizeof(*s->rooms));
    }
}

static void look_at_sender(struct signs *s, struct room *r, const struct event *e, int64_t at_ms)
{
    if (s->opts.masked_percent == 0) {
        return;
    }
    r->window_ms = r->n_senders == 0 ? at_ms : r->window_ms;
    r->n_senders++;
    r->n_masked += (e->flags & EVENT_F_MASKED) != 0;
    if (r->n_senders < SIGNS_WINDOW) {
        return;
    }
    if ((int64_t)r->n_masked * 100 >= s->opts.masked_percent * SIGNS_WINDOW) {
        coverage_degrade(s->ledger, r->id, COVERAGE_MASKED, r->window_ms,
                         (uint64_t)r->n_masked * 1000 / SIGNS_WINDOW);
    } else {
        coverage_recover(s->ledger, r->id, COVERAGE_MASKED, r->window_ms);
    }
    r->n_senders = 0;
    r->n_masked = 0;
}

static void look_at_pace(struct signs *s, struct room *r, int64_t at_ms)
{
    int64_t since = at_ms > r->last_ms ? at_ms - r->last_ms : 0;
    r->last_ms = at_ms > r->last_ms ? at_ms : r->last_ms;
    if (r->silent) { /* the pause itself is not usual */
        end_silence(s, r, at_ms);
        return;
    }
    if (r->n_usual == 0) {
        r->usual_ms = since * SIGNS_USUAL_OF;
    } else {
        r->usual_ms += since - r->usual_ms / SIGNS_USUAL_OF;
    }
    r->n_usual += r->n_usual < SIGNS_USUAL_MIN;
}

void signs_event(struct signs *s, const struct event *e, int64_t at_ms)
{
    struct room *r = find(s, e->room_id);
    if (r == NULL) {
        return;
    }
    if (e->kind == EVENT_NOTICE && str_starts(e->extra, STR("{\"notice\":\"log_in\""))) {
        if (r->up) {
            coverage_degrade(s->ledger, r->id, COVERAGE_LOGIN, at_ms, 0);
        }
        return;
    }
    if (e->kind == EVENT_LIVE) {
        r->n_usual = 0; /* another live, another pace */
    }
    if (e->actor != 0) {
        look_at_sender(s, r, e, at_ms);
        look_at_pace(s, r, at_ms);
    }
}

void signs_tick(struct signs *s, int64_t now_ms, bool (*is_live)(void *ctx, int64_t room_id),
                void *ctx)
{
    for (size_t i = 0; i < s->n && s->masks_off; i++) {
        s->rooms[i].n_senders = 0;
        s->rooms[i].n_masked = 0;
        coverage_recover(s->ledger, s->rooms[i].id, COVERAGE_MASKED, now_ms);
    }
    s->masks_off = false;
    for (size_t i = 0; i < s->n; i++) {
        struct room *r = &s->rooms[i];
        bool live = r->up && is_live(ctx, r->id);
        if (now_ms - r->broken_ms >= SIGNS_BROKEN_MS) {
            end_broken(s, r, r->broken_ms + 1);
        }
        int64_t usual = r->usual_ms / SIGNS_USUAL_OF;
        int64_t limit = usual * s->opts.silence_times;
        limit = limit > s->opts.silence_ms ? limit : s->opts.silence_ms;
        if (!live || s->opts.silence_ms == 0) {
            end_silence(s, r, now_ms);
        } else if (!r->silent && r->n_usual == SIGNS_USUAL_MIN && now_ms - r->last_ms > limit) {
            r->silent = true;
            coverage_degrade(s->ledger, r->id, COVERAGE_SILENCE, r->last_ms, (uint64_t)usual);
        }
        if (!live) {
            r->last_ms = now_ms; /* it is not silence before it begins */
        }
    }
}
