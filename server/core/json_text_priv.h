/* server/core/json_text_priv.h - the texts of JSON numbers; shared by json_read.c and json_text.c.
 *
 * Threading:  any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/core/str.h"

/* End of the number that starts at p; NULL: it is none. zeros: digits may start with 0 ("007"). */
const char *json_number_end(const char *p, const char *end, bool zeros);
/* As json_int: false if text is not one number whole, or does not fit. */
bool json_int_of(struct str text, int64_t *ret);
bool json_number_is_zero(struct str number);
