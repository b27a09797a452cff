#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/pg_server_priv.h"

void pg_die(const char *fmt, ...)
{
    va_list args;

    fflush(stdout);
    fprintf(stderr, "pg_server: ");
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fprintf(stderr, "\n");
    exit(1);
}

void pg_print(char *out, size_t size, const char *fmt, ...)
{
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(out, size, fmt, args);
    va_end(args);
    if (n < 0 || (size_t)n >= size) {
        pg_die("too long: %s", out);
    }
}

const char *pg_bindir(void)
{
    static char best[PG_PATH_BYTES];
    long best_version = 14;
    glob_t g;

    if (best[0]) {
        return best;
    }
    if (glob("/usr/lib/postgresql/*/bin/postgres", 0, NULL, &g) == 0) {
        for (size_t i = 0; i < g.gl_pathc; i++) {
            const char *path = g.gl_pathv[i];
            long version = strtol(path + strlen("/usr/lib/postgresql/"), NULL, 10);

            if (version > best_version) {
                best_version = version;
                pg_print(best, sizeof(best), "%.*s", (int)(strlen(path) - strlen("/postgres")),
                         path);
            }
        }
        globfree(&g);
    }
    if (!best[0]) {
        pg_die("no PostgreSQL 15 or newer under /usr/lib/postgresql (apt-get install postgresql)");
    }
    return best;
}

const struct passwd *pg_user(void)
{
    const struct passwd *p;

    if (geteuid() != 0) {
        return NULL;
    }
    p = getpwnam("postgres");
    if (!p) {
        p = getpwnam("nobody");
    }
    if (!p || p->pw_uid == 0) {
        pg_die("no unprivileged user to run PostgreSQL as");
    }
    return p;
}

pid_t pg_spawn(const char *const argv[], const struct passwd *user, const char *log)
{
    pid_t pid = fork();
    int fd;

    if (pid < 0) {
        pg_die("fork: %s", strerror(errno));
    }
    if (pid > 0) {
        return pid;
    }
    (void)setsid();
    fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0 ||
        dup2(open("/dev/null", O_RDONLY | O_CLOEXEC), 0) < 0) {
        _exit(126);
    }
    (void)close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
    if (user && (setgroups(0, NULL) || setgid(user->pw_gid) || setuid(user->pw_uid))) {
        _exit(126);
    }
    /* execv takes pointers to char for reasons of history and changes nothing. */
    execv(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

void pg_run(const char *const argv[], const struct passwd *user, const char *log)
{
    pid_t pid = pg_spawn(argv, user, log);
    int status = 0;

    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        pg_die("%s failed (status %d), see %s", argv[0], status, log);
    }
}

static void make_template(const char *dir, const char *template)
{
    char initdb[PG_PATH_BYTES + 16];
    char log[PG_PATH_BYTES];
    char fresh[PG_PATH_BYTES];
    char half[PG_PATH_BYTES + 16];

    pg_print(initdb, sizeof(initdb), "%s/initdb", pg_bindir());
    pg_print(log, sizeof(log), "%s/initdb.log", dir);
    pg_print(fresh, sizeof(fresh), "%s/template", dir);
    pg_print(half, sizeof(half), "%s.half", template);
    const char *init[] = {initdb,  "-D",   fresh,       "-A",
                          "trust", "-U",   "postgres",  "--locale=C.UTF-8",
                          "-E",    "UTF8", "--no-sync", "--wal-segsize=1",
                          NULL};
    const char *copy[] = {"/bin/cp", "-a", fresh, half, NULL};

    pg_run(init, pg_user(), log);
    pg_remove_tree(half);
    pg_run(copy, NULL, log);
    pg_remove_tree(fresh);
    if (rename(half, template)) {
        pg_die("%s: %s", template, strerror(errno));
    }
}

void pg_template_copy(const char *dir, const char *data)
{
    char template[PG_PATH_BYTES];
    char lock[PG_PATH_BYTES];
    char log[PG_PATH_BYTES];
    const struct passwd *user = pg_user();
    struct stat st;
    int fd;

    /* A cluster belongs to the major version that made it and to the user who runs it. */
    pg_print(template, sizeof(template), "%s/pg_template.%ld.%u", DM_BUILD_DIR,
             strtol(pg_bindir() + strlen("/usr/lib/postgresql/"), NULL, 10),
             (unsigned)(user ? user->pw_uid : geteuid()));
    pg_print(lock, sizeof(lock), "%s.lock", template);
    pg_print(log, sizeof(log), "%s/copy.log", dir);
    fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0 || flock(fd, LOCK_EX)) {
        pg_die("%s: %s", lock, strerror(errno));
    }
    if (stat(template, &st)) {
        make_template(dir, template);
    }
    close(fd);
    const char *copy[] = {"/bin/cp", "-a", template, data, NULL};
    pg_run(copy, NULL, log);
}

unsigned pg_signal_all(const char *dir, int sig)
{
    size_t dir_len = strlen(dir);
    DIR *proc = opendir("/proc");
    const struct dirent *e;
    unsigned n = 0;

    if (!proc || dir_len < 4) {
        pg_die("whose processes? %s", dir); /* not those of everybody */
    }
    while ((e = readdir(proc))) {
        char link[300];
        char cwd[PG_PATH_BYTES];
        ssize_t len;

        if (e->d_name[0] < '1' || e->d_name[0] > '9') {
            continue;
        }
        pg_print(link, sizeof(link), "/proc/%s/cwd", e->d_name);
        len = readlink(link, cwd, sizeof(cwd) - 1);
        if (len <= 0) {
            continue; /* gone, a zombie, or not ours */
        }
        cwd[len] = '\0';
        if (strncmp(cwd, dir, dir_len) == 0 && (cwd[dir_len] == 0 || cwd[dir_len] == '/') &&
            kill((pid_t)strtol(e->d_name, NULL, 10), sig) == 0) {
            n++;
        }
    }
    closedir(proc);
    return n;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    (void)remove(path);
    return 0;
}

void pg_remove_tree(const char *path)
{
    (void)nftw(path, remove_one, 32, FTW_DEPTH | FTW_PHYS);
}

pid_t pg_keep(const char *dir, int *ret_fd)
{
    int fds[2];
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC)) {
        pg_die("pipe: %s", strerror(errno));
    }
    pid = fork();
    if (pid < 0) {
        pg_die("fork: %s", strerror(errno));
    }
    if (pid == 0) {
        char c;

        (void)setsid();
        /* Standard output may be a pipe that somebody waits on. */
        (void)dup2(fds[0], 0);
        (void)close_range(1, ~0U, 0);
        while (read(0, &c, 1) < 0 && errno == EINTR) {
        }
        while (pg_signal_all(dir, SIGKILL) > 0) {
            (void)poll(NULL, 0, 5);
        }
        pg_remove_tree(dir);
        _exit(0);
    }
    close(fds[0]);
    *ret_fd = fds[1];
    return pid;
}
