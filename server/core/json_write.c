#include "server/core/json_write.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/core/assert.h"
#include "server/core/json_scan_priv.h"

enum { LEVELS_MAX = 32, DOUBLE_BYTES = 32 };

/* Room for n bytes behind the text; NULL: the buf has failed. */
static inline char *room(struct json_out *w, size_t n)
{
    struct buf *b = w->b;
    if (!b->failed && b->cap - b->len >= n) {
        return b->data + b->len;
    }
    return buf_reserve(b, n);
}

static inline void put(struct json_out *w, const char *p, size_t n)
{
    char *o = n > 0 ? room(w, n) : NULL;
    if (o != NULL) {
        memcpy(o, p, n);
        w->b->len += n;
    }
}

static inline void put_c(struct json_out *w, char c)
{
    put(w, &c, 1);
}

/* Whether a comma goes before what comes next in this container; from now on one does. */
static inline bool comma_due(struct json_out *w)
{
    if (w->depth == 0) {
        return false;
    }
    uint32_t bit = UINT32_C(1) << (w->depth - 1);
    bool due = (w->has_value & bit) != 0;
    w->has_value |= bit;
    return due;
}

static inline void before_value(struct json_out *w)
{
    if (w->after_key) {
        w->after_key = false;
    } else if (comma_due(w)) {
        put_c(w, ',');
    }
}

void jw_init(struct json_out *w, struct buf *b)
{
    *w = (struct json_out){.b = b};
}

static void open_level(struct json_out *w, char c)
{
    ASSERT(w->depth < LEVELS_MAX);
    before_value(w);
    put_c(w, c);
    w->has_value &= ~(UINT32_C(1) << w->depth);
    w->depth++;
}

static void close_level(struct json_out *w, char c)
{
    ASSERT(w->depth > 0 && !w->after_key);
    put_c(w, c);
    w->depth--;
}

void jw_object(struct json_out *w)
{
    open_level(w, '{');
}

void jw_object_end(struct json_out *w)
{
    close_level(w, '}');
}

void jw_array(struct json_out *w)
{
    open_level(w, '[');
}

void jw_array_end(struct json_out *w)
{
    close_level(w, ']');
}

void jw_key(struct json_out *w, struct str key)
{
    ASSERT(w->depth > 0 && !w->after_key);
    bool comma = comma_due(w);
    w->after_key = true;
    char *o = room(w, key.len + 3 + comma);
    if (o == NULL) {
        return;
    }
    char *first = o;
    if (comma) {
        *o++ = ',';
    }
    *o++ = '"';
    memcpy(o, key.ptr, key.len);
    o += key.len;
    *o++ = '"';
    *o++ = ':';
    w->b->len += (size_t)(o - first);
}

/* ---- text ---- */

static void put_escaped(struct json_out *w, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    static const char letters[32] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r',
    };
    if (c >= 0x20) {
        const char two[2] = {'\\', (char)c};
        put(w, two, sizeof(two));
    } else if (letters[c] != 0) {
        const char two[2] = {'\\', letters[c]};
        put(w, two, sizeof(two));
    } else {
        const char six[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
        put(w, six, sizeof(six));
    }
}

/* Length of the text before the first byte that must be escaped. */
static inline size_t safe_run(const char *p, size_t len)
{
    size_t i = 0;
    for (; len - i >= JSON_CHUNK; i += JSON_CHUNK) {
        uint32_t hit = json_chunk_unsafe(p + i);
        if (hit != 0) {
            return i + (size_t)__builtin_ctz(hit);
        }
    }
    while (i < len && (unsigned char)p[i] >= 0x20 && p[i] != '"' && p[i] != '\\') {
        i++;
    }
    return i;
}

void jw_str(struct json_out *w, struct str s)
{
    before_value(w);
    put_c(w, '"');
    size_t i = 0;
    while (i < s.len) {
        size_t n = safe_run(s.ptr + i, s.len - i);
        put(w, s.ptr + i, n);
        i += n;
        if (i < s.len) {
            put_escaped(w, (unsigned char)s.ptr[i]);
            i++;
        }
    }
    put_c(w, '"');
}

/* ---- numbers ---- */

void jw_i64(struct json_out *w, int64_t v)
{
    before_value(w);
    buf_put_i64(w->b, v);
}

void jw_u64(struct json_out *w, uint64_t v)
{
    before_value(w);
    buf_put_u64(w->b, v);
}

void jw_i64_str(struct json_out *w, int64_t v)
{
    before_value(w);
    put_c(w, '"');
    buf_put_i64(w->b, v);
    put_c(w, '"');
}

void jw_double(struct json_out *w, double v)
{
    if (!isfinite(v)) {
        jw_null(w);
        return;
    }
    before_value(w);
    char text[DOUBLE_BYTES];
    int n = 0;
    for (int digits = 15; digits <= 17; digits++) {
        n = snprintf(text, sizeof(text), "%.*g", digits, v);
        if (digits == 17 || strtod(text, NULL) == v) {
            break;
        }
    }
    put(w, text, (size_t)n);
}

void jw_bool(struct json_out *w, bool v)
{
    before_value(w);
    put(w, v ? "true" : "false", v ? 4 : 5);
}

void jw_null(struct json_out *w)
{
    before_value(w);
    put(w, "null", 4);
}

/* ---- what is JSON already ---- */

void jw_raw(struct json_out *w, struct str json)
{
    before_value(w);
    put(w, json.ptr, json.len);
}

void jw_members_raw(struct json_out *w, struct str members)
{
    ASSERT(w->depth > 0 && !w->after_key);
    if (members.len > 0) {
        before_value(w);
        put(w, members.ptr, members.len);
    }
}

void jw_members(struct json_out *w, struct str object)
{
    struct str s = str_trim(object);
    if (s.len >= 2 && s.ptr[0] == '{' && s.ptr[s.len - 1] == '}') {
        jw_members_raw(w, str_trim(str_sub(s, 1, s.len - 1)));
    }
}

/* ---- key and value ---- */

void jw_kstr(struct json_out *w, const char *key, struct str s)
{
    jw_key(w, str_of(key));
    jw_str(w, s);
}

void jw_ki64(struct json_out *w, const char *key, int64_t v)
{
    jw_key(w, str_of(key));
    jw_i64(w, v);
}

void jw_kbool(struct json_out *w, const char *key, bool v)
{
    jw_key(w, str_of(key));
    jw_bool(w, v);
}
