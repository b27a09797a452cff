#include "server/core/fsm.h"

#include <stdio.h>
#include <string.h>

#include "server/core/attr.h"
#include "tests/support/child.h"
#include "tests/support/run.h"

enum { IDLE, BUSY, DONE, STATES };
#define TO(s) (UINT32_C(1) << (s))

static const struct fsm_state states[] = {
    [IDLE] = {.name = "IDLE", .next = TO(BUSY) | TO(DONE), .initial = true},
    [BUSY] = {.name = "BUSY", .next = TO(IDLE) | TO(BUSY)},
    [DONE] = {.name = "DONE", .final = true},
};
static const struct fsm_table table = {"job", states, STATES};

struct owner {
    struct fsm m;
    bool sane;
    unsigned moves;
    char trace[256];
};

static bool is_sane(void *ctx, unsigned state)
{
    const struct owner *o = ctx;

    return o->sane || state != BUSY;
}

static void trace(void *ctx, unsigned from, unsigned to, const char *reason)
{
    struct owner *o = ctx;
    size_t len = strlen(o->trace);

    assert_int_equal(o->m.state, to);
    o->moves++;
    (void)snprintf(o->trace + len, sizeof(o->trace) - len, "%u>%u %s;", from, to, reason);
}

static void owner_init(struct owner *o)
{
    memset(o, 0xAA, sizeof(*o)); /* fsm_init leaves nothing to chance */
    o->sane = true;
    o->moves = 0;
    o->trace[0] = '\0';
    fsm_init(&o->m, &table, IDLE, o);
}

static void legal_moves(void **state)
{
    struct owner o;

    (void)state;
    owner_init(&o);
    assert_string_equal(fsm_state_name(&o.m), "IDLE");
    fsm_move(&o.m, BUSY, "no hooks"); /* they are optional */
    fsm_move(&o.m, IDLE, NULL);
    o.m.invariant = is_sane;
    o.m.on_move = trace;
    fsm_move(&o.m, BUSY, "work");
    fsm_move(&o.m, BUSY, "more");
    fsm_move(&o.m, IDLE, "rest");
    fsm_move(&o.m, DONE, "end");
    assert_string_equal(fsm_state_name(&o.m), "DONE");
    assert_int_equal(o.moves, 4);
    assert_string_equal(o.trace, "0>1 work;1>1 more;1>0 rest;0>2 end;");
}

static void may_move(void **state)
{
    struct owner o;

    (void)state;
    owner_init(&o);
    assert_false(fsm_may_move(&o.m, IDLE));
    assert_true(fsm_may_move(&o.m, BUSY));
    assert_true(fsm_may_move(&o.m, DONE));
    for (unsigned to = STATES; to < 70; to++) {
        assert_false(fsm_may_move(&o.m, to)); /* no shift past the word */
    }
    fsm_move(&o.m, DONE, "end");
    for (unsigned to = 0; to < STATES; to++) {
        assert_false(fsm_may_move(&o.m, to));
    }
}

static void move_illegally(void *ctx)
{
    struct owner *o = ctx;

    fsm_move(&o->m, BUSY, "late");
}

static void move_nowhere(void *ctx)
{
    struct owner *o = ctx;

    fsm_move(&o->m, 99, NULL);
}

static void start_in(void *ctx)
{
    struct fsm m;

    fsm_init(&m, &table, *(unsigned *)ctx, NULL);
}

static void start_large(void *ctx)
{
    static const struct fsm_state many[33] = {{.name = "A", .initial = true}};
    const struct fsm_table large = {"large", many, *(unsigned *)ctx};
    struct fsm m;

    fsm_init(&m, &large, 0, NULL);
}

static void illegal_moves_abort(void **state)
{
    struct owner o;
    unsigned bad[] = {BUSY, STATES};
    unsigned sizes[] = {33, 32};

    (void)state;
    owner_init(&o);
    assert_aborts(move_nowhere, &o, "job: illegal move IDLE -> ? ()");
    fsm_move(&o.m, DONE, "end");
    assert_aborts(move_illegally, &o, "job: illegal move DONE -> BUSY (late)");
    assert_aborts(start_in, &bad[0], "initial");
    assert_aborts(start_in, &bad[1], "initial");
    assert_aborts(start_large, &sizes[0], "FSM_STATES_MAX");
    start_large(&sizes[1]);
}

static void broken_invariant_aborts(void **state)
{
    struct owner o;

    (void)state;
    owner_init(&o);
    o.m.invariant = is_sane;
    o.sane = false;
    assert_aborts(move_illegally, &o, "job: invariant broken after IDLE -> BUSY (late)");
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(legal_moves),
        cmocka_unit_test(may_move),
        cmocka_unit_test(illegal_moves_abort),
        cmocka_unit_test(broken_invariant_aborts),
    };

    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
