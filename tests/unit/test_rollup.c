/* What is derived from stored events: minutes, partitions. Against a real server, on a fake clock. */
#include "collector/writer/writer.h"

#include <stdio.h>

#include "server/core/mem.h"
#include "tests/support/loop_until.h"
#include "tests/support/patience.h"
#include "tests/support/run.h"
#include "tests/support/writer_rig.h"

enum { MINUTE_MS = 60000, DAY_MS = 24 * 60 * MINUTE_MS };

static struct pg_server *server;

static int setup(void **state)
{
    struct writer_rig *r = mem_new(struct writer_rig);
    writer_rig_init(r, server, true);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    writer_rig_deinit(*state);
    mem_free(*state);
    return 0;
}

static const char days[] = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'event'::regclass "
                           "AND inhrelid <> 'event_default'::regclass";
static const char dirty_below[] = "SELECT count(*) FROM minute_dirty WHERE minute < (SELECT minute "
                                  "FROM rollup_mark)";

static int64_t minute_now(const struct writer_rig *r)
{
    return r->clock.wall / MINUTE_MS;
}

static int64_t rolled_to(struct writer_rig *r)
{
    return writer_rig_i64(r, "SELECT coalesce(max(minute), 0) FROM rollup_mark");
}

/* Looks into the database only now and then: each look is a connection. */
static void until_rolled(struct writer_rig *r, int64_t minute)
{
    struct patience p = {0};
    while (rolled_to(r) < minute) {
        if (!patience_left(&p, 200)) {
            fail_msg("minute %lld is never rolled up, only those before %lld", (long long)minute,
                     (long long)rolled_to(r));
        }
        for (int t = 0; t < 20; t++) {
            writer_rig_turn(r);
        }
    }
}

/* No roll-up is in the middle of its transaction: we may lock its mark without waiting for ourselves. */
static void quiesce(struct writer_rig *r)
{
    while (writer_rig_i64(r, "SELECT count(*) FROM pg_stat_activity WHERE application_name = "
                             "'danmakud upkeep' AND state <> 'idle'") > 0) {
        writer_rig_turn(r);
    }
}

/* The upkeep looks every two seconds: time passes in steps that it can follow. */
static void pass(struct writer_rig *r, int64_t ms)
{
    for (int64_t done = 0; done < ms; done += 2000) {
        clock_fake_advance(&r->clock, 2000);
        writer_poke(r->w, 0);
        writer_rig_turn(r);
        loop_run_turns(r->loop, 3);
    }
}

/* Time passes until the statement, a count, gives n. */
static void pass_until(struct writer_rig *r, const char *sql, int64_t n)
{
    struct patience p = {0};
    while (writer_rig_i64(r, sql) != n) {
        if (!patience_left(&p, 100)) {
            fail_msg("%s: %lld, never %lld", sql, (long long)writer_rig_i64(r, sql), (long long)n);
        }
        pass(r, 2000);
    }
}

/* Every minute below the mark equals a recount, written another way than the roll-up is. */
static void equals_a_recount(struct writer_rig *r)
{
    static const char recount[] =
        "WITH e AS (SELECT *, ((id / 4194304 + 1577836800000) / 60000)::int4 AS minute FROM "
        "event), "
        "want AS (SELECT room_id, minute, sum((kind = 1)::int) AS d, sum((kind = 3)::int) AS g, "
        "sum((kind = 6)::int) AS s, sum((kind NOT IN (1,2,3,5,6,8))::int) AS o, "
        "(SELECT count(*) FROM (SELECT DISTINCT actor FROM e AS x WHERE x.room_id = e.room_id AND "
        "x.minute = e.minute AND kind = 1) AS y) AS c, "
        "coalesce(sum(CASE kind WHEN 3 THEN value_mcny END), 0) AS vg, "
        "coalesce(sum(CASE kind WHEN 6 THEN value_mcny END), 0) AS vs "
        "FROM e WHERE minute < (SELECT minute FROM rollup_mark) GROUP BY room_id, minute), "
        "have AS (SELECT room_id, minute, n_danmaku AS d, n_gift AS g, n_superchat AS s, "
        "n_other AS o, chatters AS c, v_gift AS vg, v_superchat AS vs FROM room_minute "
        "WHERE minute < (SELECT minute FROM rollup_mark)) "
        "SELECT (SELECT count(*) FROM (SELECT * FROM want EXCEPT SELECT * FROM have) AS a) + "
        "(SELECT count(*) FROM (SELECT * FROM have EXCEPT SELECT * FROM want) AS b)";
    assert_int_equal(writer_rig_i64(r, recount), 0);
}

static void closed_minutes_are_rolled_up(void **state)
{
    struct writer_rig *r = *state;
    writer_rig_open(r, NULL);
    const int64_t first = minute_now(r);
    for (int m = 0; m < 4; m++) {
        writer_rig_add(r, 150);
        pass(r, MINUTE_MS / 2);
        writer_rig_add(r, 150);
        pass(r, MINUTE_MS / 2);
    }
    writer_rig_add(r, 40);
    assert_true(writer_rig_until_written(r));
    until_rolled(r, first + 3);
    assert_true(rolled_to(r) <= minute_now(r)); /* never the open minute */
    assert_true(writer_rig_i64(r, "SELECT count(*) FROM room_minute") > 40);
    equals_a_recount(r);
    writer_rig_check(r, 0);
}

/* What is changed in counted minutes behind the writer's back is counted again, what is not counted yet waits. */
static void dirty_minutes_are_counted_again(void **state)
{
    struct writer_rig *r = *state;
    writer_rig_open(r, NULL);
    const int64_t first = minute_now(r);
    for (int m = 0; m < 3; m++) {
        writer_rig_add(r, 150);
        pass(r, MINUTE_MS);
    }
    writer_rig_add(r, 1);
    assert_true(writer_rig_until_written(r));
    until_rolled(r, first + 3);
    quiesce(r);
    struct pg_client *c = pg_client_open(r->conninfo);
    pg_client_sql(
        c, "BEGIN; "
           "UPDATE event SET kind = 3, value_mcny = 5 WHERE kind = 1 AND (id >> 22) % 3 = 0; "
           "INSERT INTO minute_dirty SELECT DISTINCT room_id, "
           "((id / 4194304 + 1577836800000) / 60000)::int4 FROM event; "
           "INSERT INTO minute_dirty SELECT 77, minute + 1 FROM rollup_mark; COMMIT");
    pg_client_close(c);
    pass_until(r, dirty_below, 0);
    equals_a_recount(r);
    assert_int_equal(writer_rig_i64(r, "SELECT count(*) FROM minute_dirty WHERE room_id = 77"), 1);
}

/* A minute is dirty already when something more is added to it: counted before that is committed, it would stay wrong. */
static void dirty_minutes_wait_for_who_adds_to_them(void **state)
{
    static const char dirty[] = "INSERT INTO minute_dirty SELECT DISTINCT room_id, "
                                "((id / 4194304 + 1577836800000) / 60000)::int4 FROM event "
                                "ON CONFLICT DO NOTHING";
    struct writer_rig *r = *state;
    writer_rig_open(r, NULL);
    const int64_t first = minute_now(r);
    writer_rig_add(r, 150);
    pass(r, MINUTE_MS);
    writer_rig_add(r, 1);
    assert_true(writer_rig_until_written(r));
    until_rolled(r, first + 1);
    quiesce(r);
    struct pg_client *c = pg_client_open(r->conninfo);
    pg_client_sql(c, dirty);
    pg_client_sql(c, "BEGIN; UPDATE event SET kind = 3, value_mcny = 5 WHERE kind = 1");
    pg_client_sql(c, dirty);
    pass(r, 30000);
    for (int t = 0; t < 50; t++) {
        writer_rig_turn(r);
    }
    pg_client_sql(c, "COMMIT");
    pg_client_close(c);
    pass_until(r, dirty_below, 0);
    equals_a_recount(r);
}

/* A minute is over by the clock, and its events are not committed yet. */
static void waits_for_the_writer(void **state)
{
    struct writer_rig *r = *state;
    writer_rig_open(r, NULL);
    writer_rig_add(r, 10);
    assert_true(writer_rig_until_written(r));
    const int64_t first = minute_now(r);
    struct pg_client *c = pg_client_open(r->conninfo);
    pg_client_sql(c, "BEGIN; SELECT * FROM writer_mark FOR UPDATE");
    writer_rig_add(r, 200);
    pass(r, 5 * MINUTE_MS);
    assert_true(rolled_to(r) <= first);
    pg_client_sql(c, "COMMIT");
    pg_client_close(c);
    assert_true(writer_rig_until_written(r));
    pass(r, MINUTE_MS);
    until_rolled(r, first + 2);
    equals_a_recount(r);
}

/* Events that have an id and are published late (their way through the disk was slow) fall into minutes that are
 * rolled up already: these are counted again. */
static void late_events_are_counted(void **state)
{
    struct writer_rig *r = *state;
    writer_rig_open(r, NULL);
    writer_rig_add(r, 100);
    assert_true(writer_rig_until_written(r));
    const int64_t first = minute_now(r);
    writer_rig_add(r, 60);
    r->hidden = 60;
    pass(r, 3 * MINUTE_MS);
    until_rolled(r, first + 2);
    equals_a_recount(r);
    r->hidden = 0;
    writer_poke(r->w, 0);
    assert_true(writer_rig_until_written(r));
    pass(r, MINUTE_MS);
    until_rolled(r, first + 3);
    equals_a_recount(r);
    writer_rig_check(r, 0);
}

/* The same while a roll-up runs: the recount must not miss what it could not see. */
static void late_events_during_a_rollup(void **state)
{
    struct writer_rig *r = *state;
    writer_rig_open(r, NULL);
    writer_rig_add(r, 100);
    assert_true(writer_rig_until_written(r));
    const int64_t first = minute_now(r);
    struct pg_client *c = pg_client_open(r->conninfo);
    for (int i = 0; i < 6; i++) {
        writer_rig_add(r, 50);
        r->hidden = 50;
        /* The roll-up hangs on its mark with a snapshot that is older than the batch. */
        quiesce(r);
        pg_client_sql(c, "BEGIN; SELECT * FROM rollup_mark FOR UPDATE");
        pass(r, 2 * MINUTE_MS);
        r->hidden = 0;
        writer_poke(r->w, 0);
        for (int t = 0; t < 30; t++) {
            writer_rig_turn(r);
        }
        pg_client_sql(c, "COMMIT");
        assert_true(writer_rig_until_written(r));
        pass(r, MINUTE_MS);
    }
    pg_client_close(c);
    until_rolled(r, first + 16);
    equals_a_recount(r);
    writer_rig_check(r, 0);
}

/* A late event's batch is under way, its minute not rolled up yet: the roll-up must not overtake it. */
static void the_rollup_does_not_overtake_a_batch(void **state)
{
    struct writer_rig *r = *state;
    r->clock.wall += MINUTE_MS - r->clock.wall % MINUTE_MS + 50000; /* ten seconds are left */
    writer_rig_open(r, NULL);
    writer_rig_add(r, 100);
    assert_true(writer_rig_until_written(r));
    for (int i = 0; i < 3; i++) {
        const int64_t minute = minute_now(r);
        writer_rig_add(r, 20);
        r->hidden = 20;
        clock_fake_advance(&r->clock, 10500); /* just over: too early for the roll-up */
        writer_poke(r->w, 0);
        for (int t = 0; t < 10; t++) {
            writer_rig_turn(r);
        }
        writer_rig_nap_commits(r, "1");
        r->hidden = 0;
        writer_poke(r->w, 0);
        writer_rig_add_until_waits(r, "PgSleep");
        pass(r, 6000);
        writer_rig_nap_commits(r, NULL);
        assert_true(writer_rig_until_written(r));
        pass(r, 6000);
        until_rolled(r, minute + 1);
        equals_a_recount(r);
        clock_fake_advance(&r->clock, MINUTE_MS + 50000 - r->clock.wall % MINUTE_MS);
        pass(r, 2000);
    }
    writer_rig_check(r, 0);
}

/* Another process, or the operator, sets the mark: back is counted again, ahead is accepted, never a stall. */
static void the_mark_is_what_the_database_says(void **state)
{
    struct writer_rig *r = *state;
    writer_rig_open(r, NULL);
    writer_rig_add(r, 100);
    const int64_t first = minute_now(r);
    pass(r, 3 * MINUTE_MS);
    assert_true(writer_rig_until_written(r));
    until_rolled(r, first + 2);
    quiesce(r);
    pg_server_sql(r->conninfo, "UPDATE room_minute SET n_danmaku = 9999; UPDATE rollup_mark SET "
                               "minute = minute - 10");
    pass(r, 2 * MINUTE_MS);
    until_rolled(r, first + 4);
    equals_a_recount(r);
    quiesce(r);
    pg_server_sql(r->conninfo, "UPDATE rollup_mark SET minute = minute + 3");
    const int64_t ahead = rolled_to(r);
    for (int i = 0; i < 3; i++) {
        writer_rig_add(r, 10);
        pass(r, 3 * MINUTE_MS);
    }
    until_rolled(r, ahead + 3);
}

/* The first start: the mark of the roll-up is made late, when events have been waiting for minutes. */
static void minutes_before_the_first_mark(void **state)
{
    struct writer_rig *r = *state;
    const int64_t first = minute_now(r);
    struct pg_client *c = pg_client_open(r->conninfo);
    pg_client_sql(c, "BEGIN; LOCK TABLE event_default IN ACCESS SHARE MODE"); /* no partitions */
    writer_rig_open(r, NULL);
    for (int i = 0; i < 3; i++) {
        writer_rig_add(r, 50);
        pass(r, MINUTE_MS);
    }
    assert_int_equal(writer_rig_i64(r, "SELECT count(*) FROM event"), 0);
    pg_client_sql(c, "COMMIT");
    pg_client_close(c);
    assert_true(writer_rig_until_written(r));
    pass(r, MINUTE_MS);
    until_rolled(r, first + 3);
    equals_a_recount(r);
    assert_int_equal(writer_rig_i64(r, "SELECT sum(n_danmaku + n_gift + n_superchat + n_other) "
                                       "FROM room_minute"),
                     150);
}

/* Answers "time out" at every turn, because the clock runs far ahead of the server. */
static void a_storm_of_timeouts(void **state)
{
    struct writer_rig *r = *state;
    struct writer_opts opts = writer_rig_opts(r);
    opts.timeout_ms = 10000;
    writer_rig_open(r, &opts);
    const int64_t first = minute_now(r);
    for (int m = 0; m < 6; m++) {
        writer_rig_add(r, 100);
        pass(r, MINUTE_MS);
    }
    assert_true(writer_rig_until_written(r));
    pass(r, MINUTE_MS);
    until_rolled(r, first + 6);
    equals_a_recount(r);
    writer_rig_check(r, 0);
}

static void catches_up_over_hours(void **state)
{
    struct writer_rig *r = *state;
    const int64_t start = r->clock.wall;
    for (int m = 0; m < 300; m++) {
        writer_rig_add_at(r, 8, start + m * MINUTE_MS);
    }
    r->clock.wall = start + 300 * MINUTE_MS;
    pg_server_sql(r->conninfo, "INSERT INTO writer_mark VALUES (7, 1, 0)");
    char sql[100];
    (void)snprintf(sql, sizeof sql, "INSERT INTO rollup_mark (minute) VALUES (%lld)",
                   (long long)(start / MINUTE_MS));
    pg_server_sql(r->conninfo, sql);
    writer_rig_open(r, NULL);
    assert_true(writer_rig_until_written(r));
    pass(r, MINUTE_MS);
    until_rolled(r, start / MINUTE_MS + 300);
    equals_a_recount(r);
    writer_rig_check(r, 0);
}

static void goes_on_when_its_connection_is_cut(void **state)
{
    struct writer_rig *r = *state;
    struct writer_opts opts = writer_rig_opts(r);
    opts.timeout_ms = 5000;
    writer_rig_open(r, &opts);
    const int64_t first = minute_now(r);
    for (int i = 0; i < 10; i++) {
        writer_rig_add(r, 80);
        pass(r, MINUTE_MS);
        pg_server_sql(r->conninfo, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
                                   "application_name LIKE 'danmakud%'");
    }
    assert_true(writer_rig_until_written(r));
    pass(r, MINUTE_MS);
    until_rolled(r, first + 10);
    equals_a_recount(r);
    writer_rig_check(r, 0);
}

static void days_are_made_ahead(void **state)
{
    struct writer_rig *r = *state;
    writer_rig_open(r, NULL);
    writer_rig_add(r, 10);
    assert_true(writer_rig_until_written(r));
    assert_int_equal(writer_rig_i64(r, days), 4); /* today and three more */
    for (int d = 0; d < 3; d++) {
        for (int h = 0; h < 24; h++) {
            clock_fake_advance(&r->clock, DAY_MS / 24);
            writer_rig_add(r, 5);
            assert_true(writer_rig_until_written(r));
        }
    }
    pass_until(r, days, 7);
    assert_int_equal(writer_rig_i64(r, "SELECT count(*) FROM event_default"), 0);
    writer_rig_check(r, 0);
}

/* Rows whose day had no partition go to the default one; they get their day when it is noticed. */
static void the_default_partition_is_emptied(void **state)
{
    struct writer_rig *r = *state;
    /* Written first: the day before yesterday, when no partition is made before the mark is known. */
    const int64_t now = r->clock.wall;
    writer_rig_add_at(r, 30, now - 2 * DAY_MS);
    writer_rig_add_at(r, 30, now - DAY_MS);
    writer_rig_add_at(r, 30, now);
    writer_rig_open(r, NULL);
    assert_true(writer_rig_until_written(r));
    writer_rig_check(r, 0);
    for (int i = 0; i < 3; i++) {
        clock_fake_advance(&r->clock, DAY_MS / 24);
        writer_poke(r->w, 0);
        pass(r, 20000);
    }
    pass_until(r, "SELECT count(*) FROM event_default", 0);
    struct patience p = {0};
    while (stats_get(r->stats, STAT_EVENTS_IN_DEFAULT) != 0 && patience_left(&p, 100)) {
        pass(r, 2000); /* it is looked at again */
    }
    assert_int_equal(stats_get(r->stats, STAT_EVENTS_IN_DEFAULT), 0);
    assert_int_equal(writer_rig_i64(r, days), 6);
    writer_rig_check(r, 0);
}

int main(int argc, char **argv)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    static const struct CMUnitTest tests[] = {
        CASE(closed_minutes_are_rolled_up),
        CASE(dirty_minutes_are_counted_again),
        CASE(dirty_minutes_wait_for_who_adds_to_them),
        CASE(waits_for_the_writer),
        CASE(late_events_are_counted),
        CASE(late_events_during_a_rollup),
        CASE(the_rollup_does_not_overtake_a_batch),
        CASE(the_mark_is_what_the_database_says),
        CASE(minutes_before_the_first_mark),
        CASE(a_storm_of_timeouts),
        CASE(catches_up_over_hours),
        CASE(goes_on_when_its_connection_is_cut),
        CASE(days_are_made_ahead),
        CASE(the_default_partition_is_emptied),
    };
    static const struct pg_server_opts opts = {.conf = "authentication_timeout = 1s\n"};
    server = pg_server_start(&opts);
    const int rc = run_tests(argc, argv, tests, ARRAY_LEN(tests));
    pg_server_free(server);
    return rc;
}
