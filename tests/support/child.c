#include "tests/support/child.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

struct task {
    void (*fn)(void *ctx);
    void *ctx;
    char *const *argv; /* instead of fn */
};

static ATTR_NORETURN void in_child(const struct task *t, int fd)
{
    static const int caught[] = {SIGABRT, SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGSYS, SIGALRM};
    const struct rlimit no_core = {0, 0};

    for (size_t i = 0; i < ARRAY_LEN(caught); i++) {
        (void)signal(caught[i], SIG_DFL); /* cmocka's handlers would jump into the parent's test */
    }
    (void)setrlimit(RLIMIT_CORE, &no_core);
    (void)alarm(30);
    if (dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0) {
        _exit(126);
    }
    (void)close(fd);
    if (t->argv) {
        (void)execv(t->argv[0], t->argv);
        _exit(127);
    }
    t->fn(t->ctx);
    fflush(NULL);
    _exit(0);
}

static void read_all(struct child *c, int fd)
{
    char waste[512];
    size_t len = 0;

    for (;;) {
        bool full = len == sizeof(c->text) - 1;
        ssize_t n = full ? read(fd, waste, sizeof(waste))
                         : read(fd, c->text + len, sizeof(c->text) - 1 - len);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            break;
        }
        len += full ? 0 : (size_t)n;
    }
    c->text[len] = '\0';
}

static void run_task(struct child *c, const struct task *t)
{
    int fds[2];
    pid_t pid;

    memset(c, 0, sizeof(*c));
    fflush(NULL);
    assert_return_code(pipe(fds), errno);
    pid = fork();
    assert_return_code(pid, errno);
    if (pid == 0) {
        (void)close(fds[0]);
        in_child(t, fds[1]);
    }
    (void)close(fds[1]);
    read_all(c, fds[0]);
    (void)close(fds[0]);
    while (waitpid(pid, &c->status, 0) < 0) {
        assert_int_equal(errno, EINTR);
    }
}

void child_call(struct child *c, void (*fn)(void *ctx), void *ctx)
{
    run_task(c, &(struct task){.fn = fn, .ctx = ctx});
}

void child_exec(struct child *c, char *const argv[])
{
    run_task(c, &(struct task){.argv = argv});
}

void child_check_abort(void (*fn)(void *ctx), void *ctx, const char *text, const char *file,
                       int line)
{
    struct child c;

    child_call(&c, fn, ctx);
    if (!WIFSIGNALED(c.status) || WTERMSIG(c.status) != SIGABRT || !strstr(c.text, text)) {
        print_error("no abort with \"%s\": status %#x, output: %s\n", text, (unsigned)c.status,
                    c.text);
        _fail(file, line);
    }
}
