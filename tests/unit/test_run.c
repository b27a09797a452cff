/* The runner itself: what it must catch is run in a process of its own, this program with --inner as its name. */
#include "tests/support/run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/core/mem.h"
#include "tests/support/child.h"
#include "tests/support/tmp.h"

/* --- cases of the inner program, most of them wrong on purpose --- */

static void good(void **state)
{
    (void)state;
    mem_free(mem_new(int));
}

static void leaks_fd(void **state)
{
    (void)state;
    assert_return_code(open("/dev/null", O_RDONLY | O_CLOEXEC), errno);
}

static void leaks_memory(void **state)
{
    static int *kept; /* reachable: the sanitizer's own leak check stays quiet */

    (void)state;
    kept = mem_new(int);
    *kept = 1;
}

static void fails(void **state)
{
    (void)state;
    assert_int_equal(1, 2);
}

static void hangs(void **state)
{
    (void)state;
    for (;;) {
        pause();
    }
}

static int make_int(void **state)
{
    *state = mem_new(int);
    return 0;
}

static int free_int(void **state)
{
    mem_free(*state);
    return 0;
}

static void uses_fixture(void **state)
{
    *(int *)*state = 1;
}

static void leaves_fault(void **state)
{
    (void)state;
    mem_fault_set(0, 1000000);
}

static void sees_no_fault(void **state)
{
    char *p = mem_alloc(1);

    (void)state;
    assert_non_null(p);
    mem_free(p);
}

static void prints_random(void **state)
{
    struct rng r;

    (void)state;
    test_rng(&r);
    printf("random %llu\n", (unsigned long long)rng_u64(&r));
}

static const struct CMUnitTest inner[] = {
    cmocka_unit_test(good),
    cmocka_unit_test(leaks_fd),
    cmocka_unit_test(leaks_memory),
    cmocka_unit_test(fails),
    cmocka_unit_test(hangs),
    cmocka_unit_test_setup_teardown(uses_fixture, make_int, free_int),
    cmocka_unit_test_setup(leaves_fault, NULL),
    cmocka_unit_test(sees_no_fault),
    cmocka_unit_test(prints_random),
};

/* --- the real cases --- */

static void run_inner(struct child *c, const char *a, const char *b, const char *d)
{
    char self[] = "/proc/self/exe";
    char mark[] = "--inner";
    char args[3][64];
    char *argv[] = {self, mark, NULL, NULL, NULL, NULL};
    const char *from[] = {a, b, d};

    for (size_t i = 0; i < 3 && from[i]; i++) {
        (void)snprintf(args[i], sizeof(args[i]), "%s", from[i]);
        argv[i + 2] = args[i];
    }
    child_exec(c, argv);
    assert_true(WIFEXITED(c->status) || WIFSIGNALED(c->status));
}

static void expect_inner(const char *pattern, int status, const char *text)
{
    struct child c;

    run_inner(&c, pattern, NULL, NULL);
    if (!WIFEXITED(c.status) || WEXITSTATUS(c.status) != status || !strstr(c.text, text)) {
        fail_msg("%s: status %#x, output: %s", pattern, (unsigned)c.status, c.text);
    }
}

static void good_case_passes(void **state)
{
    (void)state;
    expect_inner("good", 0, "[  PASSED  ] 1 test(s).");
    expect_inner("uses_fixture", 0, "[  PASSED  ] 1 test(s).");
}

static void failing_case_fails(void **state)
{
    (void)state;
    expect_inner("fails", 1, "0x1 != 0x2");
}

static void leaked_fd_fails(void **state)
{
    (void)state;
    expect_inner("leaks_fd", 1, "left open: /dev/null");
}

static void leaked_memory_fails(void **state)
{
    (void)state;
    expect_inner("leaks_memory", 1, "1 allocations left");
}

static void hanging_case_is_aborted(void **state)
{
    struct child c;

    (void)state;
    assert_return_code(setenv("DM_TEST_TIMEOUT", "1", 1), errno);
    run_inner(&c, "hangs", NULL, NULL);
    assert_return_code(unsetenv("DM_TEST_TIMEOUT"), errno);
    assert_true(WIFSIGNALED(c.status));
    assert_int_equal(WTERMSIG(c.status), SIGABRT);
    assert_non_null(strstr(c.text, "hangs: timed out"));
}

static void faults_end_with_their_case(void **state)
{
    (void)state;
    expect_inner("*_fault", 0, "[  PASSED  ] 2 test(s).");
}

static void patterns_choose(void **state)
{
    struct child c;

    (void)state;
    expect_inner("no such case", 1, "no case matches");
    run_inner(&c, "good", "uses", NULL);
    assert_int_equal(WEXITSTATUS(c.status), 0);
    assert_non_null(strstr(c.text, "2 test(s) run"));
    expect_inner("--list", 0, "leaks_memory\nfails\n");
}

static void seed_repeats(void **state)
{
    struct child a;
    struct child b;
    const char *one;
    const char *two;

    (void)state;
    run_inner(&a, "--seed", "7", "prints_random");
    run_inner(&b, "--seed", "7", "prints_random");
    one = strstr(a.text, "random ");
    two = strstr(b.text, "random ");
    assert_non_null(one);
    assert_non_null(two);
    assert_memory_equal(one, two, strcspn(one, "\n"));
    assert_non_null(strstr(a.text, "seed 7"));
    run_inner(&b, "--seed", "8", "prints_random");
    two = strstr(b.text, "random ");
    assert_non_null(two);
    assert_memory_not_equal(one, two, strcspn(one, "\n"));
    run_inner(&b, "--seed", "x", "prints_random");
    assert_int_equal(WEXITSTATUS(b.status), 1);
}

static void call_abort(void *ctx)
{
    (void)ctx;
    fprintf(stderr, "last words\n");
    abort();
}

static void call_print(void *ctx)
{
    printf("%s\n", (const char *)ctx);
}

static void child_is_watched(void **state)
{
    struct child c;
    char text[] = "hello";

    (void)state;
    assert_aborts(call_abort, NULL, "last words");
    child_call(&c, call_print, text);
    assert_int_equal(c.status, 0);
    assert_string_equal(c.text, "hello\n");
}

static void tmp_dir_goes_with_its_contents(void **state)
{
    struct tmp_dir d;
    char path[TMP_PATH_BYTES];
    char kept[TMP_PATH_BYTES];
    int fd;

    (void)state;
    tmp_dir_make(&d);
    tmp_path(&d, "file", path);
    fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    assert_return_code(fd, errno);
    assert_return_code(close(fd), errno);
    memcpy(kept, d.path, sizeof(kept));
    tmp_dir_remove(&d);
    assert_int_equal(access(kept, F_OK), -1);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_case_passes),        cmocka_unit_test(failing_case_fails),
        cmocka_unit_test(leaked_fd_fails),         cmocka_unit_test(leaked_memory_fails),
        cmocka_unit_test(hanging_case_is_aborted), cmocka_unit_test(faults_end_with_their_case),
        cmocka_unit_test(patterns_choose),         cmocka_unit_test(seed_repeats),
        cmocka_unit_test(child_is_watched),        cmocka_unit_test(tmp_dir_goes_with_its_contents),
    };

    if (argc > 1 && strcmp(argv[1], "--inner") == 0) {
        return run_tests(argc - 1, argv + 1, inner, ARRAY_LEN(inner));
    }
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
