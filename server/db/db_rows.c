#include <stdint.h>
#include <string.h>

#include "server/core/assert.h"
#include "server/core/buf.h"
#include "server/db/db_rows_priv.h"
#include "server/db/db_session.h"

size_t db_rows_n(const struct db_rows *rows)
{
    return (size_t)PQntuples(rows->res);
}

size_t db_rows_affected(const struct db_rows *rows)
{
    /* PQcmdTuples only reads, but asks for a pointer that could write. */
    PGresult *res = (PGresult *)(uintptr_t)rows->res;
    int64_t n;

    return str_to_i64(str_of(PQcmdTuples(res)), &n) && n > 0 ? (size_t)n : 0;
}

static void check_place(const struct db_rows *rows, size_t row, unsigned col)
{
    ASSERT(row < (size_t)PQntuples(rows->res) && col < (unsigned)PQnfields(rows->res));
}

bool db_null(const struct db_rows *rows, size_t row, unsigned col)
{
    check_place(rows, row, col);
    return PQgetisnull(rows->res, (int)row, (int)col) != 0;
}

struct str db_text(const struct db_rows *rows, size_t row, unsigned col)
{
    check_place(rows, row, col);
    return (struct str){PQgetvalue(rows->res, (int)row, (int)col),
                        (size_t)PQgetlength(rows->res, (int)row, (int)col)};
}

int64_t db_i64(const struct db_rows *rows, size_t row, unsigned col)
{
    int64_t v;

    return str_to_i64(db_text(rows, row, col), &v) ? v : 0;
}

bool db_bool(const struct db_rows *rows, size_t row, unsigned col)
{
    return str_eq(db_text(rows, row, col), STR("t"));
}

/* No byte of the eight is a backslash or a control character: nothing to escape. */
static inline bool is_plain(uint64_t v)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint64_t tops = ones << 7;
    const uint64_t backslash = v ^ ones * '\\';

    return ((((v - ones * ' ') & ~v) | ((backslash - ones) & ~backslash)) & tops) == 0;
}

static inline char *escape(char *at, char c)
{
    char letter = c == '\\' ? '\\' : c == '\t' ? 't' : c == '\n' ? 'n' : c == '\r' ? 'r' : '\0';

    if (letter != '\0') {
        *at++ = '\\';
        c = letter;
    }
    *at++ = c;
    return at;
}

char *db_copy_text_at(char *at, struct str value)
{
    size_t i = 0;

    while (i < value.len) {
        size_t n = value.len - i < sizeof(uint64_t) ? value.len - i : sizeof(uint64_t);
        uint64_t word;

        if (n == sizeof(word)) {
            memcpy(&word, value.ptr + i, sizeof(word));
            if (is_plain(word)) {
                memcpy(at, &word, sizeof(word));
                at += sizeof(word);
                i += n;
                continue;
            }
        }
        for (size_t end = i + n; i < end; i++) {
            at = escape(at, value.ptr[i]);
        }
    }
    return at;
}

void db_copy_text(struct buf *out, struct str value)
{
    char *at = value.len <= SIZE_MAX / 2 ? buf_reserve(out, value.len * 2) : NULL;

    if (at) {
        buf_commit(out, (size_t)(db_copy_text_at(at, value) - at));
    }
}
