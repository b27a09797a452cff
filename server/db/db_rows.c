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

void db_copy_text(struct buf *out, struct str value)
{
    size_t from = 0;

    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];
        char letter;

        if (c == '\\') {
            letter = '\\';
        } else if (c == '\t') {
            letter = 't';
        } else if (c == '\n') {
            letter = 'n';
        } else if (c == '\r') {
            letter = 'r';
        } else {
            continue;
        }
        buf_put(out, str_sub(value, from, i));
        buf_put_c(out, '\\');
        buf_put_c(out, letter);
        from = i + 1;
    }
    buf_put(out, str_sub(value, from, value.len));
}
