/* The writer against a real server: whatever happens to the connection, every event is there once. */
#include "collector/writer/writer.h"

#include <stdio.h>
#include <string.h>

#include "server/core/log.h"
#include "server/core/mem.h"
#include "tests/support/loop_until.h"
#include "tests/support/patience.h"
#include "tests/support/run.h"
#include "tests/support/writer_rig.h"

static struct pg_server *server;

static int setup(void **state)
{
    struct writer_rig *r = mem_new(struct writer_rig);
    writer_rig_init(r, server, false);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    writer_rig_deinit(*state);
    mem_free(*state);
    return 0;
}

static void writes_and_goes_on(void **state)
{
    struct writer_rig *r = *state;
    writer_rig_open(r, NULL);
    assert_int_equal(writer_committed(r->w), -1);
    assert_true(writer_rig_until_state(r, WRITER_IDLE));
    assert_int_equal(r->n_marks, 1);
    assert_int_equal(r->mark, 0);
    assert_int_equal(writer_committed(r->w), 0);
    for (int i = 0; i < 5; i++) {
        writer_rig_add(r, 700);
        assert_true(writer_rig_until_written(r));
        assert_int_equal(r->committed, writer_rig_last(r));
    }
    writer_rig_check(r, 0);
    assert_int_equal(r->n_marks, 1);
    assert_int_equal(stats_get(r->stats, STAT_ROWS_WRITTEN), 3500);
    assert_int_equal(stats_get(r->stats, STAT_BATCH_RETRIES), 0);
    /* 700 events at once make at least two batches of at most 500. */
    assert_true(stats_get(r->stats, STAT_BATCHES) >= 10);
    assert_int_equal(writer_rig_i64(r, "SELECT last_id FROM writer_mark WHERE node = 7"),
                     writer_rig_last(r));
    assert_int_equal(writer_rig_i64(r, "SELECT count(*) FROM event_default"), 0);
}

static bool batch_in_flight(struct writer_rig *r)
{
    return r->n_fetches > 0 && !r->fetch_pending && writer_state(r->w) == WRITER_WRITING;
}

/* Events wait for a batch to fill, and no longer than that, however long they may. */
static void full_batches_do_not_wait(void **state)
{
    struct writer_rig *r = *state;
    struct writer_opts opts = writer_rig_opts(r);
    opts.batch_age_ms = 3600000;
    writer_rig_add(r, 20);
    writer_rig_open(r, &opts);
    assert_true(writer_rig_until(r, batch_in_flight));
    writer_rig_add(r, opts.batch_rows);
    assert_true(writer_rig_until_written(r));
    for (int i = 0; i < 3; i++) {
        writer_rig_add(r, opts.batch_rows);
        assert_true(writer_rig_until_written(r));
    }
    writer_rig_check(r, 0);
}

static void columns_read_back(void **state)
{
    struct writer_rig *r = *state;
    writer_rig_add(r, 300);
    writer_rig_open(r, NULL);
    assert_true(writer_rig_until_written(r));
    for (size_t i = 0; i < r->n; i += 37) {
        char sql[256];
        (void)snprintf(sql, sizeof sql,
                       "SELECT text || '|' || coalesce(extra::text, '') FROM event "
                       "WHERE id = %lld",
                       (long long)r->events[i]->id);
        char *text = pg_server_text(r->conninfo, sql);
        struct buf want;
        buf_init(&want, 4096);
        buf_put(&want, r->events[i]->text);
        buf_put_c(&want, '|');
        buf_put(&want, r->events[i]->extra);
        buf_put_c(&want, 0);
        assert_string_equal(text, want.data);
        mem_free(text);
        buf_deinit(&want);
    }
}

/* What waits while nothing is known of the mark is written after it, and nothing before it. */
static void continues_behind_the_mark(void **state)
{
    struct writer_rig *r = *state;
    char sql[160];
    writer_rig_add(r, 1000);
    (void)snprintf(sql, sizeof sql, "INSERT INTO writer_mark VALUES (7, %lld, 0)",
                   (long long)r->events[399]->id);
    pg_server_sql(r->conninfo, sql);
    writer_rig_open(r, NULL);
    assert_true(writer_rig_until_written(r));
    assert_int_equal(r->mark, r->events[399]->id);
    assert_int_equal(writer_rig_i64(r, "SELECT count(*) FROM event"), 600);
}

static void mark_ahead_of_the_source(void **state)
{
    struct writer_rig *r = *state;
    char sql[160];
    writer_rig_add(r, 10);
    (void)snprintf(sql, sizeof sql, "INSERT INTO writer_mark VALUES (7, %lld, 0)",
                   (long long)(writer_rig_last(r) + ((int64_t)100000 << ID_TIME_SHIFT)));
    pg_server_sql(r->conninfo, sql);
    writer_rig_open(r, NULL);
    assert_true(writer_rig_until_state(r, WRITER_IDLE));
    assert_int_equal(writer_rig_i64(r, "SELECT count(*) FROM event"), 0);
    writer_rig_add(r, 5); /* on_mark has moved the ids behind it */
    assert_true(writer_rig_until_written(r));
    assert_int_equal(writer_rig_i64(r, "SELECT count(*) FROM event"), 5);
}

static void restart_goes_on(void **state)
{
    struct writer_rig *r = *state;
    for (int i = 0; i < 4; i++) {
        writer_rig_open(r, NULL);
        writer_rig_add(r, 600);
        if (i % 2 == 0) {
            assert_true(writer_rig_until_written(r));
        }
        /* Every second time it is closed with work left and no time to do it. */
        assert_true(writer_rig_close(r, 0));
    }
    writer_rig_open(r, NULL);
    assert_true(writer_rig_until_written(r));
    writer_rig_check(r, 0);
}

static void close_drains(void **state)
{
    struct writer_rig *r = *state;
    writer_rig_open(r, NULL);
    assert_true(writer_rig_until_state(r, WRITER_IDLE));
    writer_rig_add(r, 6000);
    assert_true(writer_rig_close(r, 20000));
    assert_int_equal(r->closed_at, writer_rig_last(r));
    writer_rig_check(r, 0);
}

static void close_gives_up_at_the_deadline(void **state)
{
    struct writer_rig *r = *state;
    writer_rig_open(r, NULL);
    writer_rig_add(r, 1);
    assert_true(writer_rig_until_written(r));
    pg_server_pause(server);
    writer_rig_add(r, 100);
    const bool closed = writer_rig_close(r, 300);
    pg_server_resume(server);
    assert_true(closed);
    assert_true(r->closed_at < writer_rig_last(r));
    writer_rig_open(r, NULL);
    assert_true(writer_rig_until_written(r));
    writer_rig_check(r, 0);
}

static void close_at_every_turn(void **state)
{
    struct writer_rig *r = *state;
    for (unsigned turns = 0; turns <= 20; turns++) {
        writer_rig_open(r, NULL);
        writer_rig_add(r, 30);
        loop_run_turns(r->loop, turns);
        assert_true(writer_rig_close(r, 0));
    }
    writer_rig_open(r, NULL);
    assert_true(writer_rig_until_written(r));
    writer_rig_check(r, 0);
}

/* Connections are cut in the middle of whatever the writer does. */
static void backends_terminated(void **state)
{
    struct writer_rig *r = *state;
    writer_rig_open(r, NULL);
    for (int i = 0; i < 40; i++) {
        writer_rig_add(r, 400);
        const unsigned turns = (unsigned)rng_below(&r->rng, 12);
        for (unsigned t = 0; t < turns; t++) {
            writer_rig_turn(r);
        }
        pg_server_sql(r->conninfo, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
                                   "application_name = 'danmakud writer'");
    }
    assert_true(writer_rig_until_written(r));
    writer_rig_check(r, 0);
}

static void server_killed_and_started(void **state)
{
    struct writer_rig *r = *state;
    writer_rig_open(r, NULL);
    for (int i = 0; i < 4; i++) {
        writer_rig_add(r, 3000);
        for (int t = 0; t < 3 * i; t++) {
            writer_rig_turn(r);
        }
        pg_server_stop(server, i % 2 ? PG_STOP_KILL : PG_STOP_IMMEDIATE);
        writer_rig_add(r, 100);
        for (int t = 0; t < 20; t++) {
            writer_rig_turn(r);
        }
        pg_server_restart(server);
        assert_true(writer_rig_until_written(r));
    }
    writer_rig_check(r, 0);
}

/* The server hangs: it neither answers nor refuses. */
static void server_that_hangs(void **state)
{
    struct writer_rig *r = *state;
    struct writer_opts opts = writer_rig_opts(r);
    opts.timeout_ms = 400;
    writer_rig_open(r, &opts);
    writer_rig_add(r, 1);
    assert_true(writer_rig_until_written(r));
    for (int i = 0; i < 3; i++) {
        writer_rig_add(r, 2000);
        for (int t = 0; t < i; t++) {
            writer_rig_turn(r);
        }
        pg_server_pause(server);
        const bool noticed = writer_rig_until_state(r, WRITER_CONNECTING);
        pg_server_resume(server);
        assert_true(noticed);
        assert_true(writer_rig_until_written(r));
        /* Our own old connection, still open on the server, is nobody else's. */
        assert_int_equal(stats_get(r->stats, STAT_WRITER_FENCED), 0);
    }
    writer_rig_check(r, 0);
}

static const char end_writer[] = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
                                 "application_name = 'danmakud writer'";

/* The commit took effect and its answer never came. A standby that does not exist holds the answer back. */
static void commit_done_but_not_answered(void **state)
{
    struct writer_rig *r = *state;
    writer_rig_open(r, NULL);
    writer_rig_add(r, 10);
    assert_true(writer_rig_until_written(r));
    for (int i = 0; i < 3; i++) {
        pg_server_sql(r->conninfo, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
        pg_server_sql(r->conninfo, "SELECT pg_reload_conf()");
        pg_server_wait(r->conninfo,
                       "SELECT current_setting('synchronous_standby_names') = 'nobody'");
        writer_rig_add(r, 100);
        writer_rig_add_until_waits(r, "SyncRep");
        pg_server_sql(r->conninfo, "ALTER SYSTEM RESET synchronous_standby_names");
        pg_server_sql(r->conninfo, end_writer);
        pg_server_sql(r->conninfo, "SELECT pg_reload_conf()");
        assert_true(writer_rig_until_written(r));
        writer_rig_check(r, 0);
    }
    assert_int_equal(stats_get(r->stats, STAT_WRITER_FENCED), 0);
}

/* The commit was sent, not answered, and did not take effect. */
static void commit_neither_done_nor_answered(void **state)
{
    struct writer_rig *r = *state;
    writer_rig_open(r, NULL);
    writer_rig_add(r, 10);
    assert_true(writer_rig_until_written(r));
    for (int i = 0; i < 3; i++) {
        writer_rig_nap_commits(r, "30");
        writer_rig_add(r, 100);
        writer_rig_add_until_waits(r, "PgSleep");
        pg_server_sql(r->conninfo, end_writer);
        writer_rig_nap_commits(r, NULL);
        assert_true(writer_rig_until_written(r));
        writer_rig_check(r, 0);
    }
}

static bool has_given_up(struct writer_rig *r)
{
    return writer_state(r->w) != WRITER_WRITING;
}

/* The writer gave up waiting, and the old backend commits behind its back. */
static void commit_done_after_we_gave_up(void **state)
{
    struct writer_rig *r = *state;
    struct writer_opts opts = writer_rig_opts(r);
    opts.timeout_ms = 300;
    writer_rig_open(r, &opts);
    writer_rig_add(r, 10);
    assert_true(writer_rig_until_written(r));
    writer_rig_nap_commits(r, "1.5");
    writer_rig_add(r, 100);
    writer_rig_add_until_waits(r, "PgSleep");
    assert_true(writer_rig_until(r, has_given_up));
    writer_rig_nap_commits(r, NULL); /* waits for that commit */
    writer_rig_add(r, 100);
    assert_true(writer_rig_until_written(r));
    writer_rig_check(r, 0);
    assert_int_equal(stats_get(r->stats, STAT_WRITER_FENCED), 0);
}

/* What is only counted is counted in the same transaction: once, whatever happens to the connection. */
static void counted_kinds_are_counted_once(void **state)
{
    struct writer_rig *r = *state;
    struct writer_opts opts = writer_rig_opts(r);
    int64_t n_live = 0;
    opts.counted_kinds = 1u << EVENT_LIVE | 1u << EVENT_GIFT;
    writer_rig_open(r, &opts);
    for (int i = 0; i < 25; i++) {
        writer_rig_add(r, 300);
        const unsigned turns = (unsigned)rng_below(&r->rng, 12);
        for (unsigned t = 0; t < turns; t++) {
            writer_rig_turn(r);
        }
        pg_server_sql(r->conninfo, end_writer);
    }
    pg_server_sql(r->conninfo, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    pg_server_sql(r->conninfo, "SELECT pg_reload_conf()");
    writer_rig_add(r, 300);
    writer_rig_add_until_waits(r, "SyncRep"); /* committed, not answered */
    pg_server_sql(r->conninfo, "ALTER SYSTEM RESET synchronous_standby_names");
    pg_server_sql(r->conninfo, end_writer);
    pg_server_sql(r->conninfo, "SELECT pg_reload_conf()");
    assert_true(writer_rig_until_written(r));
    int64_t n_stored = 0;
    for (size_t i = 0; i < r->n; i++) {
        n_live += r->events[i]->kind == EVENT_LIVE;
        n_stored += r->events[i]->kind != EVENT_LIVE && r->events[i]->kind != EVENT_GIFT;
    }
    assert_int_equal(writer_rig_i64(r, "SELECT count(*) FROM event"), n_stored);
    assert_int_equal(writer_rig_i64(r, "SELECT sum(n)::int8 FROM room_minute_kind"),
                     (int64_t)r->n - n_stored);
    assert_int_equal(writer_rig_i64(r, "SELECT sum(n)::int8 FROM room_minute_kind WHERE kind = 14"),
                     n_live);
}

static unsigned n_errors;

static void count_errors(void *ctx, struct str line)
{
    (void)ctx;
    n_errors += memmem(line.ptr, line.len, "level=error", 11) != NULL;
}

static void poison_is_parked(void **state)
{
    struct writer_rig *r = *state;
    n_errors = 0;
    log_set_sink(count_errors, NULL);
    writer_rig_add(r, 123);
    const int64_t first = writer_rig_add_poison(r);
    writer_rig_add(r, 200);
    const int64_t second = writer_rig_add_poison(r);
    const int64_t third = writer_rig_add_poison(r);
    writer_rig_add(r, 400);
    writer_rig_open(r, NULL);
    assert_true(writer_rig_until_written(r));
    writer_rig_check(r, 3);
    assert_int_equal(n_errors, 3);
    assert_int_equal(stats_get(r->stats, STAT_EVENTS_PARKED), 3);
    assert_int_equal(writer_rig_i64(r, "SELECT min(id) FROM parked_event"), first);
    assert_int_equal(writer_rig_i64(r, "SELECT max(id) FROM parked_event"), third);
    char sql[200];
    (void)snprintf(sql, sizeof sql,
                   "SELECT count(*) FROM parked_event WHERE id = %lld AND node = 7 AND reason LIKE "
                   "'%%json%%' AND convert_from(line, 'UTF8') LIKE '%%毒%%'",
                   (long long)second);
    assert_int_equal(writer_rig_i64(r, sql), 1);
}

static void poison_first_and_last(void **state)
{
    struct writer_rig *r = *state;
    writer_rig_add_poison(r);
    writer_rig_add(r, 499);
    writer_rig_add_poison(r);
    writer_rig_open(r, NULL);
    assert_true(writer_rig_until_written(r));
    writer_rig_check(r, 2);
    writer_rig_add_poison(r); /* alone */
    writer_rig_add(r, 10);
    assert_true(writer_rig_until_written(r));
    writer_rig_check(r, 3);
}

/* Kinds that are not stored are counted exactly, whatever happens to the connection; bad rows beside them too. */
static void counted_kinds_and_lost_connections(void **state)
{
    struct writer_rig *r = *state;
    struct writer_opts opts = writer_rig_opts(r);
    opts.counted_kinds = 1U << EVENT_LIVE | 1U << EVENT_GIFT;
    writer_rig_open(r, &opts);
    for (int i = 0; i < 30; i++) {
        writer_rig_add_at(r, 300, INT64_C(1790000000000) + i * INT64_C(7000));
        if (i % 10 == 5) {
            writer_rig_add_poison(r);
        }
        const unsigned turns = (unsigned)rng_below(&r->rng, 12);
        for (unsigned t = 0; t < turns; t++) {
            writer_rig_turn(r);
        }
        pg_server_sql(r->conninfo, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
                                   "application_name = 'danmakud writer'");
    }
    assert_true(writer_rig_until_written(r));
    int64_t want = 0;
    int64_t of_one = 0; /* room 1003, gifts, first minute */
    for (size_t i = 0; i < r->n; i++) {
        const struct event *e = r->events[i];
        const bool counted = e->kind == EVENT_LIVE || e->kind == EVENT_GIFT;
        want += counted;
        of_one += e->room_id == 1003 && e->kind == EVENT_GIFT &&
                  id_ts_ms(e->id) / 60000 == INT64_C(1790000000000) / 60000;
    }
    assert_true(want > 1000 && of_one > 10);
    assert_int_equal(writer_rig_i64(r, "SELECT sum(n)::int8 FROM room_minute_kind"), want);
    assert_int_equal(writer_rig_i64(r, "SELECT n::int8 FROM room_minute_kind WHERE room_id = 1003 "
                                       "AND kind = 3 AND minute = 29833333"),
                     of_one);
    assert_int_equal(writer_rig_i64(r, "SELECT count(*) FROM event WHERE kind IN (3, 14)"), 0);
    assert_int_equal(writer_rig_i64(r, "SELECT (SELECT count(*) FROM event) + "
                                       "(SELECT count(*) FROM parked_event)"),
                     (int64_t)r->n - want);
    assert_int_equal(stats_get(r->stats, STAT_EVENTS_COUNTED), want);
}

/* The minute is recomputed from the stored events; what is only counted stays beside it. */
static void counts_survive_the_roll_up(void **state)
{
    struct writer_rig *r = *state;
    writer_rig_deinit(r);
    writer_rig_init(r, server, true);
    struct writer_opts opts = writer_rig_opts(r);
    opts.counted_kinds = 1U << EVENT_LIVE;
    writer_rig_open(r, &opts);
    assert_true(writer_rig_until_state(r, WRITER_IDLE));
    writer_rig_add(r, 900);
    assert_true(writer_rig_until_written(r));
    const int64_t want = writer_rig_i64(r, "SELECT sum(n)::int8 FROM room_minute_kind");
    assert_true(want > 50);
    clock_fake_advance(&r->clock, 130000);
    writer_rig_add(r, 1);
    assert_true(writer_rig_until_written(r));
    const char *rolled = "SELECT count(*) FROM room_minute";
    struct patience p = {0};
    while (writer_rig_i64(r, rolled) == 0 && patience_left(&p, 100)) {
        for (int t = 0; t < 100; t++) {
            writer_rig_turn(r);
        }
    }
    assert_int_equal(writer_rig_i64(r,
                                    "SELECT sum(n_danmaku + n_gift + n_superchat + n_other)::int8 "
                                    "FROM room_minute"),
                     900 - want);
    assert_int_equal(writer_rig_i64(r, "SELECT sum(n_other)::int8 FROM room_minute"), 0);
    assert_int_equal(writer_rig_i64(r, "SELECT sum(n)::int8 FROM room_minute_kind WHERE minute < "
                                       "(SELECT minute FROM rollup_mark)"),
                     want);
}

/* A batch without a row that is stored moves the mark on. */
static void nothing_but_counted_kinds(void **state)
{
    struct writer_rig *r = *state;
    struct writer_opts opts = writer_rig_opts(r);
    opts.counted_kinds = UINT32_MAX;
    writer_rig_open(r, &opts);
    writer_rig_add(r, 1200);
    assert_true(writer_rig_until_written(r));
    assert_int_equal(writer_rig_i64(r, "SELECT sum(n)::int8 FROM room_minute_kind"), 1200);
    assert_int_equal(writer_rig_i64(r, "SELECT count(*) FROM event"), 0);
    assert_int_equal(stats_get(r->stats, STAT_ROWS_WRITTEN), 0);
}

/* The connection is lost while a bad row is looked for: what is parked in the end is the bad row. */
static void poison_and_lost_connections(void **state)
{
    struct writer_rig *r = *state;
    writer_rig_open(r, NULL);
    for (int i = 0; i < 12; i++) {
        writer_rig_add(r, rng_below(&r->rng, 200));
        writer_rig_add_poison(r);
        writer_rig_add(r, rng_below(&r->rng, 200));
        const unsigned turns = (unsigned)rng_below(&r->rng, 30);
        for (unsigned t = 0; t < turns; t++) {
            writer_rig_turn(r);
        }
        pg_server_sql(r->conninfo, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
                                   "application_name = 'danmakud writer'");
    }
    assert_true(writer_rig_until_written(r));
    writer_rig_check(r, 12);
}

static bool has_refused(struct writer_rig *r)
{
    return stats_get(r->stats, STAT_BATCH_REFUSED) > 0;
}

/* While a bad row is about to be parked, the source loses it (a ring that was lapped): the next row is innocent. */
static void only_the_refused_row_is_parked(void **state)
{
    struct writer_rig *r = *state;
    struct writer_opts opts = writer_rig_opts(r);
    opts.batch_rows = 1;
    writer_rig_add_poison(r);
    writer_rig_add(r, 20);
    writer_rig_open(r, &opts);
    assert_true(writer_rig_until(r, has_refused));
    assert_int_equal(stats_get(r->stats, STAT_BATCH_REFUSED), 1);
    r->first = 1;
    assert_true(writer_rig_until_written(r));
    assert_int_equal(writer_rig_i64(r, "SELECT count(*) FROM event"), 20);
    assert_int_equal(writer_rig_i64(r, "SELECT count(*) FROM parked_event"), 0);
}

/* A server that speaks another language may answer with a text that we cut in the middle of a character. */
static void long_reasons_are_cut_at_characters(void **state)
{
    struct writer_rig *r = *state;
    pg_server_sql(r->conninfo,
                  "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                  "IF new.num = 3 THEN RAISE EXCEPTION USING ERRCODE = '23514', MESSAGE = "
                  "repeat('x', (new.id / 4194304 % 3)::int) || repeat('错误', 200); END IF; "
                  "RETURN new; END $$;"
                  "CREATE TRIGGER refuse BEFORE INSERT ON event FOR EACH ROW EXECUTE FUNCTION "
                  "refuse()");
    for (int i = 0; i < 6; i++) {
        writer_rig_add_at(r, 4, INT64_C(1790000000000) + i);
    }
    writer_rig_open(r, NULL);
    assert_true(writer_rig_until_written(r));
    const int64_t n_parked = writer_rig_i64(r, "SELECT count(*) FROM parked_event");
    assert_true(n_parked > 0);
    assert_int_equal(writer_rig_i64(r, "SELECT count(*) FROM event") + n_parked, 24);
}

static void schema_that_does_not_fit_is_waited_for(void **state)
{
    struct writer_rig *r = *state;
    writer_rig_add(r, 1);
    writer_rig_open(r, NULL);
    assert_true(writer_rig_until_written(r));
    pg_server_sql(r->conninfo, "ALTER TABLE event RENAME COLUMN wealth TO health");
    n_errors = 0;
    log_set_sink(count_errors, NULL);
    writer_rig_add(r, 10);
    assert_true(writer_rig_until_state(r, WRITER_WAITING));
    for (int t = 0; t < 100; t++) {
        writer_rig_turn(r);
    }
    assert_int_equal(n_errors, 1); /* loud, once */
    assert_int_equal(writer_rig_i64(r, "SELECT count(*) FROM event"), 1);
    pg_server_sql(r->conninfo, "ALTER TABLE event RENAME COLUMN health TO wealth");
    assert_true(writer_rig_until_written(r));
    writer_rig_check(r, 0);
}

/* Both turn, so that each sees what the other does. */
static bool both_until(struct writer_rig *a, struct writer_rig *b, bool (*is)(struct writer_rig *))
{
    struct patience p = {0};
    while (!is(b) && patience_left(&p, RIG_TURNS)) {
        writer_rig_turn(a);
        writer_rig_turn(b);
    }
    return is(b);
}

static bool is_fenced(struct writer_rig *r)
{
    return writer_state(r->w) == WRITER_FENCED;
}

static bool is_idle(struct writer_rig *r)
{
    return writer_state(r->w) == WRITER_IDLE;
}

static void second_writer_of_a_node_waits_outside(void **state)
{
    struct writer_rig *a = *state;
    struct writer_rig b;
    writer_rig_open(a, NULL);
    writer_rig_add(a, 500);
    assert_true(writer_rig_until_written(a));
    writer_rig_share(&b, a);
    writer_rig_open(&b, NULL);
    n_errors = 0;
    log_set_sink(count_errors, NULL);
    assert_true(both_until(a, &b, is_fenced));
    assert_int_equal(stats_get(b.stats, STAT_WRITER_FENCED), 1);
    assert_int_equal(n_errors, 1);
    assert_int_equal(b.n_marks, 0);
    /* The first one is not disturbed. */
    for (int i = 0; i < 5; i++) {
        writer_rig_add(a, 100);
        assert_true(writer_rig_until_written(a));
        writer_rig_turn(&b);
    }
    writer_rig_check(a, 0);
    assert_int_equal(stats_get(a->stats, STAT_WRITER_FENCED), 0);
    /* It ends: the node is free, the other goes on behind the mark. */
    assert_true(writer_rig_close(a, 5000));
    assert_true(writer_rig_until(&b, is_idle));
    assert_int_equal(stats_get(b.stats, STAT_WRITER_FENCED), 0);
    assert_int_equal(b.mark, writer_rig_last(a));
    writer_rig_deinit(&b);
}

/* Somebody moved the mark behind our back (a process that knows no lock): nothing more is written, and nobody is locked
 * out by us. */
static void a_mark_that_moved_fences(void **state)
{
    struct writer_rig *r = *state;
    writer_rig_open(r, NULL);
    writer_rig_add(r, 50);
    assert_true(writer_rig_until_written(r));
    pg_server_sql(r->conninfo, "UPDATE writer_mark SET last_id = last_id + 1");
    n_errors = 0;
    log_set_sink(count_errors, NULL);
    writer_rig_add(r, 50);
    assert_true(writer_rig_until_state(r, WRITER_FENCED));
    assert_int_equal(n_errors, 1);
    static const char busy[] = "SELECT count(*) FROM pg_stat_activity WHERE application_name = "
                               "'danmakud writer' AND state <> 'idle'";
    struct patience p = {0};
    while (writer_rig_i64(r, busy) > 0 && patience_left(&p, 0)) {
        writer_rig_turn(r); /* it rolls back */
    }
    for (int i = 0; i < 20; i++) {
        writer_rig_turn(r);
    }
    assert_int_equal(writer_rig_i64(r, busy), 0);
    assert_int_equal(writer_rig_i64(r, "SELECT count(*) FROM event"), 50);
    pg_server_sql(r->conninfo, "SET lock_timeout = '60s'; UPDATE writer_mark SET alive_ms = 1");
    assert_true(writer_rig_close(r, 10000)); /* at once: there is nothing it may write */
}

/* Seeded: everything at once. */
static void random_faults(void **state)
{
    struct writer_rig *r = *state;
    struct rng rng;
    struct writer_opts opts = writer_rig_opts(r);
    size_t n_parked = 0;
    test_rng(&rng);
    opts.timeout_ms = 500;
    writer_rig_open(r, &opts);
    for (int i = 0; i < 60; i++) {
        writer_rig_add(r, rng_below(&rng, 800));
        if (rng_below(&rng, 6) == 0) {
            writer_rig_add_poison(r);
            n_parked++;
        }
        const unsigned turns = (unsigned)rng_below(&rng, 25);
        for (unsigned t = 0; t < turns; t++) {
            writer_rig_turn(r);
        }
        switch (rng_below(&rng, 12)) {
        case 0:
            pg_server_stop(server, PG_STOP_IMMEDIATE);
            writer_rig_turn(r);
            pg_server_restart(server);
            break;
        case 1:
            pg_server_pause(server);
            for (int t = 0; t < 70; t++) {
                writer_rig_turn(r);
            }
            pg_server_resume(server);
            break;
        case 2:
            assert_true(writer_rig_close(r, 0));
            writer_rig_open(r, &opts);
            break;
        case 3:
        case 4:
        case 5:
            pg_server_sql(r->conninfo, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                                       "WHERE application_name LIKE 'danmakud%'");
            break;
        default:
            break;
        }
    }
    assert_true(writer_rig_until_written(r));
    writer_rig_check(r, n_parked);
}

static bool is_analyzed(struct writer_rig *r)
{
    return stats_get(r->stats, STAT_UPKEEP_ANALYZED) >= 2;
}

/* Many rows at once, as after an outage: windows of ids must not wait for autovacuum to become quick. */
static void many_rows_are_known_to_the_planner(void **state)
{
    struct writer_rig *r = *state;
    struct writer_opts opts = writer_rig_opts(r);
    opts.batch_rows = 5000;
    writer_rig_add(r, 60000);
    writer_rig_open(r, &opts);
    assert_true(writer_rig_until_written(r));
    assert_true(writer_rig_until(r, is_analyzed)); /* at start, and then behind the rows */
    assert_int_equal(writer_rig_i64(r,
                                    "SELECT count(*) FROM pg_stats WHERE tablename LIKE 'event_2%' "
                                    "AND attname = 'id' AND correlation > 0.99"),
                     1);
}

int main(int argc, char **argv)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    static const struct CMUnitTest tests[] = {
        CASE(writes_and_goes_on),
        CASE(full_batches_do_not_wait),
        CASE(columns_read_back),
        CASE(many_rows_are_known_to_the_planner),
        CASE(continues_behind_the_mark),
        CASE(mark_ahead_of_the_source),
        CASE(restart_goes_on),
        CASE(close_drains),
        CASE(close_gives_up_at_the_deadline),
        CASE(close_at_every_turn),
        CASE(backends_terminated),
        CASE(counted_kinds_and_lost_connections),
        CASE(counts_survive_the_roll_up),
        CASE(nothing_but_counted_kinds),
        CASE(server_killed_and_started),
        CASE(server_that_hangs),
        CASE(commit_done_but_not_answered),
        CASE(commit_neither_done_nor_answered),
        CASE(commit_done_after_we_gave_up),
        CASE(counted_kinds_are_counted_once),
        CASE(poison_is_parked),
        CASE(poison_first_and_last),
        CASE(poison_and_lost_connections),
        CASE(only_the_refused_row_is_parked),
        CASE(long_reasons_are_cut_at_characters),
        CASE(schema_that_does_not_fit_is_waited_for),
        CASE(second_writer_of_a_node_waits_outside),
        CASE(a_mark_that_moved_fences),
        CASE(random_faults),
    };
    /* A stopping server waits that long for who has connected and said nothing: for us, while we wait for it. */
    static const struct pg_server_opts opts = {.conf = "authentication_timeout = 1s\n"};
    server = pg_server_start(&opts);
    const int rc = run_tests(argc, argv, tests, ARRAY_LEN(tests));
    pg_server_free(server);
    return rc;
}
