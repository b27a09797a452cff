/* api/encode/problem.h - RFC 9457 problem documents.
 *
 * Threading:  any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "server/core/attr.h"
#include "server/core/buf.h"
#include "server/core/str.h"

enum problem_code {
#define X(NAME, status, code, title) PROBLEM_##NAME,
#include "api/encode/problem_code.def"
#undef X
    PROBLEMS
};

struct problem_error {
    struct str param;
    const char *code;
    const char *reason;
};

struct problem {
    enum problem_code code;
    const char *detail;    /* may be NULL */
    struct str request_id; /* may be empty */
    const struct problem_error *errors;
    size_t n_errors;
};

unsigned problem_status(enum problem_code code);
const char *problem_name(enum problem_code code); /* "bad_cursor" */
/* The row of a code's name; false if there is none. */
MUST_CHECK bool problem_by_name(const char *name, enum problem_code *ret);
void problem_write(const struct problem *p, struct buf *out);
