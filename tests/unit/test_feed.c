/* The ring: eviction by count and bytes, chains of rooms, coverage, readers; and a random run against a plain array. */
#include "server/feed/feed.h"

#include "server/core/mem.h"
#include "tests/support/run.h"

static struct event *make(int64_t id, int64_t room_id, size_t text_len)
{
    static const char filler[2000];
    struct event_draft d;
    event_draft_init(&d, EVENT_DANMAKU, room_id);
    d.text = (struct str){filler, text_len};
    struct event *e = event_new(id, &d);
    assert_non_null(e);
    return e;
}

static void publish(struct feed *f, int64_t id, int64_t room_id)
{
    feed_publish(f, make(id, room_id, 0));
}

static void note_wake(void *ctx)
{
    int *n = ctx;
    (*n)++;
}

static void test_empty(void **state)
{
    (void)state;
    struct feed *f = feed_new(8, 1 << 20);
    assert_int_equal(feed_head(f), 0);
    assert_int_equal(feed_tail(f), 0);
    assert_int_equal(feed_head_id(f), 0);
    assert_int_equal(feed_tail_id(f), 0);
    assert_null(feed_at(f, 0));
    assert_int_equal(feed_seek(f, 0), 0);
    assert_true(feed_room_last(f, 1) == FEED_NO_SEQ);
    assert_true(feed_room_prev(f, 0) == FEED_NO_SEQ);
    assert_false(feed_covers(f, 0));
    assert_false(feed_covers(f, INT64_MAX));
    assert_false(feed_room_covers(f, 1, 0));
    feed_free(f);
    feed_free(NULL);
}

static void test_backfilled_only_grows(void **state)
{
    (void)state;
    struct feed *f = feed_new(8, 1 << 20);
    publish(f, 100, 1);
    assert_int_equal(feed_backfilled(f), 0);
    feed_set_backfilled(f, 90);
    feed_set_backfilled(f, 50);
    assert_int_equal(feed_backfilled(f), 90);
    assert_true(feed_covers(f, 99)); /* streams go on from the ring */
    feed_free(f);
}

static void test_eviction_by_count(void **state)
{
    (void)state;
    struct feed *f = feed_new(4, 1 << 20);
    for (int64_t id = 1; id <= 10; id++) {
        publish(f, id * 10, id % 2);
    }
    assert_int_equal(feed_tail(f), 6);
    assert_int_equal(feed_head(f), 10);
    assert_int_equal(feed_evicted(f), 6);
    assert_int_equal(feed_tail_id(f), 70);
    assert_int_equal(feed_head_id(f), 100);
    assert_null(feed_at(f, 5));
    assert_int_equal(feed_at(f, 6)->id, 70);
    assert_null(feed_at(f, 10));
    assert_int_equal(feed_seek(f, 0), 6);
    assert_int_equal(feed_seek(f, 79), 7);
    assert_int_equal(feed_seek(f, 80), 8);
    assert_int_equal(feed_seek(f, 100), 10);
    assert_int_equal(feed_room_last(f, 0), 9);
    assert_int_equal(feed_room_prev(f, 9), 7);
    assert_true(feed_room_prev(f, 7) == FEED_NO_SEQ); /* 5 is evicted */
    assert_true(feed_room_prev(f, 5) == FEED_NO_SEQ);
    assert_true(feed_covers(f, 60));
    assert_false(feed_covers(f, 59));
    feed_free(f);
}

static void test_eviction_by_bytes(void **state)
{
    (void)state;
    size_t one = sizeof(struct event) + 100;
    struct feed *f = feed_new(64, 3 * one);
    for (int64_t id = 1; id <= 5; id++) {
        feed_publish(f, make(id, 7, 100));
        assert_true(feed_bytes(f) <= 3 * one);
    }
    assert_int_equal(feed_tail_id(f), 3);
    feed_publish(f, make(6, 7, 1900)); /* larger than all of the limit: it stays, alone */
    assert_int_equal(feed_tail_id(f), 6);
    assert_int_equal(feed_bytes(f), sizeof(struct event) + 1900);
    assert_int_equal(feed_room_last(f, 7), 5);
    feed_publish(f, make(7, 8, 0));
    assert_int_equal(feed_tail_id(f), 7);
    assert_true(feed_room_last(f, 7) == FEED_NO_SEQ);
    feed_free(f);
}

/* What the database holds from before the first event is not covered. */
static void test_covers_from_the_first_event(void **state)
{
    (void)state;
    struct feed *f = feed_new(8, 1 << 20);
    feed_warm(f, make(100, 1, 0));
    publish(f, 110, 2);
    assert_true(feed_covers(f, 99));
    assert_true(feed_covers(f, 100));
    assert_false(feed_covers(f, 98));
    assert_true(feed_room_covers(f, 2, 99));
    assert_false(feed_room_covers(f, 2, 98));
    assert_true(feed_room_covers(f, 3, 99)); /* a room that never said anything since */
    assert_false(feed_room_covers(f, 3, 0));
    feed_free(f);
}

static void test_reset_forgets_what_was_warmed(void **state)
{
    (void)state;
    struct feed *f = feed_new(4, 1 << 20);
    for (int64_t id = 100; id < 110; id++) { /* laps the ring */
        feed_warm(f, make(id, 1, 0));
    }
    feed_reset(f);
    assert_true(feed_head(f) == feed_tail(f));
    assert_int_equal(feed_bytes(f), 0);
    assert_int_equal(feed_evicted(f), 0);
    assert_false(feed_covers(f, INT64_MAX - 1));
    assert_true(feed_room_last(f, 1) == FEED_NO_SEQ);
    publish(f, 50, 1); /* and begins where the first event says */
    assert_true(feed_covers(f, 49));
    assert_false(feed_covers(f, 48));
    assert_int_equal(feed_head_id(f), 50);
    feed_free(f);
}

static void test_quiet_room_is_covered_longer(void **state)
{
    (void)state;
    struct feed *f = feed_new(4, 1 << 20);
    publish(f, 10, 1);
    publish(f, 20, 2);
    publish(f, 30, 1);
    publish(f, 40, 1);
    publish(f, 50, 1); /* evicts 10 of room 1 */
    assert_false(feed_covers(f, 9));
    assert_true(feed_room_covers(f, 2, 9));
    assert_false(feed_room_covers(f, 1, 9));
    assert_true(feed_room_covers(f, 1, 10));
    publish(f, 60, 1); /* evicts 20, the last of room 2 */
    assert_true(feed_room_last(f, 2) == FEED_NO_SEQ);
    assert_false(feed_room_covers(f, 2, 9));
    assert_false(feed_room_covers(f, 2, 19));
    assert_true(feed_room_covers(f, 2, 20));
    feed_free(f);
}

static void test_readers(void **state)
{
    (void)state;
    struct feed *f = feed_new(4, 1 << 20);
    struct feed_reader a;
    struct feed_reader b;
    int a_woken = 0;
    int b_woken = 0;
    const struct event *e = NULL;
    uint64_t seq = 0;
    feed_reader_init(&a, f, 0, note_wake, &a_woken);
    feed_reader_init(&b, f, 0, note_wake, &b_woken);
    publish(f, 1, 1);
    assert_int_equal(a_woken, 0); /* it did not say that it waits */
    assert_int_equal(feed_read(&a, &e, &seq), FEED_EVENT);
    assert_int_equal(e->id, 1);
    assert_int_equal(seq, 0);
    assert_int_equal(feed_read(&a, &e, &seq), FEED_EMPTY);
    assert_int_equal(feed_read(&a, &e, &seq), FEED_EMPTY);
    publish(f, 2, 1);
    publish(f, 3, 1);
    assert_int_equal(a_woken, 1); /* once */
    assert_int_equal(b_woken, 0);
    assert_int_equal(feed_read(&a, &e, &seq), FEED_EVENT);
    assert_int_equal(e->id, 2);
    for (int64_t id = 4; id < 20; id++) {
        publish(f, id, 1);
    }
    assert_int_equal(feed_read(&b, &e, &seq), FEED_LAPPED);
    assert_int_equal(b.next, 0); /* stays: the owner seeks */
    b.next = feed_seek(f, 17);
    assert_int_equal(feed_read(&b, &e, &seq), FEED_EVENT);
    assert_int_equal(e->id, 18);
    assert_int_equal(feed_read(&b, &e, &seq), FEED_EVENT);
    assert_int_equal(feed_read(&b, &e, &seq), FEED_EMPTY);
    feed_reader_deinit(&b);
    feed_reader_deinit(&b);
    publish(f, 20, 1);
    assert_int_equal(b_woken, 0);
    feed_reader_deinit(&a);
    feed_free(f);
}

/* A reader may look for more, and so wait again, from within its wake; it is not woken twice for one event. */
struct eager {
    struct feed_reader r;
    int woken;
    int64_t last_id;
};

static void read_on(void *ctx)
{
    struct eager *x = ctx;
    const struct event *e;
    uint64_t seq;
    x->woken++;
    while (feed_read(&x->r, &e, &seq) == FEED_EVENT) {
        x->last_id = e->id;
    }
}

static void test_wake_that_waits_again(void **state)
{
    (void)state;
    struct feed *f = feed_new(4, 1 << 20);
    struct eager x[3] = {{.woken = 0}};
    for (size_t i = 0; i < ARRAY_LEN(x); i++) {
        feed_reader_init(&x[i].r, f, 0, read_on, &x[i]);
        read_on(&x[i]);
    }
    for (int64_t id = 1; id <= 10; id++) {
        publish(f, id, 1);
        for (size_t i = 0; i < ARRAY_LEN(x); i++) {
            assert_int_equal(x[i].woken, id + 1);
            assert_int_equal(x[i].last_id, id);
        }
    }
    feed_free(f); /* with readers that wait */
    assert_false(list_linked(&x[0].r.node));
}

static void test_many_rooms(void **state)
{
    (void)state;
    enum { N = 3000 };
    struct feed *f = feed_new(1024, 1 << 30);
    for (int64_t id = 1; id <= N; id++) {
        publish(f, id, id * 64);
    }
    for (int64_t id = 1; id <= N; id++) {
        uint64_t last = feed_room_last(f, id * 64);
        assert_true(last == (id <= N - 1024 ? FEED_NO_SEQ : (uint64_t)(id - 1)));
    }
    feed_free(f);
}

/* ---- against a plain array of everything that was ever published ---- */

enum { MODEL_MAX = 100000, MODEL_ROOMS = 40 };

struct model {
    int64_t *id;
    int64_t *room;
    uint64_t head;
    uint64_t tail;
};

static void check_chain(const struct feed *f, const struct model *m, int64_t room)
{
    uint64_t seq = feed_room_last(f, room);
    for (uint64_t i = m->head; i > m->tail; i--) {
        if (m->room[i - 1] == room) {
            assert_true(seq == i - 1);
            seq = feed_room_prev(f, seq);
        }
    }
    assert_true(seq == FEED_NO_SEQ);
}

static void check_covers(const struct feed *f, const struct model *m, int64_t room, int64_t after)
{
    bool whole = m->head > 0 && after >= m->id[0] - 1;
    bool whole_room = whole;
    for (uint64_t i = 0; i < m->tail; i++) {
        whole = whole && m->id[i] <= after;
        whole_room = whole_room && (m->id[i] <= after || m->room[i] != room);
    }
    assert_int_equal(feed_covers(f, after), whole);
    bool claimed = feed_room_covers(f, room, after);
    assert_true(!claimed || whole_room);
    assert_true(claimed || !whole);
}

static void check_seek(const struct feed *f, const struct model *m, int64_t after)
{
    uint64_t want = m->tail;
    while (want < m->head && m->id[want] <= after) {
        want++;
    }
    assert_true(feed_seek(f, after) == want);
}

/* One read; true when the reader waits now. */
static bool check_read(struct feed_reader *r, const struct model *m, uint64_t *next)
{
    const struct event *e = NULL;
    uint64_t seq = 0;
    switch (feed_read(r, &e, &seq)) {
    case FEED_EVENT:
        assert_true(seq == *next && seq >= m->tail && seq < m->head);
        assert_int_equal(e->id, m->id[seq]);
        assert_int_equal(e->room_id, m->room[seq]);
        (*next)++;
        return false;
    case FEED_EMPTY:
        assert_true(*next == m->head);
        return true;
    case FEED_LAPPED:
        assert_true(*next < m->tail);
        *next = r->next = m->tail;
        return false;
    }
    fail();
    return false;
}

static void test_model(void **state)
{
    (void)state;
    struct rng rng;
    struct model m = {.id = mem_new_array(int64_t, MODEL_MAX),
                      .room = mem_new_array(int64_t, MODEL_MAX)};
    struct feed *f = feed_new(64, 64 * (sizeof(struct event) + 60));
    struct feed_reader readers[3];
    uint64_t next[3] = {0};
    bool waits[3] = {false};
    int woken[3] = {0};
    int want_woken[3] = {0};
    test_rng(&rng);
    for (size_t i = 0; i < ARRAY_LEN(readers); i++) {
        feed_reader_init(&readers[i], f, 0, note_wake, &woken[i]);
    }
    int64_t id = rng_between(&rng, 1, 1000);
    for (int step = 0; step < MODEL_MAX; step++) {
        /* Some rooms are busy, some are nearly silent. */
        int64_t room = (int64_t)rng_below(&rng, rng_below(&rng, MODEL_ROOMS) + 1);
        int64_t near = id - rng_between(&rng, -20, 900);
        size_t i = rng_below(&rng, ARRAY_LEN(readers));
        switch (rng_below(&rng, 6)) {
        case 0:
            check_chain(f, &m, room);
            break;
        case 1:
            check_seek(f, &m, near);
            break;
        case 2:
            if (step % 16 == 0) {
                check_covers(f, &m, room, near);
            }
            break;
        case 3:
            for (uint64_t n = rng_below(&rng, 80); n > 0 && !waits[i]; n--) {
                waits[i] = check_read(&readers[i], &m, &next[i]);
            }
            break;
        default:
            id += rng_between(&rng, 1, 20);
            m.id[m.head] = id;
            m.room[m.head++] = room;
            feed_publish(f, make(id, room, rng_below(&rng, 121)));
            m.tail = feed_tail(f);
            for (i = 0; i < ARRAY_LEN(readers); i++) {
                want_woken[i] += waits[i];
                waits[i] = false;
            }
            break;
        }
        assert_true(feed_head(f) == m.head);
        assert_true(m.head - m.tail <= 64);
        assert_int_equal(feed_evicted(f), m.tail);
    }
    assert_true(m.tail > 0);
    for (size_t i = 0; i < ARRAY_LEN(readers); i++) {
        assert_int_equal(woken[i], want_woken[i]);
        assert_true(woken[i] > 0);
        feed_reader_deinit(&readers[i]);
    }
    feed_free(f);
    mem_free(m.id);
    mem_free(m.room);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_backfilled_only_grows),
        cmocka_unit_test(test_eviction_by_count),
        cmocka_unit_test(test_eviction_by_bytes),
        cmocka_unit_test(test_covers_from_the_first_event),
        cmocka_unit_test(test_reset_forgets_what_was_warmed),
        cmocka_unit_test(test_quiet_room_is_covered_longer),
        cmocka_unit_test(test_readers),
        cmocka_unit_test(test_wake_that_waits_again),
        cmocka_unit_test(test_many_rooms),
        cmocka_unit_test(test_model),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
