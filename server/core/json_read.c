#include "server/core/json_read.h"

#include <string.h>

#include "server/core/assert.h"
#include "server/core/json_scan_priv.h"
#include "server/core/json_text_priv.h"

/* Where the cursor stands. Only VALUE has something to read; DEAD follows the first error. */
enum { STATE_VALUE, STATE_FIRST, STATE_AFTER, STATE_DEAD };

static_assert(JSON_DEPTH_MAX <= 32, "in_object has a bit per level");

static bool fail(struct json *j, enum json_err err)
{
    j->err = err;
    j->state = STATE_DEAD;
    return false;
}

static inline bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* The next byte that is not a blank, or -1 (an error by then). */
static inline int token(struct json *j)
{
    while (j->p < j->end && is_blank(*j->p)) {
        j->p++;
    }
    if (j->p == j->end) {
        fail(j, JSON_ERR_TRUNCATED);
        return -1;
    }
    return (unsigned char)*j->p;
}

/* First byte of the value to read, or -1 if there is none. */
static inline int value_token(struct json *j)
{
    return j->state == STATE_VALUE ? token(j) : -1;
}

static inline void value_done(struct json *j, const char *p)
{
    j->p = p;
    j->state = STATE_AFTER;
}

/* ---- strings ---- */

static const char *string_end_blocks(const char *p, const char *end)
{
    uint64_t carry = 0;
    while (p < end) {
        struct json_block b;
        size_t n = json_block_next(p, end, &b);
        uint64_t escaped = json_escaped(json_block_eq(&b, '\\'), &carry);
        uint64_t quotes = json_block_eq(&b, '"') & ~escaped;
        if (quotes != 0) {
            return p + __builtin_ctzll(quotes);
        }
        p += n;
    }
    return NULL;
}

/* The closing quote of the string whose text starts at p; NULL: there is none. Most strings are short and without
 * escapes; one that has some is likely to have many (JSON inside JSON), so the rest of it goes by blocks. */
static inline const char *string_end(const char *p, const char *end)
{
    while (end - p >= JSON_CHUNK) {
        uint32_t hit = json_chunk_eq2(p, '"', '\\');
        if (hit != 0) {
            p += __builtin_ctz(hit);
            return *p == '"' ? p : string_end_blocks(p, end);
        }
        p += JSON_CHUNK;
    }
    while (p < end) {
        if (*p == '"') {
            return p;
        }
        p += *p == '\\' ? 2 : 1;
    }
    return NULL;
}

/* At an opening quote: the text between the quotes; the cursor moves behind the string. */
static inline bool take_string(struct json *j, struct str *ret)
{
    const char *first = j->p + 1;
    const char *last = string_end(first, j->end);
    if (last == NULL) {
        return fail(j, JSON_ERR_TRUNCATED);
    }
    *ret = (struct str){first, (size_t)(last - first)};
    j->p = last + 1;
    return true;
}

/* ---- skipping ---- */

/* The nesting of a struct json while a scan counts brackets. */
struct nesting {
    uint32_t in_object;
    unsigned depth;
    unsigned until; /* the scan ends when depth comes down to it */
};

/* One bracket outside strings: JSON_ERR_NONE also at the end, see depth. */
static inline enum json_err count_bracket(struct nesting *n, char c)
{
    uint32_t kind = (unsigned char)c >> 5 & 1; /* 1 for { and }, 0 for [ and ] */
    if (c == '{' || c == '[') {
        if (n->depth == JSON_DEPTH_MAX) {
            return JSON_ERR_DEPTH;
        }
        n->in_object = (n->in_object & ~(UINT32_C(1) << n->depth)) | kind << n->depth;
        n->depth++;
        return JSON_ERR_NONE;
    }
    n->depth--;
    return (n->in_object >> n->depth & 1) == kind ? JSON_ERR_NONE : JSON_ERR_SYNTAX;
}

/* Moves behind the bracket that brings the depth down to `until`. The cursor is outside of strings. */
static void skip_to_depth(struct json *j, unsigned until)
{
    struct nesting nesting = {j->in_object, j->depth, until};
    uint64_t carry = 0;
    uint64_t in_string = 0; /* all ones: the block starts inside a string */
    const char *p = j->p;
    while (p < j->end) {
        struct json_block b;
        size_t n = json_block_next(p, j->end, &b);
        uint64_t escaped = json_escaped(json_block_eq(&b, '\\'), &carry);
        uint64_t quotes = json_block_eq(&b, '"') & ~escaped;
        uint64_t inside = json_prefix_xor(quotes) ^ in_string;
        in_string = (uint64_t)((int64_t)inside >> 63);
        uint64_t brackets = json_block_brackets(&b) & ~inside;
        for (; brackets != 0; brackets &= brackets - 1) {
            const char *at = p + __builtin_ctzll(brackets);
            enum json_err err = count_bracket(&nesting, *at);
            if (err != JSON_ERR_NONE) {
                fail(j, err);
                return;
            }
            if (nesting.depth == nesting.until) {
                j->depth = (uint8_t)until;
                value_done(j, at + 1);
                return;
            }
        }
        p += n;
    }
    fail(j, JSON_ERR_TRUNCATED);
}

static bool take_literal(struct json *j, struct str word)
{
    size_t left = (size_t)(j->end - j->p);
    size_t n = left < word.len ? left : word.len;
    if (memcmp(j->p, word.ptr, n) != 0) {
        return fail(j, JSON_ERR_SYNTAX);
    }
    if (n < word.len) {
        return fail(j, JSON_ERR_TRUNCATED);
    }
    value_done(j, j->p + n);
    return true;
}

static inline bool is_number_start(int c)
{
    return (c >= '0' && c <= '9') || c == '-';
}

/* The usual number has up to 15 digits and nothing behind them that belongs to it: how many, or 0 if this one is
 * another. p is behind the sign. Lengths vary at random, so they are found without a branch per digit. */
static inline unsigned plain_digits(const char *p, const char *end)
{
    if (end - p < 17) {
        return 0;
    }
    unsigned n = json_digits(p);
    char behind = p[n];
    bool plain = n < 16 && behind != '.' && (behind | 0x20) != 'e' && (*p != '0' || n == 1);
    return plain ? n : 0;
}

static bool take_number(struct json *j, struct str *ret)
{
    const char *first = j->p + (*j->p == '-');
    unsigned n = plain_digits(first, j->end);
    const char *end = n > 0 ? first + n : json_number_end(j->p, j->end, false);
    if (end == NULL) {
        return fail(j, JSON_ERR_SYNTAX);
    }
    *ret = (struct str){j->p, (size_t)(end - j->p)};
    value_done(j, end);
    return true;
}

/* Skips the value that starts with c. Always false, for `return skip_value(...)`. */
static bool skip_value(struct json *j, int c)
{
    struct str text;
    switch (c) {
    case -1:
        break;
    case '"':
        if (take_string(j, &text)) {
            j->state = STATE_AFTER;
        }
        break;
    case '{':
    case '[':
        /* Half of what is skipped is {} or []. */
        if (j->depth < JSON_DEPTH_MAX && j->end - j->p > 1 && j->p[1] == c + 2) {
            value_done(j, j->p + 2);
        } else {
            skip_to_depth(j, j->depth);
        }
        break;
    case 't':
        (void)take_literal(j, STR("true"));
        break;
    case 'f':
        (void)take_literal(j, STR("false"));
        break;
    case 'n':
        (void)take_literal(j, STR("null"));
        break;
    default:
        (void)(is_number_start(c) ? take_number(j, &text) : fail(j, JSON_ERR_SYNTAX));
        break;
    }
    return false;
}

void json_skip(struct json *j)
{
    (void)skip_value(j, value_token(j));
}

void json_leave(struct json *j)
{
    if (j->state == STATE_DEAD) {
        return;
    }
    if (j->depth == 0) {
        fail(j, JSON_ERR_SYNTAX);
        return;
    }
    skip_to_depth(j, j->depth - 1U);
}

/* ---- containers ---- */

void json_init(struct json *j, struct str text)
{
    const char *p = text.ptr != NULL ? text.ptr : "";
    *j = (struct json){.p = p, .end = p + text.len, .start = p, .state = STATE_VALUE};
}

static bool enter(struct json *j, char open)
{
    int c = value_token(j);
    if (c != open) {
        return skip_value(j, c);
    }
    if (j->depth == JSON_DEPTH_MAX) {
        return fail(j, JSON_ERR_DEPTH);
    }
    uint32_t bit = UINT32_C(1) << j->depth;
    j->in_object = open == '{' ? j->in_object | bit : j->in_object & ~bit;
    j->depth++;
    j->p++;
    j->state = STATE_FIRST;
    return true;
}

bool json_enter_object(struct json *j)
{
    return enter(j, '{');
}

bool json_enter_array(struct json *j)
{
    return enter(j, '[');
}

/* Up to the next key or element, behind its comma. False: the container is left, or an error. */
static inline bool next(struct json *j, bool object)
{
    if (j->state == STATE_VALUE) {
        json_skip(j);
    }
    if (j->state == STATE_DEAD) {
        return false;
    }
    /* Asking an array for keys is a mistake of ours, but which container we are in can depend on the peer. */
    if (j->depth == 0 || ((j->in_object >> (j->depth - 1) & 1) != 0) != object) {
        return fail(j, JSON_ERR_SYNTAX);
    }
    char close = object ? '}' : ']';
    int c = token(j);
    if (c == close) {
        j->depth--;
        value_done(j, j->p + 1);
        return false;
    }
    if (j->state == STATE_FIRST) {
        return c >= 0;
    }
    if (c != ',') {
        return c >= 0 ? fail(j, JSON_ERR_SYNTAX) : false;
    }
    j->p++;
    c = token(j);
    if (c == close) {
        return fail(j, JSON_ERR_SYNTAX);
    }
    return c >= 0;
}

bool json_next_key(struct json *j, struct str *ret_key)
{
    struct str key;
    if (!next(j, true)) {
        return false;
    }
    if (*j->p != '"') {
        return fail(j, JSON_ERR_SYNTAX);
    }
    if (!take_string(j, &key)) {
        return false;
    }
    int c = token(j);
    if (c != ':') {
        return c >= 0 ? fail(j, JSON_ERR_SYNTAX) : false;
    }
    j->p++;
    j->state = STATE_VALUE;
    *ret_key = key;
    return true;
}

bool json_next_elem(struct json *j)
{
    if (!next(j, false)) {
        return false;
    }
    j->state = STATE_VALUE;
    return true;
}

/* ---- scalars ---- */

enum json_type json_peek(struct json *j)
{
    int c = value_token(j);
    switch (c) {
    case '{':
        return JSON_OBJECT;
    case '[':
        return JSON_ARRAY;
    case '"':
        return JSON_STRING;
    case 't':
        return JSON_TRUE;
    case 'f':
        return JSON_FALSE;
    case 'n':
        return JSON_NULL;
    default:
        break;
    }
    if (is_number_start(c)) {
        return JSON_NUMBER;
    }
    if (c >= 0) {
        fail(j, JSON_ERR_SYNTAX);
    }
    return JSON_NONE;
}

static inline bool take_plain_int(struct json *j, int64_t *ret)
{
    bool negative = *j->p == '-';
    const char *p = j->p + negative;
    unsigned n = plain_digits(p, j->end);
    if (n == 0) {
        return false;
    }
    uint64_t v;
    if (n <= 8) {
        v = json_digits_value(p, n);
    } else {
        v = json_digits_value(p, n - 8) * 100000000 + json_digits_value(p + n - 8, 8);
    }
    *ret = negative ? -(int64_t)v : (int64_t)v;
    value_done(j, p + n);
    return true;
}

bool json_int(struct json *j, int64_t *ret)
{
    struct str text;
    int c = value_token(j);
    if (c == '"') {
        if (!take_string(j, &text)) {
            return false;
        }
        j->state = STATE_AFTER;
        return json_int_of(text, ret);
    }
    if (!is_number_start(c)) {
        return skip_value(j, c);
    }
    if (take_plain_int(j, ret)) {
        return true;
    }
    return take_number(j, &text) && json_int_of(text, ret);
}

bool json_bool(struct json *j, bool *ret)
{
    struct str text;
    int c = value_token(j);
    if (c == 't' || c == 'f') {
        if (!take_literal(j, c == 't' ? STR("true") : STR("false"))) {
            return false;
        }
        *ret = c == 't';
        return true;
    }
    if (!is_number_start(c)) {
        return skip_value(j, c);
    }
    if (!take_number(j, &text)) {
        return false;
    }
    *ret = !json_number_is_zero(text);
    return true;
}

bool json_str_raw(struct json *j, struct str *ret)
{
    struct str text;
    int c = value_token(j);
    if (c != '"') {
        return skip_value(j, c);
    }
    if (!take_string(j, &text)) {
        return false;
    }
    j->state = STATE_AFTER;
    *ret = text;
    return true;
}

bool json_str(struct json *j, char *out, size_t max, struct str *ret)
{
    struct str text;
    int c = value_token(j);
    if (is_number_start(c)) {
        if (!take_number(j, &text)) {
            return false;
        }
        size_t n = text.len < max ? text.len : max;
        if (n > 0) {
            memcpy(out, text.ptr, n);
        }
        *ret = (struct str){out, n};
        return true;
    }
    if (!json_str_raw(j, &text)) {
        return false;
    }
    *ret = json_unescape(text, out, max);
    return true;
}

bool json_raw(struct json *j, struct str *ret)
{
    int c = value_token(j);
    const char *first = j->p;
    (void)skip_value(j, c);
    if (c < 0 || j->state == STATE_DEAD) {
        return false;
    }
    *ret = (struct str){first, (size_t)(j->p - first)};
    return true;
}

enum json_err json_error(const struct json *j)
{
    return j->err;
}

bool json_at_end(struct json *j)
{
    if (j->state != STATE_AFTER || j->depth != 0) {
        return false;
    }
    while (j->p < j->end && is_blank(*j->p)) {
        j->p++;
    }
    return j->p == j->end;
}
