#include "collector/coverage.h"

#include <string.h>

#include "api/query/spans.h"
#include "server/core/id.h"
#include "server/core/mem.h"
#include "server/core/rng.h"
#include "tests/support/run.h"
#include "tests/support/test.h"

#define BASE INT64_C(1764000000000)
enum { ROOMS = 3, LENGTH = 4000, ROWS_MAX = 20000 };

/* Table coverage_span as app_coverage_store.c keeps it. */
struct table {
    struct coverage_span *rows;
    size_t n;
};

struct world {
    struct rng rng;
    struct coverage *c;
    struct table table;
    int64_t now;
    int64_t alive;
    int64_t painted; /* until when what goes on is painted */
    bool up[ROOMS];
    bool left[ROOMS];
    bool degraded[ROOMS][COVERAGE_SOURCES];
    int64_t down_from[ROOMS]; /* while not up */
    int64_t link_change[ROOMS];
    int64_t degraded_from[ROOMS][COVERAGE_SOURCES];
    int64_t begin[ROOMS];
    uint8_t gap[ROOMS][LENGTH];
    uint8_t less[ROOMS][LENGTH];
    size_t n_changes;
};

static void on_change(void *ctx, const struct coverage_span *span)
{
    struct world *w = ctx;
    assert_true(span->to_ms > span->from_ms);
    w->n_changes++;
}

/* ---- the table ---- */

static bool same_key(const struct coverage_span *a, const struct coverage_span *b)
{
    return a->room_id == b->room_id && a->source == b->source && a->from_ms == b->from_ms &&
           a->first_id == b->first_id;
}

static void upsert(struct table *t, const struct coverage_span *s)
{
    for (size_t i = 0; i < t->n; i++) {
        struct coverage_span *row = &t->rows[i];
        if (same_key(row, s)) {
            if (s->source == COVERAGE_LOST) {
                row->to_ms = s->to_ms > row->to_ms ? s->to_ms : row->to_ms;
            } else if (s->to_ms != COVERAGE_OPEN) {
                row->to_ms = s->to_ms;
            }
            return;
        }
    }
    assert_true(t->n < ROWS_MAX);
    t->rows[t->n++] = *s;
}

static void store(struct table *t, const struct coverage_span *spans, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; spans[i].source == COVERAGE_LINK && k < t->n; k++) {
            struct coverage_span *row = &t->rows[k];
            if (row->source == COVERAGE_LINK && row->room_id == spans[i].room_id &&
                row->to_ms == COVERAGE_OPEN && row->from_ms < spans[i].from_ms) {
                row->to_ms = spans[i].from_ms;
            }
        }
        upsert(t, &spans[i]);
    }
}

static void recover(struct table *t, int64_t alive)
{
    for (int64_t room = 1; room <= ROOMS; room++) {
        const struct coverage_span *newest = NULL;
        for (size_t i = 0; i < t->n; i++) {
            struct coverage_span *row = &t->rows[i];
            if (row->room_id != room) {
                continue;
            }
            if (row->source > COVERAGE_LOST && row->to_ms == COVERAGE_OPEN) {
                row->to_ms = alive > row->from_ms ? alive : row->from_ms;
            }
            if (row->source == COVERAGE_LINK &&
                (newest == NULL || row->from_ms > newest->from_ms)) {
                newest = row;
            }
        }
        if (newest != NULL && newest->to_ms != COVERAGE_OPEN) {
            struct coverage_span down = {.room_id = room,
                                         .from_ms = alive > newest->to_ms ? alive : newest->to_ms,
                                         .to_ms = COVERAGE_OPEN,
                                         .cause = "down",
                                         .source = COVERAGE_LINK};
            upsert(t, &down);
        }
    }
}

/* Sends once; how: 0 works, 1 fails, 2 works but nobody hears of it. */
static void flush(struct world *w, size_t max, int how)
{
    static struct coverage_span out[4096];
    size_t n = coverage_send(w->c, out, max);
    if (how != 1) {
        store(&w->table, out, n);
    }
    coverage_stored(w->c, how == 0);
}

static void flush_all(struct world *w)
{
    while (coverage_n_dirty(w->c) > 0) {
        flush(w, 4096, 0);
    }
    assert_true(coverage_safe_id(w->c) == INT64_MAX);
}

/* ---- the model ---- */

static void paint(uint8_t *line, int64_t from, int64_t to)
{
    for (int64_t ms = from - BASE; ms < to - BASE && ms < LENGTH; ms++) {
        line[ms] = 1;
    }
}

static void model_up(struct world *w, int room)
{
    int64_t at = w->now > w->down_from[room] ? w->now : w->down_from[room] + 1;
    paint(w->gap[room], w->down_from[room], at);
    w->up[room] = true;
    w->link_change[room] = at;
}

static void model_down(struct world *w, int room, int64_t at)
{
    w->up[room] = false;
    w->down_from[room] = at > w->link_change[room] ? at : w->link_change[room];
    w->link_change[room] = w->down_from[room];
}

/* The gap goes on for another reason: no span is shorter than a ms. */
static void model_again(struct world *w, int room)
{
    int64_t at = w->now > w->down_from[room] ? w->now : w->down_from[room] + 1;
    paint(w->gap[room], w->down_from[room], at);
    w->down_from[room] = at;
    w->link_change[room] = at;
}

/* ---- steps ---- */

static void step_link(struct world *w, int room)
{
    if (!w->up[room] && !w->left[room]) {
        if (rng_below(&w->rng, 3) == 0) {
            coverage_down(w->c, room + 1, w->now, "connect"); /* another try failed */
        } else {
            coverage_up(w->c, room + 1, w->now);
            model_up(w, room);
        }
    } else if (w->left[room]) {
        coverage_down(w->c, room + 1, w->now, "connecting");
        model_again(w, room);
        w->left[room] = false;
    } else {
        int64_t at = w->now - (int64_t)rng_below(&w->rng, 40);
        coverage_down(w->c, room + 1, at, "peer_reset");
        model_down(w, room, at);
    }
}

static void end_degraded(struct world *w, int room, int source, int64_t at)
{
    if (w->degraded[room][source]) {
        int64_t from = w->degraded_from[room][source];
        paint(w->less[room], from, at > from ? at : from + 1);
        w->degraded[room][source] = false;
    }
}

static void step_leave(struct world *w, int room)
{
    if (w->left[room] || w->begin[room] == 0) {
        return;
    }
    coverage_leave(w->c, room + 1, w->now, "removed");
    for (int s = COVERAGE_MASKED; s < COVERAGE_SOURCES; s++) {
        end_degraded(w, room, s, w->now);
    }
    if (w->up[room]) {
        model_down(w, room, w->now);
    } else {
        model_again(w, room);
    }
    w->left[room] = true;
}

static void step_degrade(struct world *w, int room)
{
    int source = COVERAGE_MASKED + (int)rng_below(&w->rng, COVERAGE_SOURCES - COVERAGE_MASKED);
    if (w->left[room]) {
        return;
    }
    if (w->degraded[room][source]) {
        coverage_recover(w->c, room + 1, (enum coverage_source)source, w->now);
        int64_t from = w->degraded_from[room][source];
        end_degraded(w, room, source, w->now);
        w->now += w->now == from; /* spans of a source do not begin twice in one ms */
    } else {
        coverage_degrade(w->c, room + 1, (enum coverage_source)source, w->now, 1);
        w->degraded[room][source] = true;
        w->degraded_from[room][source] = w->now;
    }
}

static bool if_disjoint(void *ctx, const struct coverage_span *before,
                        const struct coverage_lost *lost)
{
    (void)ctx;
    return lost->first_id > before->last_id || lost->last_id < before->first_id;
}

static void step_lost(struct world *w, int room)
{
    int64_t last = w->now - (int64_t)rng_below(&w->rng, 30);
    int64_t first = last - (int64_t)rng_below(&w->rng, 30);
    if (first < BASE) {
        return;
    }
    const struct coverage_lost lost = {.room_id = room + 1,
                                       .first_id = id_first_of_ms(first) + w->now % 100,
                                       .last_id = id_first_of_ms(last) + 200,
                                       .n = 2,
                                       .cause = "overflow"};
    coverage_lost(w->c, &lost, if_disjoint, NULL);
    paint(w->gap[room], first, last + 1);
    assert_true(coverage_safe_id(w->c) < lost.first_id);
}

static void begin_room(struct world *w, int room)
{
    coverage_down(w->c, room + 1, w->now, "connecting");
    if (w->begin[room] == 0) {
        w->begin[room] = w->now;
        w->down_from[room] = w->now;
        w->link_change[room] = w->now;
    } else {
        model_again(w, room);
    }
    w->left[room] = false;
}

static void step_kill(struct world *w)
{
    flush_all(w);
    assert_int_equal(coverage_n_merged(w->c), 0);
    coverage_free(w->c);
    w->alive = w->now - (int64_t)rng_below(&w->rng, 10);
    w->alive = w->alive > w->painted ? w->alive : w->painted;
    for (int room = 0; room < ROOMS; room++) {
        for (int s = COVERAGE_MASKED; s < COVERAGE_SOURCES; s++) {
            if (w->degraded[room][s]) {
                int64_t from = w->degraded_from[room][s];
                paint(w->less[room], from, w->alive > from ? w->alive : from);
                w->degraded[room][s] = false;
            }
        }
        if (w->up[room]) {
            model_down(w, room, w->alive);
        }
    }
    w->now += 1 + (int64_t)rng_below(&w->rng, 50);
    recover(&w->table, w->alive);
    recover(&w->table, w->alive); /* nobody heard whether the first one worked */
    w->c = coverage_new(w->now, on_change, w);
    for (int room = 0; room < ROOMS; room++) {
        if (w->begin[room] != 0 && rng_below(&w->rng, 4) > 0) {
            begin_room(w, room);
        } else {
            w->left[room] = w->begin[room] != 0;
        }
    }
}

/* ---- comparing ---- */

struct compare {
    struct world *w;
    int room;
    int64_t at;
};

static bool compare_interval(void *ctx, const struct span_interval *i)
{
    struct compare *c = ctx;
    struct world *w = c->w;
    assert_true(i->from_ms == c->at && i->to_ms > i->from_ms);
    for (int64_t ms = i->from_ms; ms < i->to_ms; ms++) {
        bool gap = w->gap[c->room][ms - BASE];
        bool less = w->less[c->room][ms - BASE];
        enum span_state want = gap ? SPAN_GAP : less ? SPAN_DEGRADED : SPAN_OK;
        if (ms < w->begin[c->room]) {
            want = SPAN_GAP;
        }
        if (i->state != want) {
            print_error("room %d at %lld: %d, but should be %d (%.*s)\n", c->room + 1,
                        (long long)(ms - BASE), i->state, want, STR_ARG(i->cause));
        }
        assert_int_equal(i->state, want);
    }
    c->at = i->to_ms;
    return true;
}

static struct span span_of(const struct coverage_span *s)
{
    return (struct span){.room_id = s->room_id,
                         .source = s->source,
                         .from_ms = s->from_ms,
                         .to_ms = s->to_ms == COVERAGE_OPEN ? SPAN_OPEN : s->to_ms,
                         .first_id = s->first_id,
                         .last_id = s->last_id,
                         .cause = str_of(s->cause)};
}

static bool add_memory(void *ctx, const struct coverage_span *s)
{
    struct span span = span_of(s);
    spans_add(ctx, &span);
    return true;
}

/* Database and memory together say what the model says, for any range; memory alone from where it is complete. */
static void compare(struct world *w, int room)
{
    if (w->begin[room] == 0) {
        return;
    }
    int64_t to = w->now;
    int64_t from = BASE + (int64_t)rng_below(&w->rng, (uint64_t)(to - BASE));
    bool memory_only = coverage_known_from(w->c, room + 1) <= from;
    /* What goes on is painted up to here, and again when it ends. */
    w->painted = to;
    if (!w->up[room]) {
        paint(w->gap[room], w->down_from[room], to);
    }
    for (int s = COVERAGE_MASKED; s < COVERAGE_SOURCES; s++) {
        if (w->degraded[room][s]) {
            paint(w->less[room], w->degraded_from[room][s], to);
        }
    }
    struct spans set;
    spans_init(&set, from, to);
    for (size_t i = 0; i < w->table.n && !memory_only; i++) {
        struct span span = span_of(&w->table.rows[i]);
        spans_add(&set, &span);
    }
    coverage_each(w->c, room + 1, from, to, add_memory, &set);
    spans_settle(&set);
    struct compare c = {.w = w, .room = room, .at = from};
    spans_walk(&set, room + 1, w->begin[room], compare_interval, &c);
    assert_true(c.at == to);
    spans_deinit(&set);
}

static void play(uint64_t seed)
{
    struct world *w = mem_new(struct world);
    rng_seed(&w->rng, seed);
    w->now = BASE + 10;
    w->table.rows = mem_new_array(struct coverage_span, ROWS_MAX);
    w->c = coverage_new(BASE, on_change, w);
    while (w->now < BASE + LENGTH - 200) {
        int room = (int)rng_below(&w->rng, ROOMS);
        uint64_t what = rng_below(&w->rng, 100);
        if (w->begin[room] == 0) {
            begin_room(w, room);
        } else if (what < 35) {
            step_link(w, room);
        } else if (what < 50) {
            step_degrade(w, room);
        } else if (what < 62) {
            step_lost(w, room);
        } else if (what < 66) {
            step_leave(w, room);
        } else if (what < 90) {
            flush(w, 1 + rng_below(&w->rng, 20), (int)rng_below(&w->rng, 3));
        } else if (what < 91) {
            step_kill(w);
        } else {
            compare(w, room);
        }
        w->now += (int64_t)rng_below(&w->rng, 12);
    }
    flush_all(w);
    for (int room = 0; room < ROOMS; room++) {
        compare(w, room);
    }
    assert_true(w->n_changes > 20);
    coverage_free(w->c);
    mem_free(w->table.rows);
    mem_free(w);
}

/* Random connections, losses, heuristics, statements that fail or whose answer is lost, kills: ms for ms what a simple model
 * says. */
static void model(void **state ATTR_UNUSED)
{
    struct rng r;
    test_rng(&r);
    for (int i = 0; i < 200; i++) {
        play(rng_u64(&r));
    }
}

/* ---- limits ---- */

struct seen {
    const struct coverage_span *last;
    size_t n;
    int64_t gap_ms;
};

static bool count_span(void *ctx, const struct coverage_span *s)
{
    struct seen *seen = ctx;
    seen->n++;
    seen->gap_ms += s->to_ms - s->from_ms;
    return true;
}

static void a_long_outage_is_bounded(void **state ATTR_UNUSED)
{
    static struct coverage_span out[4096];
    struct coverage *c = coverage_new(BASE, NULL, NULL);
    int64_t now = BASE;
    coverage_down(c, 1, now, "connecting");
    for (int i = 0; i < 1000; i++) {
        coverage_up(c, 1, now += 100);
        coverage_down(c, 1, now += 1 + i % 7, "peer_reset");
    }
    assert_true(coverage_n_dirty(c) <= COVERAGE_DIRTY_MAX + 1);
    assert_int_equal(coverage_n_merged(c), 1001 - coverage_n_dirty(c));
    struct seen seen = {0};
    coverage_up(c, 1, now += 100);
    coverage_each(c, 1, BASE, now, count_span, &seen);
    assert_true(seen.gap_ms >= 1000 * 100); /* all of it is still told, and more */
    size_t n = coverage_send(c, out, ARRAY_LEN(out));
    assert_int_equal(n, seen.n);
    coverage_stored(c, true);
    coverage_free(c);
}

static void lost_events_of_all_rooms_in_the_end(void **state ATTR_UNUSED)
{
    struct coverage *c = coverage_new(BASE, NULL, NULL);
    for (int64_t i = 0; i < COVERAGE_LOST_MAX + 10; i++) {
        const struct coverage_lost lost = {.room_id = 1 + i % 5000,
                                           .first_id = id_first_of_ms(BASE + i * 2),
                                           .last_id = id_first_of_ms(BASE + i * 2),
                                           .n = 1,
                                           .cause = "overflow"};
        coverage_lost(c, &lost, if_disjoint, NULL);
    }
    assert_true(coverage_n_dirty(c) <= COVERAGE_LOST_MAX + 10);
    assert_true(coverage_safe_id(c) < id_first_of_ms(BASE));
    coverage_free(c);
}

static void hear(void *ctx, const struct coverage_span *span)
{
    struct seen *seen = ctx;
    seen->n++;
    seen->gap_ms = span->to_ms - span->from_ms;
}

static void lost_events_that_grow_are_heard_of(void **state ATTR_UNUSED)
{
    static struct coverage_span out[16];
    struct seen heard = {0};
    struct coverage *c = coverage_new(BASE, hear, &heard);
    for (int i = 0; i < 2500; i++) {
        const struct coverage_lost lost = {7, id_first_of_ms(BASE + i), id_first_of_ms(BASE + i), 1,
                                           "overflow"};
        coverage_lost(c, &lost, NULL, NULL);
    }
    assert_int_equal(heard.n, 3);
    assert_int_equal(coverage_send(c, out, ARRAY_LEN(out)), 1);
    assert_int_equal(heard.n, 4);
    assert_int_equal(heard.gap_ms, 2500);
    coverage_stored(c, false);
    assert_int_equal(coverage_send(c, out, ARRAY_LEN(out)), 1);
    coverage_stored(c, true);
    assert_int_equal(heard.n, 4);
    coverage_free(c);
}

static void lost_events_grow_until_they_are_sent(void **state ATTR_UNUSED)
{
    static struct coverage_span out[16];
    struct coverage *c = coverage_new(BASE, NULL, NULL);
    struct coverage_lost lost = {7, id_first_of_ms(BASE + 5), id_first_of_ms(BASE + 6), 3,
                                 "overflow"};
    coverage_lost(c, &lost, NULL, NULL);
    lost.first_id = id_first_of_ms(BASE + 9);
    lost.last_id = id_first_of_ms(BASE + 10);
    coverage_lost(c, &lost, NULL, NULL);
    assert_int_equal(coverage_send(c, out, ARRAY_LEN(out)), 1);
    assert_int_equal(out[0].n, 6);
    assert_true(out[0].from_ms == BASE + 5 && out[0].to_ms == BASE + 11);
    assert_true(coverage_safe_id(c) == id_first_of_ms(BASE + 5) - 1);
    coverage_lost(c, &lost, NULL, NULL);
    coverage_stored(
        c, false); /* may have worked: it keeps its key, and what came meanwhile is its own */
    assert_int_equal(coverage_send(c, out, ARRAY_LEN(out)), 2);
    coverage_stored(c, true);
    assert_true(coverage_safe_id(c) == INT64_MAX);
    coverage_free(c);
}

static void the_worst_that_goes_on(void **state ATTR_UNUSED)
{
    struct coverage *c = coverage_new(BASE, NULL, NULL);
    bool here = true;
    assert_null(coverage_now(c, 1, &here));
    assert_false(here);
    coverage_down(c, 1, BASE + 1, "connecting");
    assert_string_equal(coverage_now(c, 1, &here)->cause, "connecting");
    coverage_up(c, 1, BASE + 2);
    assert_null(coverage_now(c, 1, &here));
    assert_true(here);
    coverage_degrade(c, 1, COVERAGE_MASKED, BASE + 3, 900);
    assert_string_equal(coverage_now(c, 1, &here)->cause, "masked");
    coverage_down(c, 1, BASE + 4, "peer_reset");
    assert_string_equal(coverage_now(c, 1, &here)->cause, "peer_reset");
    coverage_up(c, 1, BASE + 5);
    assert_string_equal(coverage_now(c, 1, &here)->cause, "masked");
    coverage_recover(c, 1, COVERAGE_MASKED, BASE + 6);
    assert_null(coverage_now(c, 1, &here));
    coverage_leave(c, 1, BASE + 7, "removed");
    assert_string_equal(coverage_now(c, 1, &here)->cause, "removed");
    static struct coverage_span out[16];
    assert_int_equal(coverage_send(c, out, ARRAY_LEN(out)), 4);
    coverage_stored(c, true);
    assert_null(coverage_now(c, 1, &here));
    assert_false(here); /* the database has it */
    assert_true(coverage_known_from(c, 1) == INT64_MAX);
    coverage_free(c);
}

/* The spool keeps what is behind it: until it is stored, not until it is sent. */
static void lost_events_hold_the_acknowledgement(void **state ATTR_UNUSED)
{
    static struct coverage_span out[16];
    struct coverage *c = coverage_new(BASE, NULL, NULL);
    int64_t id = id_first_of_ms(BASE + 10);
    coverage_down(c, 1, BASE + 1, "connecting");
    assert_true(coverage_safe_id(c) == INT64_MAX);
    const struct coverage_lost lost = {
        .room_id = 2, .first_id = id, .last_id = id + 5, .n = 2, .cause = "overflow"};
    coverage_lost(c, &lost, NULL, NULL);
    assert_true(coverage_safe_id(c) == id - 1);
    assert_int_equal(coverage_send(c, out, ARRAY_LEN(out)), 2);
    assert_true(coverage_safe_id(c) == id - 1);
    struct coverage_lost later = lost;
    later.first_id = id + 100;
    later.last_id = id + 100;
    coverage_lost(c, &later, NULL, NULL);
    uint64_t changes = coverage_changes(c);
    coverage_stored(c, false);
    assert_true(coverage_changes(c) == changes); /* not to be noted anew */
    assert_true(coverage_safe_id(c) == id - 1);
    assert_true(coverage_send(c, out, ARRAY_LEN(out)) >= 2);
    coverage_lost(c, &later, NULL, NULL);
    coverage_stored(c, true);
    assert_true(coverage_safe_id(c) == id + 99);
    (void)coverage_send(c, out, ARRAY_LEN(out));
    coverage_stored(c, true);
    assert_true(coverage_safe_id(c) == INT64_MAX);
    coverage_free(c);
}

/* What is stored and over is remembered for a while, and where memory begins is told. */
static void memory_begins_later_and_later(void **state ATTR_UNUSED)
{
    static struct coverage_span out[4096];
    struct coverage *c = coverage_new(BASE, NULL, NULL);
    int64_t now = BASE;
    coverage_down(c, 1, now, "connecting");
    for (int i = 0; i < 100; i++) {
        coverage_up(c, 1, now += 10);
        coverage_down(c, 1, now += 10, "peer_reset");
        (void)coverage_send(c, out, ARRAY_LEN(out));
        coverage_stored(c, true);
        struct seen seen = {0};
        coverage_each(c, 1, 0, COVERAGE_OPEN, count_span, &seen);
        assert_true(seen.n <= COVERAGE_KEPT + 2);
    }
    assert_true(coverage_known_from(c, 1) > BASE && coverage_known_from(c, 1) < now);
    assert_true(coverage_known_from(c, 0) == coverage_known_from(c, 1));
    coverage_free(c);
}

/* A gap of the process before goes on until the room is collected again, and is over when it is connected. */
static void what_the_process_before_left(void **state)
{
    (void)state;
    static const struct coverage_span left[] = {
        {.room_id = 1, .source = COVERAGE_LINK, .from_ms = BASE, .to_ms = BASE + 10, .cause = "a"},
        {.room_id = 1,
         .source = COVERAGE_LINK,
         .from_ms = BASE + 20,
         .to_ms = COVERAGE_OPEN,
         .cause = "b"},
        {.room_id = 2,
         .source = COVERAGE_LINK,
         .from_ms = BASE + 5,
         .to_ms = COVERAGE_OPEN,
         .cause = "paused"},
        {.room_id = 0,
         .source = COVERAGE_LOST,
         .from_ms = BASE,
         .to_ms = BASE + 1,
         .first_id = 7,
         .last_id = 9,
         .n = 3,
         .cause = "overflow"},
    };
    struct world w = {0};
    struct coverage_span out[10];
    bool here;
    struct coverage *c = coverage_new(BASE + 1000, on_change, &w);
    for (size_t i = 0; i < ARRAY_LEN(left); i++) {
        coverage_restore(c, &left[i]);
    }
    assert_int_equal(w.n_changes, 0);
    assert_int_equal(coverage_n_unstored(c), ARRAY_LEN(left));
    assert_int_equal(coverage_safe_id(c), 6); /* the loss is not stored */
    assert_ptr_equal(coverage_now(c, 1, &here)->cause, left[1].cause);
    coverage_down(c, 1, BASE + 1005, "connecting");
    coverage_up(c, 1, BASE + 1010);
    assert_null(coverage_now(c, 1, &here));
    assert_true(here);
    assert_int_equal(coverage_send(c, out, ARRAY_LEN(out)), 5);
    coverage_stored(c, true);
    for (size_t i = 0, n = 0; i < 5; i++) {
        static const int64_t want[][2] = {
            {BASE, BASE + 10}, {BASE + 20, BASE + 1005}, {BASE + 1005, BASE + 1010}};
        if (out[i].room_id == 1) {
            assert_true(n < 3 && out[i].from_ms == want[n][0] && out[i].to_ms == want[n][1]);
            n++;
        }
    }
    assert_int_equal(coverage_safe_id(c), INT64_MAX);
    (void)coverage_now(c, 2, &here); /* nobody collects it: the database has it */
    assert_false(here);
    assert_int_equal(coverage_n_unstored(c), 0);
    coverage_free(c);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(model),
        cmocka_unit_test(what_the_process_before_left),
        cmocka_unit_test(a_long_outage_is_bounded),
        cmocka_unit_test(lost_events_of_all_rooms_in_the_end),
        cmocka_unit_test(lost_events_that_grow_are_heard_of),
        cmocka_unit_test(lost_events_grow_until_they_are_sent),
        cmocka_unit_test(lost_events_hold_the_acknowledgement),
        cmocka_unit_test(the_worst_that_goes_on),
        cmocka_unit_test(memory_begins_later_and_later),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
