/* What a danmaku costs in PostgreSQL: heap, primary key and BRIN per row of typical size, written as the writer does,
 * in the order of ids, the rooms mixed. Prints the figures and fails above the goal. */
#include <stdio.h>

#include "server/db/migrate.h"
#include "tests/support/pg_server.h"
#include "tests/support/run.h"

enum { ROWS = 500000, BATCH = 2000, GOAL_BYTES = 195 };

/* 1000 rooms, the largest with a tenth of all rows; text of 12 and name of 6 Chinese characters; a medal on 60 %, a
 * wealth level on 80 %, a color that is not white on 20 %. $1 is the number of the batch's first row. */
static const char fill[] =
    "CREATE FUNCTION fill(first int) RETURNS void LANGUAGE sql AS $$"
    "INSERT INTO event (room_id, id, nkey, actor, medal_uid, sent_off_ms, color, kind, flags,"
    " medal_lv, wealth, guard, uname, text, medal)"
    "SELECT (1000 * power(random(), 3))::int8 * 7919 + 20000000,"
    " (((extract(epoch FROM '2026-11-22'::timestamp)::int8 * 1000 - 1577836800000) + i / 5) << 22)"
    "  + ((i % 5) << 4),"
    " (random() * 9e18)::int8, (random() * 5e6)::int8 + 1000000,"
    " CASE WHEN m < 0.6 THEN (random() * 1e9)::int8 END, -(random() * 800)::int4,"
    " CASE WHEN random() < 0.2 THEN 65280 END, 1, 0, CASE WHEN m < 0.6 THEN 12 END,"
    " CASE WHEN random() < 0.8 THEN 20 END, CASE WHEN random() < 0.05 THEN 3 END,"
    " substr('一二三四五六七八九十百千万亿', 1 + (random() * 8)::int, 6),"
    " substr('今天天气真好我们一起去看电影吧主播唱首歌哈哈哈哈哈哈', 1 + (random() * 12)::int, 12),"
    " CASE WHEN m < 0.6 THEN '小星星' END "
    "FROM (SELECT i, random() AS m FROM generate_series(first, first + 1999) i) g $$";

static void test_row_bytes(void **state)
{
    struct pg_server *server = pg_server_start(NULL);
    char db[PG_SERVER_CONNINFO_BYTES];
    struct pg_client *client;
    struct migrate_result r;
    struct err err = {0};
    double per_row[3];
    static const char *const parts[] = {"pg_relation_size('event_20261122')",
                                        "pg_relation_size('event_20261122_pkey')",
                                        "pg_total_relation_size('event_20261122')"};

    (void)state;
    pg_server_new_db(server, db);
    if (migrate_run(db, &r, &err)) {
        fail_msg("%s", err.msg);
    }
    client = pg_client_open(db);
    pg_client_sql(client, "SELECT partition_make_day('event', '2026-11-22')");
    pg_client_sql(client, "SELECT setseed(0.42)");
    pg_client_sql(client, fill);
    for (int i = 0; i < ROWS; i += BATCH) {
        char sql[64];

        snprintf(sql, sizeof(sql), "SELECT fill(%d)", i);
        pg_client_sql(client, sql);
    }
    pg_client_close(client);
    assert_int_equal(pg_server_i64(db, "SELECT count(*) FROM event_20261122"), ROWS);
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        char sql[128];

        snprintf(sql, sizeof(sql), "SELECT %s", parts[i]);
        per_row[i] = (double)pg_server_i64(db, sql) / ROWS;
    }
    printf(
        "bytes per danmaku: heap %.1f, primary key %.1f, with all indexes and maps %.1f; %d rows\n",
        per_row[0], per_row[1], per_row[2], ROWS);
    pg_server_free(server);
    assert_true(per_row[0] > 100 && per_row[1] > 20);
    assert_true(per_row[2] < GOAL_BYTES);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(test_row_bytes)};

    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
