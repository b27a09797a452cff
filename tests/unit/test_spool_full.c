/* The spool at its limit: what is dropped is reported, by room, exactly, and a crash does not lose the report. */
#include "server/spool/spool.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/core/id.h"
#include "server/core/mem.h"
#include "tests/unit/test_spool_rig.h"

static struct rig *of(void **state)
{
    return *state;
}

static void fill(struct rig *r, int64_t first, int64_t last)
{
    for (int64_t id = first; id <= last; id += 20) {
        rig_append_many(r, id, (size_t)(last - id < 19 ? last - id + 1 : 20));
        rig_settle(r);
        rig_until(r, spool_bytes(r->s) <= 288 << 10); /* deleting keeps up */
    }
}

static int64_t room_of(int64_t id)
{
    struct event_draft d;
    rig_draft(&d, id);
    return d.room_id;
}

/* Is the event in one of the reported intervals of its room? */
static bool reported(const struct rig *r, int64_t id)
{
    int64_t room = room_of(id);
    for (size_t i = 0; i < r->n_dropped; i++) {
        const struct spool_dropped *d = &r->dropped[i];
        if ((d->room_id == room || d->room_id == 0) && d->first_id <= id && id <= d->last_id) {
            return true;
        }
    }
    return false;
}

static bool contains(const int64_t *ids, size_t n, int64_t id)
{
    size_t low = 0;
    size_t high = n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (ids[mid] < id) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < n && ids[low] == id;
}

/* Each event is either readable or reported; exact: never both. */
static void check_complete(struct rig *r, int64_t first, int64_t last, bool exact)
{
    int64_t *ids;
    size_t n = rig_read_all(r, first - 1, 100, &ids);
    for (int64_t id = first; id <= last; id++) {
        bool there = contains(ids, n, id);
        if (!there && !reported(r, id)) {
            fail_msg("event %lld is lost in silence", (long long)id);
        }
        if (exact) {
            assert_true(there != reported(r, id));
            assert_int_equal(spool_has(r->s, id), there);
        }
    }
    mem_free(ids);
}

static void test_oldest(void **state)
{
    struct rig *r = of(state);
    rig_open(r);
    fill(r, 1, 4000);
    assert_int_equal(r->n_written, 4000); /* every one is published */
    assert_true(r->written[3999].durable);
    assert_int_equal(spool_state(r->s), SPOOL_FULL);
    assert_in_range(spool_bytes(r->s), 200 << 10, (320 << 10) + (16 << 10));
    rig_until(r, spool_bytes(r->s) <= (256 << 10) + 4096); /* the rest has been deleted */
    assert_true(r->n_dropped > 0);
    rig_settle(r);
    check_complete(r, 1, 4000, true);
    assert_int_equal(rig_stat(r, STAT_SPOOL_DROPPED_OLDEST), rig_lost(r));
    assert_int_equal(rig_stat(r, STAT_SPOOL_DROPPED_NEWEST), 0);
    rig_read(r, 0, 1);
    int64_t oldest = r->read[0]->id;
    assert_int_equal(rig_lost(r), oldest - 1);
    spool_ack(r->s, 4000);
    assert_int_equal(spool_state(r->s), SPOOL_OK);
    fill(r, 4001, 4100);
    assert_int_equal(rig_lost(r), oldest - 1);
}

/* The event that makes the oldest segment go has its place at once, also when segments are as large as they may be: else
 * it would be published without being on disk, and a kill would lose it without a word. */
static void test_oldest_makes_room_at_once(void **state)
{
    struct rig *r = of(state);
    r->opts.segment_bytes = r->opts.max_bytes;
    rig_open(r);
    for (int64_t id = 1; id <= 4000; id += 20) {
        rig_append_many(r, id, 20);
        rig_settle(r);
    }
    assert_true(rig_stat(r, STAT_SPOOL_DROPPED_OLDEST) > 0);
    for (size_t i = 0; i < r->n_written; i++) {
        assert_true(r->written[i].durable);
    }
    assert_int_equal(rig_stat(r, STAT_SPOOL_LOOSE_ROOM), 0);
}

/* What the database has is not reported, even when its segment is dropped for room. */
static void test_oldest_partly_acknowledged(void **state)
{
    struct rig *r = of(state);
    rig_open(r);
    fill(r, 1, 30);
    spool_ack(r->s, 25);
    fill(r, 31, 3000);
    rig_until(r, rig_lost(r) > 0);
    rig_settle(r);
    for (size_t i = 0; i < r->n_dropped; i++) {
        assert_true(r->dropped[i].first_id > 25);
    }
    check_complete(r, 26, 3000, true);
}

/* What the database has is not lost while the acknowledgement waits for reports, however often the spool runs over. */
static void test_oldest_stored(void **state)
{
    struct rig *r = of(state);
    rig_open(r);
    for (int64_t id = 1; id <= 4000; id += 20) {
        fill(r, id, id + 19);
        spool_stored(r->s, id + 19);
    }
    rig_until(r, spool_bytes(r->s) <= (256 << 10) + 4096);
    rig_settle(r);
    assert_int_equal(rig_lost(r), 0);
    assert_int_equal(spool_state(r->s), SPOOL_OK);
    assert_int_equal(rig_stat(r, STAT_SPOOL_DROPPED_OLDEST), 0);
    fill(r, 4001, 8000);
    rig_until(r, rig_lost(r) > 0);
    rig_settle(r);
    for (size_t i = 0; i < r->n_dropped; i++) {
        assert_true(r->dropped[i].first_id > 4000);
    }
    check_complete(r, 4001, 8000, true);
}

/* The reports stay until what follows them is acknowledged, over crashes and further drops. */
static void test_oldest_reports_survive(void **state)
{
    struct rig *r = of(state);
    rig_open(r);
    fill(r, 1, 3000);
    rig_until(r, rig_lost(r) > 0);
    rig_settle(r);
    r->n_dropped = 0;
    rig_crash(r);
    rig_until(r, r->n_dropped > 0);
    assert_int_equal(r->n_dropped_calls > 0, 1);
    fill(r, 3001, 9000); /* the segments with the first reports are dropped as well */
    rig_settle(r);
    r->n_dropped = 0;
    rig_crash(r);
    rig_until(r, r->n_dropped > 0);
    check_complete(r, 1, 9000, false);
    assert_true(r->n_dropped < 7 * 60); /* joined by room, not piled up */
    spool_ack(r->s, 9000);
    fill(r, 9001, 9400);
    spool_ack(r->s, 9400);
    rig_advance(r, 1000);
    rig_settle(r);
    rig_advance(r, 1000);
    rig_until(r, rig_segments(r->dir, NULL, 0) <= 2);
    r->n_dropped = 0;
    rig_restart(r);
    rig_settle(r);
    assert_int_equal(r->n_dropped, 0); /* all of that is history */
}

static void test_oldest_keeps_holds(void **state)
{
    struct rig *r = of(state);
    struct event_draft d;
    rig_open(r);
    event_draft_init(&d, EVENT_GUARD, 7);
    spool_hold(r->s, 11, &d, 1);
    fill(r, 1, 4000);
    rig_crash(r);
    rig_holds(r);
    assert_int_equal(r->n_holds, 1);
    assert_int_equal(r->holds[0].key, 11);
}

static void test_newest(void **state)
{
    struct rig *r = of(state);
    r->opts.overflow = SPOOL_DROP_NEWEST;
    rig_open(r);
    fill(r, 1, 4000);
    assert_int_equal(spool_state(r->s), SPOOL_FULL);
    assert_true(spool_bytes(r->s) <= (256 << 10) + 4096);
    size_t kept = r->n_written;
    assert_true(kept > 1000 && kept < 3000);
    assert_int_equal(r->written[kept - 1].id,
                     kept);                  /* no small one after a large one that did not fit */
    assert_int_equal(r->n_dropped_calls, 0); /* collected first */
    rig_advance(r, 100);
    assert_int_equal(r->n_dropped_calls, 1);
    assert_int_equal(rig_lost(r), 4000 - kept);
    assert_int_equal(rig_stat(r, STAT_SPOOL_DROPPED_NEWEST), 4000 - kept);
    check_complete(r, 1, 4000, true);
    fill(r, 4001, 4010);
    spool_ack(r->s, 10); /* not enough for a whole segment */
    assert_int_equal(spool_state(r->s), SPOOL_FULL);
    rig_advance(r, 100);
    assert_int_equal(rig_lost(r), 4010 - kept);
    spool_ack(r->s, 300);
    assert_int_equal(spool_state(r->s), SPOOL_OK);
    fill(r, 4011, 4100);
    assert_int_equal(r->n_written, kept + 90);
    check_complete(r, 301, 4100, true);
    r->n_dropped = 0;
    rig_crash(r); /* the report of the whole time stands in the spool */
    rig_until(r, r->n_dropped > 0);
    check_complete(r, 301, 4100, false);
    assert_int_equal(rig_lost(r), 4010 - kept);
    for (size_t i = 0; i < r->n_dropped; i++) {
        assert_true(r->dropped[i].room_id != 0); /* that time is over and known by room */
    }
}

/* What is refused is one stretch: a small event does not slip in behind a large one. */
static void test_newest_small_behind_large(void **state)
{
    static char text[3000];
    struct rig *r = of(state);
    struct event_draft d;
    int64_t id = 1;
    r->opts.overflow = SPOOL_DROP_NEWEST;
    rig_open(r);
    while (spool_bytes(r->s) < (256 << 10) - 3000) {
        rig_append(r, id++);
        rig_settle(r);
    }
    size_t kept = r->n_written;
    memset(text, 'x', sizeof text);
    event_draft_init(&d, EVENT_DANMAKU, 5);
    d.text = (struct str){text, sizeof text};
    spool_append(r->s, event_new(id++, &d));
    rig_append_many(r, id, 3);
    rig_settle(r);
    assert_int_equal(r->n_written, kept);
    rig_advance(r, 100);
    assert_int_equal(rig_lost(r), 4);
}

/* The process dies while it refuses: whose events they were is not known, but when. */
static void test_newest_crash(void **state)
{
    struct rig *r = of(state);
    r->opts.overflow = SPOOL_DROP_NEWEST;
    rig_open(r);
    int64_t first = id_first_of_ms(r->clock.wall);
    for (int64_t i = 0; i < 3000; i++) {
        rig_append(r, first + i * 16);
        if (i % 20 == 0) {
            rig_settle(r);
        }
    }
    rig_settle(r);
    int64_t last_kept = r->written[r->n_written - 1].id;
    rig_advance(r, 1000);
    rig_settle(r);
    int64_t died_ms = r->clock.wall;
    for (int round = 0; round < 3; round++) {
        r->n_dropped = 0;
        rig_crash(r);
        rig_until(r, r->n_dropped > 0);
        assert_int_equal(r->n_dropped, 1);
        assert_int_equal(r->dropped[0].room_id, 0);
        assert_int_equal(r->dropped[0].n, 0);
        assert_int_equal(r->dropped[0].first_id, last_kept + 16);
        assert_true(r->dropped[0].last_id >= first + INT64_C(2999) * 16);
        assert_int_equal(id_ts_ms(r->dropped[0].last_id), died_ms);
        rig_advance(r, 1000); /* the next process lives, too, but does not make it longer */
        rig_settle(r);
    }
}

static void test_newest_close(void **state)
{
    struct rig *r = of(state);
    r->opts.overflow = SPOOL_DROP_NEWEST;
    rig_open(r);
    fill(r, 1, 3000);
    rig_close(r);
    assert_int_equal(r->n_written + rig_lost(r), 3000);
    r->n_dropped = 0;
    rig_open(r);
    rig_until(r, r->n_dropped > 0);
    check_complete(r, 1, 3000, false);
    fill(r, 3001, 3040); /* still no room, and it knows */
    assert_int_equal(spool_state(r->s), SPOOL_FULL);
}

/* Small things are always allowed, and do not make a full spool grow without bound. */
static void test_newest_holds(void **state)
{
    struct rig *r = of(state);
    struct event_draft d;
    r->opts.overflow = SPOOL_DROP_NEWEST;
    rig_open(r);
    fill(r, 1, 3000);
    event_draft_init(&d, EVENT_GUARD, 7);
    spool_hold(r->s, 5, &d, 1);
    rig_settle(r);
    rig_crash(r);
    rig_holds(r);
    assert_int_equal(r->n_holds, 1);
}

/* A segment that cannot be read any more is reported without rooms. */
static void test_oldest_unreadable(void **state)
{
    struct rig *r = of(state);
    char names[64][32];
    char path[TMP_PATH_BYTES + 64];
    rig_open(r);
    fill(r, 1, 400);
    rig_advance(r, 1000);
    rig_settle(r);
    assert_true(rig_segments(r->dir, names, 64) > 2);
    (void)snprintf(path, sizeof path, "%s/%s", r->dir, names[0]);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "????????", 8, 5000), 8);
    close(fd);
    fill(r, 401, 3000);
    rig_until(r, rig_lost(r) > 0);
    rig_settle(r);
    check_complete(r, 1, 3000, false);
    int64_t *ids;
    size_t n = rig_read_all(r, 0, 100, &ids);
    assert_int_equal(rig_lost(r), 3000 - n);
    mem_free(ids);
    bool without_room = false;
    for (size_t i = 0; i < r->n_dropped; i++) {
        without_room = without_room || r->dropped[i].room_id == 0;
    }
    assert_true(without_room);
}

static void note_read(void *ctx, struct event **events, size_t n)
{
    struct rig *r = ctx;
    for (size_t i = 0; i < n; i++) {
        assert_false(reported(r, events[i]->id));
        event_unref(&events[i]);
    }
    r->reading = false;
}

/* A slow reader meets the end of the spool: what it gets was not dropped. */
static void test_reader_is_overtaken(void **state)
{
    struct rig *r = of(state);
    int64_t after = 0;
    rig_open(r);
    for (int64_t id = 1; id < 8000; id += 100) {
        if (!r->reading) {
            r->reading = true;
            spool_read(r->s, after, 10, 1 << 20, note_read, r);
            after += 10;
        }
        rig_append_many(r, id, 100);
        rig_turn(r);
    }
    rig_until(r, !r->reading);
    rig_settle(r);
    int64_t *ids;
    size_t n = rig_read_all(r, 0, 100, &ids);
    for (size_t i = 0; i < r->n_written; i++) { /* so fast that not all were taken into the queue */
        int64_t id = r->written[i].id;
        assert_true(!r->written[i].durable || contains(ids, n, id) || reported(r, id));
    }
    mem_free(ids);
}

static void note_ids(void *ctx, struct event **events, size_t n)
{
    struct rig *r = ctx;
    r->n_holds = 0; /* (a place to count) */
    for (size_t i = 0; i < n; i++) {
        assert_true(events[i]->id > r->found.last_id);
        event_unref(&events[i]);
    }
    r->n_holds = n;
    r->reading = false;
}

/* What was read in the thread pool, but dropped before the loop hears of it, is dropped. */
static void test_read_meets_drop(void **state)
{
    struct rig *r = of(state);
    char names[64][32];
    int64_t id = 1;
    rig_open(r);
    while (spool_bytes(r->s) < 246 << 10) {
        fill(r, id, id + 19);
        id += 20;
    }
    assert_true(rig_segments(r->dir, names, 64) > 2);
    int64_t second = strtoll(names[1], NULL, 16);
    r->reading = true;
    spool_read(r->s, 0, 10000, 1 << 20, note_ids, r);
    struct pollfd p = {.fd = uv_backend_fd(loop_uv(r->loop)), .events = POLLIN};
    assert_int_equal(poll(&p, 1, 10000), 1); /* it is done, and waits to be told */
    rig_append_many(r, id, 90);              /* the first segment must go */
    assert_false(spool_has(r->s, 1));
    r->found.last_id = second - 1;
    rig_until(r, !r->reading);
    assert_true(r->n_holds > 100);
    rig_until(r, r->n_dropped > 0);
    r->reading = true;
    spool_read(r->s, 0, 10000, 1 << 20, note_ids,
               r); /* nor from the file, while it is still there */
    rig_until(r, !r->reading);
}

/* ---- what a writer passes over is told before it can be acknowledged ---- */

static void note_last(void *ctx, struct event **events, size_t n)
{
    struct rig *r = ctx;
    r->found.last_id = n > 0 ? events[n - 1]->id : 0;
    for (size_t i = 0; i < n; i++) {
        assert_false(reported(r, events[i]->id));
        event_unref(&events[i]);
    }
    r->reading = false;
}

/* Appends until the spool is about to run over; the next 200 events make two segments go. Returns the next id. */
static int64_t fill_up(struct rig *r, char names[][32])
{
    int64_t id = 1;
    while (spool_bytes(r->s) < 246 << 10) {
        fill(r, id, id + 19);
        id += 20;
    }
    assert_true(rig_segments(r->dir, names, 64) > 3);
    return id;
}

/* As a writer does that is at the beginning: asks for what is next, stores it, and acknowledges it. */
static void take_next(struct rig *r)
{
    r->reading = true;
    spool_read(r->s, 0, 10000, 1 << 20, note_last, r);
}

static void acknowledge(struct rig *r)
{
    spool_stored(r->s, r->found.last_id);
    spool_ack(r->s, r->found.last_id);
}

static void in_dir(struct rig *r, const char *name, char path[static TMP_PATH_BYTES + 64])
{
    snprintf(path, TMP_PATH_BYTES + 64, "%s/%s", r->dir, name);
}

/* Reading what a dropped segment had takes long; meanwhile the writer goes on behind it. */
static void test_passed_over_while_it_is_counted(void **state)
{
    struct rig *r = of(state);
    char names[64][32];
    char path[TMP_PATH_BYTES + 64];
    rig_open(r);
    int64_t id = fill_up(r, names);
    int64_t second = strtoll(names[1], NULL, 16);
    in_dir(r, names[0], path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0); /* who opens it waits for us */
    rig_append_many(r, id, 90);
    assert_false(spool_has(r->s, 1));
    assert_true(spool_dropping(r->s, 1));
    take_next(r);
    for (int i = 0; i < 300 && r->reading; i++) {
        rig_turn(r);
    }
    assert_int_equal(r->n_dropped, 0);
    assert_true(
        r->reading); /* not before it is told: what is committed behind it would hide it from the next start */
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    rig_until(r, !r->reading);
    assert_true(r->found.last_id >= second);
    acknowledge(r);
    for (id = 1; id < second; id++) {
        assert_true(reported(r, id));
    }
    assert_int_equal(rig_lost(r), second - 1);
}

/* The same when the segments cannot be deleted: nobody waits for that, but nothing is acknowledged beyond it. */
static void test_passed_over_while_deleting_fails(void **state)
{
    struct rig *r = of(state);
    char names[64][32];
    char path[TMP_PATH_BYTES + 64];
    rig_quiet();
    rig_open(r);
    int64_t id = fill_up(r, names);
    int64_t third = strtoll(names[2], NULL, 16);
    in_dir(r, names[0], path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    rig_append_many(r, id, 200);
    rig_until(r, rig_stat(r, STAT_SPOOL_ERRORS_REMOVE) > 0);
    assert_true(spool_dropping(r->s, third - 1)); /* the second one waits behind it */
    take_next(r);
    rig_until(r, !r->reading);
    assert_true(r->found.last_id >= third);
    acknowledge(r);
    assert_int_equal(rmdir(path), 0);
    for (int i = 0; i < 100 && !reported(r, third - 1); i++) {
        rig_advance(r, 1000);
    }
    for (id = 1; id < third; id++) {
        assert_true(reported(r, id));
    }
    acknowledge(r);
    rig_until(r, spool_state(r->s) == SPOOL_OK);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        RIG_TEST(test_oldest),
        RIG_TEST(test_oldest_makes_room_at_once),
        RIG_TEST(test_oldest_partly_acknowledged),
        RIG_TEST(test_oldest_stored),
        RIG_TEST(test_oldest_reports_survive),
        RIG_TEST(test_oldest_keeps_holds),
        RIG_TEST(test_oldest_unreadable),
        RIG_TEST(test_newest),
        RIG_TEST(test_newest_small_behind_large),
        RIG_TEST(test_newest_crash),
        RIG_TEST(test_newest_close),
        RIG_TEST(test_newest_holds),
        RIG_TEST(test_reader_is_overtaken),
        RIG_TEST(test_read_meets_drop),
        RIG_TEST(test_passed_over_while_it_is_counted),
        RIG_TEST(test_passed_over_while_deleting_fails),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
