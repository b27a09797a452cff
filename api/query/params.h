/* api/query/params.h - query parameters by table: typed, bounded, all errors at once.
 *
 * A handler says which parameters it knows; every other one is an error that names it, because a filter that is
 * silently ignored is the worst answer an archive can give.
 *
 *      params_init(&p, PARAM_BIT(FROM) | PARAM_BIT(TO) | ...);
 *      for each name=value of the query: params_add(&p, name, value);
 *      if (!params_finish(&p, now_ms)) ... p.errors, p.n_errors
 *
 * Threading:  any thread.
 * Ownership:  text values (cursor, ticket) borrow from the value given to params_add; errors own their texts.
 * Limits:     PARAMS_ROOMS_MAX rooms, PARAMS_ERRORS_MAX errors told (the rest is dropped: one is enough to refuse).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/core/attr.h"
#include "server/core/str.h"

enum {
    PARAMS_ROOMS_MAX = 100,
    PARAMS_LIMIT_MAX = 1000,
    PARAMS_LIMIT_DEFAULT = 100,
    PARAMS_ERRORS_MAX = 16,
    PARAMS_NAME_BYTES = 64,
    PARAMS_REASON_BYTES = 256,
};
#define PARAMS_RANGE_MAX_MS (INT64_C(31) * 86400000)

enum param {
#define X(NAME, name, type, min, max, too_large) PARAM_##NAME,
#include "api/query/params.def"
#undef X
    PARAMS
};
#define PARAM_BIT(NAME) (UINT32_C(1) << PARAM_##NAME)

enum order { ORDER_DESC, ORDER_ASC };

struct param_error {
    char param[PARAMS_NAME_BYTES + 1]; /* valid UTF-8, cut */
    const char *code;                  /* static; a code of api/encode/problem_code.def */
    char reason[PARAMS_REASON_BYTES];
};

struct params {
    uint32_t known;
    uint32_t given;
    int64_t num
        [PARAMS]; /* INT, BOOL: the value; TIME: ms; DURATION: ms. Valid when given, but for LIMIT (default) */
    enum order order;
    uint32_t kinds;                  /* bit set of enum event_kind; 0: all */
    int64_t rooms[PARAMS_ROOMS_MAX]; /* ascending, no repeats */
    size_t n_rooms;
    struct str cursor;
    struct str ticket;
    struct str group;
    struct str state;
    /* The range after params_finish, half-open; 0 and INT64_MAX where open. */
    int64_t from_ms;
    int64_t to_ms;
    struct param_error errors[PARAMS_ERRORS_MAX];
    size_t n_errors;
};

void params_init(struct params *p, uint32_t known);
void params_add(struct params *p, struct str name, struct str value);
/* Checks what concerns several parameters and sets the range; false if there is any error. */
MUST_CHECK bool params_finish(struct params *p, int64_t now_ms);

/* The id to resume a stream from: the header of a reconnecting browser wins over what its first URL said, be that an id or
 * a backlog; -1: none. False: the header is no id, or the URL asks for both; the error is added. */
MUST_CHECK bool params_resume_id(struct params *p, struct str last_event_id, int64_t *ret);

static inline bool params_has(const struct params *p, enum param which)
{
    return (p->given & (UINT32_C(1) << which)) != 0;
}
void params_error(struct params *p, struct str param, const char *code, const char *fmt, ...)
    ATTR_PRINTF(4, 5);
const char *param_name(enum param which);
