#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/db/private_pg_priv.h"

void pg_proc_sleep(int ms)
{
    (void)poll(NULL, 0, ms);
}

/* In the child: only calls that are safe after fork. out: where output goes. */
ATTR_NORETURN static void become(const char *const argv[], int out)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    sigset_t none;

    (void)setsid();
    (void)umask(077);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0) {
        _exit(126);
    }
    (void)close_range(3, ~0U, 0);
    /* execv takes pointers to char for reasons of history and changes nothing. */
    execv(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

pid_t pg_proc_start(const char *const argv[], const char *log)
{
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    pid_t pid;
    int saved;

    if (out < 0) {
        return -1;
    }
    pid = fork();
    if (pid == 0) {
        become(argv, out);
    }
    saved = errno;
    close(out);
    errno = saved;
    return pid;
}

static int wait_for(pid_t pid)
{
    int status;

    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) {
            return -1;
        }
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int pg_proc_run(const char *const argv[], const char *log)
{
    pid_t pid = pg_proc_start(argv, log);

    return pid < 0 ? -1 : wait_for(pid);
}

int pg_proc_read(const char *const argv[], char *out, size_t size)
{
    size_t n = 0;
    int fds[2];
    pid_t pid;

    out[0] = '\0';
    if (pipe2(fds, O_CLOEXEC)) {
        return -1;
    }
    pid = fork();
    if (pid == 0) {
        become(argv, fds[1]);
    }
    close(fds[1]);
    while (pid > 0) {
        char rest[256];
        bool room = n < size - 1;
        ssize_t got = room ? read(fds[0], out + n, size - 1 - n) : read(fds[0], rest, sizeof(rest));

        if (got == 0 || (got < 0 && errno != EINTR)) {
            break;
        }
        n += room && got > 0 ? (size_t)got : 0;
    }
    close(fds[0]);
    out[n] = '\0';
    return pid < 0 ? -1 : wait_for(pid);
}

bool pg_proc_is_of(pid_t pid, const char *cluster)
{
    char link[64];
    char cwd[PG_PATH_BYTES];
    ssize_t n;

    (void)snprintf(link, sizeof(link), "/proc/%ld/cwd", (long)pid);
    n = readlink(link, cwd, sizeof(cwd) - 1);
    if (n <= 0) {
        return false; /* gone, a zombie, or another user's */
    }
    cwd[n] = '\0';
    return str_eq(str_of(cwd), str_of(cluster));
}

pid_t pg_proc_any_of(const char *cluster)
{
    DIR *proc = opendir("/proc");
    const struct dirent *e;
    pid_t found = 0;

    while (proc && !found && (e = readdir(proc))) {
        int64_t pid;

        if (str_to_i64(str_of(e->d_name), &pid) && pg_proc_is_of((pid_t)pid, cluster)) {
            found = (pid_t)pid;
        }
    }
    if (proc) {
        closedir(proc);
    }
    return found;
}
