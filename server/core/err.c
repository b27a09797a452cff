#include "server/core/err.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "server/core/assert.h"

static const struct {
    const char *name;
    int http;
    const char *text;
} codes[] = {
#define X(name, http, text) {#name, http, text},
    ERR_TABLE(X)
#undef X
};
static_assert(ARRAY_LEN(codes) == ERR_CODES, "one row per code");

/* Bytes of the sequence that a UTF-8 lead byte announces. */
static size_t lead_len(unsigned char lead)
{
    if (lead >= 0xF0) {
        return 4;
    }
    return lead >= 0xE0 ? 3 : 2;
}

/* A message that was cut may end within a character; messages end up in JSON, so the stump goes. */
static void drop_stump(char *msg)
{
    size_t len = strlen(msg);
    size_t k = len;

    while (k > 0 && len - k < 3 && ((unsigned char)msg[k - 1] & 0xC0) == 0x80) {
        k--;
    }
    if (k > 0 && ((unsigned char)msg[k - 1] & 0xC0) == 0xC0 &&
        len - (k - 1) < lead_len((unsigned char)msg[k - 1])) {
        msg[k - 1] = '\0';
    }
}

/* prefix, glue, suffix -> err->msg. The parts may not point into err->msg. */
static void store(struct err *err, const char *prefix, const char *glue, const char *suffix)
{
    int n = snprintf(err->msg, sizeof(err->msg), "%s%s%s", prefix, glue, suffix);

    if (n >= (int)sizeof(err->msg)) {
        drop_stump(err->msg);
    }
}

enum err_code err_set(struct err *err, enum err_code code, const char *fmt, ...)
{
    char msg[ERR_MSG_BYTES + 4]; /* longer than the field, so that store() sees the cut */
    va_list args;

    if (!err) {
        return code;
    }
    va_start(args, fmt);
    (void)vsnprintf(msg, sizeof(msg), fmt, args);
    va_end(args);
    err->code = code;
    err->sys = 0;
    store(err, msg, "", "");
    return code;
}

enum err_code err_set_sys(struct err *err, enum err_code code, int sys, const char *fmt, ...)
{
    char msg[ERR_MSG_BYTES + 4];
    char text[ERR_MSG_BYTES];
    va_list args;

    if (!err) {
        return code;
    }
    va_start(args, fmt);
    (void)vsnprintf(msg, sizeof(msg), fmt, args);
    va_end(args);
    err->code = code;
    err->sys = sys;
    store(err, msg, ": ", strerror_r(sys, text, sizeof(text)));
    return code;
}

void err_wrap(struct err *err, const char *fmt, ...)
{
    char msg[ERR_MSG_BYTES];
    char old[ERR_MSG_BYTES];
    va_list args;

    if (!err) {
        return;
    }
    va_start(args, fmt);
    (void)vsnprintf(msg, sizeof(msg), fmt, args);
    va_end(args);
    memcpy(old, err->msg, sizeof(old));
    store(err, msg, ": ", old);
}

const char *err_name(enum err_code code)
{
    ASSERT((unsigned)code < ERR_CODES);
    return codes[code].name;
}

const char *err_text(enum err_code code)
{
    ASSERT((unsigned)code < ERR_CODES);
    return codes[code].text;
}

int err_http_status(enum err_code code)
{
    ASSERT((unsigned)code < ERR_CODES);
    return codes[code].http;
}
