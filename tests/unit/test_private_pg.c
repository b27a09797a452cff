/* The private PostgreSQL: made, started, taken over, recovered, stopped. As root, the cases run as another user. */
#include "server/db/private_pg.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/core/mem.h"
#include "server/db/migrate.h"
#include "tests/support/pg_server.h"
#include "tests/support/pg_server_priv.h"
#include "tests/support/run.h"

static char top[64];               /* everything is below */
static char shared[PG_PATH_BYTES]; /* a data directory with a cluster that is used by most cases */

static void path_in(char out[static PG_PATH_BYTES], const char *dir, const char *name)
{
    pg_print(out, PG_PATH_BYTES, "%s/%s", dir, name);
}

static struct private_pg *start(const char *data)
{
    struct private_pg *pg = NULL;
    struct err err = {0};

    if (private_pg_start(data, &pg, &err)) {
        fail_msg("%s: %s", err_name(err.code), err.msg);
    }
    return pg;
}

/* 0: there is no pid file. */
static pid_t pid_of(const char *data)
{
    char path[PG_PATH_BYTES];
    char text[32] = "";
    FILE *f;

    path_in(path, data, "postgres/postmaster.pid");
    f = fopen(path, "re");
    if (!f) {
        return 0;
    }
    (void)!fgets(text, sizeof(text), f);
    fclose(f);
    return (pid_t)strtol(text, NULL, 10);
}

static void write_text(const char *path, const char *mode, const char *text)
{
    FILE *f = fopen(path, mode);

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static bool exists(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

static void assert_setting(const struct private_pg *pg, const char *name, const char *value)
{
    char sql[128];
    char *text;

    pg_print(sql, sizeof(sql), "SELECT current_setting('%s')", name);
    text = pg_server_text(private_pg_conninfo(pg), sql);
    assert_string_equal(text, value);
    mem_free(text);
}

static unsigned n_processes(const char *data)
{
    return pg_signal_all(data, 0);
}

/* --- */

static void test_fresh(void **state)
{
    char path[PG_PATH_BYTES];
    struct private_pg *pg;
    struct migrate_result r;
    struct err err;
    struct stat st;

    (void)state;
    pg = start(shared); /* makes the directory, too */
    assert_setting(pg, "listen_addresses", "");
    assert_setting(pg, "server_encoding", "UTF8");
    assert_setting(pg, "lc_ctype", "C.UTF-8");
    assert_setting(pg, "synchronous_commit", "on");
    assert_setting(pg, "fsync", "on");
    assert_setting(pg, "data_checksums", "on");
    assert_setting(pg, "wal_compression", "lz4");
    assert_setting(pg, "TimeZone", "UTC");
    assert_setting(pg, "max_wal_size", "1GB");
    assert_int_equal(migrate_run(private_pg_conninfo(pg), &r, &err), ERR_OK);
    assert_int_equal(pg_server_i64(private_pg_conninfo(pg), "SELECT count(*) FROM event"), 0);
    path_in(path, shared, "postgres.socket");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    path_in(path, shared, "postgres.socket/.s.PGSQL.5432");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    path_in(path, shared, "postgres");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    private_pg_stop(pg);
    assert_int_equal(n_processes(shared), 0);
    assert_int_equal(pid_of(shared), 0);
    private_pg_stop(NULL);
}

static void test_restart_keeps_data(void **state)
{
    struct private_pg *pg = start(shared);

    (void)state;
    pg_server_sql(private_pg_conninfo(pg),
                  "CREATE TABLE survivor (a int4); INSERT INTO survivor VALUES (7)");
    private_pg_stop(pg);
    pg = start(shared);
    assert_int_equal(pg_server_i64(private_pg_conninfo(pg), "SELECT a FROM survivor"), 7);
    pg_server_sql(private_pg_conninfo(pg), "DROP TABLE survivor");
    private_pg_stop(pg);
}

static void test_stop_with_open_transaction(void **state)
{
    struct private_pg *pg = start(shared);
    struct pg_client *client = pg_client_open(private_pg_conninfo(pg));

    (void)state;
    pg_client_sql(client, "BEGIN; CREATE TABLE never ()");
    private_pg_stop(pg);
    assert_int_equal(n_processes(shared), 0);
    pg_client_close(client);
}

static void test_take_over(void **state)
{
    struct private_pg *pg = start(shared);
    pid_t pid = pid_of(shared);

    (void)state;
    assert_true(pid > 0);
    private_pg_detach(pg);
    pg = start(shared);
    assert_int_equal(pid_of(shared), pid);
    assert_int_equal(pg_server_i64(private_pg_conninfo(pg), "SELECT 1"), 1);
    private_pg_stop(pg);
    assert_int_equal(n_processes(shared), 0);
}

/* A starter that is killed, with its whole process group, as by Ctrl-C in a terminal or kill -9. */
static void survive(int sig)
{
    int fds[2];
    pid_t starter;
    pid_t server;
    char c = 0;
    struct private_pg *pg;

    assert_int_equal(pipe(fds), 0);
    starter = fork();
    if (starter == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        struct private_pg *mine = NULL;

        (void)setpgid(0, 0);
        if (private_pg_start(shared, &mine, NULL) == ERR_OK) {
            (void)!write(fds[1], "y", 1);
        }
        (void)pause();
        _exit(0);
    }
    close(fds[1]);
    assert_int_equal(read(fds[0], &c, 1), 1);
    close(fds[0]);
    server = pid_of(shared);
    assert_true(getsid(server) == server);
    assert_int_equal(kill(-starter, sig), 0);
    assert_int_equal(waitpid(starter, NULL, 0), starter);
    pg = start(shared);
    assert_int_equal(pid_of(shared), server);
    private_pg_stop(pg);
    assert_int_equal(n_processes(shared), 0);
}

static void test_survives_its_starter(void **state)
{
    (void)state;
    survive(SIGKILL);
    survive(SIGINT);
}

static void test_two_starters(void **state)
{
    pid_t starters[3];
    struct private_pg *pg;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(starters); i++) {
        starters[i] = fork();
        if (starters[i] == 0) {
            struct private_pg *mine = NULL;

            _exit(private_pg_start(shared, &mine, NULL) == ERR_OK ? 0 : 1);
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(starters); i++) {
        int status = -1;

        assert_int_equal(waitpid(starters[i], &status, 0), starters[i]);
        assert_int_equal(status, 0);
    }
    pg = start(shared);
    private_pg_stop(pg);
    assert_int_equal(n_processes(shared), 0);
}

/* --- what a crash leaves behind --- */

static void test_recovers_from_kill(void **state)
{
    struct private_pg *pg = start(shared);

    (void)state;
    pg_server_sql(private_pg_conninfo(pg),
                  "CREATE TABLE crash AS SELECT generate_series(1, 1000) a");
    (void)pg_signal_all(shared, SIGKILL);
    private_pg_stop(pg); /* there is nothing to stop any more */
    assert_true(pid_of(shared) > 0);
    pg = start(shared);
    assert_int_equal(pg_server_i64(private_pg_conninfo(pg), "SELECT count(*) FROM crash"), 1000);
    pg_server_sql(private_pg_conninfo(pg), "DROP TABLE crash");
    private_pg_stop(pg);
}

/* Only the postmaster is killed; its orphans hold the shared memory until they notice. */
static void test_orphans(void **state)
{
    struct private_pg *pg = start(shared);
    struct pg_client *client = pg_client_open(private_pg_conninfo(pg));
    pid_t pid = pid_of(shared);

    (void)state;
    assert_int_equal(kill(pid, SIGKILL), 0);
    private_pg_detach(pg);
    pg = start(shared);
    assert_true(pid_of(shared) != pid);
    private_pg_stop(pg);
    pg_client_close(client);
}

/* The number in the pid file belongs to somebody else now: PostgreSQL by itself would refuse to start. */
static void test_pid_of_somebody_else(void **state)
{
    char path[PG_PATH_BYTES];
    char lock[PG_PATH_BYTES];
    char text[512];
    struct private_pg *pg;
    pid_t other;

    (void)state;
    private_pg_stop(start(shared));
    other = fork();
    if (other == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)pause();
        _exit(0);
    }
    path_in(path, shared, "postgres/postmaster.pid");
    path_in(lock, shared, "postgres.socket/.s.PGSQL.5432.lock");
    pg_print(text, sizeof(text), "%ld\n%s/postgres\n1700000000\n5432\n%s/postgres.socket\n\n",
             (long)other, shared, shared);
    write_text(path, "we", text);
    write_text(lock, "we", text);
    pg = start(shared);
    assert_int_equal(pg_server_i64(private_pg_conninfo(pg), "SELECT 1"), 1);
    private_pg_stop(pg);
    assert_int_equal(kill(other, 0), 0); /* left alone */
    (void)kill(other, SIGKILL);
    (void)waitpid(other, NULL, 0);
}

static void test_garbage_in_pid_file(void **state)
{
    static const char *const texts[] = {"",     "\n\n",    "-5\n",
                                        "0\nx", "garbage", "99999999999999999\n"};
    char path[PG_PATH_BYTES];

    (void)state;
    private_pg_stop(start(shared));
    path_in(path, shared, "postgres/postmaster.pid");
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        write_text(path, "we", texts[i]);
        private_pg_stop(start(shared));
    }
}

static void test_half_made_cluster(void **state)
{
    char data[PG_PATH_BYTES];
    char path[PG_PATH_BYTES];

    (void)state;
    path_in(data, top, "half/a/b");
    path_in(path, top, "half");
    assert_int_equal(mkdir(path, 0755), 0);
    path_in(path, top, "half/a");
    assert_int_equal(mkdir(path, 0755), 0);
    assert_int_equal(mkdir(data, 0755), 0);
    path_in(path, data, "postgres.init");
    assert_int_equal(mkdir(path, 0755), 0);
    path_in(path, data, "postgres.init/PG_VERSION");
    write_text(path, "we", "15\n");
    private_pg_stop(start(data));
    path_in(path, data, "postgres.init");
    assert_false(exists(path));
    /* As another danmakud might have been killed before the database was made. */
    path_in(path, data, "postgres.log");
    assert_true(exists(path));
}

/* --- what is wrong and says so --- */

static void assert_fails(const char *data, enum err_code code, const char *says)
{
    struct private_pg *pg = NULL;
    struct err err = {0};

    assert_int_equal(private_pg_start(data, &pg, &err), code);
    assert_null(pg);
    if (!strstr(err.msg, says)) {
        fail_msg("%s", err.msg);
    }
    assert_int_equal(n_processes(top), 0);
}

static void test_wrong_places(void **state)
{
    char data[PG_PATH_BYTES];
    char path[PG_PATH_BYTES];

    (void)state;
    path_in(data, top, "wrong");
    assert_int_equal(mkdir(data, 0700), 0);
    path_in(path, data, "postgres");
    assert_int_equal(mkdir(path, 0700), 0);
    assert_fails(data, ERR_CONFLICT, "no PostgreSQL cluster");
    path_in(path, data, "postgres/PG_VERSION");
    write_text(path, "we", "14\n");
    assert_fails(data, ERR_NOT_FOUND, "PostgreSQL 14");
    write_text(path, "we", "99\n");
    assert_fails(data, ERR_NOT_FOUND, "postgresql-99");
    write_text(path, "we", "15\n"); /* the right version, but nothing else */
    assert_fails(data, ERR_UNAVAILABLE, "postgres.log");
    assert_fails("/proc/nothing", ERR_IO, "/proc/nothing");
    assert_fails("", ERR_INVALID, "path");
    path_in(path, data, "file");
    write_text(path, "we", "");
    assert_fails(path, ERR_IO, "file");
}

static void test_bad_configuration(void **state)
{
    char conf[PG_PATH_BYTES];
    char log[PG_PATH_BYTES];
    struct stat st;
    struct private_pg *pg;

    (void)state;
    private_pg_stop(start(shared));
    path_in(conf, shared, "postgres/postgresql.conf");
    path_in(log, shared, "postgres.log");
    assert_int_equal(stat(conf, &st), 0);
    write_text(conf, "ae", "work_mem = nonsense\n");
    assert_fails(shared, ERR_UNAVAILABLE, "postgresql.conf");
    assert_int_equal(truncate(conf, st.st_size), 0);
    /* The operator's settings win over ours, but not over where it listens. */
    write_text(conf, "ae", "max_wal_size = '2GB'\nlisten_addresses = '*'\nport = 5433\n");
    pg = start(shared);
    assert_setting(pg, "max_wal_size", "2GB");
    assert_setting(pg, "listen_addresses", "");
    private_pg_stop(pg);
    assert_int_equal(truncate(conf, st.st_size), 0);
}

/* --- paths and logs --- */

static void test_long_path(void **state)
{
    char data[PG_PATH_BYTES];
    char path[PG_PATH_BYTES];
    char first[PG_PATH_BYTES];
    char *dir;
    struct private_pg *pg;
    struct stat st;

    (void)state;
    pg_print(data, sizeof(data), "%s/it's a \"long\" path, with blanks %090d", top, 7);
    pg = start(data);
    dir = pg_server_text(private_pg_conninfo(pg),
                         "SELECT current_setting('unix_socket_directories')");
    /* One element of a list, in quotes. */
    assert_true(dir[0] == '"');
    pg_print(first, sizeof(first), "%.*s", (int)strlen(dir) - 2, dir + 1);
    mem_free(dir);
    assert_true(strlen(first) < 60);
    assert_int_equal(lstat(first, &st), 0);
    assert_true(S_ISDIR(st.st_mode));
    assert_int_equal(st.st_mode & 07777, 0700);
    private_pg_detach(pg);
    pg = start(data); /* taken over from there */
    private_pg_stop(pg);
    pg = start(data); /* the same place again */
    pg_print(path, sizeof(path), "%s/.s.PGSQL.5432", first);
    assert_true(exists(path));
    private_pg_stop(pg);
    assert_int_equal(rmdir(first), 0);
    /* Somebody else's directory in that place is not used. */
    write_text(first, "we", "");
    assert_fails(data, ERR_IO, "not ours");
    assert_int_equal(unlink(first), 0);
}

static void test_log_is_rotated(void **state)
{
    char log[PG_PATH_BYTES];
    char old[PG_PATH_BYTES];
    struct stat st;

    (void)state;
    private_pg_stop(start(shared));
    path_in(log, shared, "postgres.log");
    path_in(old, shared, "postgres.log.1");
    assert_int_equal(truncate(log, (16 << 20) + 1), 0);
    private_pg_stop(start(shared));
    assert_int_equal(stat(old, &st), 0);
    assert_int_equal(st.st_size, (16 << 20) + 1);
    assert_int_equal(stat(log, &st), 0);
    assert_true(st.st_size < 65536);
}

static int run_cases(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fresh),
        cmocka_unit_test(test_restart_keeps_data),
        cmocka_unit_test(test_stop_with_open_transaction),
        cmocka_unit_test(test_take_over),
        cmocka_unit_test(test_survives_its_starter),
        cmocka_unit_test(test_two_starters),
        cmocka_unit_test(test_recovers_from_kill),
        cmocka_unit_test(test_orphans),
        cmocka_unit_test(test_pid_of_somebody_else),
        cmocka_unit_test(test_garbage_in_pid_file),
        cmocka_unit_test(test_half_made_cluster),
        cmocka_unit_test(test_wrong_places),
        cmocka_unit_test(test_bad_configuration),
        cmocka_unit_test(test_long_path),
        cmocka_unit_test(test_log_is_rotated),
    };

    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}

/* Root is refused; the cases themselves run as somebody else, in a child. */
static int run_as(const struct passwd *user, int argc, char **argv)
{
    struct private_pg *pg = NULL;
    struct err err = {0};
    int status = -1;
    pid_t child;

    if (private_pg_start(shared, &pg, &err) != ERR_FORBIDDEN || !strstr(err.msg, "root")) {
        fprintf(stderr, "root was not refused: %s\n", err.msg);
        return 1;
    }
    child = fork();
    if (child == 0) {
        if (setgroups(0, NULL) || setgid(user->pw_gid) || setuid(user->pw_uid) ||
            prctl(PR_SET_PDEATHSIG, SIGKILL) || prctl(PR_SET_DUMPABLE, 1) || chdir("/")) {
            perror("cannot become another user");
            exit(1);
        }
        exit(run_cases(argc, argv));
    }
    if (waitpid(child, &status, 0) != child) {
        return 1;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int main(int argc, char **argv)
{
    const struct passwd *user = pg_user();
    int fd;
    pid_t keeper;
    int rc;

    pg_print(top, sizeof(top), "/tmp/dmpp.XXXXXX");
    if (!mkdtemp(top) || (user && chown(top, user->pw_uid, user->pw_gid))) {
        perror(top);
        return 1;
    }
    keeper = pg_keep(top, &fd);
    path_in(shared, top, "data");
    rc = user ? run_as(user, argc, argv) : run_cases(argc, argv);
    close(fd);
    (void)waitpid(keeper, NULL, 0);
    return rc;
}
