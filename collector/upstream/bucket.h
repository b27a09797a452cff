/* collector/upstream/bucket.h - a token bucket: so many at once, then so many a second.
 *
 * Threading:  one user at a time.
 * Units:      milliseconds of a monotonic clock, handed in.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/core/attr.h"

struct bucket {
    double rate; /* tokens per second, > 0 */
    double burst;
    double tokens; /* at at_ms */
    int64_t at_ms;
};

void bucket_init(struct bucket *b, double rate, unsigned burst, int64_t now_ms); /* full */
void bucket_set(struct bucket *b, double rate, unsigned burst, int64_t now_ms);  /* from now on */
/* Takes one; false: there is none. */
MUST_CHECK bool bucket_take(struct bucket *b, int64_t now_ms);
/* How long until bucket_take can succeed; 0: now. */
int64_t bucket_wait_ms(struct bucket *b, int64_t now_ms);
