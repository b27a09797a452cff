#include "api/query/params.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/query/time_text.h"
#include "server/core/assert.h"
#include "server/core/utf8.h"
#include "server/event/event.h"

enum param_type {
    TYPE_INT,
    TYPE_BOOL,
    TYPE_TIME,
    TYPE_DURATION,
    TYPE_ORDER,
    TYPE_KINDS,
    TYPE_ROOMS,
    TYPE_TEXT
};

struct param_spec {
    const char *name;
    enum param_type type;
    int64_t min;
    int64_t max;
    const char *too_large;
};

static const struct param_spec param_specs[PARAMS] = {
#define X(NAME, name, type, min, max, too_large)                                                   \
    [PARAM_##NAME] = {name, TYPE_##type, min, max, too_large},
#include "api/query/params.def"
#undef X
};
static_assert(PARAMS <= 32, "params are bits of a uint32_t");
static_assert(EVENT_KIND_END <= 32, "kinds are bits of a uint32_t");

const char *param_name(enum param which)
{
    return param_specs[which].name;
}

void params_init(struct params *p, uint32_t known)
{
    *p = (struct params){.known = known};
    p->num[PARAM_LIMIT] = PARAMS_LIMIT_DEFAULT;
    p->to_ms = INT64_MAX;
}

/* Names and values come from the client: valid UTF-8 only, cut at a whole character. */
static struct str clean_cut(struct str s, size_t max, char *out)
{
    bool changed;
    struct str head = {s.ptr, s.len < max ? s.len : max};
    struct str clean = {out, utf8_clean(head, out, &changed)};
    return utf8_cut(clean, max);
}

void params_error(struct params *p, struct str param, const char *code, const char *fmt, ...)
{
    if (p->n_errors == PARAMS_ERRORS_MAX) {
        return;
    }
    struct param_error *e = &p->errors[p->n_errors++];
    char scratch[UTF8_CLEAN_MAX(PARAMS_NAME_BYTES)];
    struct str name = clean_cut(param, PARAMS_NAME_BYTES, scratch);
    if (name.len > 0) {
        memcpy(e->param, name.ptr, name.len);
    }
    e->param[name.len] = '\0';
    e->code = code;
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(e->reason, sizeof(e->reason), fmt, args);
    va_end(args);
}

static void error_of(struct params *p, enum param which, const char *code, const char *reason)
{
    params_error(p, str_of(param_specs[which].name), code, "%s", reason);
}

static void parse_int(struct params *p, enum param which, struct str value)
{
    const struct param_spec *spec = &param_specs[which];
    int64_t v;
    if (!str_to_i64(value, &v)) {
        error_of(p, which, "invalid_parameter", "is not an integer");
    } else if (v > spec->max) {
        params_error(p, str_of(spec->name), spec->too_large, "is more than %lld",
                     (long long)spec->max);
    } else if (v < spec->min) {
        params_error(p, str_of(spec->name), "invalid_parameter", "is less than %lld",
                     (long long)spec->min);
    } else {
        p->num[which] = v;
    }
}

static void parse_bool(struct params *p, enum param which, struct str value)
{
    p->num[which] = str_eq(value, STR("true"));
    if (!p->num[which] && !str_eq(value, STR("false"))) {
        error_of(p, which, "invalid_parameter", "is neither true nor false");
    }
}

static void parse_duration(struct params *p, enum param which, struct str value)
{
    const char *reason;
    int64_t ms;
    if (!duration_text_parse(value, &ms, &reason)) {
        error_of(p, which, "bad_time", reason);
    } else if (ms > param_specs[which].max) {
        error_of(p, which, param_specs[which].too_large, "is more than 31 days");
    } else {
        p->num[which] = ms;
    }
}

/* For people who mistyped one. */
static const char all_kinds[] =
#define X(NAME, number, text, ...) " " text
#include "server/event/event_kind.def"
#undef X
    ;

static void parse_kinds(struct params *p, enum param which, struct str value)
{
    struct str rest = value;
    struct str name;
    while (str_split(&rest, ',', &name)) {
        enum event_kind kind = event_kind_parse(name);
        if (kind == EVENT_KIND_NONE) {
            char scratch[UTF8_CLEAN_MAX(PARAMS_NAME_BYTES)];
            struct str shown = clean_cut(name, 32, scratch);
            params_error(p, str_of(param_specs[which].name), "invalid_parameter",
                         "has an unknown kind: \"" STR_FMT "\"; there are%s", STR_ARG(shown),
                         all_kinds);
            return;
        }
        p->kinds |= UINT32_C(1) << kind;
    }
    if (p->kinds == 0) {
        error_of(p, which, "invalid_parameter", "is empty");
    }
}

static int compare_i64(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void parse_rooms(struct params *p, enum param which, struct str value)
{
    struct str rest = value;
    struct str part;
    size_t n = 0;
    while (str_split(&rest, ',', &part)) {
        int64_t id;
        if (!str_to_i64(part, &id) || id <= 0) {
            error_of(p, which, "invalid_parameter", "has something that is no room id");
            return;
        }
        if (n == PARAMS_ROOMS_MAX) {
            params_error(p, str_of(param_specs[which].name), param_specs[which].too_large,
                         "has more than %d rooms", PARAMS_ROOMS_MAX);
            return;
        }
        p->rooms[n++] = id;
    }
    if (n == 0) {
        error_of(p, which, "invalid_parameter", "is empty");
        return;
    }
    qsort(p->rooms, n, sizeof(p->rooms[0]), compare_i64);
    p->n_rooms = 1;
    for (size_t i = 1; i < n; i++) {
        if (p->rooms[i] != p->rooms[p->n_rooms - 1]) {
            p->rooms[p->n_rooms++] = p->rooms[i];
        }
    }
}

static struct str *text_of(struct params *p, enum param which)
{
    return which == PARAM_CURSOR  ? &p->cursor
           : which == PARAM_GROUP ? &p->group
           : which == PARAM_STATE ? &p->state
                                  : &p->ticket;
}

static void parse_text(struct params *p, enum param which, struct str value)
{
    const struct param_spec *spec = &param_specs[which];
    if ((int64_t)value.len < spec->min || (int64_t)value.len > spec->max) {
        error_of(p, which, spec->too_large, "has a wrong length");
    } else {
        *text_of(p, which) = value;
    }
}

static void parse_value(struct params *p, enum param which, struct str value)
{
    const char *reason;
    switch (param_specs[which].type) {
    case TYPE_INT:
        parse_int(p, which, value);
        return;
    case TYPE_BOOL:
        parse_bool(p, which, value);
        return;
    case TYPE_TIME:
        if (!time_text_parse(value, &p->num[which], &reason)) {
            error_of(p, which, "bad_time", reason);
        }
        return;
    case TYPE_DURATION:
        parse_duration(p, which, value);
        return;
    case TYPE_ORDER:
        if (str_eq(value, STR("asc"))) {
            p->order = ORDER_ASC;
        } else if (!str_eq(value, STR("desc"))) {
            error_of(p, which, "invalid_parameter", "is neither asc nor desc");
        }
        return;
    case TYPE_KINDS:
        parse_kinds(p, which, value);
        return;
    case TYPE_ROOMS:
        parse_rooms(p, which, value);
        return;
    case TYPE_TEXT:
        parse_text(p, which, value);
        return;
    }
    UNREACHABLE();
}

void params_add(struct params *p, struct str name, struct str value)
{
    for (enum param which = 0; which < PARAMS; which++) {
        uint32_t bit = UINT32_C(1) << which;
        if ((p->known & bit) == 0 || !str_eq(name, str_of(param_specs[which].name))) {
            continue;
        }
        if ((p->given & bit) != 0) {
            error_of(p, which, "invalid_parameter", "is given twice");
            return;
        }
        p->given |= bit;
        parse_value(p, which, value);
        return;
    }
    params_error(p, name, "unknown_parameter", "is not known here");
}

bool params_finish(struct params *p, int64_t now_ms)
{
    if (p->n_errors > 0) {
        return false; /* values that were refused must not cause further complaints */
    }
    if (params_has(p, PARAM_SINCE)) {
        if (params_has(p, PARAM_FROM)) {
            error_of(p, PARAM_SINCE, "invalid_parameter", "excludes from");
        }
        p->from_ms = now_ms - p->num[PARAM_SINCE];
    }
    if (params_has(p, PARAM_FROM)) {
        p->from_ms = p->num[PARAM_FROM];
    }
    if (params_has(p, PARAM_TO)) {
        p->to_ms = p->num[PARAM_TO];
    }
    bool begins = params_has(p, PARAM_SINCE) || params_has(p, PARAM_FROM);
    int64_t end = params_has(p, PARAM_TO) ? p->to_ms : now_ms;
    if (begins && params_has(p, PARAM_TO) && p->from_ms >= p->to_ms) {
        error_of(p, PARAM_TO, "bad_time", "is not after the begin of the range");
    } else if (begins && end - p->from_ms > PARAMS_RANGE_MAX_MS) {
        error_of(p, params_has(p, PARAM_TO) ? PARAM_TO : PARAM_FROM, "range_too_large",
                 "makes a range of more than 31 days");
    }
    return p->n_errors == 0;
}

bool params_resume_id(struct params *p, struct str last_event_id, int64_t *ret)
{
    int64_t id;
    if (params_has(p, PARAM_BACKLOG) && params_has(p, PARAM_LAST_EVENT_ID)) {
        error_of(p, PARAM_BACKLOG, "invalid_parameter", "excludes last_event_id");
        return false;
    }
    if (last_event_id.len == 0) {
        *ret = params_has(p, PARAM_LAST_EVENT_ID) ? p->num[PARAM_LAST_EVENT_ID] : -1;
        return true;
    }
    if (!str_to_i64(last_event_id, &id) || id < 0) {
        params_error(p, STR("Last-Event-ID"), "invalid_parameter", "is no event id");
        return false;
    }
    *ret = id;
    return true;
}
