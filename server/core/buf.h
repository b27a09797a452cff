/* server/core/buf.h - growable bytes that always have a maximum.
 *
 *      data [ written ......... | free ........ ]
 *           0                  len             cap   <= limit
 *
 * Writers append without checking each call; the first append that would pass the limit (or finds no memory) sets
 * `failed`, leaves the contents as they were and turns later appends into no-ops. Check buf_ok once at the end.
 *
 * Threading:  one user at a time.
 * Ownership:  owns data until buf_deinit or buf_take.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/core/attr.h"
#include "server/core/str.h"

struct buf {
    char *data; /* owned */
    size_t len;
    size_t cap;
    size_t limit;
    bool failed;
};

void buf_init(struct buf *b, size_t limit);
void buf_deinit(struct buf *b); /* a zeroed or deinitialised buf is fine */
void buf_clear(struct buf *b);  /* len = 0, failed = false; memory stays */

/* Room for n more bytes behind len, or NULL (failed is set then). Commit with buf_commit. */
MUST_CHECK char *buf_reserve(struct buf *b, size_t n);
void buf_commit(struct buf *b, size_t n);

void buf_put(struct buf *b, struct str s); /* s must not point into b */
void buf_put_c(struct buf *b, char c);
void buf_put_i64(struct buf *b, int64_t v);
void buf_put_u64(struct buf *b, uint64_t v);
/* As buf_put_i64, into room that the caller has made: up to BUF_I64_MAX bytes. Returns where it ends. */
enum { BUF_I64_MAX = 20 };
char *buf_i64_at(char *at, int64_t v);
void buf_printf(struct buf *b, const char *fmt, ...) ATTR_PRINTF(2, 3);
void buf_drop_front(struct buf *b, size_t n); /* memmove */

static inline bool buf_ok(const struct buf *b)
{
    return !b->failed;
}

static inline struct str buf_str(const struct buf *b)
{
    return (struct str){b->data, b->len};
}

/* Ownership of the data moves to the caller (free with mem_free); b is empty afterwards, its limit stays. The data is
 * followed by a NUL that *ret_len does not count; NULL if nothing was ever written. */
char *buf_take(struct buf *b, size_t *ret_len);
