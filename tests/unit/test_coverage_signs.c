#include "collector/coverage_signs.h"

#include "collector/coverage.h"
#include "server/event/event.h"
#include "tests/support/run.h"
#include "tests/support/test.h"

#define T0 INT64_C(1764000000000)

struct fixture {
    struct coverage *ledger;
    struct signs *signs;
    int64_t now;
    bool live;
};

static bool is_live(void *ctx, int64_t room_id ATTR_UNUSED)
{
    return ((struct fixture *)ctx)->live;
}

static void begin(struct fixture *f)
{
    const struct signs_opts opts = {.masked_percent = 50, .silence_ms = 60000, .silence_times = 20};
    *f = (struct fixture){.ledger = coverage_new(T0, NULL, NULL), .now = T0, .live = true};
    f->signs = signs_new(f->ledger);
    signs_set(f->signs, &opts);
    coverage_down(f->ledger, 1, T0, "connecting");
    coverage_up(f->ledger, 1, T0 + 1);
    signs_link(f->signs, 1, true, T0 + 1);
}

static void end(struct fixture *f)
{
    signs_free(f->signs);
    coverage_free(f->ledger);
}

static void say(struct fixture *f, int64_t room, int64_t after_ms, bool masked)
{
    const struct event e = {.room_id = room,
                            .kind = EVENT_DANMAKU,
                            .actor = masked ? -5 : 5,
                            .flags = masked ? EVENT_F_MASKED : 0};
    f->now += after_ms;
    signs_event(f->signs, &e, f->now);
}

static const char *cause(const struct fixture *f)
{
    bool here;
    const struct coverage_span *s = coverage_now(f->ledger, 1, &here);
    return s != NULL ? s->cause : "";
}

static bool take_broken(void *ctx, const struct coverage_span *s)
{
    struct coverage_span *ret = ctx;
    if (s->source == COVERAGE_BROKEN) {
        *ret = *s;
    }
    return true;
}

static struct coverage_span broken_span(const struct fixture *f)
{
    struct coverage_span s = {0};
    coverage_each(f->ledger, 1, 0, INT64_MAX, take_broken, &s);
    return s;
}

/* What cannot be read makes a span from the first to the last of it, with how much it was. */
static void broken(void **state ATTR_UNUSED)
{
    struct fixture f;
    begin(&f);
    signs_broken(f.signs, 1, 1, T0 + 1000);
    assert_string_equal(cause(&f), "broken");
    signs_broken(f.signs, 1, 3, T0 + 999 + SIGNS_BROKEN_MS);
    signs_tick(f.signs, T0 + 998 + 2 * SIGNS_BROKEN_MS, is_live, &f);
    assert_string_equal(cause(&f), "broken");
    signs_tick(f.signs, T0 + 999 + 2 * SIGNS_BROKEN_MS, is_live, &f);
    assert_string_equal(cause(&f), "");
    struct coverage_span s = broken_span(&f);
    assert_true(s.from_ms == T0 + 1000 && s.to_ms == T0 + 1000 + SIGNS_BROKEN_MS);
    assert_int_equal(s.n, 4);
    /* Between ticks, too; and the end of the connection is the end of it. */
    const int64_t later = T0 + 10 * SIGNS_BROKEN_MS;
    signs_broken(f.signs, 1, 1, later);
    signs_broken(f.signs, 1, 2, later + SIGNS_BROKEN_MS);
    assert_true(broken_span(&f).from_ms == later + SIGNS_BROKEN_MS);
    signs_link(f.signs, 1, false, later + SIGNS_BROKEN_MS + 500);
    s = broken_span(&f);
    assert_true(s.to_ms == later + SIGNS_BROKEN_MS + 1 && s.n == 2);
    /* Without a connection there is a gap; a room that is not collected has nothing. */
    signs_broken(f.signs, 1, 1, later + 2 * SIGNS_BROKEN_MS);
    signs_broken(f.signs, 7, 1, later + 2 * SIGNS_BROKEN_MS);
    assert_true(broken_span(&f).to_ms == s.to_ms);
    end(&f);
}

static void masked_senders(void **state ATTR_UNUSED)
{
    struct fixture f;
    begin(&f);
    for (int i = 0; i < SIGNS_WINDOW; i++) {
        say(&f, 1, 10, i % 2 == 1 && i < 98); /* 49 */
    }
    assert_string_equal(cause(&f), "");
    int64_t first = f.now + 10;
    for (int i = 0; i < SIGNS_WINDOW; i++) {
        assert_string_equal(cause(&f), "");
        say(&f, 1, 10, i % 2 == 0); /* 50 */
    }
    bool here;
    assert_string_equal(cause(&f), "masked");
    assert_true(coverage_now(f.ledger, 1, &here)->from_ms == first);
    assert_int_equal(coverage_now(f.ledger, 1, &here)->n, 500);
    for (int i = 0; i < SIGNS_WINDOW; i++) {
        say(&f, 1, 10, false);
    }
    assert_string_equal(cause(&f), "");
    say(&f, 99, 10, true); /* a room that nobody collects */
    end(&f);
}

/* Who does not want to know any more is not told of the last time for ever. */
static void masks_are_not_looked_for_any_more(void **state ATTR_UNUSED)
{
    struct fixture f;
    struct signs_opts opts = {.masked_percent = 50, .silence_ms = 60000, .silence_times = 20};
    begin(&f);
    for (int i = 0; i < SIGNS_WINDOW; i++) {
        say(&f, 1, 10, true);
    }
    signs_tick(f.signs, f.now, is_live, &f);
    assert_string_equal(cause(&f), "masked");
    opts.masked_percent = 0;
    signs_set(f.signs, &opts);
    signs_set(f.signs, &opts);
    signs_tick(f.signs, f.now + 10, is_live, &f);
    assert_string_equal(cause(&f), "");
    end(&f);
}

static void told_to_log_in(void **state ATTR_UNUSED)
{
    struct fixture f;
    const struct event notice = {
        .room_id = 1, .kind = EVENT_NOTICE, .extra = STR("{\"notice\":\"log_in\"}")};
    const struct event other = {
        .room_id = 1, .kind = EVENT_NOTICE, .extra = STR("{\"notice\":\"other\"}")};
    begin(&f);
    signs_event(f.signs, &other, T0 + 5);
    assert_string_equal(cause(&f), "");
    signs_event(f.signs, &notice, T0 + 6);
    assert_string_equal(cause(&f), "login");
    coverage_down(f.ledger, 1, T0 + 50, "peer_reset");
    signs_link(f.signs, 1, false, T0 + 50);
    coverage_up(f.ledger, 1, T0 + 60);
    signs_link(f.signs, 1, true, T0 + 60);
    assert_string_equal(cause(&f), ""); /* the next connection is told again, or not */
    signs_event(f.signs, &notice, T0 + 61);
    assert_string_equal(cause(&f), "login");
    signs_leave(f.signs, 1);
    signs_event(f.signs, &notice, T0 + 62);
    end(&f);
}

static void silence(void **state ATTR_UNUSED)
{
    struct fixture f;
    begin(&f);
    for (int i = 0; i < SIGNS_USUAL_MIN; i++) {
        say(&f, 1, 100, false);
    }
    signs_tick(f.signs, f.now + 59000, is_live, &f);
    assert_string_equal(cause(&f), "");
    signs_tick(f.signs, f.now + 61000, is_live, &f);
    assert_string_equal(cause(&f), "silence");
    bool here;
    assert_true(coverage_now(f.ledger, 1, &here)->from_ms == f.now);
    say(&f, 1, 70000, false);
    assert_string_equal(cause(&f), "");
    /* Not live, or not connected: no silence. */
    f.live = false;
    f.now += 1000000;
    signs_tick(f.signs, f.now, is_live, &f);
    f.live = true;
    signs_tick(f.signs, f.now + 10, is_live, &f);
    assert_string_equal(cause(&f), "");
    signs_tick(f.signs, f.now + 70000, is_live, &f);
    assert_string_equal(cause(&f), "silence");
    f.live = false;
    signs_tick(f.signs, f.now + 80000, is_live, &f);
    assert_string_equal(cause(&f), "");
    end(&f);
}

/* A room with a message in 30 s is not silent after a minute. */
static void what_is_usual(void **state ATTR_UNUSED)
{
    struct fixture f;
    begin(&f);
    for (int i = 0; i + 1 < SIGNS_USUAL_MIN; i++) {
        say(&f, 1, 30000, false);
    }
    signs_tick(f.signs, f.now + 100000000, is_live, &f);
    assert_string_equal(cause(&f), ""); /* too few to know */
    say(&f, 1, 30000, false);
    signs_tick(f.signs, f.now + 19 * 30000, is_live, &f);
    assert_string_equal(cause(&f), "");
    signs_tick(f.signs, f.now + 21 * 30000, is_live, &f);
    assert_string_equal(cause(&f), "silence");
    end(&f);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(masked_senders),
        cmocka_unit_test(broken),
        cmocka_unit_test(masks_are_not_looked_for_any_more),
        cmocka_unit_test(told_to_log_in),
        cmocka_unit_test(silence),
        cmocka_unit_test(what_is_usual),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
