#include "server/db/pg_params.h"

#include "server/core/assert.h"
#include "server/core/mem.h"

static bool has_nul(struct str s)
{
    return s.len > 0 && memchr(s.ptr, '\0', s.len) != NULL;
}

/* A quoted element of an array's text form. */
static void put_element(struct buf *b, struct str s)
{
    buf_put_c(b, '"');
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '"' || s.ptr[i] == '\\') {
            buf_put_c(b, '\\');
        }
        buf_put_c(b, s.ptr[i]);
    }
    buf_put_c(b, '"');
}

static void put_array(struct buf *b, const struct db_arg *a)
{
    buf_put_c(b, '{');
    for (size_t i = 0; i < a->n; i++) {
        if (i > 0) {
            buf_put_c(b, ',');
        }
        if (a->type == DB_I64_ARRAY) {
            buf_put_i64(b, a->i64s[i]);
        } else {
            put_element(b, a->texts[i]);
        }
    }
    buf_put_c(b, '}');
}

static bool text_ok(const struct db_arg *a)
{
    if (a->type == DB_TEXT) {
        return !has_nul(a->text);
    }
    for (size_t i = 0; a->type == DB_TEXT_ARRAY && i < a->n; i++) {
        if (has_nul(a->texts[i])) {
            return false;
        }
    }
    return true;
}

static void put_value(struct buf *b, const struct db_arg *a)
{
    switch (a->type) {
    case DB_NULL:
        break;
    case DB_I64:
        buf_put_i64(b, a->i64);
        break;
    case DB_TEXT:
    case DB_BYTES:
        buf_put(b, a->text);
        break;
    case DB_I64_ARRAY:
    case DB_TEXT_ARRAY:
        put_array(b, a);
        break;
    }
    buf_put_c(b, '\0');
}

enum err_code pg_params_init(struct pg_params *p, const struct db_arg *args, size_t n,
                             struct err *err)
{
    size_t at[DB_ARGS_MAX + 1] = {0};
    struct buf b;
    size_t len;

    ASSERT(n <= DB_ARGS_MAX);
    *p = (struct pg_params){.n = (int)n};
    buf_init(&b, PG_PARAMS_BYTES_MAX);
    for (size_t i = 0; i < n; i++) {
        if (!text_ok(&args[i])) {
            buf_deinit(&b);
            return err_set(err, ERR_INVALID, "argument $%zu has a NUL character", i + 1);
        }
        put_value(&b, &args[i]);
        at[i + 1] = b.len;
    }
    if (!buf_ok(&b)) {
        buf_deinit(&b);
        return err_set(err, ERR_TOO_BIG, "no memory for the arguments, at most %d bytes",
                       PG_PARAMS_BYTES_MAX);
    }
    p->text = buf_take(&b, &len);
    for (size_t i = 0; i < n; i++) {
        /* Text form for all but bytes, which would have to be escaped. */
        p->values[i] = args[i].type == DB_NULL ? NULL : p->text + at[i];
        p->lengths[i] = (int)(at[i + 1] - at[i] - 1);
        p->formats[i] = args[i].type == DB_BYTES;
    }
    return ERR_OK;
}

void pg_params_deinit(struct pg_params *p)
{
    mem_free(p->text);
    *p = (struct pg_params){0};
}
