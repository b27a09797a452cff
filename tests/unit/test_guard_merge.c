/* The messages of guard purchases: whatever comes, in whatever order, each purchase is one event with what was paid. */
#include "collector/guard_merge.h"

#include <stdio.h>

#include "server/core/id.h"
#include "server/core/mem.h"
#include "tests/unit/test_spool_rig.h"

enum { TOLD_MAX = 256, LIST = 198000, PAID = 138000 };
#define T0 INT64_C(1790000000000)

struct fixture {
    struct rig *rig; /* spool, loop, fake clock */
    struct guard_merge *m;
    int64_t value[TOLD_MAX];
    int64_t nkey[TOLD_MAX];
    size_t n;
    int64_t next_id;
    bool to_spool; /* what is told goes to the spool, as the service does it */
    bool die;      /* after the event, before the end of the hold */
    bool read;
    unsigned n_held; /* hold - hold_end */
};

static void hold(void *ctx, int64_t key, const struct event_draft *draft, int64_t until_ms)
{
    struct fixture *f = ctx;
    f->n_held++;
    spool_hold(f->rig->s, key, draft, until_ms);
}

static void hold_end(void *ctx, int64_t key)
{
    struct fixture *f = ctx;
    f->n_held--;
    if (!f->die) {
        spool_hold_end(f->rig->s, key);
    }
}

static void tell(void *ctx, const struct event_draft *d)
{
    struct fixture *f = ctx;
    assert_true(f->n < TOLD_MAX);
    f->value[f->n] = d->value_mcny;
    f->nkey[f->n++] = d->nkey;
    if (f->to_spool) {
        struct event *e = event_new(f->next_id += ID_EVENTS_PER_MESSAGE, d);
        assert_non_null(e);
        spool_append(f->rig->s, e);
    }
}

static void merge_new(struct fixture *f)
{
    const struct guard_merge_ops ops = {hold, hold_end, tell, f};
    f->m = guard_merge_new(f->rig->loop, &ops, f->rig->stats);
}

static int setup(void **state)
{
    struct fixture *f = mem_new(struct fixture);
    void *rig;
    assert_int_equal(rig_setup(&rig), 0);
    f->rig = rig;
    f->next_id = id_first_of_ms(T0);
    rig_open(f->rig);
    merge_new(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    void *rig = f->rig;
    guard_merge_free(f->m);
    assert_int_equal(rig_teardown(&rig), 0);
    mem_free(f);
    return 0;
}

enum msg { BUY, TOAST, V2 };

struct buyer {
    int64_t uid; /* 0: masked */
    const char *name;
    const char *payflow; /* NULL: the messages have none */
    int64_t start_ms;
    int64_t room;
    int16_t level;
    int32_t num;
    const char *unit;
};

static const struct buyer somebody = {410023, "石头", "2609210000000000000000001", T0, 1000, 3,
                                      0,      NULL};

static void take(struct fixture *f, const struct buyer *b, enum msg what)
{
    static const char *const sources[] = {"guard_buy", "toast", "toast_v2"};
    char extra[256];
    struct event_draft d;
    int n =
        b->payflow != NULL && what != BUY
            ? snprintf(extra, sizeof(extra),
                       "{\"source\":\"%s\",\"payflow_id\":\"%s\",\"start_ms\":1,\"unit\":\"%s\"}",
                       sources[what], b->payflow, b->unit != NULL ? b->unit : "月")
            : snprintf(extra, sizeof(extra), "{\"source\":\"%s\"}", sources[what]);
    event_draft_init(&d, EVENT_GUARD, b->room);
    d.actor = b->uid != 0 ? b->uid : -77 - (int64_t)what; /* a hash may differ by message */
    d.flags = b->uid != 0 ? 0 : EVENT_F_MASKED;
    d.num = b->num;
    d.uname = str_of(b->name);
    d.guard = b->level;
    d.sent_ms = b->start_ms;
    d.value_mcny = what == BUY ? LIST : PAID;
    d.nkey = what != BUY && b->payflow != NULL
                 ? 5000000 + b->payflow[24]
                 : b->start_ms * 8 + b->level + (what == BUY ? 0 : 4) + b->uid % 100 * 1000000;
    d.extra = (struct str){extra, (size_t)n};
    guard_merge_take(f->m, &d);
}

static void any_subset_in_any_order(void **state)
{
    static const enum msg orders[][3] = {{BUY, TOAST, V2}, {BUY, V2, TOAST}, {TOAST, BUY, V2},
                                         {TOAST, V2, BUY}, {V2, BUY, TOAST}, {V2, TOAST, BUY}};
    static const char *const payflows[] = {"2609210000000000000000001", NULL};
    struct fixture *f = *state;
    int64_t start = T0;
    for (unsigned subset = 1; subset < 8; subset++) {
        for (size_t o = 0; o < ARRAY_LEN(orders); o++) {
            for (unsigned masked = 0; masked < 2; masked++) {
                for (size_t p = 0; p < ARRAY_LEN(payflows); p++) {
                    struct buyer b = {masked ? 0 : 410023,
                                      masked ? "石***" : "石头",
                                      payflows[p],
                                      start += 100000,
                                      1000,
                                      3,
                                      0,
                                      NULL};
                    rig_advance(f->rig, 100000);
                    f->n = 0;
                    for (size_t i = 0; i < 3; i++) {
                        if ((subset >> orders[o][i] & 1) != 0) {
                            take(f, &b, orders[o][i]);
                            rig_advance(f->rig, 40);
                            take(f, &b, orders[o][i]); /* retransmitted */
                        }
                    }
                    rig_advance(f->rig, 6000);
                    assert_int_equal(f->n, 1);
                    assert_int_equal(f->value[0], subset == 1U << BUY ? LIST : PAID);
                    assert_int_equal(f->n_held, 0);
                    assert_int_equal(guard_merge_n_held(f->m), 0);
                }
            }
        }
    }
}

static void list_price_after_five_seconds(void **state)
{
    struct fixture *f = *state;
    take(f, &somebody, BUY);
    rig_advance(f->rig, 4900);
    assert_int_equal(f->n, 0);
    assert_int_equal(f->n_held, 1);
    rig_advance(f->rig, 200);
    assert_int_equal(f->n, 1);
    assert_int_equal(f->value[0], LIST);
    take(f, &somebody, TOAST); /* too late: not a second payment */
    rig_advance(f->rig, 6000);
    assert_int_equal(f->n, 1);
    assert_int_equal(rig_stat(f->rig, STAT_GUARDS_ALONE), 1);
    assert_int_equal(rig_stat(f->rig, STAT_GUARDS_MERGED), 1);
}

/* The same buyer, level and room, twice within 5 s: two purchases stay two. */
static void two_purchases_of_one_buyer(void **state)
{
    struct fixture *f = *state;
    struct buyer second = somebody;
    second.payflow = "2609210000000000000000002";
    second.start_ms += 3000;
    take(f, &somebody, BUY);
    rig_advance(f->rig, 1000);
    take(f, &second, BUY);
    take(f, &second, TOAST);
    take(f, &somebody, TOAST);
    take(f, &somebody, V2);
    take(f, &second, V2);
    rig_advance(f->rig, 6000);
    assert_int_equal(f->n, 2);
    assert_int_equal(f->value[0] + f->value[1], 2 * PAID);
    assert_int_not_equal(f->nkey[0], f->nkey[1]);
}

static void others_are_not_merged(void **state)
{
    struct fixture *f = *state;
    struct buyer b[5] = {somebody, somebody, somebody, somebody, somebody};
    b[1].uid = 5;
    b[2].room = 1001;
    b[3].level = 2;
    b[4].start_ms += 5001;
    for (size_t i = 0; i < 5; i++) {
        b[i].payflow = NULL;
        take(f, &b[i], i % 2 == 0 ? BUY : TOAST);
    }
    rig_advance(f->rig, 6000);
    assert_int_equal(f->n, 5);
}

static void flush_tells_what_is_held(void **state)
{
    struct fixture *f = *state;
    take(f, &somebody, BUY);
    guard_merge_flush(f->m);
    assert_int_equal(f->n, 1);
    assert_int_equal(f->n_held, 0);
    guard_merge_flush(f->m);
    assert_int_equal(f->n, 1);
}

static void too_many_tells_the_oldest(void **state)
{
    struct fixture *f = *state;
    struct buyer b = somebody;
    b.payflow = NULL;
    for (int i = 0; i < GUARD_MERGE_MAX + 10; i++) {
        b.uid = 1 + i;
        b.start_ms = T0 + i;
        take(f, &b, BUY);
        f->n = f->n < TOLD_MAX - 20 ? f->n : 0;
    }
    assert_int_equal(f->n, 10);
    assert_int_equal(guard_merge_n_held(f->m), GUARD_MERGE_MAX);
    assert_int_equal(rig_stat(f->rig, STAT_GUARDS_FORGOTTEN), 10);
    f->n = 0;
    guard_merge_free(f->m);
    merge_new(f);
}

static void restore(void *ctx, int64_t key, const struct event_draft *draft, int64_t until_ms)
{
    struct fixture *f = ctx;
    f->n_held++;
    guard_merge_restore(f->m, key, draft, until_ms);
}

static void on_read(void *ctx, struct event **events, size_t n)
{
    struct fixture *f = ctx;
    for (size_t i = 0; i < n; i++) {
        guard_merge_seen(f->m, events[i]);
        event_unref(&events[i]);
    }
    f->read = true;
}

/* kill -9, and a start as the service does it: what is stored, then what was held. */
static void crash(struct fixture *f)
{
    rig_settle(f->rig);
    guard_merge_free(f->m);
    rig_crash(f->rig);
    f->die = false;
    f->n_held = 0;
    merge_new(f);
    f->read = false;
    spool_read(f->rig->s, 0, 100, 1 << 20, on_read, f);
    rig_until(f->rig, f->read);
    spool_each_hold(f->rig->s, restore, f);
}

static void crash_while_held(void **state)
{
    struct fixture *f = *state;
    f->to_spool = true;
    take(f, &somebody, BUY);
    rig_advance(f->rig, 1000);
    crash(f);
    assert_int_equal(guard_merge_n_held(f->m), 1);
    take(f, &somebody, TOAST); /* came after the restart */
    rig_advance(f->rig, 6000);
    assert_int_equal(f->n, 1);
    assert_int_equal(f->value[0], PAID);
    crash(f);
    assert_int_equal(guard_merge_n_held(f->m), 0);
}

static void crash_while_held_and_no_toast(void **state)
{
    struct fixture *f = *state;
    f->to_spool = true;
    take(f, &somebody, BUY);
    rig_advance(f->rig, 1000);
    crash(f);
    rig_advance(f->rig, 6000);
    assert_int_equal(f->n, 1);
    assert_int_equal(f->value[0], LIST);
    crash(f);
    rig_advance(f->rig, 6000);
    assert_int_equal(f->n, 1);
}

/* The event is in the spool, the end of the hold is not. */
static void crash_between_event_and_end(void **state)
{
    struct fixture *f = *state;
    for (int with_toast = 0; with_toast < 2; with_toast++) {
        struct buyer b = somebody;
        b.uid += with_toast;
        b.payflow = with_toast ? "2609210000000000000000002" : NULL;
        b.start_ms += with_toast * 60000;
        f->to_spool = true;
        f->n = 0;
        take(f, &b, BUY);
        rig_advance(f->rig, 1000);
        rig_settle(f->rig);
        f->die = true;
        if (with_toast) {
            take(f, &b, TOAST);
        } else {
            rig_advance(f->rig, 6000);
        }
        assert_int_equal(f->n, 1);
        crash(f);
        rig_advance(f->rig, 6000);
        assert_int_equal(f->n, 1);
        assert_int_equal(guard_merge_n_held(f->m), 0);
    }
}

/* A guard_buy that stays alone, and a second purchase of the buyer within 5 s of which only the toast comes. */
static void numbers_of_months_tell_purchases_apart(void **state)
{
    static const struct {
        int32_t buy, toast;
        const char *unit;
        size_t events;
    } cases[] = {
        {1, 12, "月", 2}, {1, 1, "月", 1}, {0, 12, "月", 1}, {12, 1, "年", 1}, {1, 3, "*3天", 1}};
    struct fixture *f = *state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buyer b = somebody;
        char payflow[] = "2609210000000000000000010";
        payflow[24] = (char)('3' + i);
        b.payflow = payflow;
        b.uid += 100 + (int64_t)i;
        b.num = cases[i].buy;
        f->n = 0;
        take(f, &b, BUY);
        b.start_ms += 3000;
        b.num = cases[i].toast;
        b.unit = cases[i].unit;
        take(f, &b, V2);
        rig_advance(f->rig, 6000);
        assert_int_equal(f->n, cases[i].events);
    }
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CASE(any_subset_in_any_order),
        CASE(list_price_after_five_seconds),
        CASE(two_purchases_of_one_buyer),
        CASE(others_are_not_merged),
        CASE(numbers_of_months_tell_purchases_apart),
        CASE(flush_tells_what_is_held),
        CASE(too_many_tells_the_oldest),
        CASE(crash_while_held),
        CASE(crash_while_held_and_no_toast),
        CASE(crash_between_event_and_end),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
