/* server/core/err.h - one error enum, one optional detail.
 *
 * The code is the return value; the detail says why. `struct err *` may be NULL everywhere. The function that knows
 * the cause fills it with err_set; callers prefix context with err_wrap, giving "room 123: connect: refused".
 * A function logs an error or returns it, never both.
 *
 * Threading:  any thread (no shared state).
 * Limits:     the message is cut at ERR_MSG_BYTES - 1 bytes.
 */
#pragma once

#include "server/core/attr.h"

/* code, HTTP status, text. The translators at the edges (err_from_uv, db) choose the code. */
#define ERR_TABLE(X)                                                                               \
    X(OK, 200, "ok")                                                                               \
    X(INVALID, 400, "invalid argument")                                                            \
    X(AUTH, 401, "not authenticated")                                                              \
    X(FORBIDDEN, 403, "forbidden")                                                                 \
    X(NOT_FOUND, 404, "not found")                                                                 \
    X(CONFLICT, 409, "conflict")                                                                   \
    X(TOO_BIG, 413, "too big")                                                                     \
    X(CORRUPT, 500, "data is corrupt")                                                             \
    X(INTERNAL, 500, "internal error")                                                             \
    X(PROTO, 502, "protocol violation")                                                            \
    X(IO, 503, "input or output failed")                                                           \
    X(FULL, 503, "full")                                                                           \
    X(NOMEM, 503, "out of memory")                                                                 \
    X(UNAVAILABLE, 503, "unavailable")                                                             \
    X(RETRY, 503, "failed for now, may succeed when repeated")                                     \
    X(CANCELED, 503, "canceled")                                                                   \
    X(TIMEOUT, 504, "timed out")

enum err_code {
#define X(name, http, text) ERR_##name,
    ERR_TABLE(X)
#undef X
        ERR_CODES /* number of codes */
};

enum { ERR_MSG_BYTES = 192 };

struct err {
    enum err_code code;
    int sys; /* errno, libuv or library code behind it, 0 if none */
    char msg[ERR_MSG_BYTES];
};

/* Fills *err (if not NULL) and returns code, so that `return err_set(err, ERR_INVALID, "...")` reads well. */
enum err_code err_set(struct err *err, enum err_code code, const char *fmt, ...) ATTR_PRINTF(3, 4);
/* As err_set, with errno-style detail appended: "open: No such file or directory". sys is an errno value. */
enum err_code err_set_sys(struct err *err, enum err_code code, int sys, const char *fmt, ...)
    ATTR_PRINTF(4, 5);
/* Prefixes the message with the formatted context and ": ". */
void err_wrap(struct err *err, const char *fmt, ...) ATTR_PRINTF(2, 3);

const char *err_name(enum err_code code); /* "INVALID" */
const char *err_text(enum err_code code);
int err_http_status(enum err_code code);
