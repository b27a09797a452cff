#include "server/core/clock.h"

#include <time.h>

#include "server/core/attr.h"

enum { MS_PER_DAY = 86400000 };
#define RFC3339_MIN_MS INT64_C(-62167219200000) /* 0000-01-01T00:00:00.000Z */
#define RFC3339_MAX_MS INT64_C(253402300799999) /* 9999-12-31T23:59:59.999Z */

static int64_t now_ms(clockid_t id)
{
    struct timespec ts;

    (void)clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int64_t system_wall(const struct clock *c ATTR_UNUSED)
{
    return now_ms(CLOCK_REALTIME);
}

static int64_t system_mono(const struct clock *c ATTR_UNUSED)
{
    return now_ms(CLOCK_MONOTONIC);
}

static const struct clock system_clock = {system_wall, system_mono};

const struct clock *clock_system(void)
{
    return &system_clock;
}

uint64_t clock_mono_ns(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

static const struct clock_fake *fake_of(const struct clock *c)
{
    return (const struct clock_fake *)(const void *)c; /* base is the first member */
}

static int64_t fake_wall(const struct clock *c)
{
    return fake_of(c)->wall;
}

static int64_t fake_mono(const struct clock *c)
{
    return fake_of(c)->mono;
}

void clock_fake_init(struct clock_fake *f, int64_t wall_ms)
{
    *f = (struct clock_fake){.base = {fake_wall, fake_mono}, .wall = wall_ms};
}

void clock_fake_advance(struct clock_fake *f, int64_t ms)
{
    f->wall += ms;
    f->mono += ms;
}

/* Proleptic Gregorian date of a day number, by 400-year cycles that start on 1 March, so that the leap day comes last
 * and months have a linear length. */
static void civil(int64_t day, unsigned *ret_y, unsigned *ret_m, unsigned *ret_d)
{
    uint64_t z =
        (uint64_t)(day +
                   719468); /* days since 0000-03-01, plus a cycle for January and February of year 0 */
    uint64_t cycle;
    uint64_t in_cycle;
    uint64_t year;
    uint64_t in_year;
    uint64_t month;

    z += 146097;
    cycle = z / 146097;
    in_cycle = z % 146097;
    year = (in_cycle - in_cycle / 1460 + in_cycle / 36524 - in_cycle / 146096) / 365;
    in_year = in_cycle - (365 * year + year / 4 - year / 100);
    month = (5 * in_year + 2) / 153; /* 0: March */
    *ret_d = (unsigned)(in_year - (153 * month + 2) / 5 + 1);
    *ret_m = (unsigned)(month < 10 ? month + 3 : month - 9);
    *ret_y = (unsigned)(year + cycle * 400 - 400 + (*ret_m <= 2));
}

static char *put_digits(char *p, unsigned v, unsigned n, char after)
{
    for (unsigned i = n; i-- > 0;) {
        p[i] = (char)('0' + v % 10);
        v /= 10;
    }
    p[n] = after;
    return p + n + 1;
}

size_t clock_rfc3339(int64_t wall_ms, char out[static CLOCK_RFC3339_BYTES])
{
    unsigned y;
    unsigned m;
    unsigned d;
    int64_t day;
    unsigned ms;
    char *p = out;

    if (wall_ms < RFC3339_MIN_MS) {
        wall_ms = RFC3339_MIN_MS;
    } else if (wall_ms > RFC3339_MAX_MS) {
        wall_ms = RFC3339_MAX_MS;
    }
    day = wall_ms / MS_PER_DAY - (wall_ms % MS_PER_DAY < 0);
    ms = (unsigned)(wall_ms - day * MS_PER_DAY);
    civil(day, &y, &m, &d);
    p = put_digits(p, y, 4, '-');
    p = put_digits(p, m, 2, '-');
    p = put_digits(p, d, 2, 'T');
    p = put_digits(p, ms / 3600000, 2, ':');
    p = put_digits(p, ms / 60000 % 60, 2, ':');
    p = put_digits(p, ms / 1000 % 60, 2, '.');
    p = put_digits(p, ms % 1000, 3, 'Z');
    *p = '\0';
    return (size_t)(p - out);
}
