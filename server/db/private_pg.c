#include "server/db/private_pg.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/core/clock.h"
#include "server/core/mem.h"
#include "server/db/pg_sync.h"
#include "server/db/private_pg_priv.h"

/* LIMIT: time to answer at all; crash recovery; another starter; orphans of a killed server; stopping fast, then
 * immediately. */
enum {
    STEP_MS = 20,
    ANSWER_MS = 60000,
    RECOVERY_MS = 1800000,
    STARTER_MS = 120000,
    ORPHANS_MS = 30000,
    STATEMENT_MS = 60000,
    FAST_MS = 20000,
    IMMEDIATE_MS = 5000,
};
enum { LOG_MAX_BYTES = 16 << 20, CONNINFO_BYTES = 2 * PG_PATH_BYTES + 128 };
#define PORT "5432"

struct private_pg {
    struct private_pg_place place;
    pid_t pid;
    bool child; /* ours to wait for */
    int status; /* of the child, once it has ended */
    char conninfo[CONNINFO_BYTES];
};

static int64_t now_ms(void)
{
    return clock_mono_ms(clock_system());
}

/* --- the process --- */

static bool is_alive(struct private_pg *pg)
{
    if (pg->child && waitpid(pg->pid, &pg->status, WNOHANG) == pg->pid) {
        pg->child = false;
        return false;
    }
    /* A child of ours that has not got to its directory yet is alive all the same. */
    return pg->child || pg_proc_is_of(pg->pid, pg->place.cluster);
}

static void wait_end(struct private_pg *pg, int64_t limit_ms)
{
    int64_t give_up = now_ms() + limit_ms;

    while (is_alive(pg) && now_ms() < give_up) {
        pg_proc_sleep(STEP_MS);
    }
}

static void stop_process(struct private_pg *pg)
{
    static const struct {
        int signal;
        int64_t limit_ms;
    } ways[] = {{SIGINT, FAST_MS}, {SIGQUIT, IMMEDIATE_MS}};

    for (size_t i = 0; i < ARRAY_LEN(ways) && is_alive(pg); i++) {
        (void)kill(pg->pid, ways[i].signal);
        wait_end(pg, ways[i].limit_ms);
    }
}

static void rotate_log(const struct private_pg_place *p)
{
    char old[PG_PATH_BYTES + 8];
    struct stat st;

    (void)snprintf(old, sizeof(old), "%s.1", p->log);
    if (stat(p->log, &st) == 0 && st.st_size > LOG_MAX_BYTES) {
        (void)rename(p->log, old);
    }
}

/* `escape` before each of the characters in `what`. */
static void put_escaped(char *out, size_t size, const char *s, const char *what, char escape)
{
    size_t n = 0;

    for (; *s && n + 3 < size; s++) {
        if (strchr(what, *s)) {
            out[n++] = escape;
        }
        out[n++] = *s;
    }
    out[n] = '\0';
}

static enum err_code launch(struct private_pg *pg, struct err *err)
{
    const struct private_pg_place *p = &pg->place;
    char postgres[PG_PATH_BYTES + 16];
    char sockets[2 * PG_PATH_BYTES + 64];
    char dir[2 * PG_PATH_BYTES];
    const char *argv[] = {postgres,
                          "-D",
                          p->cluster,
                          "-p",
                          PORT,
                          "-c",
                          "listen_addresses=",
                          "-c",
                          sockets,
                          "-c",
                          "unix_socket_permissions=0700",
                          NULL};

    rotate_log(p);
    (void)snprintf(postgres, sizeof(postgres), "%s/postgres", p->bin);
    put_escaped(dir, sizeof(dir), p->socket_dir, "\"", '"'); /* an element of a list */
    (void)snprintf(sockets, sizeof(sockets), "unix_socket_directories=\"%s\"", dir);
    pg->pid = pg_proc_start(argv, p->log);
    if (pg->pid < 0) {
        return err_set_sys(err, ERR_IO, errno, "cannot start %s", postgres);
    }
    pg->child = true;
    return ERR_OK;
}

/* --- the connection --- */

static void make_conninfo(const struct private_pg *pg, const char *db, char *out, size_t size)
{
    char host[2 * PG_PATH_BYTES];

    put_escaped(host, sizeof(host), pg->place.socket_dir, "'\\", '\\');
    (void)snprintf(out, size, "host='%s' port=" PORT " user=danmakud dbname=%s", host, db);
}

static enum err_code ended(const struct private_pg *pg, struct err *err)
{
    char last[2 * ERR_MSG_BYTES];
    const char *fatal;

    pg_last_line(pg->place.log, last, sizeof(last));
    fatal = strstr(last, "FATAL"); /* behind time and process */
    return err_set(err, ERR_UNAVAILABLE, "it ended at once, see %s: %s", pg->place.log,
                   fatal ? fatal : last);
}

static enum err_code wait_ready(struct private_pg *pg, struct err *err)
{
    char conninfo[CONNINFO_BYTES];
    int64_t begin = now_ms();
    int64_t limit_ms = ANSWER_MS;

    make_conninfo(pg, "postgres", conninfo, sizeof(conninfo));
    for (;;) {
        PGPing ping = PQping(conninfo);

        if (ping == PQPING_OK) {
            return ERR_OK;
        }
        if (ping == PQPING_REJECT) {
            limit_ms = RECOVERY_MS; /* it is there and recovers from a crash */
        }
        if (!is_alive(pg)) {
            return ended(pg, err);
        }
        if (now_ms() - begin >= limit_ms) {
            return err_set(err, ERR_UNAVAILABLE, "it does not get ready, see %s", pg->place.log);
        }
        pg_proc_sleep(STEP_MS);
    }
}

static enum err_code make_database(struct private_pg *pg, struct err *err)
{
    CLEANUP(pg_sync_close) PGconn *conn = NULL;
    CLEANUP(pg_sync_clear) PGresult *res = NULL;
    char conninfo[CONNINFO_BYTES];
    enum err_code code;

    make_conninfo(pg, "postgres", conninfo, sizeof(conninfo));
    code = pg_sync_connect(conninfo, &conn, err);
    if (!code) {
        code = pg_sync_query(conn, "SELECT FROM pg_database WHERE datname = 'danmakud'",
                             STATEMENT_MS, &res, err);
    }
    if (!code && PQntuples(res) == 0) {
        code = pg_sync_exec(conn, "CREATE DATABASE danmakud", 0, NULL, STATEMENT_MS, err);
    }
    return code;
}

/* --- what is there already --- */

struct pid_file {
    pid_t pid; /* 0: there is none */
    struct str socket_dir;
    char text[2 * PG_PATH_BYTES];
};

/* Lines: pid, directory, start time, port, socket directory, ... */
static void read_pid_file(const struct private_pg_place *p, struct pid_file *f)
{
    char path[PG_PATH_BYTES + 32];
    struct str rest;
    struct str line;
    int64_t pid;

    f->pid = 0;
    f->socket_dir = STR_NULL;
    (void)snprintf(path, sizeof(path), "%s/postmaster.pid", p->cluster);
    if (pg_read_file(path, f->text, sizeof(f->text)) < 0) {
        return;
    }
    rest = str_of(f->text);
    for (int i = 1; i <= 5 && str_split(&rest, '\n', &line); i++) {
        if (i == 1 && str_to_i64(str_trim(line), &pid) && pid > 0) {
            f->pid = (pid_t)pid;
        } else if (i == 5) {
            f->socket_dir = str_trim(line);
        }
    }
}

/* A server of this cluster runs: it is taken over when it can be reached where it says it is. */
static bool take_over(struct private_pg *pg, const struct pid_file *f)
{
    struct err ignored;

    pg->pid = f->pid;
    pg->child = false;
    if (f->socket_dir.len > 0 && f->socket_dir.len < sizeof(pg->place.socket_dir)) {
        memcpy(pg->place.socket_dir, f->socket_dir.ptr, f->socket_dir.len);
        pg->place.socket_dir[f->socket_dir.len] = '\0';
        if (wait_ready(pg, &ignored) == ERR_OK) {
            return true;
        }
    }
    stop_process(pg);
    return false;
}

/* Lock files outlive a killed server and name a process that may by now be anybody's; PostgreSQL would take that for
 * itself running. Without a process of the cluster they mean nothing. */
static enum err_code clear_leftovers(const struct private_pg_place *p, struct err *err)
{
    int64_t give_up = now_ms() + ORPHANS_MS;
    char path[PG_PATH_BYTES + 32];
    pid_t orphan;

    while ((orphan = pg_proc_any_of(p->cluster)) != 0) {
        if (now_ms() >= give_up) {
            return err_set(err, ERR_UNAVAILABLE,
                           "process %ld of an earlier PostgreSQL still uses %s: end it",
                           (long)orphan, p->cluster);
        }
        pg_proc_sleep(STEP_MS);
    }
    (void)snprintf(path, sizeof(path), "%s/postmaster.pid", p->cluster);
    (void)unlink(path);
    (void)snprintf(path, sizeof(path), "%s/.s.PGSQL." PORT ".lock", p->socket_dir);
    (void)unlink(path);
    return ERR_OK;
}

static enum err_code run_server(struct private_pg *pg, struct err *err)
{
    struct pid_file f;
    enum err_code code;

    read_pid_file(&pg->place, &f);
    if (f.pid > 0 && pg_proc_is_of(f.pid, pg->place.cluster) && take_over(pg, &f)) {
        return ERR_OK;
    }
    code = pg_setup_socket_dir(&pg->place, err);
    if (!code) {
        code = clear_leftovers(&pg->place, err);
    }
    if (!code) {
        code = pg_setup_conf(&pg->place, err);
    }
    if (!code) {
        code = launch(pg, err);
    }
    if (!code) {
        code = wait_ready(pg, err);
        if (code) {
            stop_process(pg);
        }
    }
    return code;
}

/* --- life --- */

static enum err_code lock_start(const struct private_pg_place *p, int *ret_fd, struct err *err)
{
    int64_t give_up = now_ms() + STARTER_MS;
    char path[PG_PATH_BYTES];
    enum err_code code = pg_path(path, sizeof(path), err, "%s/postgres.lock", p->data);
    int fd;

    if (code) {
        return code;
    }
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return err_set_sys(err, ERR_IO, errno, "%s", path);
    }
    while (flock(fd, LOCK_EX | LOCK_NB)) {
        if (now_ms() >= give_up) {
            close(fd);
            return err_set(err, ERR_UNAVAILABLE, "another process has been starting it for %d s",
                           STARTER_MS / 1000);
        }
        pg_proc_sleep(STEP_MS);
    }
    *ret_fd = fd;
    return ERR_OK;
}

static enum err_code start_locked(struct private_pg *pg, struct err *err)
{
    enum err_code code = pg_setup_cluster(&pg->place, err);

    if (!code) {
        code = run_server(pg, err);
    }
    if (!code) {
        code = make_database(pg, err);
        if (code) {
            stop_process(pg);
        }
    }
    if (!code) {
        make_conninfo(pg, "danmakud", pg->conninfo, sizeof(pg->conninfo));
    }
    return code;
}

enum err_code private_pg_start(const char *data_dir, struct private_pg **ret, struct err *err)
{
    struct private_pg *pg;
    enum err_code code;
    int lock = -1;

    if (geteuid() == 0) {
        return err_set(err, ERR_FORBIDDEN,
                       "PostgreSQL does not run as root: start danmakud as another user (./run "
                       "does), or set database_url");
    }
    pg = mem_new(struct private_pg);
    code = pg_setup_place(&pg->place, data_dir, err);
    if (!code) {
        code = lock_start(&pg->place, &lock, err);
    }
    if (!code) {
        code = start_locked(pg, err);
    }
    if (lock >= 0) {
        close(lock);
    }
    if (code) {
        err_wrap(err, "private PostgreSQL");
        mem_free(pg);
        return code;
    }
    *ret = pg;
    return ERR_OK;
}

const char *private_pg_conninfo(const struct private_pg *pg)
{
    return pg->conninfo;
}

bool private_pg_runs(struct private_pg *pg)
{
    return is_alive(pg);
}

enum err_code private_pg_again(struct private_pg *pg, struct err *err)
{
    return launch(pg, err);
}

void private_pg_last_words(const struct private_pg *pg, char *out, size_t size)
{
    pg_last_line(pg->place.log, out, size);
}

void private_pg_stop(struct private_pg *pg)
{
    if (pg) {
        stop_process(pg);
        mem_free(pg);
    }
}

void private_pg_leave(struct private_pg *pg)
{
    if (pg && pg->child) {
        private_pg_stop(pg);
    } else {
        private_pg_detach(pg);
    }
}

void private_pg_detach(struct private_pg *pg)
{
    mem_free(pg);
}
