#include "api/token_command.h"

#include "api/api_priv.h"
#include "api/auth.h"
#include "api/query/sql.h"
#include "api/query/time_text.h"
#include "api/token.h"
#include "server/core/mem.h"
#include "server/loop/loop.h"

enum { OUT_LIMIT = 1 << 20, EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct command {
    struct token_command_opts opts;
    struct buf out;
    struct buf err;
    int exit_code;
    char token[TOKEN_TEXT_LEN + 1];
};

static const char usage[] =
    "usage: danmakud token add NAME [--scopes=read,stream] [--expires=90d]\n"
    "       danmakud token list\n"
    "       danmakud token revoke NAME\n"
    "scopes: "
#define X(NAME, bit, name) name " "
#include "api/scope.def"
#undef X
    "\n";

static void end_now(void *ctx)
{
    struct command *c = ctx;
    c->opts.done(c->opts.ctx, c->exit_code, buf_str(&c->out), buf_str(&c->err));
    buf_deinit(&c->out);
    buf_deinit(&c->err);
    mem_free(c);
}

static void end_later(struct command *c, int exit_code)
{
    c->exit_code = exit_code;
    loop_defer(c->opts.loop, end_now, c);
}

static void refuse(struct command *c, const char *what, struct str which)
{
    buf_put(&c->err, str_of(what));
    buf_put(&c->err, which);
    buf_put_c(&c->err, '\n');
    buf_put(&c->err, str_of(usage));
    end_later(c, EXIT_USAGE);
}

static bool failed(struct command *c, enum err_code code, const struct err *err)
{
    if (code == ERR_OK) {
        return false;
    }
    buf_put(&c->err, STR("database: "));
    buf_put(&c->err, str_of(err->msg));
    buf_put_c(&c->err, '\n');
    c->exit_code = EXIT_FAILED;
    end_now(c);
    return true;
}

static void query(struct command *c, enum sql which, const struct db_arg *args, size_t n,
                  db_done_fn *done)
{
    struct err err;
    if (db_query(c->opts.db, sql_stmt(which), args, n, done, c, &err) != ERR_OK) {
        buf_put(&c->err, str_of(err.msg));
        buf_put_c(&c->err, '\n');
        end_later(c, EXIT_FAILED);
    }
}

/* ---- add ---- */

static void added(void *ctx, enum err_code code, const struct err *err, const struct db_rows *rows)
{
    struct command *c = ctx;
    if (failed(c, code, err)) {
        return;
    }
    if (db_rows_affected(rows) == 0) {
        buf_put(&c->err, STR("there is a token of this name already\n"));
        c->exit_code = EXIT_FAILED;
    } else {
        buf_put(&c->out, str_of(c->token));
        buf_put_c(&c->out, '\n');
        buf_put(&c->err,
                STR("keep it: it is not shown again. From now on every request needs a token "
                    "(Authorization: Bearer ...);\n"
                    "services that run notice at the first use of one, or within 30 s\n"));
    }
    end_now(c);
}

/* The names one by one, as an array for SQL; returns their number. */
static size_t scope_names(unsigned scopes, struct str out[static 32])
{
    size_t n = 0;
#define X(NAME, bit, name)                                                                         \
    if ((scopes & SCOPE_##NAME) != 0) {                                                            \
        out[n++] = STR(name);                                                                      \
    }
#include "api/scope.def"
#undef X
    return n;
}

static void insert(struct command *c, struct str name, unsigned scopes, int64_t life_ms)
{
    uint8_t hash[TOKEN_HASH_BYTES];
    struct str names[32];
    int64_t now = loop_wall_ms(c->opts.loop);
    token_make(c->token);
    if (!token_hash(str_of(c->token), hash)) {
        return; /* not reached: it was made a line above */
    }
    struct db_arg args[] = {
        DB_ARG_TEXT(name),
        DB_ARG_BYTES(((struct str){(const char *)hash, sizeof(hash)})),
        DB_ARG_TEXTS(names, scope_names(scopes, names)),
        DB_ARG_I64(now),
        life_ms > 0 ? DB_ARG_I64(now + life_ms) : DB_ARG_NULL,
    };
    query(c, SQL_TOKEN_ADD, args, ARRAY_LEN(args), added);
}

static void add(struct command *c)
{
    const struct str scopes_flag = STR("--scopes=");
    const struct str expires_flag = STR("--expires=");
    struct str name = STR_NULL;
    unsigned scopes = SCOPES_ANONYMOUS;
    int64_t life_ms = 0;
    for (int i = 1; i < c->opts.argc; i++) {
        struct str arg = str_of(c->opts.argv[i]);
        const char *reason = "";
        if (str_starts(arg, scopes_flag)) {
            if (!token_scopes_parse(str_sub(arg, scopes_flag.len, arg.len), &scopes)) {
                refuse(c, "not scopes: ", arg);
                return;
            }
        } else if (str_starts(arg, expires_flag)) {
            if (!duration_text_parse(str_sub(arg, expires_flag.len, arg.len), &life_ms, &reason)) {
                refuse(c, reason, STR(": --expires"));
                return;
            }
        } else if (name.len > 0 || !token_name_valid(arg)) {
            refuse(c, "not a name: ", arg);
            return;
        } else {
            name = arg;
        }
    }
    if (name.len == 0) {
        refuse(c, "a name is missing", STR_NULL);
        return;
    }
    insert(c, name, scopes, life_ms);
}

/* ---- list, revoke ---- */

static void put_time(struct buf *out, const struct db_rows *rows, size_t row, unsigned col)
{
    if (db_null(rows, row, col)) {
        buf_put(out, STR("never"));
        return;
    }
    char text[CLOCK_RFC3339_BYTES];
    size_t n = clock_rfc3339(db_i64(rows, row, col), text);
    buf_put(out, (struct str){text, n});
}

static void listed(void *ctx, enum err_code code, const struct err *err, const struct db_rows *rows)
{
    struct command *c = ctx;
    if (failed(c, code, err)) {
        return;
    }
    for (size_t i = 0; i < db_rows_n(rows); i++) {
        buf_put(&c->out, db_text(rows, i, TOKEN_COL_NAME));
        buf_put(&c->out, STR("\tscopes="));
        buf_put(&c->out, db_text(rows, i, TOKEN_COL_SCOPES));
        buf_put(&c->out, STR("\tcreated="));
        put_time(&c->out, rows, i, TOKEN_COL_CREATED_MS);
        buf_put(&c->out, STR("\texpires="));
        put_time(&c->out, rows, i, TOKEN_COL_EXPIRES_MS);
        buf_put_c(&c->out, '\n');
    }
    if (db_rows_n(rows) == 0) {
        buf_put(&c->err, STR("no tokens\n"));
    }
    end_now(c);
}

static void revoked(void *ctx, enum err_code code, const struct err *err,
                    const struct db_rows *rows)
{
    struct command *c = ctx;
    if (failed(c, code, err)) {
        return;
    }
    if (db_rows_affected(rows) == 0) {
        buf_put(&c->err, STR("there is no token of this name\n"));
        c->exit_code = EXIT_FAILED;
    } else {
        buf_put(
            &c->out,
            STR("revoked; services that run notice within 30 s, and its streams end. Without any "
                "token a service on 127.0.0.1\n"
                "is open to everybody who can reach it: see danmakud token list\n"));
    }
    end_now(c);
}

void api_token_command(const struct token_command_opts *opts)
{
    struct command *c = mem_new(struct command);
    struct str verb = opts->argc > 0 ? str_of(opts->argv[0]) : STR_NULL;
    c->opts = *opts;
    buf_init(&c->out, OUT_LIMIT);
    buf_init(&c->err, OUT_LIMIT);
    if (str_eq(verb, STR("add"))) {
        add(c);
    } else if (str_eq(verb, STR("list")) && opts->argc == 1) {
        struct db_arg args[] = {DB_ARG_I64(AUTH_TOKENS_MAX)};
        query(c, SQL_TOKENS, args, ARRAY_LEN(args), listed);
    } else if (str_eq(verb, STR("revoke")) && opts->argc == 2) {
        struct db_arg args[] = {DB_ARG_TEXT(str_of(opts->argv[1]))};
        if (token_name_valid(args[0].text)) {
            query(c, SQL_TOKEN_REVOKE, args, ARRAY_LEN(args), revoked);
        } else {
            refuse(c, "not a name: ", args[0].text);
        }
    } else {
        refuse(c, "token: add, list or revoke", STR_NULL);
    }
}
