/* Migrations against a real server: fresh, again, two at once, changed, newer, failing, without a transaction. */
#include "server/db/migrate.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/core/mem.h"
#include "server/db/migrate_priv.h"
#include "tests/support/pg_server.h"
#include "tests/support/run.h"

static struct pg_server *server;
static char db[PG_SERVER_CONNINFO_BYTES];

static int fresh_db(void **state)
{
    (void)state;
    pg_server_new_db(server, db);
    return 0;
}

static const struct migration two_rows[] = {
    {1, "0001_one", "aa", "CREATE TABLE one (a int4); INSERT INTO one VALUES (1)"},
    {2, "0002_two", "bb", "ALTER TABLE one ADD COLUMN b int4 NOT NULL DEFAULT 7"},
};
static const struct migration_set two = {two_rows, 2};
static const struct migration_set only_first = {two_rows, 1};

static enum err_code run(const struct migration_set *set, struct migrate_result *ret,
                         struct err *err)
{
    *ret = (struct migrate_result){-1, -1};
    *err = (struct err){0};
    return migrate_with(db, set, true, ret, err);
}

static void assert_sql(int64_t expected, const char *sql)
{
    assert_int_equal(pg_server_i64(db, sql), expected);
}

static void test_fresh_and_twice(void **state)
{
    struct migrate_result r;
    struct err err;

    (void)state;
    assert_int_equal(run(&two, &r, &err), ERR_OK);
    assert_int_equal(r.from_version, 0);
    assert_int_equal(r.to_version, 2);
    assert_sql(8, "SELECT a + b FROM one");
    assert_int_equal(run(&two, &r, &err), ERR_OK);
    assert_int_equal(r.from_version, 2);
    assert_int_equal(r.to_version, 2);
    assert_sql(2, "SELECT count(*) FROM schema_migrations");
    assert_sql(1, "SELECT count(*) FROM one");
}

static void test_check_changes_nothing(void **state)
{
    struct migrate_result r;
    struct err err;

    (void)state;
    assert_int_equal(migrate_with(db, &two, false, &r, &err), ERR_OK);
    assert_int_equal(r.from_version, 0);
    assert_int_equal(r.to_version, 2);
    assert_sql(0, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'");
    assert_int_equal(run(&only_first, &r, &err), ERR_OK);
    assert_int_equal(migrate_with(db, &two, false, &r, &err), ERR_OK);
    assert_int_equal(r.from_version, 1);
    assert_int_equal(r.to_version, 2);
}

static void test_upgrade_keeps_data(void **state)
{
    struct migrate_result r;
    struct err err;

    (void)state;
    assert_int_equal(run(&only_first, &r, &err), ERR_OK);
    pg_server_sql(db, "INSERT INTO one VALUES (41)");
    assert_int_equal(run(&two, &r, &err), ERR_OK);
    assert_int_equal(r.from_version, 1);
    assert_sql(42 + 7 + 7, "SELECT sum(a + b) FROM one");
}

static void test_newer_schema_is_refused(void **state)
{
    struct migrate_result r;
    struct err err;

    (void)state;
    assert_int_equal(run(&two, &r, &err), ERR_OK);
    assert_int_equal(run(&only_first, &r, &err), ERR_CONFLICT);
    assert_int_equal(r.to_version, -1);
    assert_non_null(strstr(err.msg, "0002_two"));
    assert_int_equal(migrate_with(db, &only_first, false, &r, &err), ERR_CONFLICT);
}

static void test_changed_file_is_refused(void **state)
{
    const struct migration changed_rows[] = {{1, "0001_one", "ac", two_rows[0].sql},
                                             two_rows[1],
                                             {3, "0003_x", "c", "CREATE TABLE x ()"}};
    const struct migration_set changed = {changed_rows, 3};
    struct migrate_result r;
    struct err err;

    (void)state;
    assert_int_equal(run(&two, &r, &err), ERR_OK);
    assert_int_equal(run(&changed, &r, &err), ERR_CONFLICT);
    assert_non_null(strstr(err.msg, "0001_one"));
    assert_sql(2, "SELECT count(*) FROM schema_migrations");
}

static void test_hole_is_refused(void **state)
{
    struct migrate_result r;
    struct err err;

    (void)state;
    assert_int_equal(run(&two, &r, &err), ERR_OK);
    pg_server_sql(db, "DELETE FROM schema_migrations WHERE version = 1");
    assert_int_equal(run(&two, &r, &err), ERR_CONFLICT);
}

static void test_failing_file_leaves_nothing(void **state)
{
    const struct migration rows[] = {
        two_rows[0],
        {2, "0002_bad", "b", "CREATE TABLE half (a int4); INSERT INTO one VALUES (2); SELECT 1/0"}};
    const struct migration_set bad = {rows, 2};
    struct migrate_result r;
    struct err err;

    (void)state;
    assert_int_equal(run(&bad, &r, &err), ERR_INVALID);
    assert_non_null(strstr(err.msg, "0002_bad"));
    assert_non_null(strstr(err.msg, "22012"));
    /* The first one stays, the second one is not there at all. */
    assert_sql(1, "SELECT count(*) FROM schema_migrations");
    assert_sql(1, "SELECT count(*) FROM one");
    assert_sql(0, "SELECT count(*) FROM pg_tables WHERE tablename = 'half'");
    assert_int_equal(run(&two, &r, &err), ERR_OK);
    assert_int_equal(r.from_version, 1);
}

static void test_file_with_commit_is_refused(void **state)
{
    const struct migration rows[] = {{1, "0001_commit", "a", "CREATE TABLE c (); COMMIT"}};
    const struct migration_set set = {rows, 1};
    struct migrate_result r;
    struct err err;

    (void)state;
    assert_int_equal(run(&set, &r, &err), ERR_INTERNAL);
    assert_sql(0, "SELECT count(*) FROM schema_migrations");
}

static void test_no_transaction(void **state)
{
    const struct migration rows[] = {
        two_rows[0],
        {2, "0002_i", "b", "-- no-transaction\nCREATE INDEX CONCURRENTLY one_a ON one (a);\n"}};
    const struct migration_set set = {rows, 2};
    const struct migration wrong_rows[] = {
        two_rows[0], {2, "0002_i", "b", "CREATE INDEX CONCURRENTLY one_a ON one (a);\n"}};
    const struct migration_set wrong = {wrong_rows, 2};
    struct migrate_result r;
    struct err err;

    (void)state;
    assert_int_equal(run(&wrong, &r, &err), ERR_INTERNAL); /* 25001: not inside a transaction */
    assert_int_equal(run(&set, &r, &err), ERR_OK);
    assert_int_equal(r.from_version, 1);
    assert_sql(1, "SELECT count(*) FROM pg_indexes WHERE indexname = 'one_a'");
}

/* In a process of its own, because migrate_with blocks. Exits with the code. */
static pid_t run_aside(const struct migration_set *set)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        struct migrate_result r;
        struct err err;

        _exit((int)run(set, &r, &err));
    }
    return pid;
}

static void test_starters_at_once(void **state)
{
    /* The first starter sleeps in its migration; CONCURRENTLY in the second must not wait for those that wait. */
    const struct migration rows[] = {
        {1, "0001_slow", "a", "CREATE TABLE one (a int4); SELECT pg_sleep(0.3)"},
        {2, "0002_i", "b", "-- no-transaction\nCREATE INDEX CONCURRENTLY one_a ON one (a)"},
        {3, "0003_row", "c", "INSERT INTO one VALUES (1)"}};
    const struct migration_set set = {rows, 3};
    pid_t pids[4];

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        pids[i] = run_aside(&set);
    }
    for (size_t i = 0; i < 4; i++) {
        int status = -1;

        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), ERR_OK);
    }
    assert_sql(1, "SELECT count(*) FROM one");
    assert_sql(3, "SELECT count(*) FROM schema_migrations");
}

static void test_unavailable(void **state)
{
    struct migrate_result r;
    struct err err = {0};

    (void)state;
    assert_int_equal(migrate_run("host=/nonexistent", &r, &err), ERR_UNAVAILABLE);
    assert_true(err.msg[0]);
    assert_null(strchr(err.msg, '\n'));
    assert_int_equal(migrate_run("host=127.0.0.1 port=1 dbname=x", &r, &err), ERR_UNAVAILABLE);
    assert_int_equal(migrate_check("this is no conninfo", &r, &err), ERR_INVALID);
}

static void test_wrong_encoding(void **state)
{
    char conninfo[PG_SERVER_CONNINFO_BYTES];
    struct migrate_result r;
    struct err err;

    (void)state;
    pg_server_sql(pg_server_conninfo(server), "CREATE DATABASE latin TEMPLATE template0"
                                              " ENCODING 'LATIN1' LOCALE 'C'");
    snprintf(conninfo, sizeof(conninfo), "host=%s port=%u user=postgres dbname=latin",
             pg_server_dir(server), pg_server_port(server));
    assert_int_equal(migrate_run(conninfo, &r, &err), ERR_INVALID);
    assert_non_null(strstr(err.msg, "UTF8"));
}

static void test_search_path(void **state)
{
    char conninfo[PG_SERVER_CONNINFO_BYTES + 64];
    struct migrate_result r;
    struct err err;

    (void)state;
    pg_server_sql(db, "CREATE SCHEMA mine");
    snprintf(conninfo, sizeof(conninfo), "%s options='-c search_path=mine'", db);
    assert_int_equal(migrate_run(conninfo, &r, &err), ERR_OK);
    assert_sql(0, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'");
    assert_sql((int64_t)migrations_embedded.n, "SELECT count(*) FROM mine.schema_migrations");
    snprintf(conninfo, sizeof(conninfo), "%s options='-c search_path=nowhere'", db);
    assert_int_equal(migrate_run(conninfo, &r, &err), ERR_INVALID);
    snprintf(conninfo, sizeof(conninfo), "%s options='-c search_path=mine,pg_catalog'", db);
    assert_int_equal(migrate_run(conninfo, &r, &err), ERR_INVALID);
    assert_non_null(strstr(err.msg, "pg_catalog"));
}

/* The list in server/db/CMakeLists.txt has every file of the folder. */
static void test_every_file_is_embedded(void **state)
{
    DIR *dir = opendir(DM_SOURCE_DIR "/migrations");
    const struct dirent *e;
    size_t n = 0;

    (void)state;
    assert_non_null(dir);
    while ((e = readdir(dir))) {
        n += e->d_name[0] >= '0' && e->d_name[0] <= '9' && strstr(e->d_name, ".sql") != NULL;
    }
    closedir(dir);
    assert_int_equal(n, migrations_embedded.n);
    for (size_t i = 0; i < n; i++) {
        char path[256];
        char text[65536];
        FILE *f;
        size_t len;

        snprintf(path, sizeof(path), DM_SOURCE_DIR "/migrations/%s.sql",
                 migrations_embedded.rows[i].name);
        f = fopen(path, "re");
        assert_non_null(f);
        len = fread(text, 1, sizeof(text) - 1, f);
        fclose(f);
        text[len] = '\0';
        assert_string_equal(text, migrations_embedded.rows[i].sql);
        assert_int_equal(strlen(migrations_embedded.rows[i].sha256), 64);
    }
}

static void test_make_day(void **state)
{
    struct migrate_result r;
    struct err err;

    (void)state;
    assert_int_equal(migrate_run(db, &r, &err), ERR_OK);
    /* A row of a day that has no partition goes to the default one and moves when the day is made. */
    pg_server_sql(db, "INSERT INTO event (room_id, id, nkey, actor, kind, flags)"
                      " SELECT 1, (1000000 + i * 86400000::int8) << 22, 1, 1, 1, 0"
                      " FROM generate_series(0, 2) i");
    assert_sql(3, "SELECT count(*) FROM event_default");
    assert_sql(1, "SELECT partition_make_day('event', '2020-01-01')::int");
    assert_sql(0, "SELECT partition_make_day('event', '2020-01-01')::int");
    assert_sql(1, "SELECT partition_make_day('event', '2020-01-02')::int");
    assert_sql(0, "SELECT partition_make_day('event', '2019-12-31')::int"); /* before any id */
    assert_sql(1, "SELECT count(*) FROM event_default");
    assert_sql(1, "SELECT count(*) FROM event_20200102");
    assert_sql(3, "SELECT count(*) FROM event");
    assert_sql(3, "SELECT count(*) FROM pg_indexes WHERE tablename = 'event_20200102'");
    assert_sql(1, "SELECT count(*) FROM pg_class WHERE relname LIKE 'event_20200102%brin%' OR"
                  " (relname LIKE 'event_20200102%id%' AND"
                  " reloptions @> '{autosummarize=on,pages_per_range=32}')");
    /* The bounds are the UTC day, whatever the session's time zone. */
    assert_sql(
        0,
        "SET timezone TO 'Asia/Shanghai'; SELECT partition_make_day('event', '2020-01-02')::int");
    pg_server_sql(db, "INSERT INTO event (room_id, id, nkey, actor, kind, flags) VALUES"
                      " (2, (86400000::int8 << 22), 1, 1, 1, 0),"
                      " (2, (2 * 86400000::int8 << 22) - 1, 1, 1, 1, 0)");
    assert_sql(2, "SELECT count(*) FROM event_20200102 WHERE room_id = 2");
}

/* Days of every partitioned table are made and dropped by the same two functions; nothing else makes them. */
static void test_days_of_every_table(void **state)
{
    static const char *const tables[] = {"event", "raw_event", "audience"};
    struct migrate_result r;
    struct err err;
    char sql[512];

    (void)state;
    assert_int_equal(migrate_run(db, &r, &err), ERR_OK);
    assert_sql(ARRAY_LEN(tables), "SELECT count(*) FROM pg_partitioned_table");
    assert_sql(2, "SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
                  " AND prosrc ~ 'PARTITION|DROP TABLE'");
    for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
        const char *t = tables[i];
        snprintf(sql, sizeof(sql),
                 "SELECT count(*) FILTER (WHERE partition_make_day('%s', '2026-11-01'::date + n)) "
                 "FROM generate_series(0, 9) AS n",
                 t);
        assert_sql(10, sql);
        assert_sql(0, sql);
        snprintf(sql, sizeof(sql), "SELECT partition_drop_before('%s', '2026-11-06', 3)", t);
        assert_sql(3, sql);
        assert_sql(2, sql);
        assert_sql(0, sql);
        snprintf(sql, sizeof(sql),
                 "SELECT count(*) FROM pg_inherits WHERE inhparent = '%s'::regclass", t);
        assert_sql(6, sql); /* five days and the default one */
        snprintf(sql, sizeof(sql), "SELECT (to_regclass('%s_20261106') IS NOT NULL)::int", t);
        assert_sql(1, sql);
    }
    /* What the default partition holds of the dropped days goes, too; what comes later stays. */
    pg_server_sql(db, "INSERT INTO audience (room_id, at_ms) SELECT 1, ms FROM unnest(ARRAY["
                      "1793923199999, 1793923200000]) AS ms"); /* around 2026-11-06 */
    assert_sql(0, "SELECT partition_drop_before('audience', '2026-11-06', 3)");
    assert_sql(1793923200000, "SELECT min(at_ms) FROM audience");
    /* A table that is not partitioned by days is refused. */
    pg_server_sql(db, "DO $$ BEGIN PERFORM partition_make_day('room', '2026-11-01'); RAISE 'no'; "
                      "EXCEPTION WHEN raise_exception THEN ASSERT SQLERRM <> 'no'; END $$");
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_fresh_and_twice, fresh_db),
        cmocka_unit_test_setup(test_check_changes_nothing, fresh_db),
        cmocka_unit_test_setup(test_upgrade_keeps_data, fresh_db),
        cmocka_unit_test_setup(test_newer_schema_is_refused, fresh_db),
        cmocka_unit_test_setup(test_changed_file_is_refused, fresh_db),
        cmocka_unit_test_setup(test_hole_is_refused, fresh_db),
        cmocka_unit_test_setup(test_failing_file_leaves_nothing, fresh_db),
        cmocka_unit_test_setup(test_file_with_commit_is_refused, fresh_db),
        cmocka_unit_test_setup(test_no_transaction, fresh_db),
        cmocka_unit_test_setup(test_starters_at_once, fresh_db),
        cmocka_unit_test(test_unavailable),
        cmocka_unit_test(test_wrong_encoding),
        cmocka_unit_test_setup(test_search_path, fresh_db),
        cmocka_unit_test(test_every_file_is_embedded),
        cmocka_unit_test_setup(test_make_day, fresh_db),
        cmocka_unit_test_setup(test_days_of_every_table, fresh_db),
    };
    int rc;

    server = pg_server_start(NULL);
    rc = run_tests(argc, argv, tests, ARRAY_LEN(tests));
    pg_server_free(server);
    return rc;
}
