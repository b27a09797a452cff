#include "collector/wire/embedded.h"

#include <stdint.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { BLOCK = 64 };

/* ---- marks: bit n is set if byte n is a backslash or a bracket. '[' is '{' but for one bit, ']' is '}'. ---- */

#ifdef __SSE2__
static inline uint64_t marks_16(const char *p)
{
    const __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
    const __m128i folded = _mm_or_si128(v, _mm_set1_epi8(0x20));
    const __m128i hit = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('\\')),
                                     _mm_or_si128(_mm_cmpeq_epi8(folded, _mm_set1_epi8('{')),
                                                  _mm_cmpeq_epi8(folded, _mm_set1_epi8('}'))));
    return (uint32_t)_mm_movemask_epi8(hit);
}

static inline uint64_t marks_of(const char *p)
{
    return marks_16(p) | marks_16(p + 16) << 16 | marks_16(p + 32) << 32 | marks_16(p + 48) << 48;
}
#else
static inline uint64_t marks_of(const char *p)
{
    uint64_t marks = 0;
    for (unsigned i = 0; i < BLOCK; i++) {
        const char folded = (char)(p[i] | 0x20);
        const uint64_t hit = p[i] == '\\' || folded == '{' || folded == '}';
        marks |= hit << i;
    }
    return marks;
}
#endif

static uint64_t block_marks(const char *p, const char *end)
{
    char padded[BLOCK];
    if (end - p >= BLOCK) {
        return marks_of(p);
    }
    memset(padded, ' ', sizeof(padded));
    memcpy(padded, p, (size_t)(end - p));
    return marks_of(padded);
}

/* ---- tokens ---- */

/* One loop in the end, with the scan in registers: that is half of the time. */
#define INLINE static inline __attribute__((always_inline))

struct scan {
    const char *block;
    const char *end;
    const char *next; /* marks before it are part of an escape that was read */
    uint64_t marks;   /* of the block, those not yet looked at */
};

/* The next mark, or NULL at the end of the text. */
INLINE const char *next_mark(struct scan *s)
{
    for (;;) {
        while (s->marks != 0) {
            const char *p = s->block + __builtin_ctzll(s->marks);
            s->marks &= s->marks - 1;
            if (p >= s->next) {
                return p;
            }
        }
        if (s->end - s->block <= BLOCK) {
            return NULL;
        }
        s->block += BLOCK;
        s->marks = block_marks(s->block, s->end);
    }
}

/* p is at a backslash. */
static inline bool is_quote(const struct scan *s, const char *p)
{
    return s->end - p >= 2 && p[1] == '"';
}

/* From within a string to its closing quote (at its backslash); NULL: there is none, or an escape that could be one
 * in disguise or, in a key, make it another one. Two backslashes make one in the inner text, which is skipped with
 * what it escapes. */
INLINE const char *string_end(struct scan *s, bool is_key)
{
    const char *p;
    while ((p = next_mark(s)) != NULL) {
        if (*p != '\\') {
            continue;
        }
        s->next = p + 2;
        if (is_quote(s, p)) {
            return p;
        }
        if (s->end - p < 2 || p[1] == 'u' || (is_key && p[1] != '\\')) {
            return NULL;
        }
        if (p[1] == '\\' && s->end - p >= 4 && p[2] == '\\') {
            if (p[3] == 'u') {
                return NULL;
            }
            s->next = p + 4;
        }
    }
    return NULL;
}

static inline bool is_blank(char c)
{
    const unsigned char b = (unsigned char)c;
    return b <= ' ' && (b == ' ' || b == '\n' || b == '\r' || b == '\t');
}

static inline const char *skip_blanks(const char *p, const char *end)
{
    while (p < end && is_blank(*p)) {
        p++;
    }
    return p;
}

/* The end of [from, to) without blanks behind it. */
static inline const char *trim_end(const char *from, const char *to)
{
    while (to > from && is_blank(to[-1])) {
        to--;
    }
    return to;
}

/* ---- members ---- */

enum value_end { VALUE_THEN_KEY, VALUE_THEN_END, VALUE_UNUSUAL };

/* Up to the comma or bracket that ends the value, *ret_end. Of the next key the quote is read with the comma. */
INLINE enum value_end value_end(struct scan *s, const char *value, const char **ret_end)
{
    unsigned depth = 1;
    const char *p;
    while ((p = next_mark(s)) != NULL) {
        if (*p == '\\') {
            s->next = p + 2;
            if (!is_quote(s, p)) {
                return VALUE_UNUSUAL;
            }
            if (depth == 1 && p > value) {
                *ret_end = trim_end(value, p) - 1;
                return *ret_end > value && **ret_end == ',' ? VALUE_THEN_KEY : VALUE_UNUSUAL;
            }
            if (!string_end(s, false)) {
                return VALUE_UNUSUAL;
            }
        } else if (*p == '{' || *p == '[') {
            depth++;
        } else if (--depth == 0) {
            *ret_end = p;
            return *p == '}' && p > value ? VALUE_THEN_END : VALUE_UNUSUAL;
        }
    }
    return VALUE_UNUSUAL;
}

/* Behind the opening bracket and the first key's quote; *ret_key NULL: an empty object. */
static bool open_object(struct scan *s, const char **ret_key)
{
    const char *p = skip_blanks(s->block, s->end);
    if (p == s->end || *p != '{' || next_mark(s) != p) {
        return false;
    }
    p = skip_blanks(p + 1, s->end);
    if (p < s->end && *p == '}') {
        *ret_key = NULL;
        return true;
    }
    *ret_key = s->next = p + 2;
    return p < s->end && *p == '\\' && is_quote(s, p);
}

struct wanted {
    struct embedded_want *want;
    size_t n;
    size_t n_missing;
    uint64_t lens; /* bit n: a key of n bytes is wanted */
};

static inline void found(struct wanted *w, struct str key, const char *value, const char *end)
{
    if (key.len >= 64 || (w->lens >> key.len & 1) == 0) {
        return;
    }
    for (size_t i = 0; i < w->n; i++) {
        if (!w->want[i].value.ptr && str_eq(w->want[i].key, key)) {
            w->want[i].value = (struct str){value, (size_t)(trim_end(value, end) - value)};
            w->n_missing--;
            return;
        }
    }
}

static bool find(struct scan *s, struct wanted *w)
{
    const char *key;
    if (!open_object(s, &key)) {
        return false;
    }
    while (key && w->n_missing > 0) {
        const char *end;
        const char *key_end = string_end(s, true);
        if (!key_end) {
            return false;
        }
        const char *value = skip_blanks(key_end + 2, s->end);
        if (value == s->end || *value != ':') {
            return false;
        }
        value = skip_blanks(value + 1, s->end);
        const enum value_end how = value_end(s, value, &end);
        if (how == VALUE_UNUSUAL) {
            return false;
        }
        found(w, (struct str){key, (size_t)(key_end - key)}, value, end);
        key = how == VALUE_THEN_KEY ? s->next : NULL;
    }
    return true;
}

bool embedded_find(struct str raw, struct embedded_want *want, size_t n)
{
    struct wanted w = {.want = want, .n = n, .n_missing = n};
    for (size_t i = 0; i < n; i++) {
        want[i].value = STR_NULL;
        w.lens |= want[i].key.len < 64 ? UINT64_C(1) << want[i].key.len : 0;
    }
    if (raw.len == 0) {
        return false;
    }
    struct scan s = {.block = raw.ptr,
                     .end = raw.ptr + raw.len,
                     .next = raw.ptr,
                     .marks = block_marks(raw.ptr, raw.ptr + raw.len)};
    return find(&s, &w);
}
