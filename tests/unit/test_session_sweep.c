/* Open sessions of processes that are gone get an end; those that somebody goes on with do not. Against a real PostgreSQL. */
#include "collector/session_sweep.h"

#include <stdio.h>

#include "collector/writer/writer.h"
#include "server/core/id.h"
#include "server/core/log.h"
#include "server/core/mem.h"
#include "server/db/db.h"
#include "server/loop/loop.h"
#include "server/stats/stats.h"
#include "tests/support/db_rig.h"
#include "tests/support/pg_server.h"
#include "tests/support/run.h"

enum { ME = 5, GONE = 7, THERE = 9 };
#define T0 INT64_C(1790000000000)

static struct pg_server *server;

struct fixture {
    struct db_rig rig;
    struct session_sweep *sw;
    int64_t held;
    int64_t expected;
};

static size_t n_held(void *ctx)
{
    return ((struct fixture *)ctx)->held != 0;
}

static size_t held(void *ctx, int64_t *ids, size_t max)
{
    const struct fixture *f = ctx;
    assert_int_equal(max, f->held != 0);
    if (max > 0) {
        ids[0] = f->held;
    }
    return max;
}

static bool is_swept(void *ctx)
{
    const struct fixture *f = ctx;
    return stats_get(f->rig.stats, STAT_SESSIONS_ABANDONED) >= f->expected;
}

static int setup(void **state)
{
    struct fixture *f = mem_new(struct fixture);
    log_set_level(LOG_LEVEL_ERROR);
    db_rig_open(&f->rig, server, 1);
    const struct session_sweep_opts sweep = {
        .db = f->rig.db, .node = ME, .after_ms = 1, .n_held = n_held, .held = held, .ctx = f};
    f->sw = session_sweep_new(f->rig.loop, &sweep, f->rig.stats);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    session_sweep_free(f->sw);
    db_rig_close(&f->rig);
    mem_free(f);
    return 0;
}

static int64_t id_at(int node, int64_t ms)
{
    return id_first_of_ms(T0 + ms) | (int64_t)node << 16;
}

static int64_t open_session(struct fixture *f, int node, int64_t room, int64_t ms)
{
    char sql[256];
    const int64_t id = id_at(node, ms) + room * 16;
    snprintf(sql, sizeof(sql),
             "INSERT INTO session (id, room_id, start_id) VALUES (%lld, %lld, %lld)", (long long)id,
             (long long)room, (long long)id);
    pg_server_sql(f->rig.conninfo, sql);
    return id;
}

/* A gap of the link; to_ms 0: it goes on. */
static void gap(struct fixture *f, int node, int64_t room, int64_t from, int64_t to,
                const char *cause)
{
    char sql[256];
    snprintf(sql, sizeof(sql),
             "INSERT INTO coverage_span (room_id, source, from_ms, to_ms, node, cause) VALUES "
             "(%lld, 0, %lld, nullif(%lld, 0), %d, '%s')",
             (long long)room, (long long)(T0 + from), (long long)(to > 0 ? T0 + to : 0), node,
             cause);
    pg_server_sql(f->rig.conninfo, sql);
}

/* The end of the room's oldest session in ms from T0; -1: it is open. */
static int64_t end_of(struct fixture *f, int64_t room)
{
    char sql[256];
    snprintf(sql, sizeof(sql),
             "SELECT coalesce((SELECT end_id FROM session WHERE room_id = %lld "
             "AND end_cause = 'abandoned' ORDER BY id LIMIT 1), -1)",
             (long long)room);
    const int64_t id = pg_server_i64(f->rig.conninfo, sql);
    return id < 0 ? -1 : id_ts_ms(id) - T0;
}

static void sweep(struct fixture *f, int64_t expected)
{
    f->expected = expected;
    session_sweep_start(f->sw);
    db_rig_until(&f->rig, is_swept, f);
}

static void test_who_ends_and_when(void **state)
{
    struct fixture *f = *state;
    char sql[256];
    snprintf(sql, sizeof(sql),
             "INSERT INTO writer_mark (node, last_id, alive_ms) SELECT n, 1, %lld FROM "
             "unnest(ARRAY[5, 7, 9]) AS n",
             (long long)T0 + 9000);
    pg_server_sql(f->rig.conninfo, sql);
    struct pg_client *there = pg_client_open(f->rig.conninfo);
    snprintf(sql, sizeof(sql), "SELECT pg_advisory_lock(%d, %d)", WRITER_LOCK_CLASS, THERE);
    pg_client_sql(there, sql);

    (void)open_session(f, GONE, 1, 1000); /* the node was killed */
    gap(f, GONE, 1, 500, 900, "connecting");
    (void)open_session(f, GONE, 2, 1000); /* it had left the room before */
    gap(f, GONE, 2, 5000, 0, "removed");
    (void)open_session(f, GONE, 3, 1000); /* nothing at all is known */
    (void)open_session(f, GONE, 4, 1000); /* somebody who is there collects the room */
    gap(f, THERE, 4, 9000, 9500, "connecting");
    (void)open_session(f, GONE, 5, 1000); /* ... or tries to */
    gap(f, THERE, 5, 9000, 0, "refused");
    (void)open_session(f, GONE, 6, 1000); /* ... or has left it, too */
    gap(f, THERE, 6, 8000, 0, "paused");
    f->held = open_session(f, GONE, 7, 1000); /* we go on with it */
    (void)open_session(f, THERE, 8, 1000);    /* it is his */
    (void)open_session(f, ME, 9, 1000);       /* it is ours */
    (void)open_session(f, GONE, 10, 1000);    /* we have begun the room's next one */
    (void)open_session(f, ME, 10, 3000);
    gap(f, ME, 10, 2000, 2500, "connecting");
    (void)open_session(f, ME, 11, 1000); /* ours, behind which we began another one */
    (void)open_session(f, ME, 11, 4000);
    (void)open_session(f, 3, 12, 1000); /* a node that never wrote */

    sweep(f, 7);
    assert_int_equal(end_of(f, 1), 9000);
    assert_int_equal(end_of(f, 2), 5000);
    assert_int_equal(end_of(f, 3), 9000);
    assert_int_equal(end_of(f, 6), 8000);
    assert_int_equal(end_of(f, 10), 3000); /* before the first id of the next one */
    assert_int_equal(end_of(f, 11), 4000);
    assert_int_equal(end_of(f, 12), 1000);
    for (int64_t room = 4; room <= 9; room++) {
        assert_true(room == 6 || end_of(f, room) == -1);
    }
    assert_int_equal(pg_server_i64(f->rig.conninfo,
                                   "SELECT count(*) FROM session AS a JOIN session AS b "
                                   "ON a.room_id = b.room_id AND a.id < b.id "
                                   "WHERE a.end_id >= b.start_id"),
                     0);
    assert_int_equal(stats_get(f->rig.stats, STAT_SESSIONS_ABANDONED), 7);
    pg_client_close(there);

    /* He goes, too: now nobody collects 4 and 5, and 8 was his. */
    sweep(f, 10);
    assert_int_equal(end_of(f, 8), 9000);
    assert_int_equal(end_of(f, 7), -1);
    assert_int_equal(end_of(f, 9), -1);
}

/* More than fit into one statement. */
static void test_in_steps(void **state)
{
    struct fixture *f = *state;
    char sql[256];
    snprintf(sql, sizeof(sql),
             "INSERT INTO session (id, room_id, start_id) SELECT id, id, id FROM "
             "generate_series(%lld, %lld) AS id",
             (long long)id_at(GONE, 0), (long long)id_at(GONE, 0) + SESSION_SWEEP_STEP);
    pg_server_sql(f->rig.conninfo, sql);
    sweep(f, SESSION_SWEEP_STEP);
    assert_int_equal(stats_get(f->rig.stats, STAT_SESSIONS_ABANDONED), SESSION_SWEEP_STEP);
    f->expected++;
    db_rig_until(&f->rig, is_swept, f);
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        T(test_who_ends_and_when),
        T(test_in_steps),
    };
    server = pg_server_start(NULL);
    int status = run_tests(argc, argv, tests, ARRAY_LEN(tests));
    pg_server_free(server);
    return status;
}
