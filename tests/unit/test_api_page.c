/* Plans of pages and the cursors around them; windows over the table. Rows are a plain array here: whatever way a
 * client walks it, forth, back, with rows arriving, it must see each row once. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/query/page.h"
#include "api/query/sql.h"
#include "api/query/window.h"
#include "server/core/id.h"
#include "server/core/rng.h"
#include "tests/support/run.h"

#define NOW INT64_C(1764000000000)
#define LIST_PARAMS                                                                                \
    (PARAM_BIT(FROM) | PARAM_BIT(TO) | PARAM_BIT(SINCE) | PARAM_BIT(LIMIT) | PARAM_BIT(ORDER) |    \
     PARAM_BIT(CURSOR))

enum { ROWS = 50 };

struct archive {
    int64_t id[ROWS];
    size_t n;
};

struct page {
    struct page_links links;
    int64_t id[ROWS];
    size_t n;
    bool more;
};

struct request {
    const char *order; /* NULL: not given */
    const char *from;
    const char *to;
    const char *since;
    const char *cursor;
    int64_t limit;
};

static void add(struct params *p, const char *name, const char *value)
{
    if (value != NULL) {
        params_add(p, str_of(name), str_of(value));
    }
}

static bool plan_of(const struct request *rq, struct params *p, struct page_plan *plan)
{
    static const struct filter all;
    char limit[8];
    (void)snprintf(limit, sizeof(limit), "%d", (int)rq->limit);
    params_init(p, LIST_PARAMS);
    add(p, "order", rq->order);
    add(p, "from", rq->from);
    add(p, "to", rq->to);
    add(p, "since", rq->since);
    add(p, "cursor", rq->cursor);
    add(p, "limit", limit);
    return params_finish(p, NOW) && page_plan(p, &all, NOW, plan);
}

/* What a reader does, over the array. */
static void read_page(const struct archive *a, const struct request *rq, struct page *ret)
{
    struct params p;
    struct page_plan plan;
    assert_true(plan_of(rq, &p, &plan));
    memset(ret, 0, sizeof(*ret));
    struct page_result r = {0};
    for (size_t k = 0; k < a->n; k++) {
        int64_t id = plan.descending ? a->id[a->n - 1 - k] : a->id[k];
        if (id < plan.low || id >= plan.high) {
            continue;
        }
        if (ret->n == plan.limit) {
            r.more = true;
            r.at = ret->id[ret->n - 1];
            break;
        }
        ret->id[ret->n++] = id;
    }
    r.n = ret->n;
    if (r.n > 0) {
        r.first_id = ret->id[0];
        r.last_id = ret->id[r.n - 1];
    }
    page_links(&plan, &r, &ret->links);
    ret->more = r.more;
    if (plan.back) {
        for (size_t i = 0; i < ret->n / 2; i++) {
            int64_t swap = ret->id[i];
            ret->id[i] = ret->id[ret->n - 1 - i];
            ret->id[ret->n - 1 - i] = swap;
        }
    }
}

static int64_t id_at(int64_t ms_ago)
{
    return id_first_of_ms(NOW - ms_ago) + 5;
}

static void fill(struct archive *a, size_t n)
{
    a->n = n;
    for (size_t i = 0; i < n; i++) {
        a->id[i] = id_at((int64_t)(n - i) * 1000);
    }
}

static void test_forward_and_back(void **state)
{
    (void)state;
    static const char *const orders[] = {"desc", "asc"};
    for (int o = 0; o < 2; o++) {
        for (int64_t limit = 1; limit <= 8; limit++) {
            struct archive a;
            fill(&a, 20);
            struct page page;
            struct request rq = {.order = orders[o], .limit = limit};
            int64_t seen[ROWS];
            size_t n = 0;
            char cursor[CURSOR_TEXT_LEN + 1];
            for (;;) {
                read_page(&a, &rq, &page);
                memcpy(seen + n, page.id, page.n * sizeof(page.id[0]));
                n += page.n;
                assert_int_equal(page.more, n < 20);
                if (!page.more) {
                    break;
                }
                assert_true(page.links.has_next);
                memcpy(cursor, page.links.next, sizeof(cursor));
                rq.cursor = cursor;
            }
            assert_int_equal(n, 20);
            for (size_t i = 0; i < n; i++) {
                assert_true(seen[i] == a.id[o == 1 ? i : 19 - i]);
            }
            /* And back from the last page: the same rows, none of the last page, none twice. */
            size_t left = n - page.n;
            while (left > 0) {
                assert_true(page.links.has_prev);
                memcpy(cursor, page.links.prev, sizeof(cursor));
                rq.cursor = cursor;
                read_page(&a, &rq, &page);
                assert_true(page.n > 0 && page.n <= left);
                assert_memory_equal(page.id, seen + left - page.n, page.n * sizeof(page.id[0]));
                assert_true(page.links.has_next);
                left -= page.n;
            }
        }
    }
}

/* A client that polls `prev` of a newest-first list, or `next` of an oldest-first one, sees what arrives, once. */
static void test_polling(void **state)
{
    (void)state;
    for (int asc = 0; asc < 2; asc++) {
        struct archive a;
        fill(&a, 5);
        struct page page;
        struct request rq = {.order = asc ? "asc" : "desc", .limit = 10};
        char cursor[CURSOR_TEXT_LEN + 1];
        read_page(&a, &rq, &page);
        assert_int_equal(page.n, 5);
        for (int64_t i = 0; i < 6; i++) {
            const char *open = asc ? page.links.next : page.links.prev;
            assert_true(asc ? page.links.has_next : page.links.has_prev);
            memcpy(cursor, open, sizeof(cursor));
            rq.cursor = cursor;
            if (i % 2 == 1) {
                a.id[a.n++] = id_at(500 - i * 10);
                a.id[a.n++] = id_at(500 - i * 10) + 16;
            }
            read_page(&a, &rq, &page);
            assert_int_equal(page.n, i % 2 == 1 ? 2 : 0);
            if (page.n == 2) {
                assert_true(page.id[asc ? 0 : 1] == a.id[a.n - 2]);
            }
        }
        /* From an empty page the way back leads to the last row seen, not behind it. */
        memcpy(cursor, asc ? page.links.next : page.links.prev, sizeof(cursor));
        read_page(&a, &rq, &page);
        assert_int_equal(page.n, 0);
        assert_true(asc ? page.links.has_prev : page.links.has_next);
        memcpy(cursor, asc ? page.links.prev : page.links.next, sizeof(cursor));
        read_page(&a, &rq, &page);
        assert_int_equal(page.n, 10);
        assert_true(page.id[asc ? 9 : 0] == a.id[a.n - 1]);
    }
}

static void test_ends(void **state)
{
    (void)state;
    struct archive a;
    fill(&a, 10);
    struct page page;
    struct request rq = {.limit = 10};
    read_page(&a, &rq, &page);
    assert_false(page.more || page.links.has_next); /* the oldest side is closed */
    assert_true(page.links.has_prev);
    rq = (struct request){.limit = 10, .to = "1763999999000"};
    read_page(&a, &rq, &page);
    assert_int_equal(page.n, 9);
    assert_false(page.links.has_next || page.links.has_prev); /* a closed range that fits */
    rq = (struct request){
        .limit = 4, .order = "asc", .to = "1763999999000", .from = "1763999992000"};
    read_page(&a, &rq, &page);
    assert_int_equal(page.n, 4);
    assert_true(page.id[0] == a.id[2]);
    assert_true(page.links.has_next && !page.links.has_prev);
    fill(&a, 0);
    rq = (struct request){.limit = 4, .order = "asc"};
    read_page(&a, &rq, &page);
    assert_true(page.links.has_next && !page.more); /* empty, but a place to poll from */
}

static void test_stopped_early(void **state)
{
    (void)state;
    struct request rq = {.limit = 10};
    struct params p;
    struct page_plan plan;
    struct page_links links;
    struct cursor c;
    assert_true(plan_of(&rq, &p, &plan));
    struct page_result r = {.n = 0, .more = true, .at = 77};
    page_links(&plan, &r, &links);
    assert_true(links.has_next);
    assert_true(cursor_parse(str_of(links.next), &c));
    assert_int_equal(c.id, 77);
}

static void test_cursor_checks(void **state)
{
    (void)state;
    struct archive a;
    fill(&a, 10);
    struct page page;
    struct request rq = {.limit = 3, .since = "1h"};
    read_page(&a, &rq, &page);
    struct params p;
    struct page_plan plan;
    struct request other = {.limit = 9, .since = "1h", .cursor = page.links.next};
    assert_true(plan_of(&other, &p, &plan)); /* another limit is fine */
    assert_true(plan.floor_ms == NOW - 3600000);
    other.since = "2h";
    assert_false(plan_of(&other, &p, &plan));
    assert_string_equal(p.errors[0].code, "cursor_mismatch");
    other = (struct request){.limit = 3, .cursor = page.links.next};
    assert_false(plan_of(&other, &p, &plan));
    assert_string_equal(p.errors[0].code, "cursor_mismatch");
    other = (struct request){.limit = 3, .since = "1h", .order = "asc", .cursor = page.links.next};
    assert_false(plan_of(&other, &p, &plan));
    assert_string_equal(p.errors[0].code, "cursor_mismatch");
    other = (struct request){.limit = 3, .since = "1h", .cursor = "AAAA"};
    assert_false(plan_of(&other, &p, &plan));
    assert_string_equal(p.errors[0].code, "bad_cursor");
}

/* The walk over windows, against a count: each row is read once, in order, in few steps. */
static size_t count_in(const int64_t *ids, size_t n, int64_t low, int64_t high)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        k += ids[i] >= low && ids[i] < high;
    }
    return k;
}

static void walk(const int64_t *ids, size_t n, struct window *w, size_t need, unsigned max_steps)
{
    int64_t low = 0;
    int64_t high = 0;
    size_t got = 0;
    int64_t edge = w->descending ? w->high : w->low;
    int64_t first_low = w->low;
    int64_t first_high = w->high;
    enum window_step step;
    while ((step = window_next(w, &low, &high)) != WINDOW_DONE) {
        assert_int_not_equal(step, WINDOW_BUDGET);
        assert_true(low < high);
        assert_true(w->descending ? high == edge : low == edge);
        size_t in = count_in(ids, n, low, high);
        if (step == WINDOW_PROBE) {
            window_probed(w, in < WINDOW_PROBE_ROWS ? in : WINDOW_PROBE_ROWS);
        } else {
            assert_true(w->by_room || w->vetted ||
                        in <= 20000); /* a dense stretch is never read whole */
            got += in < w->need ? in : w->need;
            window_rows(w, in < w->need ? in : w->need);
        }
        edge = w->descending ? w->high : w->low;
    }
    size_t all = count_in(ids, n, first_low, first_high);
    assert_int_equal(got, need < all ? need : all);
    assert_true(w->need == 0 || window_is_through(w));
    assert_true(w->steps <= max_steps);
}

static void test_windows(void **state)
{
    (void)state;
    enum { N = 100000 };
    int64_t *ids = malloc(N * sizeof(*ids));
    for (size_t i = 0; i < N; i++) { /* 28 hours, one row a second, the newest a year ago */
        ids[i] = id_at(INT64_C(366) * 86400000 + (int64_t)(N - i) * 1000);
    }
    for (int k = 0; k < 8; k++) {
        struct window w;
        window_init(&w, k & 1, (k & 2) != 0, k & 4 ? 5000 : 0);
        window_range(&w, 0, id_first_of_ms(NOW), 101);
        walk(ids, N, &w, 101, 60);
        window_init(&w, k & 1, (k & 2) != 0, 0);
        window_range(&w, ids[10], ids[N - 10], 1001);
        walk(ids, N, &w, 1001, 10);
        window_init(&w, k & 1, (k & 2) != 0, 0);
        window_range(&w, 0, ID_MAX, 5);
        walk(ids, 0, &w, 5, 30);
        window_init(&w, k & 1, (k & 2) != 0, 0);
        window_range(&w, 7, 7, 5);
        walk(ids, N, &w, 5, 0);
    }
    free(ids);
}

/* What a page has found makes the next window neither too narrow for it nor much too wide. */
static void test_window_width(void **state ATTR_UNUSED)
{
    const int64_t low = id_first_of_ms(NOW);
    assert_int_equal(window_width_for(low, id_first_of_ms(NOW + 999), 2000, 2000), 1250);
    assert_int_equal(window_width_for(low, id_first_of_ms(NOW + 999), 4000, 200), 62);
    assert_int_equal(window_width_for(low, id_first_of_ms(NOW + 9999), 20, 2000), 1250000);
    assert_int_equal(window_width_for(low, low, 5000, 1), 1); /* all in one ms: 0 is no guess */
    assert_true(window_width_for(0, ID_MAX, 16, 2001) > 0);
}

/* A table where every probe says "much" and every window is empty must still end, honestly. */
static void test_window_budget(void **state)
{
    (void)state;
    struct window w;
    window_init(&w, true, false, 0);
    window_range(&w, 0, id_first_of_ms(NOW), 10);
    enum window_step step;
    int64_t low;
    int64_t high;
    unsigned turns = 0;
    while ((step = window_next(&w, &low, &high)) != WINDOW_BUDGET) {
        assert_int_not_equal(step, WINDOW_DONE);
        assert_true(++turns < 1000);
        if (step == WINDOW_PROBE) {
            window_probed(&w, WINDOW_PROBE_ROWS);
        } else {
            window_rows(&w, 0);
        }
    }
    assert_int_equal(w.steps, WINDOW_STEPS_MAX);
    assert_true(w.high < id_first_of_ms(NOW) && w.high > 0);
}

static void test_statements(void **state)
{
    (void)state;
    for (enum sql s = 0; s < SQLS; s++) {
        for (enum sql t = 0; t < s; t++) {
            assert_string_not_equal(sql_stmt(s)->name, sql_stmt(t)->name);
        }
        assert_null(strchr(sql_stmt(s)->sql, '%'));
    }
    const int64_t room = 5;
    struct filter f = {.rooms = &room, .n_rooms = 1};
    assert_int_equal(sql_events(&f, true), SQL_EVENTS_ROOMS_DESC);
    f.kinds = 1u << EVENT_GIFT;
    assert_int_equal(sql_events(&f, false), SQL_EVENTS_RARE_ASC);
    f.n_rooms = 0;
    assert_int_equal(sql_events(&f, true), SQL_EVENTS_ANYRARE_DESC);
    f.kinds = 0;
    assert_int_equal(sql_events(&f, false), SQL_EVENTS_ALL_ASC);
    /* The literal list of the partial index and the table of kinds. */
    char common[64] = "NOT IN (";
    for (unsigned k = 1; k < EVENT_KIND_END; k++) {
        if (!event_kind_is_rare((enum event_kind)k)) {
            size_t len = strlen(common);
            (void)snprintf(common + len, sizeof(common) - len, "%s%u",
                           common[len - 1] == '(' ? "" : ", ", k);
        }
    }
    common[strlen(common)] = ')'; /* the array is zeroed */
    assert_non_null(strstr(sql_stmt(SQL_EVENTS_RARE_ASC)->sql, common));
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward_and_back),
        cmocka_unit_test(test_polling),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_stopped_early),
        cmocka_unit_test(test_cursor_checks),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_window_width),
        cmocka_unit_test(test_window_budget),
        cmocka_unit_test(test_statements),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
