/* The reader against a model: events in a plain array, some of them in the ring, some committed, some in neither. */
#include "api/api_priv.h"
#include "api/reader.h"
#include "server/core/id.h"
#include "server/core/mem.h"
#include "server/feed/feed.h"
#include "tests/support/db_fake.h"
#include "tests/support/loop_until.h"
#include "tests/support/run.h"

#define NOW INT64_C(1764000000000)
enum { MAX_EVENTS = 400, TURNS = 200 };

struct world {
    struct loop *loop;
    struct clock_fake clock;
    struct db *db;
    struct feed *feed;
    struct api api;
    struct event *events[MAX_EVENTS]; /* what was ever published, in order */
    size_t n;
    size_t committed;  /* the first so many are in the database */
    size_t backfilled; /* and the first so many have to be: some of them are nowhere else */
    int64_t mark;      /* what ops.committed says */
    bool done;
};

static int64_t world_committed(void *ctx)
{
    return ((struct world *)ctx)->mark;
}

static bool world_room(void *ctx ATTR_UNUSED, int64_t room_id ATTR_UNUSED,
                       struct api_room *ret ATTR_UNUSED)
{
    return true;
}

static void world_open(struct world *w, size_t ring)
{
    *w = (struct world){.loop = loop_new()};
    clock_fake_init(&w->clock, NOW);
    loop_set_clock(w->loop, &w->clock.base);
    w->db = db_fake_new(w->loop);
    w->feed = feed_new(ring, 1 << 20);
    w->mark = -1;
    w->api.opts = (struct api_opts){.loop = w->loop, .db = w->db, .feed = w->feed};
    w->api.opts.ops.committed = world_committed;
    w->api.opts.ops.room = world_room;
    w->api.opts.ops.ctx = w;
}

static void world_close(struct world *w)
{
    for (size_t i = 0; i < w->n; i++) {
        event_unref(&w->events[i]);
    }
    feed_free(w->feed);
    db_fake_free(w->db);
    loop_free(w->loop);
}

static struct event *happen(struct world *w, int64_t room_id, enum event_kind kind, int64_t value)
{
    struct event_draft d;
    event_draft_init(&d, kind, room_id);
    d.value_mcny = value;
    /* Uneven: bursts, quiet hours. */
    int64_t ms = NOW - 86400000 + (int64_t)w->n * 977 + (int64_t)(w->n / 50) * 600000;
    struct event *e = event_new(id_first_of_ms(ms) + 16 * (int64_t)w->n, &d);
    assert_non_null(e);
    w->events[w->n++] = event_ref(e);
    return e;
}

static void publish(struct world *w, int64_t room_id, enum event_kind kind, int64_t value)
{
    feed_publish(w->feed, happen(w, room_id, kind, value));
}

/* As reparse adds it: the database gets it, the ring does not. */
static void backfill(struct world *w, int64_t room_id)
{
    struct event *e = happen(w, room_id, EVENT_GIFT, 200);
    w->backfilled = w->n;
    feed_set_backfilled(w->feed, e->id);
    event_unref(&e);
}

static void commit(struct world *w, size_t n)
{
    for (; w->committed < n; w->committed++) {
        db_fake_add(w->db, w->events[w->committed]);
        w->mark = w->events[w->committed]->id;
    }
}

static void read_done(void *ctx)
{
    ((struct world *)ctx)->done = true;
}

static void read_range(struct world *w, struct reader *r, struct reader_opts opts)
{
    opts.done = read_done;
    opts.ctx = w;
    w->done = false;
    reader_init(r, &w->api, &opts);
    if (!reader_start(r)) {
        assert_true(loop_run_until(w->loop, &w->done, TURNS));
    }
}

/* Pages from one end to the other; what came must be what the model has. */
static void walk(struct world *w, struct reader_opts opts)
{
    struct filter f = opts.filter;
    int64_t low = opts.low;
    int64_t high = opts.high;
    size_t at = 0;
    for (unsigned pages = 0;; pages++) {
        struct reader r;
        assert_true(pages < 2000);
        read_range(w, &r, opts);
        assert_int_equal(r.code, ERR_OK);
        assert_true(r.n <= opts.limit);
        for (size_t i = 0; i < r.n; i++) {
            const struct event *e = r.items[i].event;
            for (;; at++) {
                assert_true(at < w->n);
                const struct event *want = w->events[opts.descending ? w->n - 1 - at : at];
                if (want->id >= low && want->id < high && filter_match(&f, want)) {
                    assert_true(want->id == e->id);
                    assert_true(want->room_id == e->room_id && want->kind == e->kind);
                    at++;
                    break;
                }
            }
        }
        bool more = r.more;
        if (r.pending) {
            assert_true(more);
            assert_true(w->committed < w->n);
            commit(w, w->committed + 1 + (w->n - w->committed) / 2); /* the writer gets on */
        }
        if (more && opts.descending) {
            assert_true(r.at <= opts.high);
            opts.high = r.at;
        } else if (more) {
            assert_true(r.at >= opts.low - 1);
            opts.low = r.at + 1;
        }
        reader_deinit(&r);
        if (!more) {
            break;
        }
    }
    for (; at < w->n; at++) {
        const struct event *left = w->events[opts.descending ? w->n - 1 - at : at];
        assert_false(left->id >= low && left->id < high && filter_match(&f, left));
    }
}

static void test_against_model(void **state)
{
    (void)state;
    struct rng rng;
    test_rng(&rng);
    for (int round = 0; round < 60; round++) {
        struct world w;
        world_open(&w, (size_t)1 << rng_between(&rng, 2, 9));
        size_t n = (size_t)rng_between(&rng, 1, MAX_EVENTS);
        for (size_t i = 0; i < n; i++) {
            bool gift = rng_below(&rng, 5) == 0;
            if (round % 2 == 0 && rng_below(&rng, 40) == 0) {
                backfill(&w, rng_between(&rng, 1, 4));
                continue;
            }
            publish(&w, rng_between(&rng, 1, 4) * rng_between(&rng, 1, 2),
                    gift ? EVENT_GIFT : EVENT_DANMAKU, gift ? rng_between(&rng, 0, 3) * 100 : 0);
            if (rng_below(&rng, 8) == 0) {
                commit(&w, (size_t)rng_between(&rng, (int64_t)w.committed, (int64_t)w.n));
            }
        }
        commit(&w, w.backfilled > 1 ? w.backfilled : 1);
        for (int k = 0; k < 12; k++) {
            const int64_t rooms[] = {1, 2, 3, 6, 77};
            size_t first = (size_t)rng_below(&rng, 5);
            struct reader_opts opts = {
                .filter = {.rooms = rooms + first,
                           .n_rooms = (size_t)rng_below(&rng, 6 - first),
                           .kinds = rng_below(&rng, 3) == 0 ? 1u << EVENT_GIFT : 0,
                           .min_value = rng_below(&rng, 4) == 0 ? 200 : 0},
                .descending = rng_below(&rng, 2) == 0,
                .low = rng_below(&rng, 2) == 0 ? 0 : w.events[rng_below(&rng, n)]->id,
                .high = rng_below(&rng, 2) == 0 ? ID_MAX : w.events[rng_below(&rng, n)]->id + 1,
                .limit = (size_t)rng_between(&rng, 1, 60),
            };
            if (opts.low < opts.high) {
                walk(&w, opts);
            }
        }
        world_close(&w);
    }
}

/* Newest of a room, newest of all: the ring answers, whether or not there is a database. */
static void test_ring_alone(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, 256);
    for (size_t i = 0; i < 300; i++) {
        publish(&w, i % 10 == 0 ? 5 : 6, EVENT_DANMAKU, 0);
    }
    db_fake_up(w.db, false);
    const int64_t room = 5;
    struct reader r;
    struct reader_opts opts = {
        .filter = {.rooms = &room, .n_rooms = 1}, .descending = true, .high = ID_MAX, .limit = 20};
    read_range(&w, &r, opts);
    assert_int_equal(r.code, ERR_OK);
    assert_int_equal(r.n, 20);
    assert_true(r.more);
    assert_true(r.items[0].seq != FEED_NO_SEQ);
    reader_deinit(&r);

    opts.limit = 26; /* one more than the ring holds of it */
    read_range(&w, &r, opts);
    assert_int_equal(r.code, ERR_UNAVAILABLE);
    reader_deinit(&r);

    opts.limit = 100;
    opts.low = w.events[100]->id; /* a range that the ring covers */
    read_range(&w, &r, opts);
    assert_int_equal(r.code, ERR_OK);
    assert_int_equal(r.n, 20);
    assert_false(r.more);
    reader_deinit(&r);

    opts = (struct reader_opts){
        .descending = false, .low = w.events[200]->id, .high = ID_MAX, .limit = 1000};
    read_range(&w, &r, opts);
    assert_int_equal(r.n, 100);
    assert_false(r.more);
    assert_true(r.at == w.events[299]->id);
    reader_deinit(&r);
    assert_int_equal(db_fake_n_queries(w.db), 0);
    world_close(&w);
}

static void test_failures(void **state)
{
    (void)state;
    static const enum err_code codes[] = {ERR_TIMEOUT, ERR_UNAVAILABLE, ERR_TOO_BIG, ERR_INTERNAL};
    struct world w;
    world_open(&w, 4);
    for (size_t i = 0; i < 100; i++) {
        publish(&w, 6, EVENT_DANMAKU, 0);
    }
    commit(&w, 100);
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        struct reader r;
        db_fake_fail(w.db, codes[i]);
        read_range(&w, &r,
                   (struct reader_opts){.descending = i % 2 == 0, .high = ID_MAX, .limit = 10});
        assert_int_equal(r.code, codes[i]);
        reader_deinit(&r);
    }
    world_close(&w);
}

/* Given up while it waits: no callback, nothing left behind, whatever the database does then. */
static void test_given_up(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, 4);
    for (size_t i = 0; i < 100; i++) {
        publish(&w, 6, EVENT_DANMAKU, 0);
    }
    commit(&w, 100);
    struct reader r;
    struct reader_opts opts = {
        .descending = true, .high = ID_MAX, .limit = 10, .done = read_done, .ctx = &w};
    reader_init(&r, &w.api, &opts);
    assert_false(reader_start(&r));
    reader_deinit(&r);
    loop_run_turns(w.loop, 5);
    assert_false(w.done);
    world_close(&w);
}

/* Rows that arrive between two statements of an oldest-first page, while the ring moves on. */
static void test_ring_moves_on(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, 8);
    for (size_t i = 0; i < 50; i++) {
        publish(&w, 6, EVENT_DANMAKU, 0);
    }
    commit(&w, 50);
    db_fake_hold(w.db, true);
    struct reader r;
    struct reader_opts opts = {
        .low = w.events[0]->id, .high = ID_MAX, .limit = 1000, .done = read_done, .ctx = &w};
    reader_init(&r, &w.api, &opts);
    assert_false(reader_start(&r));
    for (size_t i = 0; i < 30; i++) {
        publish(&w, 6, EVENT_DANMAKU,
                0); /* the ring has lost what the first statement does not tell */
    }
    commit(&w, 76);
    db_fake_hold(w.db, false);
    assert_true(loop_run_until(w.loop, &w.done, TURNS));
    assert_int_equal(r.code, ERR_OK);
    assert_int_equal(r.n, 80);
    for (size_t i = 0; i < 80; i++) {
        assert_true(r.items[i].event->id == w.events[i]->id);
    }
    reader_deinit(&r);
    world_close(&w);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_model), cmocka_unit_test(test_ring_alone),
        cmocka_unit_test(test_failures),      cmocka_unit_test(test_given_up),
        cmocka_unit_test(test_ring_moves_on),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
