/* server/core/near.h - which word was meant: "did you mean ...?".
 *
 * Threading:  any thread.
 * Limits:     words longer than NEAR_WORD_BYTES are near to nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "server/core/str.h"

enum { NEAR_WORD_BYTES = 64 };

/* True if candidate is one that word may stand for, and nearer than *distance, which it then becomes. Case does not
 * count, '-' counts as '_'. Begin with *distance = SIZE_MAX and take the last one that was true. */
bool near_better(struct str word, struct str candidate, size_t *distance);
