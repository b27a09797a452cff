#include "server/core/json_text_priv.h"

#include <string.h>

#include "server/core/json_read.h"
#include "server/core/json_scan_priv.h"
#include "server/core/utf8.h"

/* ---- numbers ---- */

static inline bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static const char *digits_end(const char *p, const char *end)
{
    while (p < end && is_digit(*p)) {
        p++;
    }
    return p;
}

const char *json_number_end(const char *p, const char *end, bool zeros)
{
    if (p < end && *p == '-') {
        p++;
    }
    const char *first = p;
    p = digits_end(p, end);
    if (p == first || (*first == '0' && p - first > 1 && !zeros)) {
        return NULL;
    }
    if (p < end && *p == '.') {
        first = p + 1;
        p = digits_end(first, end);
        if (p == first) {
            return NULL;
        }
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-')) {
            p++;
        }
        first = p;
        p = digits_end(first, end);
        if (p == first) {
            return NULL;
        }
    }
    return p;
}

bool json_number_is_zero(struct str number)
{
    for (size_t i = 0; i < number.len && number.ptr[i] != 'e' && number.ptr[i] != 'E'; i++) {
        if (number.ptr[i] >= '1' && number.ptr[i] <= '9') {
            return false;
        }
    }
    return true;
}

static bool add_digit(uint64_t *v, char c)
{
    return !__builtin_mul_overflow(*v, 10U, v) &&
           !__builtin_add_overflow(*v, (uint64_t)(c - '0'), v);
}

/* Exponents past this move every 64-bit mantissa out of range, or to a fraction. */
enum { EXPONENT_MAX = 10000 };

/* digits[.digits]e[+-]digits: exact, and false when a fraction remains. */
static bool scientific(struct str s, uint64_t *ret)
{
    uint64_t v = 0;
    int32_t scale = 0;
    bool fraction = false;
    size_t i = 0;
    for (; s.ptr[i] != 'e' && s.ptr[i] != 'E'; i++) {
        if (s.ptr[i] == '.') {
            fraction = true;
            continue;
        }
        if (!add_digit(&v, s.ptr[i]) || scale <= -EXPONENT_MAX) {
            return false;
        }
        scale -= fraction;
    }
    i++;
    bool negative = s.ptr[i] == '-';
    i += s.ptr[i] == '-' || s.ptr[i] == '+';
    int32_t exponent = 0;
    for (; i < s.len && exponent < 2 * EXPONENT_MAX; i++) {
        exponent = exponent * 10 + (s.ptr[i] - '0');
    }
    scale += negative ? -exponent : exponent;
    for (; v != 0 && scale < 0; scale++) {
        if (v % 10 != 0) {
            return false;
        }
        v /= 10;
    }
    for (; v != 0 && scale > 0; scale--) {
        if (!add_digit(&v, '0')) {
            return false;
        }
    }
    *ret = v;
    return true;
}

bool json_int_of(struct str text, int64_t *ret)
{
    const char *p = text.ptr;
    const char *end = p + text.len;
    if (text.len == 0 || json_number_end(p, end, true) != end) {
        return false;
    }
    bool negative = *p == '-';
    p += negative;
    struct str magnitude = {p, (size_t)(end - p)};
    uint64_t v = 0;
    if (memchr(p, 'e', magnitude.len) != NULL || memchr(p, 'E', magnitude.len) != NULL) {
        if (!scientific(magnitude, &v)) {
            return false;
        }
    } else {
        for (; p < end && *p != '.'; p++) {
            if (!add_digit(&v, *p)) {
                return false;
            }
        }
    }
    if (v > (uint64_t)INT64_MAX + negative) {
        return false;
    }
    *ret = negative ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

/* ---- strings ---- */

struct sink {
    char *p;
    char *end;
};

static inline bool sink_char(struct sink *o, unsigned cp)
{
    char bytes[4];
    size_t n = utf8_encode(cp, bytes);
    if ((size_t)(o->end - o->p) < n) {
        return false;
    }
    memcpy(o->p, bytes, n);
    o->p += n;
    return true;
}

static inline bool sink_bytes(struct sink *o, const char *p, size_t n)
{
    if ((size_t)(o->end - o->p) < n) {
        return false;
    }
    memcpy(o->p, p, n);
    o->p += n;
    return true;
}

enum { CP_BAD = 0xFFFD };

static int hex_value(char c)
{
    if (is_digit(c)) {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits of \uXXXX at p; -1: they are not. */
static int hex4(const char *p, const char *end)
{
    if (end - p < 4) {
        return -1;
    }
    int v = 0;
    for (int i = 0; i < 4; i++) {
        int d = hex_value(p[i]);
        if (d < 0) {
            return -1;
        }
        v = v * 16 + d;
    }
    return v;
}

/* p is behind "\u". Sets *ret to the character, joining a pair of surrogates; returns what follows. */
static const char *unescape_unicode(const char *p, const char *end, unsigned *ret)
{
    int v = hex4(p, end);
    if (v < 0) {
        *ret = CP_BAD;
        return p;
    }
    p += 4;
    *ret = (unsigned)v; /* utf8_encode turns a lone surrogate into U+FFFD */
    if (v >= 0xD800 && v <= 0xDBFF && end - p >= 6 && p[0] == '\\' && p[1] == 'u') {
        int low = hex4(p + 2, end);
        if (low >= 0xDC00 && low <= 0xDFFF) {
            *ret = 0x10000U + (((unsigned)v & 0x3FF) << 10) + ((unsigned)low & 0x3FF);
            p += 6;
        }
    }
    return p;
}

/* p is at a backslash; returns what follows. *ret 0: nothing to write, for an escaped NUL and for an escape that
 * stands for its own character, which then follows as plain text (\" \/ and what JSON does not know). */
static const char *unescape_one(const char *p, const char *end, unsigned *ret)
{
    *ret = 0;
    if (end - p < 2) {
        return end;
    }
    switch (p[1]) {
    case 'b':
        *ret = '\b';
        return p + 2;
    case 'f':
        *ret = '\f';
        return p + 2;
    case 'n':
        *ret = '\n';
        return p + 2;
    case 'r':
        *ret = '\r';
        return p + 2;
    case 't':
        *ret = '\t';
        return p + 2;
    case '\\':
        *ret = '\\';
        return p + 2;
    case 'u':
        return unescape_unicode(p + 2, end, ret);
    default:
        return p + 1;
    }
}

/* How the UTF-8 sequence at p (not ASCII) reads: its length and true, or false and the length of what to replace:
 * the longest start of a well-formed sequence, at least one byte. */
static inline bool sequence(const unsigned char *p, size_t left, size_t *ret_len)
{
    unsigned c = p[0];
    unsigned low = 0x80;
    unsigned high = 0xBF;
    size_t need;
    *ret_len = 1;
    if (c >= 0xE0 && c <= 0xEF) {
        need = 3;
        low = c == 0xE0 ? 0xA0 : low;
        high = c == 0xED ? 0x9F : high;
    } else if (c >= 0xC2 && c <= 0xDF) {
        need = 2;
    } else if (c >= 0xF0 && c <= 0xF4) {
        need = 4;
        low = c == 0xF0 ? 0x90 : low;
        high = c == 0xF4 ? 0x8F : high;
    } else {
        return false;
    }
    for (size_t i = 1; i < need; i++) {
        if (i == left || p[i] < low || p[i] > high) {
            return false;
        }
        *ret_len = i + 1;
        low = 0x80;
        high = 0xBF;
    }
    return true;
}

static inline bool is_plain(char c)
{
    return (unsigned char)(c - 1) < 0x7F && c != '\\';
}

/* Copies plain ASCII up to the first byte that needs a look. Names are shorter than a chunk: the rest byte by byte. */
static inline const char *copy_plain(const char *p, const char *end, struct sink *o)
{
    char *to = o->p;
    while (end - p >= JSON_CHUNK && o->end - to >= JSON_CHUNK) {
        uint32_t stop = json_chunk_copy(to, p);
        int n = stop != 0 ? __builtin_ctz(stop) : JSON_CHUNK;
        p += n;
        to += n;
        if (stop != 0) {
            break;
        }
    }
    while (p < end && to < o->end && is_plain(*p)) {
        *to++ = *p++;
    }
    o->p = to;
    return p;
}

/* Two chunks: a piece is rarely longer, and a loop that runs once costs no mispredicted branch. */
enum { COPY_STEP = 32 };

/* Copies [from, to) by whole steps, so it may read and write up to a step too far. */
static inline char *copy_piece(char *out, const char *from, const char *to)
{
    ptrdiff_t n = to - from;
    ptrdiff_t i = 0;
    do {
        memcpy(out + i, from + i, COPY_STEP);
        i += COPY_STEP;
    } while (i < n);
    return out + n;
}

/* JSON inside JSON has a backslash every few bytes. Finding all of a block at once frees the copying of each piece from
 * waiting for the search of the one before. Stops where copy_plain would, and before escapes that are not \" \\ \/. */
static const char *copy_blocks(const char *p, const char *end, struct sink *o)
{
    while (end - p >= JSON_BLOCK + COPY_STEP && o->end - o->p >= JSON_BLOCK + COPY_STEP) {
        struct json_block b = json_block_load(p);
        uint64_t escapes = json_block_eq(&b, '\\');
        uint64_t odd = json_block_odd(&b);
        const char *last = p + (odd != 0 ? __builtin_ctzll(odd) : JSON_BLOCK);
        const char *piece = p;
        while (escapes != 0) {
            const char *at = p + __builtin_ctzll(escapes);
            if (at >= last) {
                break;
            }
            o->p = copy_piece(o->p, piece, at);
            if (at[1] != '"' && at[1] != '\\' && at[1] != '/') {
                return at;
            }
            piece = at + 1;
            escapes &= escapes - 1;
            if (at[1] == '\\') {
                *o->p++ = '\\';
                piece++;
                escapes &= escapes - 1;
            }
        }
        if (piece < last) {
            o->p = copy_piece(o->p, piece, last);
            piece = last;
        }
        p = piece;
        if (odd != 0) {
            break;
        }
    }
    return p;
}

/* Most of our text is Chinese: three-byte characters in a row, when there is room for four. */
static inline const char *copy_cjk(const char *p, const char *end, struct sink *o)
{
    char *to = o->p;
    while (end - p >= 4 && o->end - to >= 4) {
        const unsigned char *b = (const unsigned char *)p;
        if (b[0] < 0xE1 || b[0] > 0xEC || (b[1] & 0xC0) != 0x80 || (b[2] & 0xC0) != 0x80) {
            break;
        }
        memcpy(to, p, 4);
        p += 3;
        to += 3;
    }
    o->p = to;
    return p;
}

/* Copies a run of characters that are not ASCII, each cleaned; NULL: the next one does not fit. */
static inline const char *copy_wide(const char *p, const char *end, struct sink *o)
{
    do {
        p = copy_cjk(p, end, o);
        if (p == end || (unsigned char)*p < 0x80) {
            break;
        }
        size_t n;
        bool good = sequence((const unsigned char *)p, (size_t)(end - p), &n);
        if (!(good ? sink_bytes(o, p, n) : sink_char(o, CP_BAD))) {
            return NULL;
        }
        p += n;
    } while (p < end && (unsigned char)*p >= 0x80);
    return p;
}

/* Copies what needs no look, up to what does. */
static inline const char *copy_easy(const char *p, const char *end, struct sink *o)
{
    return copy_plain(copy_blocks(p, end, o), end, o);
}

/* Resolves a run of escapes; NULL: the next one does not fit. */
static const char *copy_escapes(const char *p, const char *end, struct sink *o)
{
    do {
        unsigned cp;
        p = unescape_one(p, end, &cp);
        if (cp != 0 && !sink_char(o, cp)) {
            return NULL;
        }
    } while (p < end && *p == '\\');
    return p;
}

struct str json_unescape(struct str raw, char *out, size_t max)
{
    if (raw.len == 0 || max == 0) {
        return (struct str){out, 0};
    }
    struct sink o = {out, out + max};
    const char *p = raw.ptr;
    const char *end = p + raw.len;
    while ((p = copy_easy(p, end, &o)) < end) {
        unsigned char c = (unsigned char)*p;
        if (c == '\\') {
            p = copy_escapes(p, end, &o);
        } else if (c >= 0x80) {
            p = copy_wide(p, end, &o);
        } else if (c == '\0') {
            p++;
        } else {
            p = NULL; /* plain, and no room for it */
        }
        if (p == NULL) {
            break;
        }
    }
    return (struct str){out, (size_t)(o.p - out)};
}
