/* api/query/time_text.h - points in time and durations as clients write them.
 *
 * A time is RFC 3339 with an offset ("2026-11-22T08:09:10.5+08:00", Z, also with the blank that a '+' becomes in a
 * query string) or integer milliseconds since 1970. An integer that can only be meant as seconds is refused, not
 * guessed: a range that is wrong by a factor of 1000 looks like an empty archive.
 *
 * Threading:  any thread.
 * Errors:     false, and *ret_reason is a short static text for the client.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/core/attr.h"
#include "server/core/str.h"

MUST_CHECK bool time_text_parse(struct str s, int64_t *ret_ms, const char **ret_reason);

/* "90s", "15m", "6h", "2d", "1w": one positive integer and its unit. */
MUST_CHECK bool duration_text_parse(struct str s, int64_t *ret_ms, const char **ret_reason);
