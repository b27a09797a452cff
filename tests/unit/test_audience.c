/* Audience figures: when a row is put out, and what is in it. */
#include "collector/audience.h"

#include <stdio.h>

#include "server/core/id.h"
#include "server/core/mem.h"
#include "server/stats/stats.h"
#include "tests/support/run.h"

#define T0 INT64_C(1790000000000)
enum { ROOM = 7, ROWS_MAX = 512 };

struct fixture {
    struct stats *stats;
    struct audience *a;
    struct audience_row rows[ROWS_MAX];
    size_t n;
};

static void put(void *ctx, const struct audience_row *row)
{
    struct fixture *f = ctx;
    assert_true(f->n < ROWS_MAX);
    assert_true(f->n == 0 || row->room_id != f->rows[f->n - 1].room_id ||
                row->at_ms > f->rows[f->n - 1].at_ms);
    f->rows[f->n++] = *row;
}

static int setup(void **state)
{
    struct fixture *f = mem_new(struct fixture);
    f->stats = stats_new();
    f->a = audience_new(&(struct audience_opts){.max_rooms = 2, .put = put, .ctx = f}, f->stats);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    audience_free(f->a);
    stats_free(f->stats);
    mem_free(f);
    return 0;
}

static void tell(struct fixture *f, int64_t room, int64_t at, const char *figure, int64_t value)
{
    char extra[128];
    struct event_draft d;
    snprintf(extra, sizeof(extra), "{\"figure\":\"%s\",\"value\":%lld}", figure, (long long)value);
    event_draft_init(&d, EVENT_AUDIENCE, room);
    d.extra = str_of(extra);
    struct event *e = event_new(id_first_of_ms(T0 + at), &d);
    assert_non_null(e);
    audience_event(f->a, e);
    event_unref(&e);
}

static void look(struct fixture *f, int64_t at, int64_t up_since, bool live)
{
    audience_look(f->a, ROOM, up_since >= 0 ? T0 + up_since : 0, live, T0 + at);
}

static int64_t value(const struct fixture *f, enum audience_figure which)
{
    assert_true(f->n > 0);
    return f->rows[f->n - 1].v[which];
}

static void test_at_most_one_row_per_interval(void **state)
{
    struct fixture *f = *state;
    look(f, 0, 0, true);
    assert_int_equal(f->n, 0); /* nothing is known */
    for (int64_t at = 1000; at <= 60000; at += 500) {
        tell(f, ROOM, at, "watched", at);
        look(f, at, 0, true);
    }
    assert_int_equal(f->n, 6);
    for (size_t i = 1; i < f->n; i++) {
        assert_int_equal(f->rows[i].at_ms - f->rows[i - 1].at_ms, AUDIENCE_LIVE_MS);
    }
    assert_int_equal(value(f, AUDIENCE_watched), 51000);
    assert_int_equal(value(f, AUDIENCE_online), -1);
    look(f, 60000 + AUDIENCE_LIVE_MS, 0, true); /* the last change is not forgotten */
    assert_int_equal(f->n, 7);
    assert_int_equal(value(f, AUDIENCE_watched), 60000);
    look(f, 100000, 0, true); /* no change, no row */
    assert_int_equal(f->n, 7);
    look(f, 70000 + AUDIENCE_SAME_MS, 0, true); /* but it is still known */
    assert_int_equal(f->n, 8);
}

static void test_off_the_air(void **state)
{
    struct fixture *f = *state;
    look(f, 0, 0, true);
    tell(f, ROOM, 1000, "online", 50);
    tell(f, ROOM, 1000, "followers", 9000);
    look(f, 11000, 0, true);
    assert_int_equal(f->n, 2);
    look(f, 20000, 0, false); /* it ends */
    assert_int_equal(f->n, 2);
    look(f, 11000 + AUDIENCE_OFF_MS, 0, false);
    assert_int_equal(f->n, 3);
    assert_int_equal(value(f, AUDIENCE_online), -1);
    assert_int_equal(value(f, AUDIENCE_followers), 9000);
}

static void test_without_a_connection_nothing_is_known(void **state)
{
    struct fixture *f = *state;
    look(f, 0, 0, true);
    tell(f, ROOM, 1000, "online", 50);
    look(f, 30000, -1, true);
    look(f, 30000 + 2 * AUDIENCE_SAME_MS, -1, true);
    assert_int_equal(f->n, 1);
    audience_set(f->a, ROOM, AUDIENCE_followers, 5, T0 + 2000000); /* polled meanwhile */
    assert_int_equal(f->n, 1);
    look(f, 3000000, 2999000, true);
    assert_int_equal(f->n, 1);
    tell(f, ROOM, 3001000, "watched", 8);
    assert_int_equal(f->n, 2);
    assert_int_equal(value(f, AUDIENCE_online), -1); /* old */
    assert_int_equal(value(f, AUDIENCE_watched), 8);
}

static void test_what_comes_before_the_first_look_stays(void **state)
{
    struct fixture *f = *state;
    tell(f, ROOM, 5100, "online", 50);
    look(f, 6000, 5000, true);
    tell(f, ROOM, 20000, "watched", 8);
    assert_int_equal(f->n, 2);
    assert_int_equal(value(f, AUDIENCE_online), 50);
}

static void test_values_of_no_meaning(void **state)
{
    struct fixture *f = *state;
    look(f, 0, 0, true);
    tell(f, ROOM, 1000, "popularity", 1);
    tell(f, ROOM, 1000, "online", -5);
    tell(f, ROOM, 1000, "fans_club", INT64_MAX);
    tell(f, ROOM, 1000, "joint_online", 5);
    tell(f, ROOM, 1000, "", 5);
    audience_set(f->a, ROOM, AUDIENCE_popularity, -1, T0 + 1000);
    assert_int_equal(f->n, 0);
    tell(f, ROOM, 2000, "popularity", 2);
    assert_int_equal(f->n, 1);
    tell(f, 8, 1000, "online", 1);
    assert_int_equal(f->n, 2);
    tell(f, 9, 1000, "online", 1); /* two rooms fit */
    assert_int_equal(f->n, 2);
    assert_int_equal(stats_get(f->stats, STAT_AUDIENCE_ROOMS_OVERFLOW), 1);
}

static void test_a_clock_that_goes_back(void **state)
{
    struct fixture *f = *state;
    look(f, 1000000, 0, true);
    tell(f, ROOM, 1000000, "online", 1);
    tell(f, ROOM, 1000, "online", 2);
    f->n = 0; /* times begin anew */
    look(f, 1000 + AUDIENCE_LIVE_MS, 0, true);
    assert_int_equal(f->n, 1);
    assert_int_equal(value(f, AUDIENCE_online), 2);
}

static void test_rooms_are_forgotten(void **state)
{
    struct fixture *f = *state;
    look(f, 1000, 0, false);
    tell(f, 8, 1000, "online", 1); /* never looked at: its time begins with the first tick */
    audience_tick(f->a, T0 + 2000);
    audience_tick(f->a, T0 + 1000 + AUDIENCE_KEEP_MS);
    audience_set(f->a, 9, AUDIENCE_followers, 1, T0 + 1000 + AUDIENCE_KEEP_MS);
    assert_int_equal(stats_get(f->stats, STAT_AUDIENCE_ROOMS_OVERFLOW), 1); /* both are there */
    look(f, AUDIENCE_KEEP_MS, 0, false);
    audience_tick(f->a, T0 + 2001 + AUDIENCE_KEEP_MS);
    f->n = 0;
    tell(f, 9, 2001 + AUDIENCE_KEEP_MS, "online", 5);
    assert_int_equal(f->n, 1); /* in the place of room 8 */
    tell(f, ROOM, 2001 + AUDIENCE_KEEP_MS, "online", 6);
    assert_int_equal(f->n, 2);
    assert_int_equal(stats_get(f->stats, STAT_AUDIENCE_ROOMS_OVERFLOW), 1);
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        T(test_at_most_one_row_per_interval),
        T(test_off_the_air),
        T(test_without_a_connection_nothing_is_known),
        T(test_what_comes_before_the_first_look_stays),
        T(test_values_of_no_meaning),
        T(test_a_clock_that_goes_back),
        T(test_rooms_are_forgotten),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
