/* collector/upstream/cookies.h - the cookies of an account, as people save them from a browser.
 *
 *      SESSDATA=abc; bili_jct=def          a header as copied from the browser's tools, "Cookie: " in front is fine
 *      SESSDATA=abc                        one or several per line, # begins a comment
 *      .bilibili.com TRUE / TRUE 0 SESSDATA abc     the Netscape format (fields separated by tabs); other sites left out
 *
 * Pure. Of a name that comes twice the last one counts.
 *
 * Threading:  any thread.
 * Limits:     COOKIES_TEXT_MAX bytes of a file, COOKIES_MAX cookies.
 * Errors:     ERR_INVALID: no cookie at all; ERR_TOO_BIG: past a limit. Values are never in a message.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "server/core/attr.h"
#include "server/core/buf.h"
#include "server/core/err.h"
#include "server/core/str.h"

enum { COOKIES_TEXT_MAX = 64 * 1024, COOKIES_MAX = 64, COOKIES_HEADER_MAX = 16 * 1024 };

struct cookie {
    struct str name, value; /* point into the text */
};

struct cookies {
    char *text; /* owned */
    struct cookie items[COOKIES_MAX];
    size_t n;
};

MUST_CHECK enum err_code cookies_parse(struct str text, struct cookies *ret, struct err *err);
void cookies_deinit(struct cookies *c); /* of a zeroed one: no-op */
/* Empty if there is none. */
struct str cookies_get(const struct cookies *c, struct str name);
/* What makes a login: SESSDATA. */
bool cookies_has_login(const struct cookies *c);
/* Appends "a=b; c=d". without: a name to leave out, may be empty. */
void cookies_write(const struct cookies *c, struct str without, struct buf *out);
/* Whether text may stand as a value in a header line: visible ASCII without ; and \. */
bool cookie_value_ok(struct str text);
