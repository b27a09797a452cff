/* The spool as its users see it: order, restarts, reading, acknowledging, holds, locks. */
#include "server/spool/spool.h"

#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/core/id.h"
#include "server/core/mem.h"
#include "tests/unit/test_spool_rig.h"

static struct rig *of(void **state)
{
    return *state;
}

static void check_read(struct rig *r, int64_t first, int64_t last, size_t max_rows)
{
    int64_t *ids;
    size_t n = rig_read_all(r, first - 1, max_rows, &ids);
    assert_int_equal(n, last - first + 1);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(ids[i], first + (int64_t)i);
    }
    mem_free(ids);
}

static void test_empty(void **state)
{
    struct rig *r = of(state);
    rig_open(r);
    assert_int_equal(r->found.n_segments, 0);
    assert_int_equal(r->found.last_id, 0);
    assert_int_equal(r->found.alive_ms, 0);
    assert_int_equal(spool_state(r->s), SPOOL_OK);
    assert_int_equal(spool_last_id(r->s), 0);
    rig_read(r, 0, 10);
    assert_int_equal(r->n_read, 0);
    assert_int_equal(rig_segments(r->dir, NULL, 0), 0);
}

static void test_append_and_restart(void **state)
{
    struct rig *r = of(state);
    rig_open(r);
    rig_append_many(r, 1000, 100);
    assert_int_equal(r->n_written, 0); /* never before returning */
    rig_until(r, r->n_written == 100);
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(r->written[i].id, 1000 + i);
        assert_true(r->written[i].durable);
    }
    assert_int_equal(spool_last_id(r->s), 1099);
    check_read(r, 1000, 1099, 1000);
    rig_restart(r);
    assert_int_equal(r->found.first_id, 1000);
    assert_int_equal(r->found.last_id, 1099);
    assert_int_equal(r->found.n_events, 100);
    assert_int_equal(r->found.torn_bytes, 0);
    assert_int_equal(r->found.bad_bytes, 0);
    assert_int_equal(r->found.n_segments, 1);
    check_read(r, 1000, 1099, 7);
    rig_append_many(r, 1100, 10);
    rig_until(r, r->n_written == 110);
    assert_int_equal(rig_segments(r->dir, NULL, 0), 2); /* never an old one again */
    check_read(r, 1000, 1109, 1000);
    assert_int_equal(r->n_dropped, 0);
}

static void test_modes_and_lock(void **state)
{
    struct rig *r = of(state);
    struct stat st;
    char path[TMP_PATH_BYTES + 64];
    char names[4][32];
    char pid[32] = "";
    struct spool *second = NULL;
    struct spool_found found;
    struct err err;
    rig_open(r);
    rig_append(r, 5);
    rig_until(r, r->n_written == 1);
    assert_int_equal(stat(r->dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(rig_segments(r->dir, names, 4), 1);
    assert_string_equal(names[0], "0000000000000005.seg");
    (void)snprintf(path, sizeof path, "%s/%s", r->dir, names[0]);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    (void)snprintf(pid, sizeof pid, "process %ld;", (long)getpid());
    assert_int_equal(spool_open(r->loop, &r->opts, NULL, &second, &found, &err), ERR_CONFLICT);
    assert_null(second);
    assert_non_null(strstr(err.msg, pid));
    assert_non_null(strstr(err.msg, r->dir));
    rig_restart(r); /* the lock went with the owner */
}

/* Only the lock file is held, as another file system or an older release might do. */
static void test_lock_file_alone(void **state)
{
    struct rig *r = of(state);
    char path[TMP_PATH_BYTES + 64];
    struct spool *second = NULL;
    struct spool_found found;
    struct err err;
    assert_int_equal(mkdir(r->dir, 0755), 0);
    (void)snprintf(path, sizeof path, "%s/LOCK", r->dir);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fprintf(f, "4711\n") > 0);
    assert_int_equal(fflush(f), 0);
    assert_int_equal(flock(fileno(f), LOCK_EX | LOCK_NB), 0);
    r->opts.dir = r->dir;
    assert_int_equal(spool_open(r->loop, &r->opts, NULL, &second, &found, &err), ERR_CONFLICT);
    assert_non_null(strstr(err.msg, "process 4711;"));
    assert_int_equal(fclose(f), 0);
    rig_open(r);
}

static void test_cannot_be_made(void **state)
{
    struct rig *r = of(state);
    struct spool *s = NULL;
    struct spool_found found;
    struct err err;
    tmp_path(&r->tmp, "no/such/parent", r->dir);
    r->opts.dir = r->dir;
    assert_int_equal(spool_open(r->loop, &r->opts, NULL, &s, &found, &err), ERR_IO);
    assert_non_null(strstr(err.msg, "data_dir"));
}

static void test_foreign_files(void **state)
{
    struct rig *r = of(state);
    static const char *const names[] = {"README", "0000000000000001.seg.bak",
                                        "000000000000000G.seg", "00000000000000001.seg"};
    char path[TMP_PATH_BYTES + 64];
    assert_int_equal(mkdir(r->dir, 0700), 0);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", r->dir, names[i]);
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        assert_true(fputs("keep me", f) >= 0);
        assert_int_equal(fclose(f), 0);
    }
    (void)snprintf(path, sizeof path, "%s/%s", r->dir, "0000000000000003.seg");
    assert_int_equal(mkdir(path, 0700), 0); /* named like one, but a folder */
    rig_open(r);
    assert_int_equal(r->found.n_segments, 0);
    rig_append(r, 1);
    rig_until(r, r->n_written == 1);
    assert_true(r->written[0].durable);
    spool_ack(r->s, 1);
    rig_close(r);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", r->dir, names[i]);
        assert_int_equal(access(path, F_OK), 0);
    }
}

static void test_many_segments(void **state)
{
    struct rig *r = of(state);
    rig_open(r);
    for (int64_t id = 1; id <= 1000; id += 20) {
        rig_append_many(r, id, 20);
        rig_settle(r);
    }
    unsigned n = rig_segments(r->dir, NULL, 0);
    assert_in_range(n, 7, 16);
    check_read(r, 1, 1000, 1);
    check_read(r, 1, 1000, 33);
    check_read(r, 517, 1000, 5000);
    rig_read(r, 1000, 5);
    assert_int_equal(r->n_read, 0);
    rig_read(r, 400, 5); /* back again */
    assert_int_equal(r->read[0]->id, 401);
    rig_restart(r);
    assert_int_equal(r->found.n_events, 1000);
    assert_int_equal(r->found.n_segments, n);
    check_read(r, 1, 1000, 100);
}

/* A reader that follows the writer closely sees everything once, and nothing before it was told. */
static void test_read_while_writing(void **state)
{
    struct rig *r = of(state);
    int64_t next = 1;
    int64_t seen = 0;
    rig_open(r);
    while (seen < 900) {
        if (next <= 900 && next <= seen + 200) { /* a slow disk's queue does not run over */
            rig_append_many(r, next, 15);
            next += 15;
        }
        rig_read(r, seen, 40);
        for (size_t i = 0; i < r->n_read; i++) {
            assert_int_equal(r->read[i]->id, ++seen);
        }
        assert_true(seen <= spool_last_id(r->s));
        spool_ack(r->s, seen / 2);
    }
    assert_int_equal(r->n_dropped, 0);
}

static void test_ack(void **state)
{
    struct rig *r = of(state);
    char names[64][32];
    rig_open(r);
    for (int64_t id = 1; id <= 500; id += 10) {
        rig_append_many(r, id, 10);
        rig_settle(r);
    }
    unsigned n = rig_segments(r->dir, names, 64);
    assert_true(n > 4);
    rig_advance(r, 1000); /* closes what retired */
    rig_settle(r);
    spool_ack(r->s, strtoll(names[2], NULL, 16) - 1); /* the first two, whole */
    rig_until(r, rig_segments(r->dir, NULL, 0) == n - 2);
    spool_ack(r->s, strtoll(names[3], NULL, 16) - 2); /* all but one event of the third */
    rig_advance(r, 1000);
    rig_settle(r);
    assert_int_equal(rig_segments(r->dir, NULL, 0), n - 2);
    size_t before = spool_bytes(r->s);
    spool_ack(r->s, 500);
    rig_until(r, rig_segments(r->dir, NULL, 0) == 1); /* the active one stays */
    assert_true(spool_bytes(r->s) < before);
    assert_true(spool_has(r->s, 3));
    assert_int_equal(spool_last_id(r->s), 500);
    rig_restart(r);
    assert_int_equal(r->found.last_id, 500);
}

static unsigned n_deleted_open(void)
{
    unsigned n = 0;
    for (int fd = 0; fd < 256; fd++) {
        char link[64];
        char target[512] = "";
        (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        if (readlink(link, target, sizeof target - 1) > 0 && strstr(target, "(deleted)") &&
            strstr(target, ".seg")) {
            n++;
        }
    }
    return n;
}

/* The reader's place in a deleted segment does not keep its bytes on the disk. */
static void test_deleted_is_let_go(void **state)
{
    struct rig *r = of(state);
    rig_open(r);
    for (int64_t id = 1; id <= 400; id += 20) {
        rig_append_many(r, id, 20);
        rig_settle(r);
    }
    rig_read(r, 0, 10);
    spool_ack(r->s, 400);
    rig_until(r, rig_segments(r->dir, NULL, 0) == 1);
    rig_until(r, n_deleted_open() == 0);
}

/* An idle service does not keep what is acknowledged, and does not grow by its alive records. */
static void test_idle(void **state)
{
    struct rig *r = of(state);
    char names[2][32];
    r->opts.segment_bytes = 1 << 20; /* made to fit: 256 KiB / 4 */
    r->opts.max_bytes = 4 << 20;
    rig_open(r);
    for (int64_t id = 1; id <= 601; id += 200) {
        rig_append_many(r, id, 200);
        rig_settle(r);
    }
    assert_int_equal(rig_segments(r->dir, names, 2), 1);
    assert_true(spool_bytes(r->s) > 65536);
    rig_advance(r, 1000);
    rig_settle(r);
    assert_int_equal(rig_segments(r->dir, NULL, 0), 1); /* not acknowledged */
    spool_ack(r->s, 800);
    rig_advance(r, 1000);
    rig_until(r, spool_bytes(r->s) < 200);
    for (int i = 0; i < 5000; i++) {
        rig_advance(r, 1000);
    }
    rig_settle(r);
    rig_until(r, spool_bytes(r->s) < 65536 + 20000);
    rig_until(r, rig_segments(r->dir, NULL, 0) <= 2);
    rig_restart(r);
    assert_int_equal(r->found.alive_ms, r->clock.wall);
}

static void test_alive(void **state)
{
    struct rig *r = of(state);
    rig_open(r);
    rig_append(r, id_first_of_ms(r->clock.wall));
    rig_settle(r);
    for (int i = 0; i < 3; i++) {
        rig_advance(r, 1000);
        rig_settle(r);
    }
    int64_t last = r->clock.wall;
    clock_fake_advance(&r->clock, 999);
    rig_crash(r); /* no beat since */
    assert_int_equal(r->found.alive_ms, last);
    rig_append(r, id_first_of_ms(last + 12345)); /* an event is a sign of life too */
    rig_settle(r);
    rig_crash(r);
    assert_int_equal(r->found.alive_ms, last + 12345);
}

/* While nothing is received there is no sign of life but what is still appended. */
static void test_rest(void **state)
{
    struct rig *r = of(state);
    rig_open(r);
    rig_append(r, id_first_of_ms(r->clock.wall));
    rig_advance(r, 1000);
    rig_settle(r);
    int64_t last = r->clock.wall;
    spool_rest(r->s, true);
    for (int i = 0; i < 5; i++) {
        rig_advance(r, 1000);
        rig_settle(r);
    }
    rig_append(r, id_first_of_ms(last)); /* was received then */
    rig_settle(r);
    rig_restart(r);
    assert_int_equal(r->found.alive_ms, last);
    rig_advance(r, 1000);
    rig_settle(r);
    rig_restart(r);
    assert_int_equal(r->found.alive_ms, r->clock.wall);
}

static void hold(struct rig *r, int64_t key, const char *text)
{
    struct event_draft d;
    event_draft_init(&d, EVENT_GUARD, 77);
    d.text = str_of(text);
    spool_hold(r->s, key, &d, 5000 + key);
}

static void test_holds(void **state)
{
    struct rig *r = of(state);
    rig_open(r);
    hold(r, 1, "one");
    hold(r, 2, "two");
    hold(r, 3, "three");
    rig_settle(r);
    spool_hold_end(r->s, 2);
    hold(r, 3, "three again");
    hold(r, 4, "never written");
    spool_hold_end(r->s, 4);
    spool_hold_end(r->s, 99);
    rig_settle(r);
    rig_metric(r, "\ndanmakud_spool_holds 2\n");
    for (int i = 0; i < 2; i++) {
        if (i == 0) {
            rig_crash(r);
        } else {
            rig_restart(r);
        }
        rig_holds(r);
        assert_int_equal(r->n_holds, 2);
        assert_int_equal(r->holds[0].key, 1);
        assert_string_equal(r->holds[0].text, "one");
        assert_int_equal(r->holds[0].until_ms, 5001);
        assert_string_equal(r->holds[1].text, "three again");
    }
    spool_hold_end(r->s, 1);
    spool_hold_end(r->s, 3);
    rig_restart(r);
    rig_holds(r);
    assert_int_equal(r->n_holds, 0);
}

/* An open hold moves on when its segment is acknowledged, also when the process dies at any moment around that. */
static void test_holds_move_on(void **state)
{
    struct rig *r = of(state);
    int64_t next = 1;
    rig_open(r);
    hold(r, 1, "long");
    hold(r, 2, "ended later");
    for (int round = 0; round < 6; round++) {
        for (int i = 0; i < 10; i++) {
            rig_append_many(r, next, 20);
            next += 20;
            rig_settle(r);
        }
        if (round == 3) {
            spool_hold_end(r->s, 2);
        }
        spool_ack(r->s, next - 1);
        for (int turns = 0; turns < round; turns++) {
            rig_turn(r);
        }
        if (round % 2 == 0) {
            rig_crash(r);
        } else {
            rig_settle(r);
            rig_restart(r);
        }
        rig_holds(r);
        assert_true(r->n_holds >= 1 && r->n_holds <= 2);
        assert_int_equal(r->holds[0].key + (r->n_holds == 2 ? r->holds[1].key : 2), 3);
    }
    rig_holds(r);
    assert_int_equal(r->n_holds, 1);
    assert_string_equal(r->holds[0].text, "long");
}

static void test_sync_and_metrics(void **state)
{
    struct rig *r = of(state);
    char names[1][32];
    char line[128];
    struct stat st;
    char path[TMP_PATH_BYTES + 64];
    rig_open(r);
    rig_append_many(r, 1, 10);
    rig_settle(r);
    rig_until(r, rig_stat(r, STAT_SPOOL_SYNCED_BYTES) > 0); /* the first at once */
    int64_t first = rig_stat(r, STAT_SPOOL_SYNCED_BYTES);
    rig_append_many(r, 11, 10);
    rig_settle(r);
    rig_advance(r, 99);
    rig_settle(r);
    assert_int_equal(rig_stat(r, STAT_SPOOL_SYNCED_BYTES), first);
    assert_int_equal(rig_segments(r->dir, names, 1), 1);
    (void)snprintf(line, sizeof line, "danmakud_spool_synced_bytes{segment=\"%s\"} %lld\n",
                   names[0], (long long)first);
    rig_metric(r, line);
    rig_advance(r, 1);
    rig_until(r, rig_stat(r, STAT_SPOOL_SYNCED_BYTES) > first);
    (void)snprintf(path, sizeof path, "%s/%s", r->dir, names[0]);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(rig_stat(r, STAT_SPOOL_SYNCED_BYTES), st.st_size);
    assert_int_equal(rig_stat(r, STAT_SPOOL_WRITTEN_BYTES), st.st_size);
    assert_int_equal(rig_stat(r, STAT_SPOOL_RECORDS), 20);
    rig_metric(r, "\ndanmakud_spool_state 0\n");
    rig_metric(r, "\ndanmakud_spool_segments 1\n");
    rig_metric(r, "danmakud_spool_sync_seconds_count 2\n");
}

/* More than the queue holds while a write is under way: those are told as not durable, in their place. */
static void test_queue_full(void **state)
{
    struct rig *r = of(state);
    size_t loose = 0;
    size_t durable = 0;
    r->opts.queue_bytes = 32 << 10;
    rig_open(r);
    rig_append_many(r, 1, 400);
    rig_until(r, r->n_written == 400);
    rig_append(r, 401);
    rig_until(r, r->n_written == 401);
    assert_true(r->written[400].durable);
    for (size_t i = 0; i < 401; i++) {
        assert_int_equal(r->written[i].id, 1 + i);
        assert_int_equal(spool_has(r->s, r->written[i].id), r->written[i].durable);
        durable += r->written[i].durable;
        loose += !r->written[i].durable;
    }
    assert_true(durable > 100 && loose > 100);
    assert_int_equal(rig_stat(r, STAT_SPOOL_LOOSE_ROOM), loose);
    assert_int_equal(spool_state(r->s), SPOOL_OK);
    rig_restart(r);
    assert_int_equal(r->found.n_events, durable);
}

static void append_one_more(struct rig *r)
{
    if (r->n_written < 50) {
        rig_append(r, r->written[r->n_written - 1].id + 1);
    }
}

static void test_append_from_callback(void **state)
{
    struct rig *r = of(state);
    rig_open(r);
    r->hook = append_one_more;
    rig_append(r, 1);
    rig_until(r, r->n_written == 50);
    r->hook = NULL;
    check_read(r, 1, 50, 50);
}

static void note_close(void *ctx)
{
    struct rig *r = ctx;
    r->closed = true;
    r->s = NULL;
}

static void note_any_read(void *ctx, struct event **events, size_t n)
{
    struct rig *r = ctx;
    for (size_t i = 0; i < n; i++) {
        event_unref(&events[i]);
    }
    r->reading = false;
}

/* Whatever is under way when the end comes, all that was appended is told and on disk, and every read ends. */
static void test_close_at_every_turn(void **state)
{
    struct rig *r = of(state);
    int64_t next = 1;
    for (int turns = 0; turns < 25; turns++) {
        rig_open(r);
        assert_int_equal(r->found.last_id, next - 1);
        hold(r, turns, "h");
        for (int k = 0; k < 4; k++) {
            rig_append_many(r, next, 30);
            next += 30;
            rig_turn(r);
        }
        r->reading = true;
        spool_read(r->s, 0, 50, 1 << 20, note_any_read, r);
        spool_ack(r->s, next - 60);
        for (int i = 0; i < turns; i++) {
            rig_turn(r);
        }
        rig_append_many(r, next, 3);
        next += 3;
        r->closed = false;
        spool_close(r->s, note_close, r);
        assert_false(r->closed);
        rig_until(r, r->closed);
        assert_false(r->reading);
        assert_int_equal(r->n_written, next - 1);
        assert_true(r->written[next - 2].durable);
    }
    rig_open(r);
    rig_holds(r);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        RIG_TEST(test_empty),
        RIG_TEST(test_append_and_restart),
        RIG_TEST(test_modes_and_lock),
        RIG_TEST(test_lock_file_alone),
        RIG_TEST(test_cannot_be_made),
        RIG_TEST(test_foreign_files),
        RIG_TEST(test_many_segments),
        RIG_TEST(test_read_while_writing),
        RIG_TEST(test_ack),
        RIG_TEST(test_deleted_is_let_go),
        RIG_TEST(test_idle),
        RIG_TEST(test_alive),
        RIG_TEST(test_rest),
        RIG_TEST(test_holds),
        RIG_TEST(test_holds_move_on),
        RIG_TEST(test_sync_and_metrics),
        RIG_TEST(test_queue_full),
        RIG_TEST(test_append_from_callback),
        RIG_TEST(test_close_at_every_turn),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
