/* Settings: every source, every kind of mistake, and the documents generated from the table. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/config/config.h"
#include "server/config/config_priv.h"
#include "server/core/mem.h"
#include "tests/support/run.h"
#include "tests/support/tmp.h"

enum { TEXT_LIMIT = 1 << 20, PATH_BYTES = 256, MAX_FLAGS = 16 };

struct fixture {
    struct tmp_dir tmp;
    const char *dir;
    char file[PATH_BYTES + 32];
    struct config *c;
    struct buf problems;
    struct buf notes;
};

static int setup(void **state)
{
    struct fixture *f = mem_new(struct fixture);
    tmp_dir_make(&f->tmp);
    f->dir = f->tmp.path;
    (void)snprintf(f->file, sizeof f->file, "%s/t.ini", f->dir);
    buf_init(&f->problems, TEXT_LIMIT);
    buf_init(&f->notes, TEXT_LIMIT);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    tmp_dir_remove(&f->tmp);
    config_free(f->c);
    buf_deinit(&f->problems);
    buf_deinit(&f->notes);
    mem_free(f);
    return 0;
}

static void write_bytes(const char *path, const char *bytes, size_t n)
{
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    assert_int_equal(fwrite(bytes, 1, n, out), n);
    assert_int_equal(fclose(out), 0);
}

static void write_text(const char *path, const char *text)
{
    write_bytes(path, text, strlen(text));
}

struct sources {
    const char *ini; /* NULL: no file */
    const char *env[8];
    const char *flags[8];
    void (*check)(const struct config *c, struct config_check *check);
};

static enum err_code load(struct fixture *f, const struct sources *from)
{
    char *env[9] = {NULL};
    for (size_t i = 0; from->env[i] != NULL; i++) {
        env[i] = mem_dup(from->env[i], strlen(from->env[i]));
    }
    struct config_source src = {.environ = env, .flags = from->flags, .check = from->check};
    while (from->flags[src.n_flags] != NULL) {
        src.n_flags++;
    }
    if (from->ini != NULL) {
        write_text(f->file, from->ini);
        src.file = f->file;
    }
    buf_clear(&f->problems);
    buf_clear(&f->notes);
    enum err_code rc = ERR_OK;
    if (f->c == NULL) {
        rc = config_load(&src, &f->c, &f->problems);
    } else {
        rc = config_reload(f->c, &src, &f->problems, &f->notes);
    }
    for (size_t i = 0; env[i] != NULL; i++) {
        mem_free(env[i]);
    }
    buf_put_c(&f->problems, '\0');
    buf_put_c(&f->notes, '\0');
    return rc;
}
#define LOAD(f, ...) load((f), &(const struct sources){__VA_ARGS__})

/* The problems, each line with the directory of the test taken off. */
static void expect_problems(struct fixture *f, const char *want)
{
    struct buf got;
    buf_init(&got, TEXT_LIMIT);
    const size_t dir = strlen(f->dir) + 1;
    const char *p = f->problems.data;
    while (*p != '\0') {
        if (strncmp(p, f->dir, dir - 1) == 0) {
            p += dir;
        } else {
            buf_put_c(&got, *p++);
        }
    }
    buf_put_c(&got, '\0');
    assert_string_equal(got.data, want);
    buf_deinit(&got);
}

static void test_defaults(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(LOAD(f, .env = {"PATH=/bin", "DANMAKUDX=1"}), ERR_OK);
    assert_string_equal(f->c->listen, "127.0.0.1:8080");
    assert_int_equal(f->c->query_timeout, 10000);
    assert_false(f->c->allow_public);
    assert_int_equal(f->c->rooms.n, 0);
    assert_null(f->c->file);
    assert_string_equal(f->problems.data, "");
}

/* Every default in the table must itself be a value that the table allows. */
static void test_defaults_are_allowed(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(LOAD(f, .ini = NULL), ERR_OK);
    for (size_t i = 0; i < CONFIG_KEYS; i++) {
        struct buf text;
        struct err err = {.code = ERR_OK};
        buf_init(&text, TEXT_LIMIT);
        config_value_print(f->c, &config_keys[i], &text);
        assert_int_equal(config_value_set(f->c, &config_keys[i], buf_str(&text), &err), ERR_OK);
        buf_deinit(&text);
        assert_true(config_keys[i].doc[0] != '\0');
        assert_true(config_keys[i].doc[strlen(config_keys[i].doc) - 1] == '.');
    }
}

static void test_precedence(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(LOAD(f, .ini = "batch_rows = 1\nmax_rooms = 1\nnode=1\ndatabase_pool=9\n",
                          .env = {"DANMAKUD_MAX_ROOMS=2", "DANMAKUD_NODE=2"},
                          .flags = {"node=3", "node=4", "allow-public"}),
                     ERR_OK);
    assert_int_equal(f->c->database_pool, 9);
    assert_int_equal(f->c->batch_rows, 1);
    assert_int_equal(f->c->max_rooms, 2);
    assert_int_equal(f->c->node, 4);
    assert_true(f->c->allow_public);
    assert_string_equal(f->c->file, f->file);
}

static void test_file_from_environment(void **state)
{
    struct fixture *f = *state;
    char env[PATH_BYTES * 2];
    write_text(f->file, "node = 7\n");
    (void)snprintf(env, sizeof env, "DANMAKUD_CONFIG=%s", f->file);
    assert_int_equal(LOAD(f, .env = {env}), ERR_OK);
    assert_int_equal(f->c->node, 7);
}

static void test_ini_syntax(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(LOAD(f, .ini = "\xef\xbb\xbf# c\n; d\n\n[danmakud]\r\n  node = 3 ; why\r\n"
                                    "rooms = 1, 2,,\n  3,\t4\n# between\n\t5 ; last\n"
                                    "heartbeat_interval: 1s\nallow_public=ON\nbatch_bytes = 1m"),
                     ERR_OK);
    assert_int_equal(f->c->node, 3);
    assert_int_equal(f->c->rooms.n, 5);
    assert_string_equal(f->c->rooms.items[0], "1");
    assert_string_equal(f->c->rooms.items[4], "5");
    assert_int_equal(f->c->heartbeat_interval, 1000);
    assert_true(f->c->allow_public);
    assert_int_equal(f->c->batch_bytes, 1 << 20);
}

static void test_all_problems_at_once(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(
        LOAD(f,
             .ini = "node = 64\nqery_timeout = 5s\nthis is nothing\nlisten =\nnode = 1\n[db\n"
                    "query_timeout = 10\n[other]\nmax_rooms = 3\n[danmakud]\nlog_level = loud\n"
                    "completely_different = 1\n",
             .env = {"DANMAKUD_MAX_ROOM=4", "DANMAKUD_BATCH_AGE=soon", "DANMAKUD_ZZZZZ=1"},
             .flags = {"ring-byte=64M", "ring-bytes=1k", "max-rooms"}),
        ERR_INVALID);
    assert_null(f->c);
    expect_problems(
        f, "t.ini:1: node: \"64\" is outside of 0 to 63\n"
           "t.ini:2: qery_timeout: there is no such setting; did you mean query_timeout?\n"
           "t.ini:3: neither a comment nor key = value\n"
           "t.ini:4: listen: must not be empty\n"
           "t.ini:5: node: set twice, first in line 1\n"
           "t.ini:6: neither a comment nor key = value\n"
           "t.ini:7: query_timeout: \"10\" is not a time with its unit, such as 500ms, 30s, 5m, 2h "
           "or 7d\n"
           "t.ini:9: max_rooms: there is no section [other]; keys need none\n"
           "t.ini:11: log_level: \"loud\" is none of debug|info|warn|error\n"
           "t.ini:12: completely_different: there is no such setting\n"
           "DANMAKUD_MAX_ROOM: there is no such setting; did you mean DANMAKUD_MAX_ROOMS?\n"
           "DANMAKUD_BATCH_AGE: \"soon\" is not a time with its unit, such as 500ms, 30s, 5m, 2h "
           "or 7d\n"
           "DANMAKUD_ZZZZZ: there is no such setting\n"
           "--ring-byte: there is no such setting; did you mean --ring-bytes?\n"
           "--ring-bytes: \"1k\" is outside of 1M to 64G\n"
           "--max-rooms: needs a value\n");
}

static void check_rooms(const struct config *c, struct config_check *check)
{
    for (size_t i = 0; i < c->rooms.n; i++) {
        config_problem(check, "rooms", "%s is odd", c->rooms.items[i]);
    }
    config_problem(check, "batch_rows", "%lld is too many", (long long)c->batch_rows);
    config_problem(check, "node", "not this one");
}

/* What the caller checks is told with the rest, where it was set, and never of a value that could not be read. */
static void test_checked_with_the_rest(void **state)
{
    struct fixture *f = *state;
    const enum err_code rc = LOAD(f, .ini = "rooms = 3,\n  5\nbatch_rows = x\n",
                                  .env = {"DANMAKUD_NODE=1"}, .check = check_rooms);
    assert_int_equal(rc, ERR_INVALID);
    expect_problems(f, "t.ini:2: rooms: 3 is odd\n"
                       "t.ini:2: rooms: 5 is odd\n"
                       "t.ini:3: batch_rows: \"x\" is not a whole number\n"
                       "DANMAKUD_NODE: not this one\n");
}

/* The second value of a key is looked at like the first: one run tells all there is to mend. */
static void test_set_twice(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(LOAD(f,
                          .ini = "max_rooms = 5\nmax_rooms = many\nmax_rooms = 6\nrooms = 2\n"
                                 "rooms = 3,\n  5\n",
                          .flags = {"node=2"}, .check = check_rooms),
                     ERR_INVALID);
    expect_problems(f, "batch_rows: 5000 is too many\n"
                       "t.ini:2: max_rooms: set twice, first in line 1\n"
                       "t.ini:2: max_rooms: \"many\" is not a whole number\n"
                       "t.ini:3: max_rooms: set twice, first in line 1\n"
                       "t.ini:5: rooms: set twice, first in line 4\n"
                       "t.ini:6: rooms: 3 is odd\n"
                       "t.ini:6: rooms: 5 is odd\n"
                       "--node: not this one\n");
}

static void test_indented_keys(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(LOAD(f, .ini = "rooms = 1\n  node = 2\nmax_rooms = 5\n  7\n"), ERR_INVALID);
    expect_problems(f, "t.ini:2: rooms: an indented line continues the one above; begin a key in "
                       "the first column\n"
                       "t.ini:4: max_rooms: an indented line continues the one above; begin a key "
                       "in the first column\n");
}

struct number_case {
    const char *flag;
    int64_t want; /* -1: refused */
};

static void test_numbers(void **state)
{
    struct fixture *f = *state;
    static const struct number_case times[] = {
        {"query_timeout=500ms", 500},
        {"query_timeout=30s", 30000},
        {"query_timeout= 5 m ", 300000},
        {"query_timeout=10M", 600000},
        {"query_timeout=99ms", -1},
        {"query_timeout=-5s", -1},
        {"query_timeout=1h", -1},
        {"query_timeout=1.5s", -1},
        {"query_timeout=s", -1},
        {"query_timeout=", -1},
        {"query_timeout=0", -1},
        {"query_timeout=1000", -1},
        {"query_timeout=9223372036854775807d", -1},
        {"query_timeout=5sec", -1},
    };
    static const struct number_case sizes[] = {
        {"batch_bytes=65536", 65536},
        {"batch_bytes=64k", 65536},
        {"batch_bytes=64K", 65536},
        {"batch_bytes=8M", 8 << 20},
        {"batch_bytes=65535", -1},
        {"batch_bytes=1G", -1},
        {"batch_bytes=64kB", -1},
        {"batch_bytes=0x10000", -1},
        {"batch_bytes=9999999999999999999", -1},
    };
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        const enum err_code rc = LOAD(f, .flags = {times[i].flag});
        assert_int_equal(rc, times[i].want < 0 ? ERR_INVALID : ERR_OK);
        if (rc == ERR_OK) {
            assert_int_equal(f->c->query_timeout, times[i].want);
        }
        config_free(TAKE_PTR(f->c));
    }
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const enum err_code rc = LOAD(f, .flags = {sizes[i].flag});
        assert_int_equal(rc, sizes[i].want < 0 ? ERR_INVALID : ERR_OK);
        if (rc == ERR_OK) {
            assert_int_equal(f->c->batch_bytes, sizes[i].want);
        }
        config_free(TAKE_PTR(f->c));
    }
    assert_int_equal(LOAD(f, .flags = {"batch_age=0", "connect_interval=0ms"}), ERR_OK);
    assert_int_equal(f->c->batch_age, 0);
}

static void test_bad_text(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(
        LOAD(f, .flags = {"listen=a\x01", "data_dir=\xff", "log_level=\x1b[31m\xe4\xbd\xa0"}),
        ERR_INVALID);
    expect_problems(f, "--listen: contains a control character\n"
                       "--data-dir: is not UTF-8\n"
                       "--log-level: contains a control character\n");
    write_bytes(f->file, "node=1\n\0\n", 9);
    char env[PATH_BYTES * 2];
    (void)snprintf(env, sizeof env, "DANMAKUD_CONFIG=%s", f->file);
    assert_int_equal(LOAD(f, .env = {env}), ERR_INVALID);
    expect_problems(f, "t.ini: contains a NUL byte: not a text file\n");
    assert_int_equal(LOAD(f, .env = {"DANMAKUD_CONFIG=/nonexistent/x.ini"}), ERR_INVALID);
    expect_problems(f, "/nonexistent/x.ini: cannot be opened: No such file or directory\n");
}

/* Whatever their length, wrong values are answered with those that are allowed. */
static void test_what_is_allowed(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(LOAD(f, .flags = {"spool_overflow=sometimes", "raw=no", "log_level=",
                                       "upstream_url=ftp://x", "upstream_api_url=http://",
                                       "upstream_www_url=gopher://www.example.org"}),
                     ERR_INVALID);
    expect_problems(
        f, "--spool-overflow: \"sometimes\" is none of oldest|newest\n"
           "--raw: \"no\" is none of off|unknown|all\n"
           "--log-level: \"\" is none of debug|info|warn|error\n"
           "--upstream-url: \"ftp://x\" is not http:// or https:// and a host\n"
           "--upstream-api-url: \"http://\" is not http:// or https:// and a host\n"
           "--upstream-www-url: \"gopher://www.example.org\" is not http:// or https:// and a "
           "host\n");
    assert_int_equal(LOAD(f, .flags = {"spool_overflow=never"}), ERR_INVALID);
    expect_problems(f, "--spool-overflow: \"never\" is none of oldest|newest\n");
    assert_int_equal(LOAD(f, .flags = {"spool_overflow=newest", "upstream_url=http://h"}), ERR_OK);
}

static void test_secret_never_shown(void **state)
{
    struct fixture *f = *state;
    struct buf big;
    buf_init(&big, TEXT_LIMIT);
    buf_put(&big, STR("database_url="));
    for (size_t i = 0; i < 5000; i++) {
        buf_put(&big, STR("s3cret"));
    }
    buf_put_c(&big, '\0');
    assert_int_equal(LOAD(f, .flags = {big.data}), ERR_INVALID);
    expect_problems(f, "--database-url: is longer than 4096 bytes\n");
    buf_deinit(&big);

    assert_int_equal(LOAD(f, .flags = {"database_url=postgresql://u:s3cret@h/d"}), ERR_OK);
    struct buf out;
    buf_init(&out, TEXT_LIMIT);
    config_print(f->c, &out);
    buf_put_c(&out, '\0');
    assert_null(strstr(out.data, "s3cret"));
    assert_non_null(strstr(out.data, "database_url = *** ; --database-url\n"));
    buf_deinit(&out);
}

static void test_secret_files(void **state)
{
    struct fixture *f = *state;
    char ini[PATH_BYTES * 2];
    char path[PATH_BYTES + 32];
    (void)snprintf(path, sizeof path, "%s/secret", f->dir);
    write_text(path, "  host=/x password=p \n");
    (void)snprintf(ini, sizeof ini, "database_url_file = %s\n", path);
    assert_int_equal(LOAD(f, .ini = ini), ERR_OK);
    assert_string_equal(f->c->database_url, "host=/x password=p");
    config_free(TAKE_PTR(f->c));

    /* A stronger source's value wins; the same source must not give both. */
    assert_int_equal(LOAD(f, .ini = ini, .env = {"DANMAKUD_DATABASE_URL=host=/y"}), ERR_OK);
    assert_string_equal(f->c->database_url, "host=/y");
    config_free(TAKE_PTR(f->c));
    (void)snprintf(ini, sizeof ini, "database_url = host=/z\ndatabase_url_file = %s\n", path);
    assert_int_equal(LOAD(f, .ini = ini), ERR_INVALID);
    expect_problems(f, "t.ini:2: database_url_file: database_url is set as well; keep one\n");

    write_text(path, "\n");
    (void)snprintf(ini, sizeof ini, "database_url_file = %s\n", path);
    assert_int_equal(LOAD(f, .ini = ini), ERR_INVALID);
    expect_problems(f, "t.ini:1: database_url_file: secret is empty\n");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(LOAD(f, .ini = ini), ERR_INVALID);
    expect_problems(
        f, "t.ini:1: database_url_file: secret cannot be opened: No such file or directory\n");
}

static void test_reload(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(LOAD(f, .ini = "rooms = 1\nnode = 1\nmax_rooms = 10\n"), ERR_OK);
    /* A bad file changes nothing. */
    assert_int_equal(LOAD(f, .ini = "rooms = 2\nmax_rooms = many\n"), ERR_INVALID);
    assert_string_equal(f->c->rooms.items[0], "1");
    assert_int_equal(f->c->max_rooms, 10);
    /* Reloadable keys are taken over, others named. */
    assert_int_equal(LOAD(f, .ini = "rooms = 2, 3\nnode = 2\nlisten = [::1]:1\nlog_level=warn\n"),
                     ERR_OK);
    assert_int_equal(f->c->rooms.n, 2);
    assert_int_equal(f->c->max_rooms, 100);
    assert_string_equal(f->c->log_level, "warn");
    assert_int_equal(f->c->node, 1);
    assert_string_equal(f->c->listen, "127.0.0.1:8080");
    assert_string_equal(f->notes.data, "listen\nnode\n");
}

static void test_is_key(void **state)
{
    (void)state;
    bool is_bool = true;
    assert_true(config_is_key("query-timeout", &is_bool));
    assert_false(is_bool);
    assert_true(config_is_key("allow_public", &is_bool));
    assert_true(is_bool);
    assert_false(config_is_key("query-timeou", &is_bool));
    assert_false(config_is_key("", &is_bool));
}

/* What print-config prints is itself a file that gives the same settings. */
static void test_print_reads_back(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(LOAD(f, .flags = {"rooms=1,2", "batch_age=1500ms", "allow_public=1"}), ERR_OK);
    struct buf first;
    buf_init(&first, TEXT_LIMIT);
    config_print(f->c, &first);
    buf_put_c(&first, '\0');
    assert_non_null(strstr(first.data, "rooms = 1, 2 ; --rooms\n"));
    assert_non_null(strstr(first.data, "data_dir = ; default\n"));
    config_free(TAKE_PTR(f->c));
    assert_int_equal(LOAD(f, .ini = first.data), ERR_OK);
    assert_int_equal(f->c->rooms.n, 2);
    assert_int_equal(f->c->batch_age, 1500);
    assert_true(f->c->allow_public);
    buf_deinit(&first);
}

typedef void(write_fn)(struct buf *out);

/* With DM_UPDATE_DOCS set the file is written instead (the target `docs`). */
static void check_document(const char *path, write_fn *write)
{
    struct buf want;
    struct buf have;
    struct err err = {.code = ERR_OK};
    buf_init(&want, TEXT_LIMIT);
    buf_init(&have, TEXT_LIMIT);
    write(&want);
    assert_true(buf_ok(&want));
    if (getenv("DM_UPDATE_DOCS") != NULL) {
        write_bytes(path, want.data, want.len);
    }
    assert_int_equal(config_file_slurp(path, &have, &err), ERR_OK);
    if (!str_eq(buf_str(&want), buf_str(&have))) {
        fail_msg("%s is out of date: cmake --build --preset dev --target docs", path);
    }
    buf_deinit(&want);
    buf_deinit(&have);
}

static void test_documents(void **state)
{
    (void)state;
    check_document(DM_SOURCE_DIR "/docs/configuration.md", config_write_docs);
    check_document(DM_SOURCE_DIR "/docs/danmakud.ini.example", config_write_example);
}

/* The example with every comment sign before a key removed is a file without a problem. */
static void test_example_loads(void **state)
{
    struct fixture *f = *state;
    struct buf example;
    struct buf ini;
    buf_init(&example, TEXT_LIMIT);
    buf_init(&ini, TEXT_LIMIT);
    config_write_example(&example);
    struct str rest = buf_str(&example);
    struct str line;
    size_t keys = 0;
    while (str_split(&rest, '\n', &line)) {
        const bool key = line.len > 1 && line.ptr[0] == '#' && line.ptr[1] != ' ';
        keys += key;
        buf_put(&ini, key ? str_sub(line, 1, line.len) : line);
        buf_put_c(&ini, '\n');
    }
    assert_int_equal(keys, CONFIG_KEYS);
    buf_put_c(&ini, '\0');
    assert_int_equal(LOAD(f, .ini = ini.data), ERR_OK);
    buf_deinit(&example);
    buf_deinit(&ini);
}

static void test_help(void **state)
{
    (void)state;
    struct buf help;
    buf_init(&help, TEXT_LIMIT);
    config_write_help(&help);
    struct str rest = buf_str(&help);
    struct str line;
    size_t flags = 0;
    while (str_split(&rest, '\n', &line)) {
        assert_true(line.len <= 120);
        flags += str_starts(line, STR("  --"));
    }
    assert_int_equal(flags, CONFIG_KEYS);
    buf_put_c(&help, '\0');
    assert_non_null(strstr(help.data, "  --query-timeout=<time>  (default 10s)\n      A query"));
    assert_non_null(strstr(help.data, "  --allow-public  (default false)\n"));
    buf_deinit(&help);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_defaults),
        TEST(test_defaults_are_allowed),
        TEST(test_precedence),
        TEST(test_file_from_environment),
        TEST(test_ini_syntax),
        TEST(test_all_problems_at_once),
        TEST(test_checked_with_the_rest),
        TEST(test_set_twice),
        TEST(test_indented_keys),
        TEST(test_numbers),
        TEST(test_bad_text),
        TEST(test_what_is_allowed),
        TEST(test_secret_never_shown),
        TEST(test_secret_files),
        TEST(test_reload),
        TEST(test_is_key),
        TEST(test_print_reads_back),
        TEST(test_documents),
        TEST(test_example_loads),
        TEST(test_help),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
