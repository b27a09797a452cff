#include "api/reader.h"

#include "api/query/event_row.h"
#include "api/query/sql.h"
#include "server/core/assert.h"
#include "server/core/id.h"
#include "server/core/mem.h"
#include "server/feed/feed.h"
#include "server/stats/stats.h"

enum { RARE_FIRST_MS = 3600000, LEARN_ROWS_MIN = 16 };

void reader_init(struct reader *r, struct api *a, const struct reader_opts *opts)
{
    ASSERT(opts->limit > 0 && opts->limit <= READER_LIMIT_MAX);
    *r = (struct reader){.api = a, .opts = *opts};
    r->items = mem_new_array(struct reader_item, opts->limit + 1);
}

void reader_deinit(struct reader *r)
{
    if (r->waiting) {
        db_forget(r->api->opts.db, r);
    }
    for (size_t i = 0; i < r->n; i++) {
        event_unref(&r->items[i].event);
    }
    mem_free(r->items);
    *r = (struct reader){0};
}

/* One more than the limit is looked for: it says whether there is more. */
static bool is_full(const struct reader *r)
{
    return r->n > r->opts.limit;
}

static void fail(struct reader *r, enum err_code code)
{
    r->code = err_set(&r->err, code, "%s", err_text(code));
}

/* Stops in front of the end of the range: everything up to `at` was looked at. */
static void stop_early(struct reader *r, int64_t at)
{
    r->more = true;
    r->at = at;
}

static void finish(struct reader *r)
{
    if (is_full(r)) {
        event_unref(&r->items[--r->n].event);
        stop_early(r, r->items[r->n - 1].event->id);
    }
}

/* ---- the ring ---- */

static void take_ring(struct reader *r, uint64_t seq, const struct event *e)
{
    if (filter_match(&r->opts.filter, e) && (r->opts.without >> (unsigned)e->kind & 1) == 0) {
        r->items[r->n++] = (struct reader_item){event_ref(e), seq};
    }
}

/* The ring holds everything of these rooms behind after_id. */
static bool ring_covers(const struct reader *r, int64_t after_id)
{
    const struct feed *f = r->api->opts.feed;
    const struct filter *filter = &r->opts.filter;
    if (after_id < feed_backfilled(f)) {
        return false;
    }
    if (feed_covers(f, after_id)) {
        return true;
    }
    for (size_t i = 0; i < filter->n_rooms; i++) {
        if (!feed_room_covers(f, filter->rooms[i], after_id)) {
            return false;
        }
    }
    return filter->n_rooms > 0;
}

/* The oldest place of the ring that a list may be made of. */
static uint64_t ring_tail(const struct feed *f)
{
    return feed_backfilled(f) > 0 ? feed_seek(f, feed_backfilled(f)) : feed_tail(f);
}

enum ring_end { RING_THROUGH, RING_FULL, RING_BUDGET };

/* Where to begin, counted down from: the newest of the room, if it is that old, or else of all below the range's end. */
static uint64_t ring_top(const struct reader *r)
{
    const struct feed *f = r->api->opts.feed;
    uint64_t top = feed_seek(f, r->opts.high - 1);
    if (r->opts.filter.n_rooms != 1) {
        return top;
    }
    uint64_t last = feed_room_last(f, r->opts.filter.rooms[0]);
    if (last == FEED_NO_SEQ) {
        return ring_tail(f);
    }
    return last < top ? last + 1 : top;
}

/* Newest first. *edge becomes the id down to which (inclusive) the ring has told all it knows. */
static enum ring_end ring_down(struct reader *r, int64_t *edge)
{
    const struct feed *f = r->api->opts.feed;
    const struct filter *filter = &r->opts.filter;
    size_t looked = 0;
    const uint64_t tail = ring_tail(f);
    uint64_t seq = ring_top(r);
    while (seq > tail) {
        const struct event *e = feed_at(f, --seq);
        if (e->id < r->opts.low) {
            break;
        }
        take_ring(r, seq, e);
        *edge = e->id;
        if (is_full(r)) {
            return RING_FULL;
        }
        looked++;
        if (looked >= READER_RING_MAX || (looked >= READER_RING_SOME && e->id <= r->mark)) {
            return RING_BUDGET;
        }
        if (filter->n_rooms == 1 &&
            e->room_id == filter->rooms[0]) { /* follow the room's own links */
            uint64_t prev = feed_room_prev(f, seq);
            seq = prev == FEED_NO_SEQ ? tail : prev + 1;
        }
    }
    if (feed_head(f) != tail && feed_at(f, tail)->id < *edge) {
        *edge = feed_at(f, tail)->id;
    }
    return RING_THROUGH;
}

static enum ring_end ring_up(struct reader *r, int64_t *edge)
{
    const struct feed *f = r->api->opts.feed;
    uint64_t end = feed_head(f);
    size_t looked = 0;
    for (uint64_t seq = feed_seek(f, *edge); seq < end; seq++) {
        const struct event *e = feed_at(f, seq);
        if (e->id >= r->opts.high) {
            break;
        }
        take_ring(r, seq, e);
        if (is_full(r)) {
            return RING_FULL;
        }
        *edge = e->id;
        if (++looked >= READER_RING_MAX) {
            return RING_BUDGET;
        }
    }
    return RING_THROUGH;
}

/* ---- the database ---- */

static bool step(struct reader *r);

static void range_read(void *ctx, enum err_code code, const struct err *err,
                       const struct db_rows *rows);

static enum err_code ask_rows(struct reader *r, int64_t low, int64_t high)
{
    const struct filter *f = &r->opts.filter;
    int64_t kinds[EVENT_KIND_END];
    size_t n_kinds = filter_kinds(f, kinds);
    struct db_arg args[] = {
        f->n_rooms > 0 ? DB_ARG_I64S(f->rooms, f->n_rooms) : DB_ARG_NULL,
        DB_ARG_I64(low),
        DB_ARG_I64(high),
        n_kinds > 0 ? DB_ARG_I64S(kinds, n_kinds) : DB_ARG_NULL,
        DB_ARG_I64(f->min_value),
        DB_ARG_I64((int64_t)r->window.need),
    };
    const struct db_stmt *stmt = sql_stmt(sql_events(f, r->opts.descending));
    return db_query(r->api->opts.db, stmt, args, ARRAY_LEN(args), range_read, r, &r->err);
}

static enum err_code ask_probe(struct reader *r, int64_t low, int64_t high)
{
    struct db_arg args[] = {DB_ARG_I64(low), DB_ARG_I64(high), DB_ARG_I64(WINDOW_PROBE_ROWS)};
    return db_query(r->api->opts.db, sql_stmt(SQL_EVENTS_PROBE), args, ARRAY_LEN(args), range_read,
                    r, &r->err);
}

/* Starts the next statement of the window; true if there is none. */
static bool ask_next(struct reader *r)
{
    int64_t low;
    int64_t high;
    enum window_step next = window_next(&r->window, &low, &high);
    if (next == WINDOW_DONE || next == WINDOW_BUDGET) {
        return true;
    }
    enum err_code code = ERR_UNAVAILABLE;
    if (db_is_up(r->api->opts.db)) {
        code = next == WINDOW_QUERY ? ask_rows(r, low, high) : ask_probe(r, low, high);
    }
    if (code != ERR_OK) {
        fail(r, code);
        return true;
    }
    stats_inc(r->api->opts.stats, STAT_API_DB_READS);
    r->waiting = true;
    r->probing = next == WINDOW_PROBE;
    return false;
}

static bool take_rows(struct reader *r, const struct db_rows *rows)
{
    size_t n = db_rows_n(rows);
    int64_t low = r->window.low;
    for (size_t i = 0; i < n && !is_full(r); i++) {
        struct event *e = event_from_row(rows, i);
        if (e == NULL) {
            fail(r, ERR_NOMEM);
            return false;
        }
        r->items[r->n++] = (struct reader_item){e, FEED_NO_SEQ};
    }
    window_rows(&r->window, n);
    if (n >= LEARN_ROWS_MIN && !r->opts.descending) {
        r->width_ms =
            window_width_for(low, db_i64(rows, n - 1, EVENT_COL_id), n, r->opts.limit + 1);
    }
    return true;
}

static void range_read(void *ctx, enum err_code code, const struct err *err,
                       const struct db_rows *rows)
{
    struct reader *r = ctx;
    r->waiting = false;
    if (code != ERR_OK) {
        r->code = code;
        r->err = *err;
    } else if (r->probing) {
        window_probed(&r->window, (size_t)db_i64(rows, 0, 0));
    } else if (!take_rows(r, rows)) {
        code = ERR_NOMEM;
    }
    if (code != ERR_OK || step(r)) {
        finish(r);
        r->opts.done(r->opts.ctx);
    }
}

/* How far the newest events suggest that one must go for as many rows as are wanted. */
static int64_t width_guess_ms(const struct reader *r)
{
    const struct feed *f = r->api->opts.feed;
    uint64_t n = feed_head(f) - feed_tail(f);
    if (r->width_ms > 0 || r->opts.width_ms > 0) {
        return r->width_ms > 0 ? r->width_ms : r->opts.width_ms;
    }
    if (n < 2) {
        return 0;
    }
    return window_width_for(feed_tail_id(f), feed_head_id(f), (size_t)n, r->opts.limit + 1);
}

static void begin_range(struct reader *r, int64_t low, int64_t high)
{
    const struct filter *f = &r->opts.filter;
    if (f->n_rooms > 0) {
        window_init(&r->window, r->opts.descending, true, 0);
    } else if (filter_is_rare(f) ||
               f->live !=
                   FILTER_ANY) { /* each room is looked up: a wide window makes much to sort */
        window_init(&r->window, r->opts.descending, true, RARE_FIRST_MS);
    } else {
        window_init(&r->window, r->opts.descending, false, width_guess_ms(r));
    }
    window_range(&r->window, low, high, r->opts.limit + 1 - r->n);
}

/* ---- both ---- */

/* The range is told from the newest end: the ring, then the database below what the ring told. */
static bool start_down(struct reader *r)
{
    int64_t edge = r->opts.high;
    enum ring_end end = ring_down(r, &edge);
    if (end == RING_FULL || edge <= r->opts.low || ring_covers(r, r->opts.low - 1)) {
        r->at = r->opts.low;
        return true;
    }
    if (end == RING_BUDGET && edge > r->mark) {
        stop_early(r, edge);
        return true;
    }
    if (r->mark < 0) {
        fail(r, ERR_UNAVAILABLE);
        return true;
    }
    if (edge > r->mark + 1 && !ring_covers(r, r->mark)) {
        r->pending = true;
        stop_early(r, edge);
        return true;
    }
    begin_range(r, r->opts.low, edge < r->mark + 1 ? edge : r->mark + 1);
    return step(r);
}

/* After a piece of the database, newest first: that was all. */
static bool step_down(struct reader *r)
{
    if (!ask_next(r)) {
        return false;
    }
    if (r->code == ERR_OK && !is_full(r) && !window_is_through(&r->window)) {
        stop_early(r, r->window.high);
    }
    return true;
}

/* Oldest first: the database up to the mark, then the ring; the mark and the ring's floor move meanwhile. */
static bool step_up(struct reader *r)
{
    for (;;) {
        if (!ask_next(r)) {
            return false;
        }
        if (r->code != ERR_OK || is_full(r)) {
            return true;
        }
        if (!window_is_through(&r->window)) {
            stop_early(r, r->window.low - 1);
            return true;
        }
        int64_t from = r->window.low;
        r->at = from - 1;
        if (from >= r->opts.high) {
            return true;
        }
        if (ring_covers(r, from - 1)) {
            if (ring_up(r, &r->at) == RING_BUDGET) {
                r->more = true;
            }
            return true;
        }
        r->mark = api_committed(r->api);
        if (r->mark < 0) {
            fail(r, ERR_UNAVAILABLE);
            return true;
        }
        if (r->mark < from) {
            r->pending = true;
            stop_early(r, from - 1);
            return true;
        }
        begin_range(r, from, r->mark + 1 < r->opts.high ? r->mark + 1 : r->opts.high);
    }
}

static bool step(struct reader *r)
{
    return r->opts.descending ? step_down(r) : step_up(r);
}

bool reader_start(struct reader *r)
{
    r->mark = api_committed(r->api);
    bool done = true;
    if (r->opts.low >= r->opts.high) {
        r->at = r->opts.descending ? r->opts.high : r->opts.low - 1;
    } else if (r->opts.descending) {
        done = start_down(r);
    } else {
        begin_range(r, r->opts.low, r->opts.low); /* empty: step_up decides where to begin */
        done = step_up(r);
    }
    if (done) {
        finish(r);
    }
    return done;
}
