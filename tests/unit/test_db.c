/* The pool against a real server, well and ill. */
#include "server/db/db.h"

#include <stdio.h>
#include <string.h>

#include "server/core/log.h"
#include "server/core/mem.h"
#include "server/loop/loop.h"
#include "server/stats/stats.h"
#include "tests/support/loop_until.h"
#include "tests/support/patience.h"
#include "tests/support/pg_server.h"
#include "tests/support/run.h"

enum { TURNS = 3000 };

static struct pg_server *server;
static char conninfo[PG_SERVER_CONNINFO_BYTES]; /* database with the functions below */

/* One case: loop, statistics, pool. */
struct fixture {
    struct loop *loop;
    struct stats *stats;
    struct db *db;
    unsigned n_ups;
    unsigned n_downs;
    bool up;
    bool down; /* the newest state told; the opposite of up once told */
    bool closed;
};

/* What a query gave. */
struct answer {
    unsigned n;
    bool done;
    enum err_code code;
    size_t rows;
    char text[64]; /* first column of the first row */
    char msg[ERR_MSG_BYTES];
};

static const struct db_stmt one = {"one", "SELECT 1"};
static const struct db_stmt pid = {"pid", "SELECT pg_backend_pid()"};
static const struct db_stmt nap = {"nap", "SELECT pg_sleep($1::int8 / 1000.0)"};
static const struct db_stmt big = {"big", "SELECT repeat('x', 1000) FROM generate_series(1, $1)"};
static const struct db_stmt failing = {"raise", "SELECT raise($1)"};

static const struct db_opts defaults = {
    .pool = 2,
    .max_queue = 100,
    .connect_timeout_ms = 60000,
    .timeout_ms = 90000,
    .max_result_bytes = 1 << 20,
    .application_name = "test_db",
};

static void quiet(void *ctx, struct str line)
{
    (void)ctx;
    (void)line;
}

static void on_state(void *ctx, bool up)
{
    struct fixture *f = ctx;

    f->up = up;
    f->down = !up;
    f->n_ups += up;
    f->n_downs += !up;
    assert_int_equal(db_is_up(f->db), up);
}

static void open_with(struct fixture *f, const struct db_opts *opts, const char *where)
{
    struct db_opts o = *opts;

    *f = (struct fixture){0};
    log_set_sink(quiet, NULL);
    o.conninfo = where;
    f->loop = loop_new();
    f->stats = stats_new();
    f->db = db_new(f->loop, &o, f->stats);
    db_on_state(f->db, on_state, f);
}

static void open_up(struct fixture *f, const struct db_opts *opts)
{
    open_with(f, opts, conninfo);
    assert_true(loop_run_until(f->loop, &f->up, TURNS));
}

/* A turn, and a wait for the server. */
static void one_turn(struct fixture *f)
{
    bool never = false;

    assert_false(loop_run_until(f->loop, &never, 1));
}

/* Until both connections are up. */
static void wait_complete(struct fixture *f)
{
    struct patience p = {0};
    while (stats_get(f->stats, STAT_DB_CONNECTIONS) < 2 && patience_left(&p, TURNS)) {
        one_turn(f);
    }
    assert_int_equal(stats_get(f->stats, STAT_DB_CONNECTIONS), 2);
}

/* Until one query sleeps in the server. */
static void wait_asleep(struct fixture *f)
{
    static const char sql[] = "SELECT count(*) FROM pg_stat_activity"
                              " WHERE application_name = 'test_db' AND wait_event = 'PgSleep'";

    struct patience p = {0};
    while (pg_server_i64(conninfo, sql) != 1 && patience_left(&p, 0)) {
        one_turn(f);
    }
    assert_int_equal(pg_server_i64(conninfo, sql), 1);
}

static void on_closed(void *ctx)
{
    struct fixture *f = ctx;

    assert_false(f->closed);
    f->closed = true;
}

static void close_all(struct fixture *f)
{
    db_close(f->db, on_closed, f);
    assert_false(f->closed);
    assert_true(loop_run_until(f->loop, &f->closed, TURNS));
    loop_free(f->loop);
    stats_free(f->stats);
}

static void on_answer(void *ctx, enum err_code code, const struct err *err,
                      const struct db_rows *rows)
{
    struct answer *a = ctx;

    a->n++;
    a->done = true;
    a->code = code;
    assert_non_null(err);
    assert_true((code == ERR_OK) == (rows != NULL));
    snprintf(a->msg, sizeof(a->msg), "%s", err->msg);
    a->rows = rows ? db_rows_n(rows) : 0;
    if (a->rows > 0) {
        snprintf(a->text, sizeof(a->text), STR_FMT, STR_ARG(db_text(rows, 0, 0)));
    }
}

static void ask(struct fixture *f, const struct db_stmt *stmt, struct db_arg arg, struct answer *a)
{
    struct err err = {0};

    *a = (struct answer){0};
    assert_int_equal(
        db_query(f->db, stmt, &arg, strchr(stmt->sql, '$') != NULL, on_answer, a, &err), ERR_OK);
    assert_int_equal(a->n, 0);
}

static void wait_answer(struct fixture *f, struct answer *a)
{
    assert_true(loop_run_until(f->loop, &a->done, TURNS));
    assert_int_equal(a->n, 1);
}

static void ask_and_wait(struct fixture *f, const struct db_stmt *stmt, struct db_arg arg,
                         struct answer *a)
{
    ask(f, stmt, arg, a);
    wait_answer(f, a);
}

static void assert_works(struct fixture *f)
{
    struct answer a;

    ask_and_wait(f, &one, DB_ARG_NULL, &a);
    assert_int_equal(a.code, ERR_OK);
    assert_string_equal(a.text, "1");
}

/* --- values --- */

static void on_types(void *ctx, enum err_code code, const struct err *err,
                     const struct db_rows *rows)
{
    bool *done = ctx;

    *done = true;
    if (code) {
        fail_msg("%s", err->msg);
    }
    assert_int_equal(db_rows_n(rows), 1);
    assert_true(db_i64(rows, 0, 0) == INT64_MIN);
    assert_str_equal(db_text(rows, 0, 1), "弹\"幕\\");
    assert_true(db_null(rows, 0, 2));
    assert_int_equal(db_i64(rows, 0, 2), 0);
    assert_str_equal(db_text(rows, 0, 2), "");
    assert_true(db_bool(rows, 0, 3));
    assert_false(db_bool(rows, 0, 4));
    assert_str_equal(db_text(rows, 0, 5), "\\x00ff5c");
    assert_int_equal(db_i64(rows, 0, 6), 9000000000000000000);
    assert_str_equal(db_text(rows, 0, 7), "a\"b|c\\d|,{}||弹");
    assert_int_equal(db_i64(rows, 0, 8), 0);
    assert_int_equal(db_i64(rows, 0, 9), -7);
    assert_false(db_null(rows, 0, 1));
    assert_str_equal(db_text(rows, 0, 10), "UTC");
    assert_str_equal(db_text(rows, 0, 11), "off");
}

static void test_types(void **state)
{
    static const struct db_stmt stmt = {
        "types", "SELECT $1::int8, $2::text, $3::text, $4::int8 > 1, $4::int8 < 1, $5::bytea,"
                 " ($6::int8[])[2], array_to_string($7::text[], '|'), cardinality($8::int8[]),"
                 " (-7)::int2, current_setting('timezone'), current_setting('jit')"};
    const int64_t numbers[] = {-1, 9000000000000000000, 0};
    const struct str texts[] = {STR("a\"b"), STR("c\\d"), STR(",{}"), STR(""), STR("弹")};
    const struct db_arg args[] = {
        DB_ARG_I64(INT64_MIN),  DB_ARG_TEXT(STR("弹\"幕\\")),  DB_ARG_NULL,
        DB_ARG_I64(2),          DB_ARG_BYTES(STR("\0\xff\\")), DB_ARG_I64S(numbers, 3),
        DB_ARG_TEXTS(texts, 5), DB_ARG_I64S(NULL, 0),
    };
    struct fixture f;
    struct err err;

    (void)state;
    open_up(&f, &defaults);
    for (int i = 0; i < 3; i++) { /* prepares, then uses what it has */
        bool done = false;

        assert_int_equal(db_query(f.db, &stmt, args, ARRAY_LEN(args), on_types, &done, &err),
                         ERR_OK);
        assert_true(loop_run_until(f.loop, &done, TURNS));
    }
    close_all(&f);
}

static void on_affected(void *ctx, enum err_code code, const struct err *err,
                        const struct db_rows *rows)
{
    size_t *n = ctx;

    (void)err;
    *n = code ? 999 : db_rows_affected(rows);
}

static void test_held(void **state)
{
    struct db_opts opts = defaults;
    struct fixture f;
    struct err err = {0};

    (void)state;
    opts.held = true;
    open_with(&f, &opts, conninfo);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(db_query(f.db, &one, NULL, 0, on_answer, NULL, &err), ERR_UNAVAILABLE);
        loop_run_turns(f.loop, 1);
    }
    assert_false(db_is_up(f.db));
    assert_int_equal(stats_get(f.stats, STAT_DB_CONNECTS), 0);
    db_release(f.db);
    assert_true(loop_run_until(f.loop, &f.up, TURNS));
    close_all(&f);
    /* And one that is never let go. */
    open_with(&f, &opts, conninfo);
    close_all(&f);
}

static void test_affected(void **state)
{
    static const struct db_stmt insert = {"insert",
                                          "INSERT INTO scratch SELECT generate_series(1, $1)"};
    static const struct db_stmt delete = {"delete", "DELETE FROM scratch WHERE a > $1"};
    struct fixture f;
    size_t n = 0;
    struct db_arg arg = DB_ARG_I64(5);

    (void)state;
    open_up(&f, &defaults);
    pg_server_sql(conninfo, "CREATE TABLE scratch (a int8)");
    assert_int_equal(db_query(f.db, &insert, &arg, 1, on_affected, &n, NULL), ERR_OK);
    while (n == 0) {
        assert_true(loop_turn(f.loop));
    }
    assert_int_equal(n, 5);
    n = 0;
    arg = DB_ARG_I64(2);
    assert_int_equal(db_query(f.db, &delete, &arg, 1, on_affected, &n, NULL), ERR_OK);
    while (n == 0) {
        assert_true(loop_turn(f.loop));
    }
    assert_int_equal(n, 3);
    pg_server_sql(conninfo, "DROP TABLE scratch");
    close_all(&f);
}

static void test_bad_arguments(void **state)
{
    static const struct db_stmt echo = {"echo", "SELECT $1::text"};
    struct fixture f;
    struct answer a = {0};
    struct err err;
    struct db_arg nul = DB_ARG_TEXT(STR("a\0b"));
    struct str texts[] = {STR("fine"), STR("a\0b")};
    struct db_arg fine = DB_ARG_TEXT(STR("x"));
    struct db_arg nuls = DB_ARG_TEXTS(texts, 2);
    size_t len = 17 << 20;
    char *large = mem_alloc(len);
    struct db_arg too_big;

    (void)state;
    assert_non_null(large);
    memset(large, 'x', len);
    too_big = DB_ARG_TEXT(((struct str){large, len}));
    open_up(&f, &defaults);
    assert_int_equal(db_query(f.db, &echo, &nul, 1, on_answer, &a, &err), ERR_INVALID);
    assert_int_equal(db_query(f.db, &echo, &nuls, 1, on_answer, &a, &err), ERR_INVALID);
    assert_int_equal(db_query(f.db, &echo, &too_big, 1, on_answer, &a, &err), ERR_TOO_BIG);
    mem_free(large);
    mem_fault_set(0, 1);
    assert_int_equal(db_query(f.db, &echo, &nul, 1, on_answer, &a, &err), ERR_INVALID);
    mem_fault_set(0, 1);
    assert_int_equal(db_query(f.db, &echo, &fine, 1, on_answer, &a, NULL), ERR_TOO_BIG);
    mem_fault_set(-1, 0);
    assert_int_equal(a.n, 0);
    ask_and_wait(&f, &echo, DB_ARG_TEXT(STR("bad \xe5\xbc")), &a);
    assert_int_equal(a.code, ERR_INVALID); /* 22021 */
    assert_non_null(strstr(a.msg, "22021"));
    ask_and_wait(&f, &echo, DB_ARG_TEXT(STR("")), &a);
    assert_int_equal(a.code, ERR_OK);
    assert_int_equal(a.rows, 1);
    close_all(&f);
}

/* --- errors of statements --- */

static void test_error_classes(void **state)
{
    static const struct {
        const char *sqlstate;
        enum err_code code;
    } cases[] = {
        {"08006", ERR_UNAVAILABLE}, {"57P03", ERR_UNAVAILABLE}, {"53100", ERR_UNAVAILABLE},
        {"58030", ERR_UNAVAILABLE}, {"25006", ERR_UNAVAILABLE}, {"40001", ERR_RETRY},
        {"40P01", ERR_RETRY},       {"55P03", ERR_RETRY},       {"57014", ERR_TIMEOUT},
        {"22003", ERR_INVALID},     {"22P05", ERR_INVALID},     {"23505", ERR_INVALID},
        {"23514", ERR_INVALID},     {"54000", ERR_INVALID},     {"42P01", ERR_INTERNAL},
        {"XX001", ERR_INTERNAL},    {"P0001", ERR_INTERNAL},    {"25P02", ERR_INTERNAL},
    };
    static const struct db_stmt wrong = {"wrong", "SELECT nothing FROM nowhere"};
    struct fixture f;
    struct answer a;

    (void)state;
    open_up(&f, &defaults);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        ask_and_wait(&f, &failing, DB_ARG_TEXT(str_of(cases[i].sqlstate)), &a);
        if (a.code != cases[i].code || !strstr(a.msg, cases[i].sqlstate)) {
            fail_msg("%s: %s: %s", cases[i].sqlstate, err_name(a.code), a.msg);
        }
    }
    ask_and_wait(&f, &wrong, DB_ARG_NULL, &a); /* does not even prepare */
    assert_int_equal(a.code, ERR_INTERNAL);
    assert_non_null(strstr(a.msg, "42P01"));
    assert_works(&f);
    assert_int_equal(stats_get(f.stats, STAT_DB_ERRORS_RETRY), 3);
    assert_int_equal(stats_get(f.stats, STAT_DB_ERRORS_UNAVAILABLE), 5);
    assert_int_equal(stats_get(f.stats, STAT_DB_ERRORS_TIMEOUT), 1);
    assert_int_equal(stats_get(f.stats, STAT_DB_ERRORS_INVALID), 5);
    assert_int_equal(stats_get(f.stats, STAT_DB_ERRORS_INTERNAL), 5);
    assert_int_equal(stats_get(f.stats, STAT_DB_LOST), 0);
    assert_int_equal(f.n_downs, 0);
    close_all(&f);
}

static void test_copy_as_query_is_refused(void **state)
{
    static const struct db_stmt in = {"copy_in", "COPY pg_class FROM STDIN"};
    static const struct db_stmt out = {"copy_out", "COPY (SELECT 1) TO STDOUT"};
    static const struct db_stmt empty = {"empty", ""};
    const struct db_stmt *stmts[] = {&in, &out, &empty};
    struct fixture f;
    struct answer a;

    (void)state;
    open_up(&f, &defaults);
    for (size_t i = 0; i < ARRAY_LEN(stmts); i++) {
        ask_and_wait(&f, stmts[i], DB_ARG_NULL, &a);
        assert_int_equal(a.code, ERR_INTERNAL);
        assert_works(&f);
    }
    assert_int_equal(f.n_downs, 0);
    close_all(&f);
}

/* --- limits --- */

static void test_big_results(void **state)
{
    struct db_opts opts = defaults;
    struct fixture f;
    struct answer a;
    struct answer b;

    (void)state;
    opts.pool = 1;
    opts.max_result_bytes = 256 << 10;
    open_up(&f, &opts);
    ask_and_wait(&f, &big, DB_ARG_I64(100), &a);
    assert_int_equal(a.code, ERR_OK);
    assert_int_equal(a.rows, 100);
    ask_and_wait(&f, &pid, DB_ARG_NULL, &a);
    /* Under the limit on the wire, over it in memory: seen at the end, the connection stays. */
    ask_and_wait(&f, &big, DB_ARG_I64(255), &b);
    assert_int_equal(b.code, ERR_TOO_BIG);
    ask_and_wait(&f, &pid, DB_ARG_NULL, &b);
    assert_string_equal(a.text, b.text);
    /* A gigabyte: reading stops early. */
    ask_and_wait(&f, &big, DB_ARG_I64(1000000), &a);
    assert_int_equal(a.code, ERR_TOO_BIG);
    assert_works(&f);
    assert_int_equal(f.n_downs, 0);
    assert_int_equal(stats_get(f.stats, STAT_DB_ERRORS_TOO_BIG), 2);
    assert_int_equal(stats_get(f.stats, STAT_DB_LOST), 1);
    close_all(&f);
}

static void test_many_on_few(void **state)
{
    enum { N = 500 };
    struct db_opts opts = defaults;
    struct fixture f;
    struct answer *a = mem_new_array(struct answer, N);

    (void)state;
    opts.max_queue = N;
    opts.pool = 3;
    open_up(&f, &opts);
    for (size_t i = 0; i < N; i++) {
        ask(&f, i % 2 ? &one : &big, DB_ARG_I64(10), &a[i]);
    }
    for (size_t i = 0; i < N; i++) {
        wait_answer(&f, &a[i]);
        assert_int_equal(a[i].code, ERR_OK);
        assert_int_equal(a[i].rows, i % 2 ? 1 : 10);
    }
    assert_int_equal(
        pg_server_i64(conninfo,
                      "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'test_db'"),
        3);
    assert_int_equal(stats_get(f.stats, STAT_DB_CONNECTIONS), 3);
    assert_int_equal(stats_get(f.stats, STAT_DB_QUERIES), N);
    assert_int_equal(stats_get(f.stats, STAT_DB_QUEUE), 0);
    close_all(&f);
    mem_free(a);
}

static void test_queue_full(void **state)
{
    struct db_opts opts = defaults;
    struct fixture f;
    struct answer a[3];
    struct answer refused = {0};
    struct err err;

    (void)state;
    opts.pool = 1;
    opts.max_queue = 2;
    open_up(&f, &opts);
    ask(&f, &nap, DB_ARG_I64(100), &a[0]);
    loop_run_turns(f.loop, 2); /* it is on the connection now */
    ask(&f, &one, DB_ARG_NULL, &a[1]);
    ask(&f, &one, DB_ARG_NULL, &a[2]);
    assert_int_equal(db_query(f.db, &one, NULL, 0, on_answer, &refused, &err), ERR_FULL);
    assert_int_equal(stats_get(f.stats, STAT_DB_QUEUE_FULL), 1);
    assert_int_equal(stats_get(f.stats, STAT_DB_QUEUE), 2);
    for (size_t i = 0; i < 3; i++) {
        wait_answer(&f, &a[i]);
        assert_int_equal(a[i].code, ERR_OK);
    }
    assert_int_equal(refused.n, 0);
    assert_works(&f);
    close_all(&f);
}

/* --- time --- */

static void test_server_side_timeout(void **state)
{
    struct db_opts opts = defaults;
    struct fixture f;
    struct answer a;
    struct answer b;

    (void)state;
    opts.pool = 1;
    opts.timeout_ms = 3000;
    open_up(&f, &opts);
    ask_and_wait(&f, &pid, DB_ARG_NULL, &a);
    ask_and_wait(&f, &nap, DB_ARG_I64(60000), &b);
    assert_int_equal(b.code, ERR_TIMEOUT);
    assert_non_null(strstr(b.msg, "57014")); /* the server's own answer */
    ask_and_wait(&f, &pid, DB_ARG_NULL, &b);
    assert_string_equal(a.text, b.text); /* the connection is the same */
    assert_int_equal(f.n_downs, 0);
    close_all(&f);
}

/* Waiting counts: the second query is answered in time although the first one holds the only connection. */
static void test_timeout_in_queue(void **state)
{
    struct db_opts opts = defaults;
    struct fixture f;
    struct answer first;
    struct answer second;
    struct answer third;

    (void)state;
    opts.pool = 1;
    opts.timeout_ms = 3000;
    open_up(&f, &opts);
    ask(&f, &nap, DB_ARG_I64(60000), &first);
    ask(&f, &nap, DB_ARG_I64(60000), &second); /* gets the connection for the last tenth */
    ask(&f, &nap, DB_ARG_I64(60000), &third);  /* never gets it */
    wait_answer(&f, &first);
    wait_answer(&f, &second);
    wait_answer(&f, &third);
    assert_int_equal(first.code, ERR_TIMEOUT);
    assert_int_equal(second.code, ERR_TIMEOUT);
    assert_int_equal(third.code, ERR_TIMEOUT);
    assert_null(strstr(second.msg, "57014"));
    assert_non_null(strstr(third.msg, "no free connection"));
    assert_works(&f); /* after the server has ended the second one */
    assert_int_equal(f.n_downs, 0);
    assert_int_equal(stats_get(f.stats, STAT_DB_LOST), 0);
    close_all(&f);
}

static void test_server_hangs(void **state)
{
    struct db_opts opts = defaults;
    struct fixture f;
    struct answer a[4];

    (void)state;
    opts.timeout_ms = 3000;
    opts.connect_timeout_ms = 1500;
    open_up(&f, &opts);
    wait_complete(&f);
    pg_server_pause(server);
    ask(&f, &one, DB_ARG_NULL, &a[0]);
    wait_answer(&f, &a[0]);
    assert_int_equal(a[0].code, ERR_TIMEOUT);
    assert_true(loop_run_until(f.loop, &f.down, TURNS));
    /* The idle connection is given up with the one that got no answer. */
    struct patience p = {0};
    while (stats_get(f.stats, STAT_DB_CONNECTIONS) > 0 && patience_left(&p, TURNS)) {
        one_turn(&f);
    }
    assert_int_equal(stats_get(f.stats, STAT_DB_CONNECTIONS), 0);
    for (size_t i = 0; i < 4; i++) {
        ask(&f, &one, DB_ARG_NULL, &a[i]);
    }
    for (size_t i = 0; i < 4; i++) {
        wait_answer(&f, &a[i]);
        assert_true(a[i].code == ERR_TIMEOUT || a[i].code == ERR_UNAVAILABLE);
    }
    assert_false(db_is_up(f.db));
    /* Soon a try to connect fails too; from then on queries are refused at once. */
    for (int i = 0; i < TURNS; i++) {
        struct answer late = {0};
        struct err err;
        enum err_code code = db_query(f.db, &one, NULL, 0, on_answer, &late, &err);

        if (code) {
            assert_int_equal(code, ERR_UNAVAILABLE);
            break;
        }
        wait_answer(&f, &late);
        assert_true(late.code == ERR_TIMEOUT || late.code == ERR_UNAVAILABLE);
    }
    assert_true(stats_get(f.stats, STAT_DB_CONNECT_FAILURES) > 0);
    assert_int_equal(stats_get(f.stats, STAT_DB_CONNECTIONS), 0);
    pg_server_resume(server);
    assert_true(loop_run_until(f.loop, &f.up, TURNS));
    assert_works(&f);
    close_all(&f);
}

/* --- connections that break --- */

#define TERMINATE                                                                                  \
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'test_db'"

static void test_backend_killed_mid_query(void **state)
{
    struct db_opts opts = defaults;
    struct fixture f;
    struct answer a;
    struct answer waiting;

    (void)state;
    opts.pool = 1;
    open_up(&f, &opts);
    ask(&f, &nap, DB_ARG_I64(60000), &a);
    wait_asleep(&f);
    ask(&f, &one, DB_ARG_NULL, &waiting);
    pg_server_sql(conninfo, TERMINATE);
    wait_answer(&f, &a);
    assert_int_equal(a.code, ERR_UNAVAILABLE);
    assert_non_null(strstr(a.msg, "57P01"));
    wait_answer(&f, &waiting); /* on the next connection */
    assert_int_equal(waiting.code, ERR_OK);
    assert_int_equal(f.n_downs, 1);
    assert_int_equal(stats_get(f.stats, STAT_DB_LOST), 1);
    close_all(&f);
}

static void test_idle_backends_killed(void **state)
{
    struct fixture f;

    (void)state;
    open_up(&f, &defaults);
    wait_complete(&f);
    pg_server_sql(conninfo, TERMINATE);
    pg_server_wait(conninfo, "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = "
                             "'test_db'"); /* both are gone before we see the first go */
    assert_true(loop_run_until(f.loop, &f.down, TURNS));
    assert_true(loop_run_until(f.loop, &f.up, TURNS));
    assert_works(&f);
    assert_int_equal(stats_get(f.stats, STAT_DB_LOST), 2);
    close_all(&f);
}

static void test_server_stops_and_comes_back(void **state)
{
    static const enum pg_server_stop ways[] = {PG_STOP_IMMEDIATE, PG_STOP_FAST, PG_STOP_KILL};
    struct fixture f;
    struct answer a;
    struct err err;

    (void)state;
    open_up(&f, &defaults);
    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        wait_complete(&f);
        ask(&f, &nap, DB_ARG_I64(60000), &a);
        wait_asleep(&f);
        pg_server_stop(server, ways[i]);
        wait_answer(&f, &a);
        assert_int_equal(a.code, ERR_UNAVAILABLE);
        assert_true(loop_run_until(f.loop, &f.down, TURNS));
        /* Once a try to connect has failed, queries are refused at once and say why. */
        while (db_query(f.db, &one, NULL, 0, on_answer, &a, &err) == ERR_OK) {
            a = (struct answer){0};
            wait_answer(&f, &a);
            assert_int_equal(a.code, ERR_UNAVAILABLE);
        }
        assert_int_equal(err.code, ERR_UNAVAILABLE);
        assert_true(err.msg[0] != '\0');
        pg_server_restart(server);
        assert_true(loop_run_until(f.loop, &f.up, TURNS));
        assert_works(&f);
    }
    /* More when a connection comes up from what its dead server had sent, and breaks. */
    assert_true(f.n_downs >= 3);
    assert_int_equal(f.n_ups, f.n_downs + 1);
    close_all(&f);
}

static void test_server_comes_later(void **state)
{
    struct fixture f;
    struct answer a;

    (void)state;
    pg_server_stop(server, PG_STOP_FAST);
    open_with(&f, &defaults, conninfo);
    ask(&f, &one, DB_ARG_NULL, &a); /* nothing is known yet: it waits */
    wait_answer(&f, &a);
    assert_int_equal(a.code, ERR_UNAVAILABLE);
    assert_int_equal(f.n_ups, 0);
    pg_server_launch(server); /* some tries meet a server that is starting up */
    assert_true(loop_run_until(f.loop, &f.up, TURNS));
    assert_works(&f);
    close_all(&f);
}

/* --- prepared statements that do not hold --- */

static void test_outdated_statements(void **state)
{
    static const struct db_stmt all = {"all", "SELECT * FROM changing"};
    static const struct db_stmt deallocate = {"deallocate", "DEALLOCATE ALL"};
    struct db_opts opts = defaults;
    struct fixture f;
    struct answer a;

    (void)state;
    opts.pool = 1;
    pg_server_sql(conninfo, "CREATE TABLE changing (a int8); INSERT INTO changing VALUES (3)");
    open_up(&f, &opts);
    ask_and_wait(&f, &all, DB_ARG_NULL, &a);
    assert_int_equal(a.code, ERR_OK);
    pg_server_sql(conninfo, "ALTER TABLE changing ALTER a TYPE text");
    ask_and_wait(&f, &all, DB_ARG_NULL, &a);
    assert_int_equal(a.code, ERR_RETRY);
    ask_and_wait(&f, &all, DB_ARG_NULL, &a);
    assert_int_equal(a.code, ERR_OK);
    ask_and_wait(&f, &deallocate, DB_ARG_NULL, &a);
    assert_int_equal(a.code, ERR_OK);
    ask_and_wait(&f, &all, DB_ARG_NULL, &a);
    assert_int_equal(a.code, ERR_RETRY);
    ask_and_wait(&f, &all, DB_ARG_NULL, &a);
    assert_int_equal(a.code, ERR_OK);
    assert_int_equal(f.n_downs, 0);
    pg_server_sql(conninfo, "DROP TABLE changing");
    close_all(&f);
}

/* --- owners that lose interest --- */

static void test_forget(void **state)
{
    struct db_opts opts = defaults;
    struct fixture f;
    struct answer flying;
    struct answer queued;
    struct answer other;

    (void)state;
    opts.pool = 1;
    open_up(&f, &opts);
    ask(&f, &nap, DB_ARG_I64(100), &flying);
    loop_run_turns(f.loop, 2);
    ask(&f, &one, DB_ARG_NULL, &queued);
    ask(&f, &one, DB_ARG_NULL, &other);
    db_forget(f.db, &flying);
    db_forget(f.db, &queued);
    assert_int_equal(stats_get(f.stats, STAT_DB_QUEUE), 1);
    wait_answer(&f, &other);
    assert_int_equal(other.code, ERR_OK);
    assert_int_equal(flying.n, 0);
    assert_int_equal(queued.n, 0);
    close_all(&f);
    assert_int_equal(flying.n + queued.n, 0);
}

/* Closing after k turns, from every state the pool can be in: each query is answered once, everything is released. */
static void close_after(unsigned k, const char *where)
{
    struct fixture f;
    struct answer a[3];

    open_with(&f, &defaults, where);
    ask(&f, &big, DB_ARG_I64(300), &a[0]);
    ask(&f, &one, DB_ARG_NULL, &a[1]);
    ask(&f, &nap, DB_ARG_I64(60000), &a[2]);
    for (unsigned i = 0; i < k; i++) {
        one_turn(&f);
    }
    close_all(&f);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(a[i].n, 1);
        assert_true(a[i].code == ERR_OK || a[i].code == ERR_CANCELED ||
                    a[i].code == ERR_UNAVAILABLE);
    }
    assert_int_equal(a[2].code == ERR_OK, 0);
}

static void test_close_at_every_turn(void **state)
{
    char tcp[PG_SERVER_CONNINFO_BYTES];

    (void)state;
    snprintf(tcp, sizeof(tcp), "host=localhost port=%u user=postgres dbname=db1",
             pg_server_port(server));
    for (unsigned k = 0; k < 25; k++) {
        close_after(k, conninfo);
        close_after(k, tcp);
        close_after(k, "host=/nonexistent");
    }
}

struct closer {
    struct fixture *f;
    bool done;
    enum err_code again;
};

static void close_in_answer(void *ctx, enum err_code code, const struct err *err,
                            const struct db_rows *rows)
{
    struct closer *c = ctx;

    (void)code;
    (void)err;
    (void)rows;
    c->done = true;
    db_close(c->f->db, on_closed, c->f);
    c->again = db_query(c->f->db, &one, NULL, 0, close_in_answer, ctx, NULL);
}

static void test_close_in_callback(void **state)
{
    struct fixture f;
    struct closer c = {.f = &f};

    (void)state;
    open_up(&f, &defaults);
    assert_int_equal(db_query(f.db, &one, NULL, 0, close_in_answer, &c, NULL), ERR_OK);
    assert_true(loop_run_until(f.loop, &f.closed, TURNS));
    assert_true(c.done);
    assert_int_equal(c.again, ERR_CANCELED);
    loop_free(f.loop);
    stats_free(f.stats);
}

/* --- where to connect --- */

#define LONG_LABEL "a123456789b123456789c123456789d123456789e123456789f123456789g123456789"

static void test_names(void **state)
{
    /* A label of 70 characters is no name: resolvers refuse it without asking anybody. */
    static const char *const good[] = {
        "host=localhost port=%u user=postgres dbname=db1",
        "host=127.0.0.1 port=%u user=postgres dbname=db1",
        "postgresql://postgres@localhost:%u/db1?connect_timeout=3",
        "host=" LONG_LABEL ",localhost port=%u user=postgres dbname=db1",
        "host=localhost," LONG_LABEL ",/nonexistent port=%u user=postgres dbname=db1",
    };
    struct fixture f;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        char where[PG_SERVER_CONNINFO_BYTES * 2];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(where, sizeof(where), good[i], pg_server_port(server));
#pragma GCC diagnostic pop
        open_with(&f, &defaults, where);
        assert_true(loop_run_until(f.loop, &f.up, TURNS));
        assert_works(&f);
        close_all(&f);
    }
}

static void test_no_such_place(void **state)
{
    static const struct {
        const char *conninfo;
        const char *says;
    } bad[] = {
        {"host=" LONG_LABEL, "resolve " LONG_LABEL}, {"host=/nonexistent", "No such file"},
        {"host=127.0.0.1 port=1", "refused"},        {"host=localhost port=1", "refused"},
        {"nonsense", "connection string"},           {"host=localhost port=999999", "port"},
    };
    struct err err;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct fixture f;
        struct answer a;

        open_with(&f, &defaults, bad[i].conninfo);
        ask(&f, &one, DB_ARG_NULL, &a);
        wait_answer(&f, &a);
        assert_int_equal(a.code, ERR_UNAVAILABLE);
        if (!strstr(a.msg, bad[i].says)) {
            fail_msg("%s: %s", bad[i].conninfo, a.msg);
        }
        close_all(&f);
    }
    assert_int_equal(db_conninfo_check("nonsense", &err), ERR_INVALID);
    assert_int_equal(db_conninfo_check("postgresql://u:p@h/d", &err), ERR_OK);
    assert_int_equal(db_conninfo_check("host=a,b dbname=c", &err), ERR_OK);
}

/* --- all of it, at random --- */

static void test_storm(void **state)
{
    enum { STEPS = 400 };
    struct db_opts opts = defaults;
    struct fixture f;
    struct answer *a = mem_new_array(struct answer, STEPS);
    bool forgotten[STEPS] = {false};
    bool refused[STEPS] = {false};
    unsigned n_ok = 0;
    struct rng r;

    (void)state;
    test_rng(&r);
    opts.max_queue = 20;
    opts.max_result_bytes = 64 << 10;
    open_up(&f, &opts);
    for (size_t i = 0; i < STEPS; i++) {
        const struct db_stmt *stmts[] = {&one, &big, &nap, &pid};
        const struct db_stmt *stmt = stmts[rng_below(&r, 4)];
        struct db_arg arg =
            DB_ARG_I64(stmt == &nap ? rng_between(&r, 0, 20) : rng_between(&r, 0, 200));

        refused[i] = db_query(f.db, stmt, &arg, strchr(stmt->sql, '$') != NULL, on_answer, &a[i],
                              NULL) != ERR_OK;
        for (uint64_t k = rng_below(&r, 4); k > 0; k--) {
            one_turn(&f);
        }
        if (rng_below(&r, 10) == 0 && !a[i].done && !refused[i]) {
            db_forget(f.db, &a[i]);
            forgotten[i] = true;
        }
        if (rng_below(&r, 40) == 0) {
            pg_server_sql(conninfo, TERMINATE);
        }
    }
    for (size_t i = 0; i < STEPS; i++) {
        if (!refused[i] && !forgotten[i]) {
            wait_answer(&f, &a[i]);
            n_ok += a[i].code == ERR_OK;
        }
    }
    assert_true(n_ok > 0);
    close_all(&f);
    for (size_t i = 0; i < STEPS; i++) {
        assert_int_equal(a[i].n, !refused[i] && !forgotten[i]);
    }
    mem_free(a);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_held),
        cmocka_unit_test(test_affected),
        cmocka_unit_test(test_bad_arguments),
        cmocka_unit_test(test_error_classes),
        cmocka_unit_test(test_copy_as_query_is_refused),
        cmocka_unit_test(test_big_results),
        cmocka_unit_test(test_many_on_few),
        cmocka_unit_test(test_queue_full),
        cmocka_unit_test(test_server_side_timeout),
        cmocka_unit_test(test_timeout_in_queue),
        cmocka_unit_test(test_server_hangs),
        cmocka_unit_test(test_backend_killed_mid_query),
        cmocka_unit_test(test_idle_backends_killed),
        cmocka_unit_test(test_server_stops_and_comes_back),
        cmocka_unit_test(test_server_comes_later),
        cmocka_unit_test(test_outdated_statements),
        cmocka_unit_test(test_forget),
        cmocka_unit_test(test_close_at_every_turn),
        cmocka_unit_test(test_close_in_callback),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_no_such_place),
        cmocka_unit_test(test_storm),
    };
    const struct pg_server_opts opts = {.tcp = true};
    int rc;

    server = pg_server_start(&opts);
    pg_server_new_db(server, conninfo);
    pg_server_sql(conninfo, "CREATE FUNCTION raise(state text) RETURNS text LANGUAGE plpgsql AS"
                            " $$ BEGIN RAISE EXCEPTION 'raised' USING ERRCODE = state; END $$");
    rc = run_tests(argc, argv, tests, ARRAY_LEN(tests));
    pg_server_free(server);
    return rc;
}
