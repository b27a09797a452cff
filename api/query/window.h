/* api/query/window.h - how a range of ids is read from a table that has no index on the id alone.
 *
 * Rows of named rooms come by the primary key: the range is tried in few, fast growing windows, so that the usual
 * page touches the newest partitions only. Rows of all rooms come by BRIN: the windows adapt to the density (double
 * when poor), and one that is wide is probed before it is read: how many rows are there, up to WINDOW_PROBE_ROWS? So
 * a long empty stretch costs a logarithm, and a dense one is cut down before anything sorts it.
 *
 *      window_init(&w, ...);
 *      while ((step = window_next(&w, &low, &high)) is QUERY or PROBE)
 *          QUERY: read at most w.need rows of [low, high), then window_rows(&w, how many came)
 *          PROBE: count [low, high) up to WINDOW_PROBE_ROWS,  then window_probed(&w, count)
 *
 * Threading:  any thread.
 * Limits:     WINDOW_STEPS_MAX steps; then WINDOW_BUDGET, and w says how far it came.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WINDOW_STEPS_MAX = 64, WINDOW_PROBE_ROWS = 5000 };
enum window_step {
    WINDOW_QUERY,
    WINDOW_PROBE,
    WINDOW_DONE,   /* the rows are there, or the range is through */
    WINDOW_BUDGET, /* stopped early; the range left is [low, high) */
};

struct window {
    bool descending;
    bool by_room;
    bool vetted; /* this very window was probed and is poor enough to be read */
    int64_t low; /* the range not read yet: [low, high) */
    int64_t high;
    int64_t width; /* of the next window, in ids */
    size_t need;   /* rows still wanted */
    unsigned steps;
};

/* width_ms: a first guess; 0 for none. For all rooms it is kept within bounds: too narrow costs a few steps, too wide
 * sorts all that is in it. */
void window_init(struct window *w, bool descending, bool by_room, int64_t width_ms);
void window_range(struct window *w, int64_t low, int64_t high, size_t need);
enum window_step window_next(struct window *w, int64_t *ret_low, int64_t *ret_high);
void window_rows(struct window *w, size_t n);
void window_probed(struct window *w, size_t n);
/* True when the whole range was read. */
bool window_is_through(const struct window *w);
/* What to guess next time, in ms, at least 1: rows were `n` within the ids [low, last], and `want` of them make a page. */
int64_t window_width_for(int64_t low, int64_t last, size_t n, size_t want);
