/* collector/wire/base64.h - the standard alphabet (RFC 4648, section 4), decoded.
 *
 * Threading:  any thread.
 * Limits:     the caller's room: BASE64_MAX(in.len) bytes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "server/core/str.h"

#define BASE64_MAX(n) ((n) / 4 * 3 + 3)

/* False: a character of no digit, or a length that no encoder makes. Padding may be missing; if it is there it has to be
 * whole. Bits of the last digit that have no place are ignored. */
bool base64_decode(struct str in, char *out, size_t *ret_len);
