#include "collector/upstream/bucket.h"

#include "server/core/assert.h"

enum { MS_PER_S = 1000 };

void bucket_init(struct bucket *b, double rate, unsigned burst, int64_t now_ms)
{
    ASSERT(rate > 0 && burst > 0);
    *b = (struct bucket){.rate = rate, .burst = burst, .tokens = burst, .at_ms = now_ms};
}

static void fill(struct bucket *b, int64_t now_ms)
{
    if (now_ms > b->at_ms) {
        b->tokens += (double)(now_ms - b->at_ms) * b->rate / MS_PER_S;
        b->at_ms = now_ms;
    }
    if (b->tokens > b->burst) {
        b->tokens = b->burst;
    }
}

void bucket_set(struct bucket *b, double rate, unsigned burst, int64_t now_ms)
{
    ASSERT(rate > 0 && burst > 0);
    fill(b, now_ms);
    b->rate = rate;
    b->burst = burst;
}

bool bucket_take(struct bucket *b, int64_t now_ms)
{
    fill(b, now_ms);
    if (b->tokens < 1) {
        return false;
    }
    b->tokens -= 1;
    return true;
}

int64_t bucket_wait_ms(struct bucket *b, int64_t now_ms)
{
    fill(b, now_ms);
    /* Rounded up and one more, so that the token is there by then in spite of rounding. */
    return b->tokens >= 1 ? 0 : (int64_t)((1 - b->tokens) * MS_PER_S / b->rate) + 1;
}
