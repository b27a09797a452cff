/* server/spool/spool_missing.h - intervals of ids that are not on disk: few, disjoint, in order.
 *
 * Threading:  one user at a time.
 * Limits:     SPOOL_MISSING_MAX intervals; past it the two that are closest become one, so that what lies between them
 *             counts as missing too.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SPOOL_MISSING_MAX = 256 };

struct spool_missing {
    struct {
        int64_t first;
        int64_t last;
    } at[SPOOL_MISSING_MAX + 1];
    size_t n;
};

/* Joins an interval that overlaps, and the one before if its end is >= joins (no event on disk lies between). */
void spool_missing_add(struct spool_missing *m, int64_t first, int64_t last, int64_t joins);
bool spool_missing_has(const struct spool_missing *m, int64_t id);
void spool_missing_forget(struct spool_missing *m, int64_t up_to); /* intervals that end there */
