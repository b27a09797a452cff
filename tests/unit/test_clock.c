#include "server/core/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tests/support/run.h"

#define MIN_MS INT64_C(-62167219200000)
#define MAX_MS INT64_C(253402300799999)

static void expect_date(int64_t ms, const char *want)
{
    char text[CLOCK_RFC3339_BYTES];

    memset(text, 'x', sizeof(text));
    assert_int_equal(clock_rfc3339(ms, text), CLOCK_RFC3339_BYTES - 1);
    assert_string_equal(text, want);
}

static void known_dates(void **state)
{
    (void)state;
    expect_date(0, "1970-01-01T00:00:00.000Z");
    expect_date(-1, "1969-12-31T23:59:59.999Z");
    expect_date(INT64_C(1795334950123), "2026-11-22T08:09:10.123Z");
    expect_date(INT64_C(951782400000), "2000-02-29T00:00:00.000Z");
    expect_date(INT64_C(4107542400000), "2100-03-01T00:00:00.000Z"); /* no leap year */
    expect_date(MIN_MS, "0000-01-01T00:00:00.000Z");
    expect_date(MAX_MS, "9999-12-31T23:59:59.999Z");
    expect_date(MIN_MS - 1, "0000-01-01T00:00:00.000Z");
    expect_date(MAX_MS + 1, "9999-12-31T23:59:59.999Z");
    expect_date(INT64_MIN, "0000-01-01T00:00:00.000Z");
    expect_date(INT64_MAX, "9999-12-31T23:59:59.999Z");
}

static void libc_date(int64_t ms, char *out, size_t size)
{
    int64_t s = ms / 1000 - (ms % 1000 < 0);
    time_t t = (time_t)s;
    struct tm tm;

    assert_non_null(gmtime_r(&t, &tm));
    (void)snprintf(out, size, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900,
                   tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                   (int)(ms - s * 1000));
}

static void same_as_libc(void **state)
{
    struct rng r;
    char want[128];

    (void)state;
    test_rng(&r);
    /* Every day of four centuries and more, at its first and last ms; then anything. */
    for (int64_t day = -150000; day < 150000; day++) {
        for (int64_t ms = day * 86400000 - 1; ms <= day * 86400000; ms++) {
            libc_date(ms, want, sizeof(want));
            expect_date(ms, want);
        }
    }
    for (int i = 0; i < 100000; i++) {
        int64_t ms = rng_between(&r, MIN_MS, MAX_MS);

        libc_date(ms, want, sizeof(want));
        expect_date(ms, want);
    }
}

static void system_clock(void **state)
{
    const struct clock *c = clock_system();
    int64_t last = clock_mono_ms(c);
    uint64_t last_ns = clock_mono_ns();
    int64_t before = (int64_t)time(NULL) * 1000;
    int64_t wall = clock_wall_ms(c);
    int64_t after = (int64_t)time(NULL) * 1000 + 999;

    (void)state;
    assert_true(wall >= before - 1000 && wall <= after + 1000);
    for (int i = 0; i < 1000; i++) {
        int64_t now = clock_mono_ms(c);
        uint64_t ns = clock_mono_ns();

        assert_true(now >= last && ns >= last_ns);
        last = now;
        last_ns = ns;
    }
}

static void fake_stands_still(void **state)
{
    struct clock_fake f;
    int64_t mono;

    (void)state;
    clock_fake_init(&f, 1000);
    mono = clock_mono_ms(&f.base);
    assert_int_equal(clock_wall_ms(&f.base), 1000);
    clock_fake_advance(&f, 250);
    assert_int_equal(clock_wall_ms(&f.base), 1250);
    assert_int_equal(clock_mono_ms(&f.base) - mono, 250);
    f.wall -= 5000; /* a clock step */
    assert_int_equal(clock_wall_ms(&f.base), -3750);
    assert_int_equal(clock_mono_ms(&f.base) - mono, 250);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_dates),
        cmocka_unit_test(same_as_libc),
        cmocka_unit_test(system_clock),
        cmocka_unit_test(fake_stands_still),
    };

    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
