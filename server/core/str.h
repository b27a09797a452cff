/* server/core/str.h - a view of bytes: pointer and length, passed by value.
 *
 * A view owns nothing and never outlives what it points into. Printed with STR_FMT and STR_ARG.
 *
 * Threading:  any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct str {
    const char *ptr; /* borrowed; may be NULL when len is 0 */
    size_t len;
};

#define STR(lit) ((struct str){"" lit, sizeof(lit) - 1})
#define STR_NULL ((struct str){NULL, 0})
#define STR_FMT "%.*s"
#define STR_ARG(s) (int)(s).len, (s).ptr ? (s).ptr : ""

static inline struct str str_of(const char *cstr)
{
    return (struct str){cstr, cstr ? strlen(cstr) : 0};
}

static inline bool str_eq(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool str_starts(struct str s, struct str prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}

static inline struct str str_sub(struct str s, size_t from, size_t to)
{
    return (struct str){s.ptr + from, to - from};
}

int str_cmp(struct str a, struct str b);  /* bytewise, as memcmp; the shorter is smaller */
bool str_ieq(struct str a, struct str b); /* ASCII case-insensitive */
struct str str_trim(struct str s);        /* ASCII blanks off both ends */
/* Splits off the part of *rest before the first sep and advances *rest behind it; false when *rest is empty:
 * "a,,b," gives "a", "", "b". */
bool str_split(struct str *rest, char sep, struct str *ret_part);
bool str_to_i64(
    struct str s,
    int64_t *ret); /* whole string, decimal, optional '-'; false on overflow or anything else */
bool str_to_u64(struct str s, uint64_t *ret);
