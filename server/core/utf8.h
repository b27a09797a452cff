/* server/core/utf8.h - external text is made valid UTF-8 at the edge.
 *
 * Threading:  any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "server/core/str.h"

/* RFC 3629: no surrogates, no overlong forms, at most U+10FFFF. NUL counts as valid here. */
bool utf8_valid(struct str s);

/* Copies s to out (room for UTF8_CLEAN_MAX(s.len) bytes): NUL is dropped, each ill-formed sequence becomes U+FFFD.
 * Returns the length; *ret_changed says whether the copy differs. */
#define UTF8_CLEAN_MAX(n) ((n)*3)
size_t utf8_clean(struct str s, char *out, bool *ret_changed);

size_t utf8_encode(unsigned cp, char out[4]); /* a surrogate or too large cp gives U+FFFD */
struct str utf8_cut(struct str s,
                    size_t max_bytes); /* longest prefix of whole characters within max_bytes */
size_t utf8_count(struct str s);       /* characters of a valid string */
