#include "server/core/list.h"

#include "server/core/attr.h"
#include "tests/support/child.h"
#include "tests/support/run.h"

struct item {
    int number;
    struct list_node node;
};

static void expect(const struct list *l, const int *numbers, size_t n)
{
    size_t i = 0;

    for (struct list_node *node = list_first(l); node; node = list_next(l, node)) {
        assert_true(i < n);
        assert_int_equal(CONTAINER_OF(node, struct item, node)->number, numbers[i]);
        assert_true(list_linked(node));
        i++;
    }
    assert_int_equal(i, n);
    assert_int_equal(l->n, n);
}

static void basics(void **state)
{
    struct list l;
    struct item a = {.number = 1};
    struct item b = {.number = 2};

    (void)state;
    list_init(&l);
    assert_null(list_first(&l));
    assert_false(list_linked(&a.node));
    list_remove(&l, &a.node); /* no-op */
    list_push_back(&l, &a.node);
    list_push_back(&l, &b.node);
    expect(&l, (int[]){1, 2}, 2);
    list_remove(&l, &a.node);
    list_remove(&l, &a.node);
    expect(&l, (int[]){2}, 1);
    list_push_back(&l, &a.node);
    expect(&l, (int[]){2, 1}, 2);
    list_remove(&l, &b.node);
    list_remove(&l, &a.node);
    expect(&l, NULL, 0);
}

/* Items move between two lists; arrays say where they must be. */
static void model(void **state)
{
    enum { N = 20 };
    struct list lists[2];
    struct item items[N] = {0};
    int order[2][N];
    size_t n[2] = {0, 0};
    int in[N];
    struct rng r;

    (void)state;
    test_rng(&r);
    list_init(&lists[0]);
    list_init(&lists[1]);
    for (int i = 0; i < N; i++) {
        items[i].number = i;
        in[i] = -1;
    }
    for (int step = 0; step < 20000; step++) {
        int i = (int)rng_below(&r, N);
        int to = (int)rng_below(&r, 3) - 1;
        int from = in[i];

        if (from >= 0) {
            size_t k = 0;

            list_remove(&lists[from], &items[i].node);
            while (order[from][k] != i) {
                k++;
            }
            n[from]--;
            for (; k < n[from]; k++) {
                order[from][k] = order[from][k + 1];
            }
        }
        assert_false(list_linked(&items[i].node));
        if (to >= 0) {
            list_push_back(&lists[to], &items[i].node);
            order[to][n[to]++] = i;
        }
        in[i] = to;
        expect(&lists[0], order[0], n[0]);
        expect(&lists[1], order[1], n[1]);
    }
}

static void push_twice(void *ctx)
{
    struct list *l = ctx;

    list_push_back(l, list_first(l));
}

static void in_one_list_only(void **state)
{
    struct list l;
    struct item a = {.number = 1};

    (void)state;
    list_init(&l);
    list_push_back(&l, &a.node);
    assert_aborts(push_twice, &l, "list_push_back");
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(basics),
        cmocka_unit_test(model),
        cmocka_unit_test(in_one_list_only),
    };

    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
