/* Sessions: what a table of cases says, and random lives against a simple model, with restarts in between. */
#include "collector/session.h"

#include <stdio.h>
#include <stdlib.h>

#include "collector/upstream/upstream.h"
#include "server/core/id.h"
#include "server/core/mem.h"
#include "server/core/rng.h"
#include "server/stats/stats.h"
#include "tests/support/run.h"

#define T0 INT64_C(1790000000000)
enum { ROOM = 7, ROWS_MAX = 4096, MIN = 60000, MERGE = 5 * MIN, EXTRA_BYTES = 512 };

struct fixture {
    struct stats *stats;
    struct sessions *s;
    struct session rows[ROWS_MAX]; /* as the table would hold them, by start */
    size_t n;
    struct session_segment segments[ROWS_MAX];
    size_t n_segments;
    int64_t new_id;
    int64_t last_id; /* of an event */
    bool asks;       /* somebody can be asked */
    unsigned n_asked;
};

static void put(void *ctx, const struct session *row)
{
    struct fixture *f = ctx;
    for (size_t i = 0; i < f->n; i++) {
        if (f->rows[i].id == row->id) {
            f->rows[i] = *row;
            return;
        }
    }
    assert_true(f->n < ROWS_MAX);
    f->rows[f->n++] = *row;
}

static void put_segment(void *ctx, const struct session_segment *row)
{
    struct fixture *f = ctx;
    for (size_t i = 0; i < f->n_segments; i++) {
        if (f->segments[i].session_id == row->session_id &&
            f->segments[i].from_id == row->from_id) {
            f->segments[i] = *row;
            return;
        }
    }
    assert_true(f->n_segments < ROWS_MAX);
    f->segments[f->n_segments++] = *row;
}

static int64_t new_id(void *ctx)
{
    struct fixture *f = ctx;
    return f->new_id++;
}

static bool ask(void *ctx, int64_t room_id)
{
    struct fixture *f = ctx;
    assert_true(room_id > 0);
    f->n_asked++;
    return f->asks;
}

static void machine_new(struct fixture *f)
{
    const struct sessions_opts opts = {.merge_ms = MERGE,
                                       .max_rooms = 3,
                                       .put = put,
                                       .put_segment = put_segment,
                                       .new_id = new_id,
                                       .ask = ask,
                                       .ctx = f};
    f->s = sessions_new(&opts, f->stats);
}

static int setup(void **state)
{
    struct fixture *f = mem_new(struct fixture);
    f->stats = stats_new();
    f->new_id = 1000;
    machine_new(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    sessions_free(f->s);
    stats_free(f->stats);
    mem_free(f);
    return 0;
}

/* ---- inputs; times are ms after T0 ---- */

static int64_t event_in(struct fixture *f, int64_t room, int64_t at, enum event_kind kind,
                        const char *extra)
{
    struct event_draft d;
    event_draft_init(&d, kind, room);
    d.extra = str_of(extra);
    int64_t id = id_first_of_ms(T0 + at);
    id = id > f->last_id ? id : f->last_id + 1;
    f->last_id = id;
    struct event *e = event_new(id, &d);
    assert_non_null(e);
    sessions_event(f->s, e);
    event_unref(&e);
    return id;
}

/* start: ms after T0, or -1: not told */
static int64_t live(struct fixture *f, int64_t at, const char *key, int64_t start)
{
    char extra[EXTRA_BYTES];
    if (start >= 0) {
        snprintf(extra, sizeof(extra),
                 "{\"state\":\"start\",\"live_key\":\"%s\",\"start_ms\":%lld,\"platform\":\"pc\"}",
                 key, (long long)(T0 + start));
    } else {
        snprintf(extra, sizeof(extra), "{\"state\":\"start\",\"live_key\":\"%s\"}", key);
    }
    return event_in(f, ROOM, at, EVENT_LIVE, extra);
}

static int64_t preparing(struct fixture *f, int64_t at)
{
    return event_in(f, ROOM, at, EVENT_LIVE, "{\"state\":\"end\",\"round\":true}");
}

static int64_t cut_off(struct fixture *f, int64_t at)
{
    return event_in(f, ROOM, at, EVENT_WARNING, "{\"action\":\"cut_off\"}");
}

static int64_t title(struct fixture *f, int64_t at, const char *text, int area)
{
    char extra[EXTRA_BYTES];
    snprintf(extra, sizeof(extra),
             "{\"change\":\"info\",\"title\":\"%s\",\"area_id\":%d,\"area\":\"a%d\"}", text, area,
             area);
    return event_in(f, ROOM, at, EVENT_ROOM, extra);
}

static void poll_titled(struct fixture *f, int64_t asked, int status, int64_t since,
                        const char *text)
{
    const struct upstream_room answer = {
        .room_id = ROOM,
        .live_status = status,
        .live_since_ms = since >= 0 ? T0 + since : 0,
        .title = str_of(text),
        .area_id = -1,
        .parent_area_id = -1,
    };
    sessions_poll(f->s, &answer, T0 + asked);
}

static void poll(struct fixture *f, int64_t asked, int status, int64_t since)
{
    poll_titled(f, asked, status, since, "");
}

static void link_up(struct fixture *f, int64_t since, int64_t now)
{
    (void)sessions_link(f->s, ROOM, T0 + since, T0 + now);
}

static void link_down(struct fixture *f, int64_t now)
{
    (void)sessions_link(f->s, ROOM, 0, T0 + now);
}

/* The room is collected, but not connected. */
static void tick(struct fixture *f, int64_t now)
{
    link_down(f, now);
    sessions_tick(f->s, T0 + now);
}

/* Memory is gone; the tables stay. */
static void restart(struct fixture *f, int64_t seen)
{
    sessions_free(f->s);
    machine_new(f);
    if (f->n > 0) {
        struct session_segment g = {0};
        unsigned n = 0;
        for (size_t i = 0; i < f->n_segments; i++) {
            if (f->segments[i].session_id == f->rows[f->n - 1].id) {
                g = f->segments[i];
                n++;
            }
        }
        sessions_restore(f->s, &f->rows[f->n - 1], &g, n, T0 + seen);
    }
}

static int64_t ms(int64_t id)
{
    return id_ts_ms(id) - T0;
}

static void check_row(const struct fixture *f, size_t i, int64_t start, int64_t end_at,
                      enum session_end how)
{
    assert_true(i < f->n);
    assert_int_equal(ms(f->rows[i].start_id), start);
    assert_int_equal(f->rows[i].end, how);
    if (how == SESSION_OPEN) {
        assert_int_equal(f->rows[i].end_id, 0);
    } else {
        assert_int_equal(ms(f->rows[i].end_id), end_at);
    }
}

/* ---- cases ---- */

static void test_start_is_told_twice(void **state)
{
    struct fixture *f = *state;
    const int64_t id = live(f, 1000, "k1", 0);
    live(f, 1100, "k1", -1);
    live(f, 30 * MIN, "k1", -1); /* a push that reconnects */
    assert_int_equal(f->n, 1);
    assert_int_equal(f->rows[0].id, id);
    assert_int_equal(f->rows[0].start_id, id);
    assert_int_equal(f->rows[0].upstream_start_ms, T0);
    const int64_t end_id = preparing(f, 60 * MIN);
    assert_int_equal(f->rows[0].end_id, end_id);
    check_row(f, 0, 1000, 60 * MIN, SESSION_PREPARING);
    preparing(f, 61 * MIN); /* it has ended already */
    check_row(f, 0, 1000, 60 * MIN, SESSION_PREPARING);
    assert_int_equal(sessions_n_open(f->s), 0);
    assert_int_equal(f->n_segments, 1);
    assert_string_equal(f->segments[0].live_key, "k1");
}

static void test_second_copy_comes_first(void **state)
{
    struct fixture *f = *state;
    f->asks = true;
    live(f, 1000, "k1", -1); /* the key is new: believed */
    live(f, 1100, "k1", 500);
    assert_int_equal(f->n, 1);
    assert_int_equal(f->rows[0].upstream_start_ms, T0 + 500);
}

static void test_flapping_is_one_session(void **state)
{
    struct fixture *f = *state;
    live(f, 0, "k1", 0);
    for (int i = 1; i <= 5; i++) {
        preparing(f, i * 10 * MIN);
        live(f, i * 10 * MIN + MERGE - 1, i % 2 ? "k2" : "k1", -1);
    }
    assert_int_equal(f->n, 1);
    check_row(f, 0, 0, 0, SESSION_OPEN);
    assert_int_equal(f->n_segments, 6); /* the key changes each time */
    preparing(f, 100 * MIN);
    live(f, 100 * MIN + MERGE, "k3", 100 * MIN + MERGE);
    assert_int_equal(f->n, 2);
    check_row(f, 0, 0, 100 * MIN, SESSION_PREPARING);
    check_row(f, 1, 100 * MIN + MERGE, 0, SESSION_OPEN);
}

static void test_cut_off(void **state)
{
    struct fixture *f = *state;
    live(f, 0, "k1", 0);
    cut_off(f, MIN);
    cut_off(f, MIN + 5);
    preparing(f, MIN + 1000);
    check_row(f, 0, 0, MIN, SESSION_CUT_OFF);
    event_in(f, ROOM, 2 * MIN, EVENT_WARNING, "{\"action\":\"warning\"}");
    assert_int_equal(f->n, 1);
}

static void test_doubtful_start(void **state)
{
    struct fixture *f = *state;
    f->asks = true;
    live(f, 0, "k1", 0);
    preparing(f, 10 * MIN);
    live(f, 60 * MIN, "k1", -1); /* a ghost of what has ended */
    assert_int_equal(f->n_asked, 1);
    assert_int_equal(sessions_n_open(f->s), 0);
    poll(f, 60 * MIN + 2000, 0, -1);
    tick(f, 70 * MIN);
    assert_int_equal(f->n, 1);
    check_row(f, 0, 0, 10 * MIN, SESSION_PREPARING);

    live(f, 80 * MIN, "k1", -1); /* and one that is true */
    poll(f, 80 * MIN + 2000, 1, -1);
    assert_int_equal(f->n, 2);
    check_row(f, 1, 80 * MIN, 0, SESSION_OPEN);
    preparing(f, 90 * MIN);

    live(f, 120 * MIN, "k1", -1); /* nobody answers */
    tick(f, 120 * MIN + SESSION_DOUBT_MS - 1);
    assert_int_equal(f->n, 2);
    tick(f, 120 * MIN + SESSION_DOUBT_MS);
    assert_int_equal(f->n, 3);
    check_row(f, 2, 120 * MIN, 0, SESSION_OPEN);
    preparing(f, 130 * MIN);

    live(f, 150 * MIN, "k1", -1); /* taken back at once */
    preparing(f, 150 * MIN + 10);
    tick(f, 160 * MIN);
    f->asks = false; /* nobody to ask: better a session too many */
    live(f, 200 * MIN, "", -1);
    assert_int_equal(f->n, 4);
    check_row(f, 3, 200 * MIN, 0, SESSION_OPEN);
}

static void test_found_by_polling(void **state)
{
    struct fixture *f = *state;
    poll_titled(f, 100 * MIN, 1, 20 * MIN, "found");
    check_row(f, 0, 20 * MIN, 0, SESSION_OPEN);
    assert_int_equal(f->rows[0].upstream_start_ms, T0 + 20 * MIN);
    assert_string_equal(f->segments[0].title, "found");
    live(f, 101 * MIN, "k1", -1);
    assert_int_equal(f->n, 1);
    assert_int_equal(f->n_segments, 1);
    assert_string_equal(f->segments[0].live_key, "k1"); /* was not known */
    for (int i = 2; i < 10; i++) {
        poll(f, 100 * MIN + i * MIN, 1, 20 * MIN);
    }
    poll(f, 110 * MIN, 2, -1); /* replays */
    check_row(f, 0, 20 * MIN, 109 * MIN, SESSION_POLL);
    poll(f, 111 * MIN, 1, 110 * MIN); /* a short pause */
    check_row(f, 0, 20 * MIN, 0, SESSION_OPEN);
    assert_int_equal(f->n, 1);
    poll(f, 112 * MIN, -1, -1); /* says nothing */
    check_row(f, 0, 20 * MIN, 0, SESSION_OPEN);
}

static void test_polls_that_lag(void **state)
{
    struct fixture *f = *state;
    live(f, 0, "k1", 0);
    poll(f, 1000, 0, -1); /* does not know yet */
    check_row(f, 0, 0, 0, SESSION_OPEN);
    preparing(f, 10 * MIN);
    poll(f, 10 * MIN + 1000, 1, 0); /* still believes so */
    check_row(f, 0, 0, 10 * MIN, SESSION_PREPARING);
    poll(f, 10 * MIN + 40000, 1, 0); /* insists: the end was none */
    check_row(f, 0, 0, 0, SESSION_OPEN);
    poll(f, 12 * MIN, 0, -1);
    check_row(f, 0, 0, 10 * MIN + 40000, SESSION_POLL);
    poll(f, 60 * MIN, 1, 50 * MIN);
    assert_int_equal(f->n, 2);
    check_row(f, 1, 50 * MIN, 0, SESSION_OPEN);
}

static void test_another_live_in_a_hole(void **state)
{
    struct fixture *f = *state;
    link_up(f, 0, 0);
    live(f, 1000, "k1", 0);
    link_up(f, 0, 30 * MIN); /* it stood until then */
    link_down(f, 31 * MIN);
    link_up(f, 90 * MIN, 90 * MIN);
    live(f, 100 * MIN, "k2", 99 * MIN);
    assert_int_equal(f->n, 2);
    check_row(f, 0, 1000, 30 * MIN, SESSION_UNSEEN);
    check_row(f, 1, 100 * MIN, 0, SESSION_OPEN);
    link_up(f, 90 * MIN, 180 * MIN); /* no hole: another key is the same session */
    live(f, 180 * MIN, "k3", 179 * MIN);
    assert_int_equal(f->n, 2);
    link_down(f, 200 * MIN);
    poll(f, 300 * MIN, 1, 290 * MIN);
    assert_int_equal(f->n, 3);
    check_row(f, 1, 100 * MIN, 180 * MIN, SESSION_UNSEEN);
    check_row(f, 2, 290 * MIN, 0, SESSION_OPEN);
}

static void test_ended_in_a_hole(void **state)
{
    struct fixture *f = *state;
    link_up(f, 0, 0);
    live(f, 1000, "k1", 0);
    link_up(f, 0, 20 * MIN);
    assert_true(sessions_link(f->s, ROOM, T0 + 22 * MIN, T0 + 22 * MIN));
    assert_false(sessions_link(f->s, ROOM, T0 + 22 * MIN, T0 + 23 * MIN));
    poll(f, 24 * MIN, 0, -1);
    check_row(f, 0, 1000, 20 * MIN, SESSION_POLL);
}

static void test_removed_room(void **state)
{
    struct fixture *f = *state;
    link_up(f, 0, 0);
    live(f, 1000, "k1", 0);
    link_up(f, 0, 10 * MIN);
    sessions_tick(f->s, T0 + 10 * MIN);
    sessions_tick(f->s, T0 + 10 * MIN + MERGE - 1);
    check_row(f, 0, 1000, 0, SESSION_OPEN);
    sessions_tick(f->s, T0 + 10 * MIN + MERGE);
    check_row(f, 0, 1000, 10 * MIN, SESSION_REMOVED);
    poll(f, 60 * MIN, 1, 0); /* there again, and it is the same live */
    check_row(f, 0, 1000, 0, SESSION_OPEN);
    assert_int_equal(f->n, 1);
}

/* A restart takes up an open session whose room is not collected any more: it ends, and when it was last seen. */
static void test_removed_while_away(void **state)
{
    struct fixture *f = *state;
    const struct session row = {.id = 77, .room_id = ROOM, .start_id = id_first_of_ms(T0)};
    const struct session_segment none = {0};
    sessions_restore(f->s, &row, &none, 0, T0 + 5 * MIN);
    sessions_tick(f->s, T0 + 60 * MIN);
    sessions_tick(f->s, T0 + 60 * MIN + MERGE - 1);
    assert_int_equal(f->n, 0);
    assert_int_equal(sessions_n_open(f->s), 1);
    sessions_tick(f->s, T0 + 60 * MIN + MERGE);
    check_row(f, 0, 0, 5 * MIN, SESSION_REMOVED);
    assert_int_equal(sessions_n_open(f->s), 0);
}

static void test_without_merging(void **state)
{
    struct fixture *f = *state;
    sessions_set_merge(f->s, 0);
    link_up(f, 0, 0);
    live(f, 1000, "k1", -1);
    for (int64_t at = 2000; at < 5 * MIN; at += 1000) {
        link_up(f, 0, at);
        sessions_tick(f->s, T0 + at); /* collected: not removed */
    }
    check_row(f, 0, 1000, 0, SESSION_OPEN);
    preparing(f, 5 * MIN);
    live(f, 5 * MIN + 1, "k2", -1);
    assert_int_equal(f->n, 2);
    sessions_tick(f->s, T0 + 6 * MIN + 1000);
    check_row(f, 1, 5 * MIN + 1, 5 * MIN + 1, SESSION_REMOVED);
}

static void test_segments(void **state)
{
    struct fixture *f = *state;
    title(f, 0, "before", 1);
    live(f, 1000, "k1", 0);
    title(f, 2000, "before", 1); /* no change */
    assert_int_equal(f->n_segments, 1);
    assert_string_equal(f->segments[0].title, "before");
    assert_string_equal(f->segments[0].area, "a1");
    title(f, 3000, "after", 1);
    title(f, 4000, "after", 2);
    assert_int_equal(f->n_segments, 3);
    assert_int_equal(ms(f->segments[2].from_id), 4000);
    assert_int_equal(f->segments[2].area_id, 2);
    assert_string_equal(f->segments[2].live_key, "k1");
    poll_titled(f, 10000, 1, 0, "before"); /* lags */
    assert_int_equal(f->n_segments, 3);
    poll_titled(f, 5 * MIN, 1, 0, "by poll");
    assert_int_equal(f->n_segments, 4);
    assert_string_equal(f->segments[3].title, "by poll");
    assert_int_equal(f->segments[3].area_id, 2);
}

static void test_segment_limit_and_wild_texts(void **state)
{
    struct fixture *f = *state;
    char text[64];
    live(f, 0, "k1", 0);
    for (int i = 0; i < SESSION_SEGMENTS_MAX + 50; i++) {
        snprintf(text, sizeof(text), "t%d", i);
        title(f, MIN + i, text, 1);
    }
    assert_int_equal(f->n_segments, SESSION_SEGMENTS_MAX);
    assert_int_equal(stats_get(f->stats, STAT_SESSION_SEGMENTS_OVERFLOW), 50);
    static const char *const wild[] = {"",
                                       "[]",
                                       "{",
                                       "{\"state\":5}",
                                       "{\"state\":\"start\",\"start_ms\":\"x\",\"live_key\":[]}",
                                       "{\"change\":\"info\",\"title\":{},\"area_id\":-1}",
                                       "{\"state\":\"something\"}"};
    for (size_t i = 0; i < ARRAY_LEN(wild); i++) {
        event_in(f, ROOM, 100 * MIN + (int64_t)i, EVENT_ROOM, wild[i]);
        event_in(f, ROOM, 100 * MIN + (int64_t)i, EVENT_WARNING, wild[i]);
        event_in(f, ROOM, 100 * MIN + (int64_t)i, EVENT_LIVE, wild[i]);
    }
    assert_int_equal(f->n, 1);
    check_row(f, 0, 0, 0, SESSION_OPEN);
}

static void test_restart_in_the_middle(void **state)
{
    struct fixture *f = *state;
    title(f, 0, "t", 1);
    const int64_t id = live(f, 1000, "k1", 0);
    restart(f, 10 * MIN);
    live(f, 11 * MIN, "k1", -1);
    poll_titled(f, 12 * MIN, 1, 0, "t");
    assert_int_equal(f->n, 1);
    assert_int_equal(f->n_segments, 1);
    restart(f, 20 * MIN);
    preparing(f, 100 * MIN);
    assert_int_equal(f->rows[0].id, id);
    check_row(f, 0, 1000, 100 * MIN, SESSION_PREPARING);
    restart(f, 101 * MIN);
    live(f, 102 * MIN, "k2", 102 * MIN); /* also the pause outlives it */
    assert_int_equal(f->n, 1);
    check_row(f, 0, 1000, 0, SESSION_OPEN);
    restart(f, 110 * MIN);
    poll(f, 300 * MIN, 0, -1); /* it ended while nobody was there */
    check_row(f, 0, 1000, 110 * MIN, SESSION_POLL);
}

static void test_events_come_once(void **state)
{
    struct fixture *f = *state;
    live(f, 1000, "k1", 0);
    preparing(f, MIN);
    f->last_id = 0;
    live(f, 1000, "k1", 0); /* read again from the store */
    check_row(f, 0, 1000, MIN, SESSION_PREPARING);
    struct session row;
    assert_true(sessions_room(f->s, ROOM, &row));
    assert_false(sessions_room(f->s, ROOM + 1, &row));
    f->last_id = 0;
    for (int64_t room = 1; room < 10; room++) { /* three rooms fit */
        event_in(f, room * 100, 5000 + room, EVENT_LIVE, "{\"state\":\"start\"}");
    }
    assert_int_equal(f->n, 3);
    assert_int_equal(stats_get(f->stats, STAT_SESSION_ROOMS_OVERFLOW), 7);
}

/* ---- random lives against a model ---- */

enum { LIVES_MAX = 64, STEP = 10000 };

struct truth {
    int64_t from[LIVES_MAX];
    int64_t to[LIVES_MAX];
    size_t n;
};

/* Lives of some minutes to hours; the pauses between them are clearly short or clearly long. */
static struct truth lives_new(struct rng *rng)
{
    struct truth t = {0};
    int64_t at = rng_between(rng, 5, 60) * MIN;
    while (t.n < 12) {
        t.from[t.n] = at;
        at += rng_between(rng, 8, 200) * MIN + rng_between(rng, 0, 5) * STEP;
        t.to[t.n++] = at;
        at +=
            rng_below(rng, 3) == 0 ? rng_between(rng, 1, 8) * STEP : rng_between(rng, 20, 90) * MIN;
    }
    return t;
}

static struct truth merged(const struct truth *t)
{
    struct truth m = {0};
    for (size_t i = 0; i < t->n; i++) {
        if (m.n > 0 && t->from[i] - m.to[m.n - 1] < MERGE) {
            m.to[m.n - 1] = t->to[i];
        } else {
            m.from[m.n] = t->from[i];
            m.to[m.n++] = t->to[i];
        }
    }
    return m;
}

static bool is_live_at(const struct truth *t, int64_t at, int64_t *since)
{
    for (size_t i = 0; i < t->n; i++) {
        if (at >= t->from[i] && at < t->to[i]) {
            *since = t->from[i];
            return true;
        }
    }
    *since = -1;
    return false;
}

static bool near(int64_t a, int64_t b, int64_t within)
{
    return a - b <= within && b - a <= within;
}

/* Never wrong in form, whatever came. */
static void check_form(const struct fixture *f)
{
    for (size_t i = 0; i < f->n; i++) {
        assert_true(f->rows[i].end == SESSION_OPEN ? f->rows[i].end_id == 0 && i + 1 == f->n
                                                   : f->rows[i].end_id >= f->rows[i].start_id);
        assert_true(i == 0 || f->rows[i].start_id > f->rows[i - 1].end_id);
    }
    for (size_t i = 1; i < f->n_segments; i++) {
        const struct session_segment *g = &f->segments[i - 1];
        assert_true(f->segments[i].session_id != g->session_id ||
                    f->segments[i].from_id > g->from_id);
    }
}

/* One run: messages as they come while connected, holes of some minutes, a poll each minute, restarts. */
static void run_lives(struct fixture *f, struct rng *rng, const struct truth *t)
{
    int64_t up_since = 1;
    int64_t hole_until = 0;
    const int64_t end = t->to[t->n - 1] + 30 * MIN;
    for (int64_t now = STEP; now < end; now += STEP) {
        if (up_since != 0 && rng_below(rng, 400) == 0) {
            up_since = 0;
            hole_until = now + rng_between(rng, 1, 15) * MIN;
            link_down(f, now);
        } else if (up_since == 0 && now >= hole_until) {
            up_since = now;
        }
        for (size_t i = 0; up_since != 0 && i < t->n; i++) {
            char key[32];
            snprintf(key, sizeof(key), "k%zu", i);
            if (t->from[i] == now) {
                live(f, now, key, now);
                live(f, now, key, -1);
            } else if (t->to[i] == now) {
                preparing(f, now);
            } else if (now > t->from[i] && now < t->to[i] && rng_below(rng, 300) == 0) {
                live(f, now, key, rng_below(rng, 2) == 0 ? t->from[i] : -1);
            }
        }
        if (up_since != 0) {
            link_up(f, up_since, now);
        }
        if (now % MIN == 0) {
            int64_t since;
            const bool on = is_live_at(t, now, &since);
            poll(f, now, on ? 1 : (int)rng_below(rng, 2) * 2, since);
        }
        if (rng_below(rng, 700) == 0) {
            restart(f, now);
            up_since = 0;
            hole_until = now + rng_between(rng, 0, 12) * STEP;
        }
        check_form(f);
    }
}

static void test_random_lives(void **state)
{
    struct fixture *f = *state;
    const char *given = getenv("DM_TEST_SEED");
    const uint64_t first = given != NULL ? (uint64_t)strtoull(given, NULL, 10) : 1;
    for (uint64_t seed = first; seed < first + (given != NULL ? 1 : 300); seed++) {
        struct rng rng;
        rng_seed(&rng, seed);
        sessions_free(f->s);
        machine_new(f);
        f->n = f->n_segments = 0;
        f->last_id = 0;
        f->asks = rng_below(&rng, 2) == 0;
        const struct truth t = lives_new(&rng);
        const struct truth want = merged(&t);
        run_lives(f, &rng, &t);
        bool same = f->n == want.n;
        for (size_t i = 0; same && i < want.n; i++) {
            /* What is found by polling may be a minute late, plus the time that a poll is not believed. */
            same = f->rows[i].end != SESSION_OPEN &&
                   near(ms(f->rows[i].start_id), want.from[i], MIN) &&
                   near(ms(f->rows[i].end_id), want.to[i], 2 * MIN);
        }
        if (!same) {
            for (size_t i = 0; i < want.n || i < f->n; i++) {
                print_message("want %8lld %8lld  got %8lld %8lld %s\n",
                              (long long)(i < want.n ? want.from[i] / 1000 : -1),
                              (long long)(i < want.n ? want.to[i] / 1000 : -1),
                              (long long)(i < f->n ? ms(f->rows[i].start_id) / 1000 : -1),
                              (long long)(i < f->n ? ms(f->rows[i].end_id) / 1000 : -1),
                              i < f->n ? session_end_name(f->rows[i].end) : "");
            }
            fail_msg("seed %llu: sessions are not the lives", (unsigned long long)seed);
        }
    }
}

/* Anything in any order: the form holds. */
static void test_noise(void **state)
{
    struct fixture *f = *state;
    struct rng rng;
    rng_seed(&rng, 5);
    for (int round = 0; round < 200; round++) {
        sessions_free(f->s);
        machine_new(f);
        f->n = f->n_segments = 0;
        f->last_id = 0;
        f->asks = rng_below(&rng, 2) == 0;
        int64_t now = MIN;
        for (int i = 0; i < 300; i++) {
            char key[16];
            snprintf(key, sizeof(key), "k%d", (int)rng_below(&rng, 3));
            now += rng_below(&rng, 4) == 0 ? rng_between(&rng, 0, 60) * MIN
                                           : rng_between(&rng, 0, 9000);
            const int64_t some = now - rng_between(&rng, 0, 20) * MIN;
            switch (rng_below(&rng, 9)) {
            case 0:
            case 1:
                live(f, now, rng_below(&rng, 4) ? key : "", rng_below(&rng, 2) ? some : -1);
                break;
            case 2:
                preparing(f, now);
                break;
            case 3:
                cut_off(f, now);
                break;
            case 4:
                title(f, now, key, (int)rng_below(&rng, 3));
                break;
            case 5:
                poll_titled(f, some, (int)rng_below(&rng, 3), rng_below(&rng, 2) ? some : -1, key);
                break;
            case 6:
                (void)sessions_link(f->s, ROOM, rng_below(&rng, 2) ? T0 + some : 0, T0 + now);
                break;
            case 7:
                sessions_tick(f->s, T0 + now);
                break;
            default:
                restart(f, some);
                break;
            }
            check_form(f);
        }
    }
}

/* Three rooms fit: what is long gone makes place, what is open or in doubt does not. */
static void test_rooms_are_forgotten(void **state)
{
    struct fixture *f = *state;
    struct session newest;
    live(f, 0, "k", 0);
    preparing(f, MIN);
    for (int64_t room = 100; room < 102; room++) {
        (void)sessions_link(f->s, room, T0, T0 + MIN);
    }
    (void)sessions_link(f->s, ROOM, T0, T0 + MIN);
    sessions_tick(f->s, T0 + MIN + SESSION_KEEP_MS);
    assert_true(sessions_room(f->s, ROOM, &newest));
    (void)sessions_link(f->s, 200, T0, T0 + MIN + SESSION_KEEP_MS);
    assert_int_equal(stats_get(f->stats, STAT_SESSION_ROOMS_OVERFLOW), 1);
    (void)sessions_link(f->s, 101, T0, T0 + 2 * MIN); /* this one is still looked at */
    sessions_tick(f->s, T0 + MIN + SESSION_KEEP_MS + 1);
    assert_false(sessions_room(f->s, ROOM, &newest));
    for (int64_t room = 200; room < 202; room++) {
        (void)sessions_link(f->s, room, T0, T0 + MIN + SESSION_KEEP_MS);
    }
    assert_int_equal(stats_get(f->stats, STAT_SESSION_ROOMS_OVERFLOW), 1);
    (void)sessions_link(f->s, ROOM, T0, T0 + MIN + SESSION_KEEP_MS); /* 101 has stayed */
    assert_int_equal(stats_get(f->stats, STAT_SESSION_ROOMS_OVERFLOW), 2);
    /* A pause longer than that keeps them longer. */
    sessions_set_merge(f->s, 3 * (int64_t)SESSION_KEEP_MS);
    sessions_tick(f->s, T0 + 3 * (int64_t)SESSION_KEEP_MS);
    (void)sessions_link(f->s, ROOM, T0, T0 + 3 * (int64_t)SESSION_KEEP_MS);
    assert_int_equal(stats_get(f->stats, STAT_SESSION_ROOMS_OVERFLOW), 3);
}

/* A part at a time, each room once per round. */
static void test_put_open_in_parts(void **state)
{
    struct fixture *f = *state;
    for (int64_t room = 20; room < 23; room++) {
        (void)event_in(f, room, MIN, EVENT_LIVE,
                       "{\"state\":\"start\",\"start_ms\":1790000000000}");
    }
    assert_int_equal(sessions_n_open(f->s), 3);
    for (int round = 0; round < 2; round++) {
        f->n = f->n_segments = 0;
        assert_true(sessions_put_open(f->s, 2));
        assert_int_equal(f->n, 2);
        assert_false(sessions_put_open(f->s, 2));
        assert_int_equal(f->n, 3);
        assert_int_equal(f->n_segments, 3);
        assert_int_equal(f->rows[2].room_id, 22);
    }
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        T(test_start_is_told_twice),
        T(test_second_copy_comes_first),
        T(test_flapping_is_one_session),
        T(test_cut_off),
        T(test_doubtful_start),
        T(test_found_by_polling),
        T(test_polls_that_lag),
        T(test_another_live_in_a_hole),
        T(test_ended_in_a_hole),
        T(test_removed_room),
        T(test_removed_while_away),
        T(test_without_merging),
        T(test_segments),
        T(test_segment_limit_and_wild_texts),
        T(test_restart_in_the_middle),
        T(test_events_come_once),
        T(test_random_lives),
        T(test_noise),
        T(test_rooms_are_forgotten),
        T(test_put_open_in_parts),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
