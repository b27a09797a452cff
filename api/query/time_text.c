#include "api/query/time_text.h"

#include <stddef.h>

#include "server/core/attr.h"

enum { MS_PER_DAY = 86400000 };
/* An integer below this is before March 1973 in ms, but a plausible time in seconds. */
#define TIME_SECONDS_BELOW INT64_C(100000000000)
#define TIME_MAX_MS INT64_C(253402300799999) /* 9999-12-31T23:59:59.999Z */

/* A cursor over the text; every take_* fails without moving. */
struct scan {
    const char *p;
    const char *end;
};

static bool take_digits(struct scan *s, int n, int64_t *ret)
{
    if (s->end - s->p < n) {
        return false;
    }
    int64_t v = 0;
    for (int i = 0; i < n; i++) {
        if (s->p[i] < '0' || s->p[i] > '9') {
            return false;
        }
        v = v * 10 + (s->p[i] - '0');
    }
    s->p += n;
    *ret = v;
    return true;
}

static bool take_any(struct scan *s, const char *set, char *ret)
{
    if (s->p == s->end || *s->p == '\0' || strchr(set, *s->p) == NULL) {
        return false;
    }
    *ret = *s->p++;
    return true;
}

static int64_t days_in_month(int64_t year, int64_t month)
{
    static const int8_t days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

/* Days from 1970-01-01 in the proleptic Gregorian calendar; counts whole 400-year eras from a year that begins in
 * March, so that the leap day is the last of its year. */
static int64_t days_since_1970(int64_t year, int64_t month, int64_t day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = y / 400;
    int64_t year_of_era = y - era * 400;
    int64_t month_from_march = (month + 9) % 12;
    int64_t day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static bool take_date(struct scan *s, int64_t *ret_days)
{
    int64_t year;
    int64_t month;
    int64_t day;
    char c;
    if (!take_digits(s, 4, &year) || !take_any(s, "-", &c) || !take_digits(s, 2, &month) ||
        !take_any(s, "-", &c) || !take_digits(s, 2, &day)) {
        return false;
    }
    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month)) {
        return false;
    }
    *ret_days = days_since_1970(year, month, day);
    return true;
}

static bool take_time_of_day(struct scan *s, int64_t *ret_ms)
{
    int64_t hour;
    int64_t minute;
    int64_t second;
    char c;
    if (!take_digits(s, 2, &hour) || !take_any(s, ":", &c) || !take_digits(s, 2, &minute) ||
        !take_any(s, ":", &c) || !take_digits(s, 2, &second)) {
        return false;
    }
    if (hour > 23 || minute > 59 || second > 60) { /* 60: a leap second counts as the next one */
        return false;
    }
    int64_t ms = 0;
    if (take_any(s, ".", &c)) {
        int64_t unit = 100;
        const char *first = s->p;
        while (s->p < s->end && *s->p >= '0' && *s->p <= '9') {
            ms += (*s->p++ - '0') * unit;
            unit /= 10; /* digits past the third add nothing */
        }
        if (s->p == first) {
            return false;
        }
    }
    *ret_ms = ((hour * 60 + minute) * 60 + second) * 1000 + ms;
    return true;
}

static bool take_offset(struct scan *s, int64_t *ret_ms)
{
    char sign;
    if (take_any(s, "Zz", &sign)) {
        *ret_ms = 0;
        return true;
    }
    int64_t hour;
    int64_t minute;
    char c;
    /* In a query string an unescaped '+' arrives as a blank. */
    if (!take_any(s, "+- ", &sign) || !take_digits(s, 2, &hour) || !take_any(s, ":", &c) ||
        !take_digits(s, 2, &minute) || hour > 23 || minute > 59) {
        return false;
    }
    *ret_ms = (hour * 60 + minute) * 60000 * (sign == '-' ? -1 : 1);
    return true;
}

static bool parse_rfc3339(struct str text, int64_t *ret_ms, const char **ret_reason)
{
    struct scan s = {text.ptr, text.ptr + text.len};
    int64_t days;
    int64_t of_day;
    int64_t offset;
    char c;
    if (!take_date(&s, &days)) {
        bool is_date = text.len >= 10 && text.ptr[4] == '-' && text.ptr[7] == '-';
        *ret_reason = is_date ? "has a date that does not exist"
                              : "is neither RFC 3339 nor integer milliseconds";
        return false;
    }
    if (s.p == s.end) {
        *ret_reason = "has no time of day: append T00:00:00Z";
        return false;
    }
    if (!take_any(&s, "Tt", &c) || !take_time_of_day(&s, &of_day)) {
        *ret_reason = "has no valid time of day: it is hh:mm:ss after a T";
        return false;
    }
    if (s.p == s.end) {
        *ret_reason = "has no offset: append Z or +hh:mm";
        return false;
    }
    if (!take_offset(&s, &offset) || s.p != s.end) {
        *ret_reason = "has no valid offset at its end";
        return false;
    }
    int64_t ms = days * MS_PER_DAY + of_day - offset;
    if (ms < 0 || ms > TIME_MAX_MS) {
        *ret_reason = "is out of range";
        return false;
    }
    *ret_ms = ms;
    return true;
}

bool time_text_parse(struct str s, int64_t *ret_ms, const char **ret_reason)
{
    int64_t v;
    if (!str_to_i64(s, &v)) {
        return parse_rfc3339(s, ret_ms, ret_reason);
    }
    if (v < 0 || v > TIME_MAX_MS) {
        *ret_reason = "is out of range";
        return false;
    }
    if (v < TIME_SECONDS_BELOW) {
        *ret_reason = "looks like seconds; integer times are milliseconds";
        return false;
    }
    *ret_ms = v;
    return true;
}

bool duration_text_parse(struct str s, int64_t *ret_ms, const char **ret_reason)
{
    static const struct {
        char unit;
        int64_t ms;
    } units[] = {{'s', 1000},
                 {'m', 60000},
                 {'h', 3600000},
                 {'d', MS_PER_DAY},
                 {'w', 7 * (int64_t)MS_PER_DAY}};
    *ret_reason = "is not a duration like 90s, 15m, 6h or 2d";
    int64_t n;
    if (s.len < 2 || s.len > 10 || !str_to_i64(str_sub(s, 0, s.len - 1), &n)) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (s.ptr[s.len - 1] == units[i].unit) {
            if (n <= 0) {
                *ret_reason = "must be greater than zero";
                return false;
            }
            *ret_ms = n * units[i].ms;
            return true;
        }
    }
    return false;
}
