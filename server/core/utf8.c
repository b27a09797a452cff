#include "server/core/utf8.h"

#include <stdint.h>

/* UTF8_PORTABLE: as on machines without SSE2, for tests. */
#if defined(__SSE2__) && !defined(UTF8_PORTABLE)
#define UTF8_SSE2 1
#include <emmintrin.h>
#endif

/* First byte of [p, end) that is not plain text: from 0x80 up, or (skip_nul false) NUL. The vector loops may stop
 * early; the caller's own loop goes on byte by byte. */
#ifdef UTF8_SSE2
static const uint8_t *skip_ascii(const uint8_t *p, const uint8_t *end, bool nul_is_text)
{
    const __m128i below = _mm_set1_epi8(nul_is_text ? -1 : 0);

    while (end - p >= 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        /* Signed: text is greater than -1 or 0, bytes from 0x80 up are negative. */
        unsigned bad = (unsigned)_mm_movemask_epi8(_mm_cmpgt_epi8(v, below)) ^ 0xFFFFU;

        if (bad) {
            return p + __builtin_ctz(bad);
        }
        p += 16;
    }
    return p;
}
#else
static const uint8_t *skip_ascii(const uint8_t *p, const uint8_t *end, bool nul_is_text)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint64_t highs = ones << 7;

    while (end - p >= 8) {
        uint64_t v;

        memcpy(&v, p, sizeof(v));
        /* With no high bit set, v - ones borrows into a high bit only where a byte (or one below it) is NUL. */
        if ((v & highs) || (!nul_is_text && ((v - ones) & highs))) {
            break;
        }
        p += 8;
    }
    return p;
}
#endif

static bool is_tail(uint8_t b)
{
    return (b & 0xC0) == 0x80;
}

/* Smallest and largest second byte behind a lead byte: here overlong forms, surrogates and all beyond U+10FFFF fall
 * out (RFC 3629 section 4). */
static bool second_fits(uint8_t lead, uint8_t b)
{
    switch (lead) {
    case 0xE0:
        return b >= 0xA0 && b <= 0xBF;
    case 0xED:
        return b >= 0x80 && b <= 0x9F;
    case 0xF0:
        return b >= 0x90 && b <= 0xBF;
    case 0xF4:
        return b >= 0x80 && b <= 0x8F;
    default:
        return is_tail(b);
    }
}

/* Length of the well-formed character at p (p < end), or 0. *ret_bad is then the length of the ill-formed piece: the
 * longest start of a character that is there, at least one byte. */
static size_t char_len(const uint8_t *p, const uint8_t *end, size_t *ret_bad)
{
    size_t have = (size_t)(end - p);
    size_t want;

    *ret_bad = 1;
    if (p[0] < 0x80) {
        return 1;
    }
    if (p[0] < 0xC2 || p[0] > 0xF4) {
        return 0;
    }
    want = 2U + (p[0] >= 0xE0) + (p[0] >= 0xF0);
    if (have < 2 || !second_fits(p[0], p[1])) {
        return 0;
    }
    for (size_t i = 2; i < want; i++) {
        if (i >= have || !is_tail(p[i])) {
            *ret_bad = i;
            return 0;
        }
    }
    return want;
}

/* Most of our text is Chinese: three-byte characters in a row, without a branch per byte. */
static const uint8_t *skip_cjk(const uint8_t *p, const uint8_t *end)
{
    while (end - p >= 3 && p[0] >= 0xE1 && p[0] <= 0xEC && is_tail(p[1]) && is_tail(p[2])) {
        p += 3;
    }
    return p;
}

/* Longest start of [p, end) that is well-formed. */
static const uint8_t *skip_valid(const uint8_t *p, const uint8_t *end, bool nul_is_text)
{
    while (p < end) {
        if (*p < 0x80) {
            p = skip_ascii(p, end, nul_is_text);
            while (p < end && *p < 0x80 && (*p != 0 || nul_is_text)) {
                p++;
            }
            if (p == end || *p == 0) {
                break;
            }
        }
        p = skip_cjk(p, end);
        if (p < end && *p >= 0x80) {
            size_t bad;
            size_t n = char_len(p, end, &bad);

            if (n == 0) {
                break;
            }
            p += n;
        }
    }
    return p;
}

bool utf8_valid(struct str s)
{
    const uint8_t *p = (const uint8_t *)s.ptr;

    /* Not even 0 may be added to a NULL. */
    return s.len == 0 || skip_valid(p, p + s.len, true) == p + s.len;
}

size_t utf8_clean(struct str s, char *out, bool *ret_changed)
{
    const uint8_t *p = (const uint8_t *)s.ptr;
    const uint8_t *end;
    char *o = out;

    *ret_changed = false;
    if (s.len == 0) {
        return 0;
    }
    end = p + s.len;
    for (;;) {
        const uint8_t *good = skip_valid(p, end, false);
        size_t bad;

        memcpy(o, p, (size_t)(good - p));
        o += good - p;
        if (good == end) {
            return (size_t)(o - out);
        }
        *ret_changed = true;
        p = good + 1;
        if (*good != 0) {
            (void)char_len(good, end, &bad);
            p = good + bad;
            memcpy(o, "\xEF\xBF\xBD", 3);
            o += 3;
        }
    }
}

size_t utf8_encode(unsigned cp, char out[4])
{
    if (cp > 0x10FFFF || (cp >= 0xD800 && cp <= 0xDFFF)) {
        cp = 0xFFFD;
    }
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (char)(0xC0 | (cp >> 6));
        out[1] = (char)(0x80 | (cp & 0x3F));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (char)(0xE0 | (cp >> 12));
        out[1] = (char)(0x80 | ((cp >> 6) & 0x3F));
        out[2] = (char)(0x80 | (cp & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | (cp >> 18));
    out[1] = (char)(0x80 | ((cp >> 12) & 0x3F));
    out[2] = (char)(0x80 | ((cp >> 6) & 0x3F));
    out[3] = (char)(0x80 | (cp & 0x3F));
    return 4;
}

struct str utf8_cut(struct str s, size_t max_bytes)
{
    size_t n = max_bytes;

    if (s.len <= max_bytes) {
        return s;
    }
    /* A character has at most three tail bytes; more of them are no character anyway. */
    while (n > 0 && max_bytes - n < 3 && is_tail((uint8_t)s.ptr[n])) {
        n--;
    }
    return (struct str){s.ptr, is_tail((uint8_t)s.ptr[n]) && n > 0 ? max_bytes : n};
}

size_t utf8_count(struct str s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++) {
        n += !is_tail((uint8_t)s.ptr[i]);
    }
    return n;
}
