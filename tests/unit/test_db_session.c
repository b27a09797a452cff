/* The writer's session against a real server: transactions, COPY, and everything that can break them. */
#include "server/db/db_session.h"

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
static char conninfo[PG_SERVER_CONNINFO_BYTES];

struct fixture {
    struct loop *loop;
    struct stats *stats;
    struct db_session *s;
    unsigned n_ups;
    unsigned n_downs;
    bool up;
    bool down;
    enum err_code down_code;
    char down_msg[ERR_MSG_BYTES];
    bool closed;
    /* the operation */
    unsigned n_done;
    bool done;
    bool down_at_done; /* on_down had been called already */
    enum err_code code;
    char msg[ERR_MSG_BYTES];
    size_t affected;
    char text[64];
};

static const struct db_stmt begin = {"begin", "BEGIN"};
static const struct db_stmt commit = {"commit", "COMMIT"};
static const struct db_stmt rollback = {"rollback", "ROLLBACK"};
static const struct db_stmt one = {"one", "SELECT 1"};
static const struct db_stmt nap = {"nap", "SELECT pg_sleep(60)"};
static const struct db_stmt insert = {"insert", "INSERT INTO line (id) VALUES ($1)"};
#define COPY_LINE "COPY line (id, text) FROM STDIN"
#define COPY_SLOW "COPY slow (id, text) FROM STDIN"

static const struct db_session_opts defaults = {
    .application_name = "test_session",
    .connect_timeout_ms = 60000,
    .timeout_ms = 90000,
};

static void on_up(void *ctx)
{
    struct fixture *f = ctx;

    f->up = true;
    f->down = false;
    f->n_ups++;
    assert_true(db_session_is_up(f->s));
}

static void on_down(void *ctx, const struct err *err)
{
    struct fixture *f = ctx;

    assert_true(err->msg[0] != '\0');
    f->up = false;
    f->down = true;
    f->down_code = err->code;
    snprintf(f->down_msg, sizeof(f->down_msg), "%s", err->msg);
    f->n_downs++;
    assert_false(db_session_is_up(f->s));
}

static void open_with(struct fixture *f, const struct db_session_opts *opts, const char *where)
{
    struct db_session_opts o = *opts;

    *f = (struct fixture){0};
    o.conninfo = where;
    o.on_up = on_up;
    o.on_down = on_down;
    o.ctx = f;
    f->loop = loop_new();
    f->stats = stats_new();
    f->s = db_session_new(f->loop, &o, f->stats);
}

static void open_up(struct fixture *f, const struct db_session_opts *opts)
{
    open_with(f, opts, conninfo);
    assert_true(loop_run_until(f->loop, &f->up, TURNS));
}

static void on_closed(void *ctx)
{
    struct fixture *f = ctx;

    assert_false(f->closed);
    f->closed = true;
}

static void close_all(struct fixture *f)
{
    db_session_close(f->s, on_closed, f);
    assert_false(f->closed);
    assert_true(loop_run_until(f->loop, &f->closed, TURNS));
    loop_free(f->loop);
    stats_free(f->stats);
}

static void one_turn(struct fixture *f)
{
    bool never = false;

    assert_false(loop_run_until(f->loop, &never, 1));
}

static void on_done(void *ctx, enum err_code code, const struct err *err,
                    const struct db_rows *rows)
{
    struct fixture *f = ctx;

    f->n_done++;
    f->done = true;
    f->code = code;
    f->down_at_done = f->down;
    snprintf(f->msg, sizeof(f->msg), "%s", err->msg);
    assert_true((code == ERR_OK) == (rows != NULL));
    f->affected = rows ? db_rows_affected(rows) : 0;
    if (rows && db_rows_n(rows) > 0) {
        snprintf(f->text, sizeof(f->text), STR_FMT, STR_ARG(db_text(rows, 0, 0)));
    }
}

static void start_exec(struct fixture *f, const struct db_stmt *stmt, int64_t arg)
{
    struct db_arg a = DB_ARG_I64(arg);
    struct err err = {0};
    unsigned n = f->n_done;

    f->done = false;
    assert_int_equal(
        db_session_exec(f->s, stmt, &a, strchr(stmt->sql, '$') != NULL, on_done, f, &err), ERR_OK);
    assert_int_equal(f->n_done, n);
}

static void start_copy(struct fixture *f, const char *sql, struct str data)
{
    struct err err = {0};
    unsigned n = f->n_done;

    f->done = false;
    assert_int_equal(db_session_copy(f->s, sql, data, on_done, f, &err), ERR_OK);
    assert_int_equal(f->n_done, n);
}

static enum err_code finish(struct fixture *f)
{
    unsigned n = f->n_done;

    assert_true(loop_run_until(f->loop, &f->done, TURNS));
    assert_int_equal(f->n_done, n + 1);
    return f->code;
}

static enum err_code exec(struct fixture *f, const struct db_stmt *stmt, int64_t arg)
{
    start_exec(f, stmt, arg);
    return finish(f);
}

static enum err_code copy(struct fixture *f, const char *sql, struct str data)
{
    start_copy(f, sql, data);
    return finish(f);
}

static void assert_works(struct fixture *f)
{
    assert_int_equal(exec(f, &one, 0), ERR_OK);
    assert_string_equal(f->text, "1");
}

/* Turns the loop until SQL from outside gives `expected`. */
static void wait_sql(struct fixture *f, const char *sql, int64_t expected)
{
    struct patience p = {0};
    while (pg_server_i64(conninfo, sql) != expected && patience_left(&p, 0)) {
        one_turn(f);
    }
    assert_int_equal(pg_server_i64(conninfo, sql), expected);
}

#define ASLEEP                                                                                     \
    "SELECT count(*) FROM pg_stat_activity"                                                        \
    " WHERE application_name = 'test_session' AND wait_event = 'PgSleep'"
#define TERMINATE                                                                                  \
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"                                       \
    " WHERE application_name = 'test_session'"

static int empty_tables(void **state)
{
    (void)state;
    pg_server_sql(conninfo, "TRUNCATE line, slow");
    return 0;
}

static void lines(struct buf *b, int first, int n, size_t width)
{
    buf_init(b, 64 << 20);
    for (int i = first; i < first + n; i++) {
        buf_put_i64(b, i);
        buf_put_c(b, '\t');
        for (size_t k = 0; k < width; k++) {
            buf_put_c(b, 'x');
        }
        buf_put_c(b, '\n');
    }
    assert_true(buf_ok(b));
}

/* --- what works --- */

static void test_transaction_with_copy(void **state)
{
    static const char *const texts[] = {
        "plain", "tab\there", "line\nbreak\r\n", "back\\slash", "\\N",
        "\\.",   "",          "弹幕，你好",      "\\\t\\\n",    "'\"$1"};
    CLEANUP(buf_deinit) struct buf b;
    struct fixture f;

    (void)state;
    buf_init(&b, 65536);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        buf_put_u64(&b, i);
        buf_put_c(&b, '\t');
        db_copy_text(&b, str_of(texts[i]));
        buf_put_c(&b, '\n');
    }
    open_up(&f, &defaults);
    assert_int_equal(exec(&f, &begin, 0), ERR_OK);
    assert_int_equal(exec(&f, &insert, 100), ERR_OK);
    assert_int_equal(f.affected, 1);
    assert_int_equal(copy(&f, COPY_LINE, buf_str(&b)), ERR_OK);
    assert_int_equal(f.affected, ARRAY_LEN(texts));
    assert_int_equal(pg_server_i64(conninfo, "SELECT count(*) FROM line"), 0);
    assert_int_equal(exec(&f, &commit, 0), ERR_OK);
    assert_int_equal(pg_server_i64(conninfo, "SELECT count(*) FROM line"), 1 + ARRAY_LEN(texts));
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        char sql[64];
        char *text;

        snprintf(sql, sizeof(sql), "SELECT text FROM line WHERE id = %zu", i);
        text = pg_server_text(conninfo, sql);
        assert_string_equal(text, texts[i]);
        mem_free(text);
    }
    /* The same statements again, prepared now. */
    assert_int_equal(exec(&f, &begin, 0), ERR_OK);
    assert_int_equal(exec(&f, &insert, 101), ERR_OK);
    assert_int_equal(exec(&f, &rollback, 0), ERR_OK);
    assert_int_equal(copy(&f, COPY_LINE, STR_NULL), ERR_OK);
    assert_int_equal(f.affected, 0);
    assert_int_equal(pg_server_i64(conninfo, "SELECT max(id) FROM line"), 100);
    assert_int_equal(f.n_ups, 1);
    assert_int_equal(f.n_downs, 0);
    close_all(&f);
}

static void test_large_copy(void **state)
{
    enum { N = 20000, WIDTH = 1000 };
    CLEANUP(buf_deinit) struct buf b;
    struct fixture f;

    (void)state;
    lines(&b, 0, N, WIDTH); /* 20 MB */
    open_up(&f, &defaults);
    assert_int_equal(copy(&f, COPY_LINE, buf_str(&b)), ERR_OK);
    assert_int_equal(f.affected, N);
    assert_int_equal(pg_server_i64(conninfo, "SELECT sum(length(text)) FROM line"),
                     (int64_t)N * WIDTH);
    close_all(&f);
}

struct chain {
    struct fixture *f;
    size_t at;
    bool done;
};

static void next_in_chain(void *ctx, enum err_code code, const struct err *err,
                          const struct db_rows *rows)
{
    static const struct db_stmt *const stmts[] = {&begin, &insert, &insert, &commit};
    struct chain *c = ctx;
    struct db_arg a = DB_ARG_I64((int64_t)c->at);

    (void)rows;
    if (code) {
        fail_msg("%s", err->msg);
    }
    if (c->at == ARRAY_LEN(stmts)) {
        c->done = true;
        return;
    }
    const struct db_stmt *stmt = stmts[c->at++];
    assert_int_equal(db_session_exec(c->f->s, stmt, &a, stmt == &insert, next_in_chain, c, NULL),
                     ERR_OK);
}

static void test_next_from_done(void **state)
{
    struct fixture f;
    struct chain c = {.f = &f};

    (void)state;
    open_up(&f, &defaults);
    next_in_chain(&c, ERR_OK, NULL, NULL);
    assert_true(loop_run_until(f.loop, &c.done, TURNS));
    assert_int_equal(pg_server_i64(conninfo, "SELECT count(*) FROM line"), 2);
    close_all(&f);
}

/* --- data and statements that are wrong: the session stays --- */

static void test_bad_data(void **state)
{
    static const struct {
        const char *data;
        const char *sqlstate;
    } cases[] = {
        {"1\ta\n1\tb\n", "23505"},      /* the same key twice */
        {"x\ta\n", "22P02"},            /* no number */
        {"1\ta\tb\n", "22P04"},         /* too many columns */
        {"1\tbad \xe5\xbc\n", "22021"}, /* no UTF-8 */
        {"99999999999999999999\ta\n", "22003"},
    };
    struct fixture f;

    (void)state;
    open_up(&f, &defaults);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEANUP(buf_deinit) struct buf b;

        /* The bad line comes after much good data, which is still being sent when the server refuses. */
        lines(&b, 1000, 20000, 100);
        buf_put(&b, str_of(cases[i].data));
        for (int k = 0; k < 20000; k++) {
            buf_put(&b, STR("5\tmore\n"));
        }
        assert_int_equal(exec(&f, &begin, 0), ERR_OK);
        assert_int_equal(copy(&f, COPY_LINE, buf_str(&b)), ERR_INVALID);
        if (!strstr(f.msg, cases[i].sqlstate)) {
            fail_msg("%s: %s", cases[i].sqlstate, f.msg);
        }
        assert_int_equal(exec(&f, &insert, 1), ERR_INTERNAL); /* 25P02: nothing but ROLLBACK */
        if (i % 2) {
            assert_int_equal(exec(&f, &rollback, 0), ERR_OK);
        } else {
            assert_int_equal(exec(&f, &commit, 0), ERR_RETRY); /* "succeeds" as ROLLBACK */
        }
        assert_int_equal(pg_server_i64(conninfo, "SELECT count(*) FROM line"), 0);
    }
    assert_works(&f);
    assert_int_equal(f.n_downs, 0);
    close_all(&f);
}

static void test_wrong_statements(void **state)
{
    static const struct db_stmt copy_as_exec = {"copy", COPY_LINE};
    struct fixture f;

    (void)state;
    open_up(&f, &defaults);
    assert_int_equal(copy(&f, "COPY nowhere FROM STDIN", STR("1\n")), ERR_INTERNAL);
    assert_int_equal(copy(&f, "SELECT 1", STR("1\n")), ERR_INTERNAL);
    assert_works(&f);
    assert_int_equal(f.n_downs, 0);
    assert_int_equal(exec(&f, &copy_as_exec, 0), ERR_INTERNAL);
    assert_true(loop_run_until(f.loop, &f.down, TURNS)); /* no way back but a new connection */
    assert_true(loop_run_until(f.loop, &f.up, TURNS));
    assert_works(&f);
    close_all(&f);
}

static enum err_code run_script(struct fixture *f, const char *sql)
{
    f->done = false;
    assert_int_equal(db_session_script(f->s, sql, on_done, f, NULL), ERR_OK);
    return finish(f);
}

static void test_scripts(void **state)
{
    struct fixture f;

    (void)state;
    open_up(&f, &defaults);
    assert_int_equal(
        run_script(&f, "BEGIN; INSERT INTO line VALUES (1, 'a'); SELECT 'seven' FOR UPDATE"),
        ERR_OK);
    assert_string_equal(f.text, "seven");
    assert_int_equal(copy(&f, COPY_LINE, STR("2\tb\n")), ERR_OK);
    assert_int_equal(pg_server_i64(conninfo, "SELECT count(*) FROM line"), 0);
    assert_int_equal(run_script(&f, "UPDATE line SET text = 'c' WHERE id = 2; COMMIT"), ERR_OK);
    assert_int_equal(pg_server_i64(conninfo, "SELECT count(*) FROM line WHERE text <> 'b'"), 2);
    /* What fails takes the rest with it, and says so also where the server calls it a success. */
    assert_int_not_equal(run_script(&f, "INSERT INTO line VALUES (3, 'd'); SELECT 1 / 0; "
                                        "INSERT INTO line VALUES (4, 'e')"),
                         ERR_OK);
    assert_int_not_equal(run_script(&f, "BEGIN; SELECT 1 / 0"), ERR_OK);
    assert_int_not_equal(run_script(&f, "INSERT INTO line VALUES (5, 'f'); COMMIT"), ERR_OK);
    assert_int_equal(run_script(&f, "COMMIT"), ERR_RETRY);
    assert_int_equal(pg_server_i64(conninfo, "SELECT count(*) FROM line"), 2);
    assert_works(&f);
    close_all(&f);
}

/* --- connections that break --- */

static void assert_lost_and_back(struct fixture *f, enum err_code code)
{
    assert_int_equal(finish(f), code);
    assert_false(f->down_at_done);
    assert_true(loop_run_until(f->loop, &f->down, TURNS));
    assert_int_equal(f->down_code, code);
    assert_int_equal(db_session_exec(f->s, &one, NULL, 0, on_done, f, NULL), ERR_UNAVAILABLE);
    assert_true(loop_run_until(f->loop, &f->up, TURNS));
    assert_works(f);
}

static void test_killed_mid_statement(void **state)
{
    struct fixture f;

    (void)state;
    open_up(&f, &defaults);
    assert_int_equal(exec(&f, &begin, 0), ERR_OK);
    assert_int_equal(exec(&f, &insert, 1), ERR_OK);
    start_exec(&f, &nap, 0);
    wait_sql(&f, ASLEEP, 1);
    pg_server_sql(conninfo, TERMINATE);
    assert_lost_and_back(&f, ERR_UNAVAILABLE);
    assert_int_equal(pg_server_i64(conninfo, "SELECT count(*) FROM line"), 0);
    close_all(&f);
}

/* The backend sleeps in its first row while we still have megabytes to send. */
static void test_killed_mid_copy(void **state)
{
    CLEANUP(buf_deinit) struct buf b;
    struct fixture f;

    (void)state;
    lines(&b, 0, 10000, 1000);
    open_up(&f, &defaults);
    assert_int_equal(exec(&f, &begin, 0), ERR_OK);
    start_copy(&f, COPY_SLOW, buf_str(&b));
    wait_sql(&f, ASLEEP, 1);
    pg_server_sql(conninfo, TERMINATE);
    assert_lost_and_back(&f, ERR_UNAVAILABLE);
    assert_int_equal(pg_server_i64(conninfo, "SELECT count(*) FROM slow"), 0);
    assert_int_equal(stats_get(f.stats, STAT_DB_LOST), 1);
    assert_int_equal(stats_get(f.stats, STAT_DB_ERRORS_UNAVAILABLE), 1);
    close_all(&f);
}

static void test_killed_while_idle(void **state)
{
    struct fixture f;

    (void)state;
    open_up(&f, &defaults);
    pg_server_sql(conninfo, TERMINATE);
    assert_true(loop_run_until(f.loop, &f.down, TURNS));
    assert_int_equal(f.down_code, ERR_UNAVAILABLE);
    assert_non_null(strstr(f.down_msg, "administrator command")); /* the server's last word */
    assert_true(loop_run_until(f.loop, &f.up, TURNS));
    assert_works(&f);
    close_all(&f);
}

static void test_server_stops(void **state)
{
    CLEANUP(buf_deinit) struct buf b;
    struct fixture f;

    (void)state;
    lines(&b, 0, 10000, 1000);
    open_up(&f, &defaults);
    assert_int_equal(exec(&f, &begin, 0), ERR_OK);
    start_copy(&f, COPY_SLOW, buf_str(&b));
    wait_sql(&f, ASLEEP, 1);
    pg_server_stop(server, PG_STOP_IMMEDIATE);
    assert_int_equal(finish(&f), ERR_UNAVAILABLE);
    assert_true(loop_run_until(f.loop, &f.down, TURNS));
    struct patience p = {0};
    while (stats_get(f.stats, STAT_DB_CONNECT_FAILURES) < 2 && patience_left(&p, TURNS)) {
        one_turn(&f);
    }
    assert_int_equal(f.n_downs, 1); /* told once, however often a try fails */
    pg_server_restart(server);
    assert_true(loop_run_until(f.loop, &f.up, TURNS));
    assert_works(&f);
    assert_int_equal(pg_server_i64(conninfo, "SELECT count(*) FROM slow"), 0);
    close_all(&f);
}

static void test_server_not_there(void **state)
{
    struct fixture f;

    (void)state;
    open_with(&f, &defaults, "host=/nonexistent");
    assert_int_equal(db_session_exec(f.s, &one, NULL, 0, on_done, &f, NULL), ERR_UNAVAILABLE);
    assert_true(loop_run_until(f.loop, &f.down, TURNS));
    assert_int_equal(f.n_downs, 1);
    close_all(&f);
    assert_int_equal(f.n_done, 0);
}

/* --- time --- */

static void test_server_hangs(void **state)
{
    struct db_session_opts opts = defaults;
    CLEANUP(buf_deinit) struct buf b;
    struct fixture f;

    (void)state;
    opts.timeout_ms = 3000;
    opts.connect_timeout_ms = 1500;
    lines(&b, 0, 10000, 1000);
    open_up(&f, &opts);
    assert_int_equal(exec(&f, &begin, 0), ERR_OK);
    pg_server_pause(server);
    start_copy(&f, COPY_LINE, buf_str(&b));
    assert_int_equal(finish(&f), ERR_TIMEOUT);
    assert_true(loop_run_until(f.loop, &f.down, TURNS));
    struct patience p = {0};
    while (stats_get(f.stats, STAT_DB_CONNECT_FAILURES) < 1 && patience_left(&p, TURNS)) {
        one_turn(&f);
    }
    assert_int_equal(f.n_downs, 1);
    pg_server_resume(server);
    assert_true(loop_run_until(f.loop, &f.up, TURNS));
    assert_works(&f);
    /* The old backend sees that nobody is there and rolls back. */
    wait_sql(&f, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'test_session'",
             1);
    assert_int_equal(pg_server_i64(conninfo, "SELECT count(*) FROM line"), 0);
    close_all(&f);
}

static void test_statement_takes_too_long(void **state)
{
    struct db_session_opts opts = defaults;
    struct fixture f;

    (void)state;
    opts.timeout_ms = 3000;
    open_up(&f, &opts);
    start_exec(&f, &nap, 0);
    assert_lost_and_back(&f, ERR_TIMEOUT);
    close_all(&f);
}

/* Waits for a lock longer than allowed: the same as a statement that takes too long. */
static void test_lock_is_not_given(void **state)
{
    struct db_session_opts opts = defaults;
    struct pg_client *holder = pg_client_open(conninfo);
    struct fixture f;

    (void)state;
    opts.timeout_ms = 3000;
    pg_client_sql(holder, "BEGIN; LOCK TABLE line");
    open_up(&f, &opts);
    start_copy(&f, COPY_LINE, STR("1\tx\n"));
    assert_lost_and_back(&f, ERR_TIMEOUT);
    pg_client_close(holder);
    assert_int_equal(copy(&f, COPY_LINE, STR("1\tx\n")), ERR_OK);
    close_all(&f);
}

/* An owner that went silent within a transaction does not hold its locks for ever. */
static void test_silent_in_transaction(void **state)
{
    struct db_session_opts opts = defaults;
    struct fixture f;

    (void)state;
    opts.timeout_ms = 3000;
    open_up(&f, &opts);
    assert_int_equal(exec(&f, &begin, 0), ERR_OK);
    assert_int_equal(exec(&f, &insert, 1), ERR_OK);
    assert_true(loop_run_until(f.loop, &f.down, TURNS));
    assert_int_equal(f.down_code, ERR_UNAVAILABLE);
    assert_true(loop_run_until(f.loop, &f.up, TURNS));
    assert_int_equal(copy(&f, COPY_LINE, STR("1\tx\n")), ERR_OK);
    close_all(&f);
}

/* --- closing --- */

static void close_after(unsigned k, struct str data)
{
    struct fixture f;
    bool started = false;

    open_with(&f, &defaults, conninfo);
    for (unsigned i = 0; i < k; i++) {
        one_turn(&f);
        if (db_session_is_up(f.s) && !started) {
            started = true;
            if (k % 2) {
                start_exec(&f, &nap, 0);
            } else {
                start_copy(&f, COPY_SLOW, data);
            }
        }
    }
    close_all(&f);
    assert_int_equal(f.n_done, started);
    if (started) {
        assert_int_equal(f.code, ERR_CANCELED);
    }
}

static void test_close_at_every_turn(void **state)
{
    CLEANUP(buf_deinit) struct buf b;

    (void)state;
    lines(&b, 0, 5000, 1000);
    for (unsigned k = 0; k < 40; k++) {
        close_after(k, buf_str(&b));
    }
}

static void close_in_done(void *ctx, enum err_code code, const struct err *err,
                          const struct db_rows *rows)
{
    struct fixture *f = ctx;

    on_done(ctx, code, err, rows);
    db_session_close(f->s, on_closed, f);
    assert_int_equal(db_session_exec(f->s, &one, NULL, 0, on_done, f, NULL), ERR_CANCELED);
}

static void close_in_down(void *ctx, const struct err *err)
{
    struct fixture *f = ctx;

    (void)err;
    f->down = true;
    db_session_close(f->s, on_closed, f);
}

static void test_close_in_callbacks(void **state)
{
    struct db_session_opts opts = defaults;
    struct fixture f;

    (void)state;
    open_up(&f, &defaults);
    assert_int_equal(db_session_exec(f.s, &one, NULL, 0, close_in_done, &f, NULL), ERR_OK);
    assert_true(loop_run_until(f.loop, &f.closed, TURNS));
    assert_int_equal(f.n_done, 1);
    loop_free(f.loop);
    stats_free(f.stats);

    f = (struct fixture){.loop = loop_new()};
    opts.conninfo = "host=/nonexistent";
    opts.on_down = close_in_down;
    opts.ctx = &f;
    f.s = db_session_new(f.loop, &opts, NULL);
    assert_true(loop_run_until(f.loop, &f.closed, TURNS));
    assert_true(f.down);
    loop_free(f.loop);
}

static void quiet(void *ctx, struct str line)
{
    (void)ctx;
    (void)line;
}

int main(int argc, char **argv)
{
#define CASE(name) cmocka_unit_test_setup(name, empty_tables)
    static const struct CMUnitTest tests[] = {
        CASE(test_transaction_with_copy),
        CASE(test_scripts),
        CASE(test_large_copy),
        CASE(test_next_from_done),
        CASE(test_bad_data),
        CASE(test_wrong_statements),
        CASE(test_killed_mid_statement),
        CASE(test_killed_mid_copy),
        CASE(test_killed_while_idle),
        CASE(test_server_stops),
        CASE(test_server_not_there),
        CASE(test_server_hangs),
        CASE(test_statement_takes_too_long),
        CASE(test_lock_is_not_given),
        CASE(test_silent_in_transaction),
        CASE(test_close_at_every_turn),
        CASE(test_close_in_callbacks),
    };
    int rc;

    log_set_sink(quiet, NULL);
    server = pg_server_start(NULL);
    pg_server_new_db(server, conninfo);
    pg_server_sql(conninfo,
                  "CREATE TABLE line (id int8 PRIMARY KEY, text text);"
                  "CREATE TABLE slow (LIKE line);"
                  "CREATE FUNCTION nap() RETURNS trigger LANGUAGE plpgsql AS"
                  " $$ BEGIN PERFORM pg_sleep(60); RETURN NEW; END $$;"
                  "CREATE TRIGGER nap BEFORE INSERT ON slow FOR EACH ROW EXECUTE FUNCTION nap()");
    rc = run_tests(argc, argv, tests, ARRAY_LEN(tests));
    pg_server_free(server);
    return rc;
}
