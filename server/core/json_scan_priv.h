/* server/core/json_scan_priv.h - finding the end of strings and containers, a block of bytes at a time.
 *
 * Bytes are compared 16 at a time and the results packed into a 64-bit mask, bit n for byte n; what is inside a
 * string, escaped or a bracket then follows from arithmetic on masks, without a branch per byte. SSE2 is part of
 * every x86-64; other machines (and builds with JSON_PORTABLE) pack the same masks from 64-bit words.
 *
 * Threading:  any thread.
 * Limits:     reads only [p, end); an unfinished block is copied into a padded one first.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { JSON_BLOCK = 64 };

/* Eight bytes, the first one lowest. */
static inline uint64_t json_word(const char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? __builtin_bswap64(v) : v;
}

#if defined(__SSE2__) && !defined(JSON_PORTABLE)
#include <emmintrin.h>

enum { JSON_CHUNK = 16 };

/* Bit n: byte n of the chunk ends a run of plain text inside quotes. */
static inline uint32_t json_chunk_eq2(const char *p, char a, char b)
{
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i hit =
        _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8(a)), _mm_cmpeq_epi8(v, _mm_set1_epi8(b)));
    return (uint32_t)_mm_movemask_epi8(hit);
}

/* Copies a chunk; bit n: byte n is not plain text (a backslash, NUL or not ASCII). */
static inline uint32_t json_chunk_copy(char *out, const char *p)
{
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
    _mm_storeu_si128((__m128i *)(void *)out, v);
    __m128i hit = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('\\')),
                               _mm_cmpeq_epi8(v, _mm_setzero_si128()));
    return (uint32_t)_mm_movemask_epi8(_mm_or_si128(v, hit));
}

/* Bit n: byte n must be escaped when written between quotes. */
static inline uint32_t json_chunk_unsafe(const char *p)
{
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i hit =
        _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
    hit = _mm_or_si128(hit, _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v));
    return (uint32_t)_mm_movemask_epi8(hit);
}

/* How many of the 16 bytes at p are decimal digits, from the first on. */
static inline unsigned json_digits(const char *p)
{
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
    v = _mm_sub_epi8(v, _mm_set1_epi8('0'));
    __m128i digit = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(9)), v);
    return (unsigned)__builtin_ctz(~(uint32_t)_mm_movemask_epi8(digit));
}

struct json_block {
    __m128i v[4];
};

/* No loops below: gcc at -O2 leaves a loop of four as one. */
static inline struct json_block json_block_load(const char *p)
{
    const __m128i *from = (const __m128i *)(const void *)p;
    return (struct json_block){{_mm_loadu_si128(from), _mm_loadu_si128(from + 1),
                                _mm_loadu_si128(from + 2), _mm_loadu_si128(from + 3)}};
}

static inline uint64_t json_pack(__m128i a, __m128i b, __m128i c, __m128i d)
{
    uint32_t low = (uint32_t)_mm_movemask_epi8(a) | (uint32_t)_mm_movemask_epi8(b) << 16;
    uint32_t high = (uint32_t)_mm_movemask_epi8(c) | (uint32_t)_mm_movemask_epi8(d) << 16;
    return low | (uint64_t)high << 32;
}

/* Bit n: byte n equals c. */
static inline uint64_t json_block_eq(const struct json_block *b, char c)
{
    __m128i want = _mm_set1_epi8(c);
    return json_pack(_mm_cmpeq_epi8(b->v[0], want), _mm_cmpeq_epi8(b->v[1], want),
                     _mm_cmpeq_epi8(b->v[2], want), _mm_cmpeq_epi8(b->v[3], want));
}

/* '[' and '{' differ in one bit only, and so do ']' and '}'. */
static inline __m128i json_is_bracket(__m128i v)
{
    v = _mm_or_si128(v, _mm_set1_epi8(0x20));
    return _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('{')),
                        _mm_cmpeq_epi8(v, _mm_set1_epi8('}')));
}

/* Bit n: byte n is one of { } [ ]. */
static inline uint64_t json_block_brackets(const struct json_block *b)
{
    return json_pack(json_is_bracket(b->v[0]), json_is_bracket(b->v[1]), json_is_bracket(b->v[2]),
                     json_is_bracket(b->v[3]));
}

static inline __m128i json_is_odd(__m128i v)
{
    return _mm_or_si128(v, _mm_cmpeq_epi8(v, _mm_setzero_si128()));
}

/* Bit n: byte n is NUL or not ASCII. */
static inline uint64_t json_block_odd(const struct json_block *b)
{
    return json_pack(json_is_odd(b->v[0]), json_is_odd(b->v[1]), json_is_odd(b->v[2]),
                     json_is_odd(b->v[3]));
}

#else

enum { JSON_CHUNK = 8 };

#define JSON_REP(c) (UINT64_C(0x0101010101010101) * (uint8_t)(c))

/* One bit per byte whose top bit is set. */
static inline uint32_t json_word_pack(uint64_t tops)
{
    return (uint32_t)((((tops & JSON_REP(0x80)) >> 7) * UINT64_C(0x0102040810204080)) >> 56);
}

/* Top bit of each byte that is zero; exact for every byte, so borrows must not cross bytes. */
static inline uint64_t json_word_zero(uint64_t v)
{
    return ~(((v & JSON_REP(0x7f)) + JSON_REP(0x7f)) | v | JSON_REP(0x7f));
}

static inline uint32_t json_chunk_eq2(const char *p, char a, char b)
{
    uint64_t v = json_word(p);
    return json_word_pack(json_word_zero(v ^ JSON_REP(a)) | json_word_zero(v ^ JSON_REP(b)));
}

static inline uint32_t json_chunk_copy(char *out, const char *p)
{
    uint64_t v = json_word(p);
    memcpy(out, p, JSON_CHUNK);
    return json_word_pack(v | json_word_zero(v) | json_word_zero(v ^ JSON_REP('\\')));
}

static inline uint32_t json_chunk_unsafe(const char *p)
{
    uint64_t v = json_word(p);
    uint64_t hit = json_word_zero(v ^ JSON_REP('"')) | json_word_zero(v ^ JSON_REP('\\'));
    return json_word_pack(hit | json_word_zero(v & JSON_REP(0xe0)));
}

static inline unsigned json_digits(const char *p)
{
    unsigned n = 0;
    while (n < 16 && p[n] >= '0' && p[n] <= '9') {
        n++;
    }
    return n;
}

struct json_block {
    uint64_t v[8];
};

static inline struct json_block json_block_load(const char *p)
{
    struct json_block b;
    for (size_t i = 0; i < 8; i++) {
        b.v[i] = json_word(p + 8 * i);
    }
    return b;
}

static inline uint64_t json_bits_at(uint64_t v, size_t i)
{
    return (uint64_t)json_word_pack(v) << (8 * i);
}

static inline uint64_t json_block_eq(const struct json_block *b, char c)
{
    uint64_t mask = 0;
    for (size_t i = 0; i < 8; i++) {
        mask |= json_bits_at(json_word_zero(b->v[i] ^ JSON_REP(c)), i);
    }
    return mask;
}

static inline uint64_t json_block_brackets(const struct json_block *b)
{
    uint64_t mask = 0;
    for (size_t i = 0; i < 8; i++) {
        uint64_t v = b->v[i] | JSON_REP(0x20);
        mask |=
            json_bits_at(json_word_zero(v ^ JSON_REP('{')) | json_word_zero(v ^ JSON_REP('}')), i);
    }
    return mask;
}

static inline uint64_t json_block_odd(const struct json_block *b)
{
    uint64_t mask = 0;
    for (size_t i = 0; i < 8; i++) {
        mask |= json_bits_at(b->v[i] | json_word_zero(b->v[i]), i);
    }
    return mask;
}

#endif

/* The next block of [p, end): whole, or what is left padded with blanks. Returns how many of its bytes are real. */
static inline size_t json_block_next(const char *p, const char *end, struct json_block *ret)
{
    size_t left = (size_t)(end - p);
    if (left >= JSON_BLOCK) {
        *ret = json_block_load(p);
        return JSON_BLOCK;
    }
    char padded[JSON_BLOCK];
    memset(padded, ' ', sizeof(padded));
    memcpy(padded, p, left);
    *ret = json_block_load(padded);
    return left;
}

/* The value of n digits at p, 1 <= n <= 8; eight bytes are readable. Pairs, then fours, then eights are joined. */
static inline uint64_t json_digits_value(const char *p, unsigned n)
{
    uint64_t v = (json_word(p) - UINT64_C(0x3030303030303030)) << (64 - 8 * n);
    v = (v * 10 + (v >> 8)) & UINT64_C(0x00FF00FF00FF00FF);
    v = (v * 100 + (v >> 16)) & UINT64_C(0x0000FFFF0000FFFF);
    return (v * 10000 + (v >> 32)) & UINT64_C(0xFFFFFFFF);
}

/* Which bytes a run of backslashes before them escapes. A run escapes the byte behind it if its length is odd; adding
 * the first bit of a run to the mask carries to exactly that byte, and start and end tell the length's parity.
 * *carry: the first byte of the block is escaped; set for the block that follows. Bytes within runs are not told. */
static inline uint64_t json_escaped(uint64_t backslash, uint64_t *carry)
{
    const uint64_t even = UINT64_C(0x5555555555555555);
    uint64_t first = *carry;
    *carry = 0;
    backslash &= ~first;
    if (backslash == 0) {
        return first;
    }
    uint64_t starts = backslash & ~(backslash << 1);
    uint64_t from_even = (backslash + (starts & even)) & ~backslash;
    uint64_t sum;
    /* A run from an odd place that passes the end of the block is of odd length: the next byte is escaped. */
    *carry = __builtin_add_overflow(backslash, starts & ~even, &sum);
    uint64_t from_odd = sum & ~backslash;
    return first | (from_even & ~even) | (from_odd & even);
}

/* Bit n: an odd number of bits of x at or below n. */
static inline uint64_t json_prefix_xor(uint64_t x)
{
    x ^= x << 1;
    x ^= x << 2;
    x ^= x << 4;
    x ^= x << 8;
    x ^= x << 16;
    return x ^ x << 32;
}
