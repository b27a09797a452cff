#include "tests/support/pg_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libpq-fe.h>

#include "server/core/mem.h"
#include "tests/support/patience.h"
#include "tests/support/pg_server_priv.h"

enum { STEP_MS = 5 };

struct pg_server {
    char dir[PG_PATH_BYTES];  /* "/tmp/dmpg.XXXXXX": data/, the socket, log */
    char data[PG_PATH_BYTES]; /* dir/data */
    char conninfo[PG_SERVER_CONNINFO_BYTES];
    unsigned port;
    bool tcp;
    unsigned n_dbs;
    pid_t postmaster; /* 0: not running */
    pid_t keeper;
    int keeper_fd; /* its end tells the keeper that we are gone */
};

static void pause_ms(int ms)
{
    (void)poll(NULL, 0, ms);
}

static void conninfo_for(const struct pg_server *s, const char *db,
                         char out[static PG_SERVER_CONNINFO_BYTES])
{
    pg_print(out, PG_SERVER_CONNINFO_BYTES, "host=%s port=%u user=postgres dbname=%s", s->dir,
             s->port, db);
}

static unsigned free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) ||
        getsockname(fd, (struct sockaddr *)&a, &len)) {
        pg_die("no free port: %s", strerror(errno));
    }
    close(fd);
    return ntohs(a.sin_port);
}

static void launch(struct pg_server *s)
{
    char bin[PG_PATH_BYTES + 16];
    char log[PG_PATH_BYTES];
    char port[16];
    char sockets[PG_PATH_BYTES + 40];

    if (s->postmaster) {
        pg_die("the server runs already");
    }
    pg_print(bin, sizeof(bin), "%s/postgres", pg_bindir());
    pg_print(log, sizeof(log), "%s/log", s->dir);
    pg_print(port, sizeof(port), "%u", s->port);
    pg_print(sockets, sizeof(sockets), "unix_socket_directories=%s", s->dir);
    const char *argv[] = {
        bin,     "-D", s->data,
        "-p",    port, "-c",
        sockets, "-c", s->tcp ? "listen_addresses=127.0.0.1" : "listen_addresses=",
        NULL};
    s->postmaster = pg_spawn(argv, pg_user(), log);
}

/* False: the server ended instead of becoming ready. */
static bool wait_ready(struct pg_server *s)
{
    struct patience p = {0};
    while (patience_left(&p, 0)) {
        if (PQping(s->conninfo) == PQPING_OK) {
            return true;
        }
        if (waitpid(s->postmaster, NULL, WNOHANG) == s->postmaster) {
            s->postmaster = 0;
            return false;
        }
        pause_ms(STEP_MS);
    }
    return false;
}

ATTR_NORETURN static void die_with_log(const struct pg_server *s)
{
    char log[PG_PATH_BYTES];
    char text[4096];
    FILE *f;

    pg_print(log, sizeof(log), "%s/log", s->dir);
    f = fopen(log, "re");
    if (f) {
        size_t n = fread(text, 1, sizeof(text) - 1, f);
        text[n] = '\0';
        fprintf(stderr, "%s", text);
        fclose(f);
    }
    pg_die("PostgreSQL does not start");
}

static void write_conf(const struct pg_server *s, const char *conf)
{
    char path[PG_PATH_BYTES];
    FILE *f;

    pg_print(path, sizeof(path), "%s/postgresql.conf", s->data);
    f = fopen(path, "ae");
    if (!f) {
        pg_die("%s: %s", path, strerror(errno));
    }
    fprintf(f,
            "\nfsync = off\nfull_page_writes = off\nshared_buffers = 16MB\nmax_connections = 40\n"
            "unix_socket_permissions = 0777\nlog_min_messages = warning\n%s\n",
            conf ? conf : "");
    if (fclose(f)) {
        pg_die("%s: %s", path, strerror(errno));
    }
}

static void make_dir(struct pg_server *s)
{
    const char *tmp = getenv("TMPDIR");
    char real[PATH_MAX];

    /* A socket's path is limited to about 100 bytes. */
    if (!tmp || !tmp[0] || strlen(tmp) > 60) {
        tmp = "/tmp";
    }
    pg_print(s->dir, sizeof(s->dir), "%s/dmpg.XXXXXX", tmp);
    if (!mkdtemp(s->dir) || !realpath(s->dir, real)) {
        pg_die("%s: %s", s->dir, strerror(errno));
    }
    pg_print(s->dir, sizeof(s->dir), "%s", real); /* /proc/PID/cwd has no symbolic links */
    pg_print(s->data, sizeof(s->data), "%s/data", s->dir);
    if (pg_user() && (chown(s->dir, pg_user()->pw_uid, pg_user()->pw_gid) || chmod(s->dir, 0755))) {
        pg_die("%s: %s", s->dir, strerror(errno));
    }
}

struct pg_server *pg_server_start(const struct pg_server_opts *opts)
{
    static const struct pg_server_opts none;
    struct pg_server *s = mem_new(struct pg_server);

    if (!opts) {
        opts = &none;
    }
    s->tcp = opts->tcp;
    make_dir(s);
    s->keeper = pg_keep(s->dir, &s->keeper_fd);
    pg_template_copy(s->dir, s->data);
    write_conf(s, opts->conf);
    for (int tries = 0;; tries++) {
        s->port = s->tcp ? free_port() : 5432;
        conninfo_for(s, "postgres", s->conninfo);
        launch(s);
        if (wait_ready(s)) {
            return s;
        }
        /* Somebody may have taken the port meanwhile. */
        if (!s->tcp || tries == 4) {
            die_with_log(s);
        }
    }
}

void pg_server_free(struct pg_server *s)
{
    if (!s) {
        return;
    }
    close(s->keeper_fd);
    while (waitpid(s->keeper, NULL, 0) < 0 && errno == EINTR) {
    }
    if (s->postmaster) {
        while (waitpid(s->postmaster, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    mem_free(s);
}

const char *pg_server_conninfo(const struct pg_server *s)
{
    return s->conninfo;
}

const char *pg_server_dir(const struct pg_server *s)
{
    return s->dir;
}

unsigned pg_server_port(const struct pg_server *s)
{
    return s->port;
}

const char *pg_server_bindir(void)
{
    return pg_bindir();
}

void pg_server_new_db(struct pg_server *s, char ret_conninfo[static PG_SERVER_CONNINFO_BYTES])
{
    char name[32];
    char sql[96];

    pg_print(name, sizeof(name), "db%u", ++s->n_dbs);
    pg_print(sql, sizeof(sql), "CREATE DATABASE %s TEMPLATE template0", name);
    pg_server_sql(s->conninfo, sql);
    conninfo_for(s, name, ret_conninfo);
}

void pg_server_stop(struct pg_server *s, enum pg_server_stop how)
{
    static const int signals[] = {
        [PG_STOP_FAST] = SIGINT, [PG_STOP_IMMEDIATE] = SIGQUIT, [PG_STOP_KILL] = SIGKILL};

    if (!s->postmaster || kill(s->postmaster, signals[how])) {
        pg_die("the server is not running");
    }
    while (waitpid(s->postmaster, NULL, 0) < 0 && errno == EINTR) {
    }
    s->postmaster = 0;
    /* Backends outlive a killed postmaster until they notice. */
    struct patience p = {0};
    while (pg_signal_all(s->data, 0) > 0) {
        if (!patience_left(&p, 0)) {
            pg_die("backends do not end");
        }
        pause_ms(STEP_MS);
    }
}

void pg_server_launch(struct pg_server *s)
{
    launch(s);
}

void pg_server_restart(struct pg_server *s)
{
    launch(s);
    if (!wait_ready(s)) {
        die_with_log(s);
    }
}

void pg_server_pause(struct pg_server *s)
{
    /* The postmaster first, so that it makes no new backend behind our back. */
    if (kill(s->postmaster, SIGSTOP)) {
        pg_die("cannot stop the server: %s", strerror(errno));
    }
    (void)pg_signal_all(s->data, SIGSTOP);
}

void pg_server_resume(struct pg_server *s)
{
    if (pg_signal_all(s->data, SIGCONT) == 0) {
        pg_die("the server is gone");
    }
}

/* --- SQL from outside --- */

static PGconn *connect_or_die(const char *conninfo)
{
    PGconn *c = PQconnectdb(conninfo);

    if (PQstatus(c) != CONNECTION_OK) {
        pg_die("connect: %s", PQerrorMessage(c));
    }
    return c;
}

static PGresult *sql_or_die(PGconn *c, const char *sql)
{
    PGresult *r = PQexec(c, sql);

    if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_TUPLES_OK) {
        pg_die("%s: %s", sql, PQerrorMessage(c));
    }
    return r;
}

void pg_server_sql(const char *conninfo, const char *sql)
{
    PGconn *c = connect_or_die(conninfo);

    PQclear(sql_or_die(c, sql));
    PQfinish(c);
}

char *pg_server_text(const char *conninfo, const char *sql)
{
    PGconn *c = connect_or_die(conninfo);
    PGresult *r = sql_or_die(c, sql);
    char *text = NULL;

    if (PQntuples(r) > 0) {
        text = mem_dup(PQgetvalue(r, 0, 0), (size_t)PQgetlength(r, 0, 0));
    }
    PQclear(r);
    PQfinish(c);
    return text;
}

int64_t pg_server_i64(const char *conninfo, const char *sql)
{
    char *text = pg_server_text(conninfo, sql);
    char *end;
    int64_t v;

    if (!text) {
        pg_die("no row: %s", sql);
    }
    v = strtoll(text, &end, 10);
    if (end == text || *end) {
        pg_die("not a number: %s: %s", sql, text);
    }
    mem_free(text);
    return v;
}

void pg_server_wait(const char *conninfo, const char *sql)
{
    struct patience p = {0};
    while (patience_left(&p, 0)) {
        char *text = pg_server_text(conninfo, sql);
        bool yes = text && text[0] == 't';

        mem_free(text);
        if (yes) {
            return;
        }
        pause_ms(STEP_MS);
    }
    pg_die("waited in vain: %s", sql);
}

struct pg_client {
    PGconn *c;
};

struct pg_client *pg_client_open(const char *conninfo)
{
    struct pg_client *c = mem_new(struct pg_client);

    c->c = connect_or_die(conninfo);
    return c;
}

void pg_client_sql(struct pg_client *c, const char *sql)
{
    PQclear(sql_or_die(c->c, sql));
}

void pg_client_close(struct pg_client *c)
{
    PQfinish(c->c);
    mem_free(c);
}
