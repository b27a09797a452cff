/* collector/wire/outline.h - what a JSON message is made of, without what it says: for commands nobody knows. Pure.
 *
 *      {"cmd":"X","data":{"uid":7,"list":[{"a":"b"},3]}}  ->  {"cmd":"string","data":{"uid":"number","list":[{"a":"string"}]}}
 *
 * Values never come out. Keys do, but for those that look like values themselves: one that begins with a digit, holds a
 * character that no identifier has or is longer than OUTLINE_KEY_MAX stands as "*", once per object. Of a list the first
 * element counts.
 *
 * Threading:  any thread.
 * Limits:     OUTLINE_DEPTH_MAX levels, OUTLINE_KEYS_MAX members of an object; what is deeper or further on is "...".
 *             OUTLINE_MAX bytes: a text that would be longer is left out, and false comes back.
 */
#pragma once

#include <stdbool.h>

#include "server/core/attr.h"
#include "server/core/buf.h"

enum { OUTLINE_DEPTH_MAX = 8, OUTLINE_KEYS_MAX = 64, OUTLINE_KEY_MAX = 48, OUTLINE_MAX = 4096 };

/* Appends one JSON value. What is no JSON is told up to where it breaks off. */
MUST_CHECK bool outline_write(struct buf *out, struct str json);
