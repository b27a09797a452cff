/* collector/wire/embedded.h - wanted members of a JSON object that stands inside a JSON string, found where it stands.
 *
 *      {"extra":"{\"content\":\"say \\\"hi\\\"\",\"id_str\":\"5d0b\",\"emots\":null}"}
 *                                                  ^key        ^value: \"5d0b\"          escapes of both levels are there
 *
 * Upstream puts a kilobyte of such text into every chat message, of which a few members are wanted: resolving the
 * escapes of all of it first would cost as much as the rest of the message.
 *
 * Only the usual form is understood: quotes escaped by a backslash, nothing but blanks between tokens. Values that are
 * not wanted are not checked, nor is what follows the last one that is.
 *
 * Threading:  any thread.
 * Ownership:  values are views into the text.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "server/core/str.h"

struct embedded_want {
    struct str key;
    struct str
        value; /* set if it is there: its text, to be resolved once to become JSON; else ptr is NULL */
};

/* raw: the text between the quotes of the outer string. Of a key that comes twice the first one counts. False: not the
 * usual form; the caller resolves the escapes of it all and reads the result as any JSON. */
bool embedded_find(struct str raw, struct embedded_want *want, size_t n);
