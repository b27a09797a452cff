/* The macros of attr.h and assert.h. What the compiler must refuse is in must_not_compile.py. */
#include "server/core/attr.h"

#include <errno.h>
#include <string.h>

#include "server/core/assert.h"
#include "tests/support/child.h"
#include "tests/support/run.h"

static void array_len(void **state)
{
    char bytes[7];
    int64_t numbers[3];
    const char *const words[] = {"a", "b"};

    (void)state;
    assert_int_equal(ARRAY_LEN(bytes), 7);
    assert_int_equal(ARRAY_LEN(numbers), 3);
    assert_int_equal(ARRAY_LEN(words), 2);
}

static void container_of(void **state)
{
    struct {
        int before;
        struct {
            char x;
        } inner;
        int after;
    } outer = {1, {'x'}, 2};

    (void)state;
    assert_ptr_equal(CONTAINER_OF(&outer.inner, __typeof__(outer), inner), &outer);
    assert_ptr_equal(CONTAINER_OF(&outer.before, __typeof__(outer), before), &outer);
    assert_int_equal(CONTAINER_OF(&outer.inner, __typeof__(outer), inner)->after, 2);
}

static void take_ptr(void **state)
{
    int x = 5;
    int *p = &x;
    int *slots[2] = {&x, &x};
    int i = 0;
    int *q = TAKE_PTR(p);

    (void)state;
    assert_ptr_equal(q, &x);
    assert_null(p);
    assert_null(TAKE_PTR(p));
    assert_ptr_equal(TAKE_PTR(slots[i]), &x);
    assert_null(slots[0]);
    assert_ptr_equal(slots[1], &x);
}

static void note(int **p)
{
    ++**p;
}

static void scope_with(int *n)
{
    CLEANUP(note) int *a = n;
    CLEANUP(note) int *b = n;

    if (*n > 100) {
        return;
    }
    assert_int_equal(*n, 0); /* not before the end of the scope */
    (void)a;
    (void)b;
}

static void cleanup(void **state)
{
    int n = 0;

    (void)state;
    scope_with(&n);
    assert_int_equal(n, 2);
    n = 200;
    scope_with(&n);
    assert_int_equal(n, 202);
}

static void fail_assert(void *ctx)
{
    ASSERT(*(int *)ctx == 1);
}

static void fail_dassert(void *ctx)
{
    DASSERT(*(int *)ctx == 1);
}

static void reach(void *ctx)
{
    (void)ctx;
    UNREACHABLE();
}

static void asserts(void **state)
{
    int zero = 0;
    int one = 1;
    int n = 0;

    (void)state;
    fail_assert(&one);
    fail_dassert(&one);
    ASSERT(n++ == 0);
    assert_int_equal(n, 1);             /* evaluated once */
    ASSERT(zero == one || zero != one); /* the whole expression, not its first operand */
    assert_aborts(fail_assert, &zero, "assertion failed: *(int *)ctx == 1 (");
    assert_aborts(fail_assert, &zero, "test_attr.c:");
    assert_aborts(reach, NULL, "assertion failed: unreachable (");
#ifndef NDEBUG
    assert_aborts(fail_dassert, &zero, "*(int *)ctx == 1");
#endif
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(array_len), cmocka_unit_test(container_of), cmocka_unit_test(take_ptr),
        cmocka_unit_test(cleanup),   cmocka_unit_test(asserts),
    };

    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
