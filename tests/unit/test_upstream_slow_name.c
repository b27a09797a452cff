/* A name that is looked up for ever: the loop goes on, the call fails in time, closing does not wait.
 *
 * The getaddrinfo below stands before libc's for the whole program, curl included. It returns only when the test lets
 * it, after the call was told: a loop that waited for it would never get there. */
#include <netdb.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "collector/upstream/upstream.h"
#include "server/core/mem.h"
#include "tests/support/loop_until.h"
#include "tests/support/run.h"
#include "tests/support/upstream_rig.h"

/* The test's own, as getaddrinfo has no argument for it. */
static sem_t let_go;
static atomic_uint n_asked;

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **ret)
{
    (void)name;
    (void)service;
    (void)hints;
    *ret = NULL;
    atomic_fetch_add(&n_asked, 1);
    while (sem_wait(&let_go) != 0) {
    }
    return EAI_NONAME;
}

static void open_rig(struct upstream_rig *f, int64_t timeout_ms)
{
    upr_close(f);
    f->opts.live_url = STR("http://slow.example");
    f->opts.timeout_ms = timeout_ms;
    upr_open(f);
}

/* The threads that curl has left behind end, and free what is theirs: what lives is what did before. */
static int teardown(void **state)
{
    struct upstream_rig *f = *state;
    const uint64_t live = f->live_before;
    const int rc = upr_teardown(state);
    const unsigned n = atomic_exchange(&n_asked, 0);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(sem_post(&let_go), 0);
    }
    while (mem_live_count() > live) {
        (void)sched_yield(); /* the runner ends a case that hangs */
    }
    return rc;
}

static void a_slow_name_is_a_timeout(void **state)
{
    struct upstream_rig *f = *state;
    open_rig(f, 50);
    upr_list(f, 1);
    upr_wait(f);
    assert_int_equal(f->code, ERR_UNAVAILABLE);
    assert_int_equal(upr_logged(f, "cannot be reached"), 1);
    assert_true(atomic_load(&n_asked) > 0);
}

static void closing_does_not_wait_for_a_name(void **state)
{
    struct upstream_rig *f = *state;
    open_rig(f, 60000);
    upr_list(f, 1);
    for (unsigned i = 0; i < 2000 && atomic_load(&n_asked) == 0; i++) {
        upr_turns(f, 1);
    }
    assert_true(atomic_load(&n_asked) > 0);
    upr_close(f);
    assert_int_equal(f->code, ERR_CANCELED);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_slow_name_is_a_timeout, upr_setup, teardown),
        cmocka_unit_test_setup_teardown(closing_does_not_wait_for_a_name, upr_setup, teardown),
    };
    if (sem_init(&let_go, 0, 0) != 0) {
        return 1;
    }
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
