/* What the ledger says to those who ask. */
#include "collector/coverage_priv.h"

int64_t coverage_known_from(const struct coverage *c, int64_t room_id)
{
    const struct coverage_room *r = coverage_room(c, room_id);
    const struct coverage_room *every = coverage_room(c, 0);
    int64_t known = room_id == 0 ? c->known_from : r != NULL ? r->known_from : INT64_MAX;
    return every != NULL && every->known_from > known ? every->known_from : known;
}

static bool each_of(const struct coverage_room *r, int64_t from_ms, int64_t to_ms,
                    coverage_span_fn *fn, void *ctx)
{
    for (size_t k = 0; k < r->n; k++) {
        const struct coverage_span *s = &r->spans[k];
        bool overlaps = s->from_ms < to_ms && s->to_ms > from_ms;
        if ((overlaps || s->dirty || s->sent) && !fn(ctx, s)) {
            return false;
        }
    }
    return true;
}

void coverage_each(const struct coverage *c, int64_t room_id, int64_t from_ms, int64_t to_ms,
                   coverage_span_fn *fn, void *ctx)
{
    if (room_id != 0) {
        const struct coverage_room *every = coverage_room(c, 0);
        const struct coverage_room *r = coverage_room(c, room_id);
        if (every == NULL || each_of(every, from_ms, to_ms, fn, ctx)) {
            (void)(r == NULL || each_of(r, from_ms, to_ms, fn, ctx));
        }
        return;
    }
    for (size_t i = 0; i < c->n && each_of(c->rooms[i], from_ms, to_ms, fn, ctx); i++) {
    }
}

size_t coverage_each_unstored(const struct coverage *c, coverage_span_fn *fn, void *ctx)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++) {
        const struct coverage_room *r = c->rooms[i];
        for (size_t k = 0; k < r->n; k++) {
            if (r->spans[k].dirty || r->spans[k].sent) {
                n++;
                (void)fn(ctx, &r->spans[k]);
            }
        }
    }
    return n;
}

const struct coverage_span *coverage_now(const struct coverage *c, int64_t room_id, bool *ret_here)
{
    const struct coverage_room *r = coverage_room(c, room_id);
    const struct coverage_span *worst = NULL;
    *ret_here = r != NULL && r->known_from != INT64_MAX;
    for (size_t k = 0; r != NULL && k < r->n; k++) {
        const struct coverage_span *s = &r->spans[k];
        if (s->to_ms == COVERAGE_OPEN &&
            (worst == NULL || coverage_state_of(s->source) > coverage_state_of(worst->source))) {
            worst = s;
        }
    }
    return worst;
}
