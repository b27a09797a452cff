#include "server/core/buf.h"

#include <stdarg.h>
#include <stdio.h>

#include "server/core/assert.h"
#include "server/core/mem.h"

enum { BUF_FIRST_BYTES = 64 };

void buf_init(struct buf *b, size_t limit)
{
    *b = (struct buf){.limit = limit};
}

void buf_deinit(struct buf *b)
{
    mem_free(b->data);
    *b = (struct buf){.limit = b->limit};
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->failed = false;
}

/* Makes cap >= len + n. One byte more than cap is always there, so that a NUL finds room at the very limit. */
static bool grow(struct buf *b, size_t n)
{
    size_t cap = b->cap ? b->cap : BUF_FIRST_BYTES;
    char *data;

    if (b->failed || n > b->limit - b->len) {
        b->failed = true;
        return false;
    }
    while (cap < b->len + n) {
        cap = cap > b->limit / 2 ? b->limit : cap * 2;
    }
    if (cap > b->limit) {
        cap = b->limit;
    }
    data = cap < SIZE_MAX ? mem_realloc(b->data, cap + 1) : NULL;
    if (!data) {
        b->failed = true;
        return false;
    }
    b->data = data;
    b->cap = cap;
    return true;
}

/* The free space if n bytes fit (a fresh buf has none, not even for n = 0). */
static inline char *room(struct buf *b, size_t n)
{
    if (__builtin_expect(b->failed || !b->data || n > b->cap - b->len, 0)) {
        if (!grow(b, n)) {
            return NULL;
        }
    }
    return b->data + b->len;
}

char *buf_reserve(struct buf *b, size_t n)
{
    return room(b, n);
}

void buf_commit(struct buf *b, size_t n)
{
    ASSERT(n <= b->cap - b->len);
    b->len += n;
}

void buf_put(struct buf *b, struct str s)
{
    char *p = room(b, s.len);

    if (p && s.len > 0) {
        memcpy(p, s.ptr, s.len);
        b->len += s.len;
    }
}

void buf_put_c(struct buf *b, char c)
{
    char *p = room(b, 1);

    if (p) {
        *p = c;
        b->len++;
    }
}

static const char digit_pairs[201] = "00010203040506070809101112131415161718192021222324"
                                     "25262728293031323334353637383940414243444546474849"
                                     "50515253545556575859606162636465666768697071727374"
                                     "75767778798081828384858687888990919293949596979899";

static unsigned decimal_len(uint64_t v)
{
    unsigned n = 1;

    for (;;) {
        if (v < 10) {
            return n;
        }
        if (v < 100) {
            return n + 1;
        }
        if (v < 1000) {
            return n + 2;
        }
        if (v < 10000) {
            return n + 3;
        }
        v /= 10000;
        n += 4;
    }
}

/* Two digits per division, straight into place from the right. The low eight digits of a long number are a number of
 * their own: the chain of divisions is what takes the time. */
static void decimal(char *end, uint64_t v)
{
    while (v >= 100000000) {
        uint32_t low = (uint32_t)(v % 100000000);
        uint32_t high_four = low / 10000;
        uint32_t low_four = low % 10000;

        memcpy(end - 2, digit_pairs + low_four % 100 * 2, 2);
        memcpy(end - 4, digit_pairs + low_four / 100 * 2, 2);
        memcpy(end - 6, digit_pairs + high_four % 100 * 2, 2);
        memcpy(end - 8, digit_pairs + high_four / 100 * 2, 2);
        end -= 8;
        v /= 100000000;
    }
    uint32_t rest = (uint32_t)v;
    while (rest >= 100) {
        end -= 2;
        memcpy(end, digit_pairs + rest % 100 * 2, 2);
        rest /= 100;
    }
    if (rest >= 10) {
        memcpy(end - 2, digit_pairs + rest * 2, 2);
    } else {
        end[-1] = (char)('0' + rest);
    }
}

static inline char *decimal_at(char *at, bool negative, uint64_t v)
{
    unsigned n = decimal_len(v) + negative;

    *at = '-';
    decimal(at + n, v);
    return at + n;
}

char *buf_i64_at(char *at, int64_t v)
{
    return decimal_at(at, v < 0, v < 0 ? -(uint64_t)v : (uint64_t)v);
}

static void put_decimal(struct buf *b, bool negative, uint64_t v)
{
    char *p = room(b, decimal_len(v) + negative);

    if (p) {
        b->len += (size_t)(decimal_at(p, negative, v) - p);
    }
}

void buf_put_i64(struct buf *b, int64_t v)
{
    put_decimal(b, v < 0, v < 0 ? -(uint64_t)v : (uint64_t)v);
}

void buf_put_u64(struct buf *b, uint64_t v)
{
    put_decimal(b, false, v);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list args;
    va_list again;
    int n;

    if (!room(b, 0)) {
        return;
    }
    va_start(args, fmt);
    va_copy(again, args);
    n = vsnprintf(b->data + b->len, b->cap - b->len + 1, fmt, args);
    if (n < 0) {
        b->failed = true;
    } else if ((size_t)n <= b->cap - b->len) {
        b->len += (size_t)n;
    } else if (grow(b, (size_t)n)) {
        (void)vsnprintf(b->data + b->len, b->cap - b->len + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
    va_end(args);
}

void buf_drop_front(struct buf *b, size_t n)
{
    ASSERT(n <= b->len);
    if (n > 0) {
        memmove(b->data, b->data + n, b->len - n);
        b->len -= n;
    }
}

char *buf_take(struct buf *b, size_t *ret_len)
{
    char *data = b->data;

    *ret_len = b->len;
    if (data) {
        data[b->len] = '\0';
    }
    *b = (struct buf){.limit = b->limit};
    return data;
}
