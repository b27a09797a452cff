#include "tests/support/run.h"

#include <dirent.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/core/hash.h"
#include "server/core/log.h"
#include "server/core/mem.h"

enum { FDS_MAX = 1024 };

struct fds {
    bool open[FDS_MAX];
};

/* One case as cmocka sees it: its functions are ours, its state is this. */
struct wrapped {
    const struct CMUnitTest *test; /* borrowed */
    void *state;                   /* the case's own */
    struct fds fds;
    uint64_t live;
    bool passed;
};

/* A test program has one runner; the alarm handler and test_rng must find the running case. */
static const char *running = "";
static uint64_t run_seed;

/* libuv opens a pipe for signals with the first loop and keeps it. Programs that link libuv get that done before the
 * first case, so that it is no leak; the others do not have these symbols. */
int uv_loop_init(void *loop) __attribute__((weak));
int uv_loop_close(void *loop) __attribute__((weak));
size_t uv_loop_size(void) __attribute__((weak));

static void warm_up_uv(void)
{
    void *loop;

    if (!uv_loop_init || !uv_loop_close || !uv_loop_size) {
        return;
    }
    loop = mem_zero_or_abort(1, uv_loop_size());
    if (uv_loop_init(loop) == 0) {
        (void)uv_loop_close(loop);
    }
    mem_free(loop);
}

static void fds_read(struct fds *f)
{
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *e;

    memset(f, 0, sizeof(*f));
    while (dir && (e = readdir(dir)) != NULL) {
        char *end;
        long fd = strtol(e->d_name, &end, 10);

        if (end != e->d_name && fd < FDS_MAX && fd != dirfd(dir)) {
            f->open[fd] = true;
        }
    }
    if (dir) {
        closedir(dir);
    }
}

/* Names the descriptors that were opened and not closed since `before`. */
static unsigned report_new_fds(const struct fds *before)
{
    struct fds now;
    unsigned n = 0;

    fds_read(&now);
    for (int fd = 0; fd < FDS_MAX; fd++) {
        if (now.open[fd] && !before->open[fd]) {
            char link[64];
            char target[256] = "?";

            (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
            (void)!readlink(link, target, sizeof(target) - 1);
            print_error("%s: descriptor %d left open: %s\n", running, fd, target);
            n++;
        }
    }
    return n;
}

static void on_alarm(int sig ATTR_UNUSED)
{
    static const char text[] = ": timed out\n";

    (void)!write(STDERR_FILENO, running, strlen(running));
    (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
    abort();
}

static unsigned timeout_s(void)
{
    const char *env = getenv("DM_TEST_TIMEOUT");
    uint64_t v;

    return env && str_to_u64(str_of(env), &v) && v > 0 && v < 86400 ? (unsigned)v : RUN_TIMEOUT_S;
}

static int wrap_setup(void **state)
{
    struct wrapped *w = *state;

    running = w->test->name;
    w->live = mem_live_count();
    fds_read(&w->fds);
    (void)alarm(timeout_s());
    w->state = w->test->initial_state;
    return w->test->setup_func ? w->test->setup_func(&w->state) : 0;
}

static void wrap_test(void **state)
{
    struct wrapped *w = *state;

    w->test->test_func(&w->state);
    w->passed = true; /* a failed or skipped case jumps over this */
}

static int wrap_teardown(void **state)
{
    struct wrapped *w = *state;
    int rc = w->test->teardown_func ? w->test->teardown_func(&w->state) : 0;

    (void)alarm(0);
    mem_fault_set(-1, 0);
    log_set_sink(NULL, NULL);
    log_set_level(LOG_LEVEL_INFO);
    if (!w->passed) {
        return rc; /* it was left in the middle, of course it leaks */
    }
    if (mem_live_count() != w->live) {
        print_error("%s: %lld allocations left\n", running,
                    (long long)(mem_live_count() - w->live));
        rc = -1;
    }
    if (report_new_fds(&w->fds) > 0) {
        rc = -1;
    }
    return rc;
}

static bool matches(const char *name, char *const *patterns, int n)
{
    for (int i = 0; i < n; i++) {
        if (strstr(name, patterns[i]) || fnmatch(patterns[i], name, 0) == 0) {
            return true;
        }
    }
    return n == 0;
}

static bool choose_seed(const char *text)
{
    if (text) {
        return str_to_u64(str_of(text), &run_seed);
    }
    struct rng r;

    rng_seed_system(&r);
    run_seed = rng_u64(&r) >> 32; /* short enough to type */
    return true;
}

static int run_chosen(const char *name, const struct CMUnitTest *tests, size_t n,
                      char *const *patterns, int n_patterns)
{
    struct wrapped *wrapped = mem_new_array(struct wrapped, n);
    struct CMUnitTest *chosen = mem_new_array(struct CMUnitTest, n);
    size_t n_chosen = 0;
    int failed;

    for (size_t i = 0; i < n; i++) {
        if (matches(tests[i].name, patterns, n_patterns)) {
            wrapped[n_chosen].test = &tests[i];
            chosen[n_chosen] = (struct CMUnitTest){tests[i].name, wrap_test, wrap_setup,
                                                   wrap_teardown, &wrapped[n_chosen]};
            n_chosen++;
        }
    }
    if (n_chosen == 0) {
        print_error("%s: no case matches\n", name);
        failed = 1;
    } else {
        failed = _cmocka_run_group_tests(name, chosen, n_chosen, NULL, NULL);
    }
    mem_free(chosen);
    mem_free(wrapped);
    return failed;
}

int run_tests(int argc, char **argv, const struct CMUnitTest *tests, size_t n)
{
    const char *slash = strrchr(argv[0], '/');
    const char *name = slash ? slash + 1 : argv[0];
    const char *seed = getenv("DM_SEED");
    int first = 1;
    int failed;

    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (size_t i = 0; i < n; i++) {
            printf("%s\n", tests[i].name);
        }
        return 0;
    }
    if (argc > 2 && strcmp(argv[1], "--seed") == 0) {
        seed = argv[2];
        first = 3;
    }
    if (!choose_seed(seed)) {
        print_error("%s: the seed is no number: %s\n", name, seed);
        return 1;
    }
    printf("%s: seed %llu\n", name, (unsigned long long)run_seed);
    fflush(stdout);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGALRM, on_alarm);
    warm_up_uv();
    failed = run_chosen(name, tests, n, argv + first, argc - first);
    if (failed) {
        print_error("%s: repeat with --seed %llu\n", name, (unsigned long long)run_seed);
    }
    return failed ? 1 : 0;
}

void test_rng(struct rng *r)
{
    struct hash64 h;

    hash64_init(&h, run_seed);
    hash64_str(&h, str_of(running));
    rng_seed(r, (uint64_t)hash64_done(&h));
}

void test_str_equal(struct str s, const char *text, const char *file, int line)
{
    if (!str_eq(s, str_of(text))) {
        print_error("\"%.*s\" != \"%s\"\n", STR_ARG(s), text);
        _fail(file, line);
    }
}
