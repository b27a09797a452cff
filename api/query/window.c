#include "api/query/window.h"

#include "server/core/assert.h"
#include "server/core/id.h"

#define WINDOW_MS (INT64_C(1) << ID_TIME_SHIFT)
#define WINDOW_FIRST_MS INT64_C(60000)
#define WINDOW_MIN_MS INT64_C(20)
#define WINDOW_PROBE_MS INT64_C(3600000) /* wider than this is probed first */
#define WINDOW_ROOM_FIRST_MS (INT64_C(2) * 86400000)
enum { WINDOW_GROW = 2, WINDOW_GROW_EMPTY = 4, WINDOW_ROOM_GROW = 16, WINDOW_CUT = 8 };

static void grow(struct window *w, int64_t factor)
{
    w->width = w->width > ID_MAX / factor ? ID_MAX : w->width * factor;
}

void window_init(struct window *w, bool descending, bool by_room, int64_t width_ms)
{
    int64_t ms = by_room ? WINDOW_ROOM_FIRST_MS : WINDOW_FIRST_MS;
    if (by_room && width_ms > 0) {
        ms = width_ms;
    } else if (width_ms > 0) {
        ms = width_ms < WINDOW_MIN_MS ? WINDOW_MIN_MS : width_ms;
        ms = ms > WINDOW_PROBE_MS ? WINDOW_PROBE_MS : ms;
    }
    *w = (struct window){.descending = descending, .by_room = by_room, .width = ms * WINDOW_MS};
}

void window_range(struct window *w, int64_t low, int64_t high, size_t need)
{
    w->low = low;
    w->high = high < low ? low : high;
    w->need = need;
}

bool window_is_through(const struct window *w)
{
    return w->low >= w->high;
}

/* The end of the window that the walk moves away from. */
static int64_t far_end(const struct window *w)
{
    if (w->descending) {
        return w->high - w->low > w->width ? w->high - w->width : w->low;
    }
    return w->high - w->low > w->width ? w->low + w->width : w->high;
}

enum window_step window_next(struct window *w, int64_t *ret_low, int64_t *ret_high)
{
    if (w->need == 0 || window_is_through(w)) {
        return WINDOW_DONE;
    }
    if (w->steps == WINDOW_STEPS_MAX) {
        return WINDOW_BUDGET;
    }
    w->steps++;
    *ret_low = w->descending ? far_end(w) : w->low;
    *ret_high = w->descending ? w->high : far_end(w);
    bool wide = *ret_high - *ret_low > WINDOW_PROBE_MS * WINDOW_MS;
    return wide && !w->by_room && !w->vetted ? WINDOW_PROBE : WINDOW_QUERY;
}

static void step_over(struct window *w)
{
    w->vetted = false;
    int64_t end = far_end(w);
    if (w->descending) {
        w->high = end;
    } else {
        w->low = end;
    }
}

void window_rows(struct window *w, size_t n)
{
    size_t need = w->need;
    w->need -= n < need ? n : need;
    if (w->need == 0) {
        return; /* the window may hold more: the caller goes on behind its last row */
    }
    step_over(w);
    if (w->by_room) {
        grow(w, WINDOW_ROOM_GROW);
    } else if (n == 0) {
        grow(w, WINDOW_GROW_EMPTY);
    } else if (n < need / 2) {
        grow(w, WINDOW_GROW);
    }
}

void window_probed(struct window *w, size_t n)
{
    DASSERT(!w->by_room);
    if (n == 0) {
        step_over(w);
        grow(w, WINDOW_GROW_EMPTY);
        return;
    }
    if (n < WINDOW_PROBE_ROWS) {
        w->vetted = true;
        return;
    }
    /* Cut down from what was really tried, which the end of the range may have made narrower than the width. */
    int64_t tried = w->high - w->low < w->width ? w->high - w->low : w->width;
    int64_t least = WINDOW_PROBE_MS * WINDOW_MS / WINDOW_CUT;
    w->width = tried / WINDOW_CUT > least ? tried / WINDOW_CUT : least;
}

int64_t window_width_for(int64_t low, int64_t last, size_t n, size_t want)
{
    /* A quarter more, so that one window mostly does. */
    int64_t span_ms = ((last - low) >> ID_TIME_SHIFT) + 1;
    int64_t ms =
        span_ms / (int64_t)n * (int64_t)want + span_ms % (int64_t)n * (int64_t)want / (int64_t)n;
    ms += ms / 4;
    return ms > 0 ? ms : 1;
}
