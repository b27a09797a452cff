#include "api/token_command.h"

#include "api/api_priv.h"
#include "api/auth.h"
#include "api/query/sql.h"
#include "api/query/time_text.h"
#include "api/token.h"
#include "server/core/assert.h"
#include "server/core/mem.h"
#include "server/loop/loop.h"

enum { OUT_LIMIT = 1 << 20, EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

enum verb { VERB_ADD, VERB_LIST, VERB_REVOKE };

/* What the arguments say. */
struct request {
    enum verb verb;
    struct str name;
    unsigned scopes;
    int64_t life_ms; /* 0: for ever */
};

struct command {
    struct token_command_opts opts;
    struct buf out;
    struct buf err;
    int exit_code;
    char token[TOKEN_TEXT_LEN + 1];
};

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
#define X(NAME, bit, name, text)                                                                   \
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

/* ---- the arguments ---- */

static bool refuse(struct buf *err, const char *what, struct str which)
{
    buf_put(err, str_of(what));
    buf_put(err, which);
    buf_put_c(err, '\n');
    return false;
}

/* --flag=value, or --flag value: then *i moves on. */
static bool flag_value(int argc, char *const *argv, int *i, struct str flag, struct str *ret)
{
    struct str arg = str_of(argv[*i]);
    if (str_eq(arg, flag)) {
        bool there = *i + 1 < argc;
        *ret = there ? str_of(argv[++*i]) : STR_NULL;
        return true;
    }
    if (str_starts(arg, flag) && arg.ptr[flag.len] == '=') {
        *ret = str_sub(arg, flag.len + 1, arg.len);
        return true;
    }
    return false;
}

static bool parse_add(int argc, char *const *argv, struct request *ret, struct buf *err)
{
    for (int i = 1; i < argc; i++) {
        struct str value = STR_NULL;
        const char *reason = "";
        if (flag_value(argc, argv, &i, STR("--scopes"), &value)) {
            if (!token_scopes_parse(value, &ret->scopes)) {
                return refuse(err, "not scopes: ", value);
            }
        } else if (flag_value(argc, argv, &i, STR("--expires"), &value)) {
            if (!duration_text_parse(value, &ret->life_ms, &reason)) {
                return refuse(err, reason, STR(": --expires"));
            }
        } else if (ret->name.len > 0 || !token_name_valid(str_of(argv[i]))) {
            return refuse(err, "not a name: ", str_of(argv[i]));
        } else {
            ret->name = str_of(argv[i]);
        }
    }
    return ret->name.len > 0 || refuse(err, "a name is missing", STR_NULL);
}

static bool parse(int argc, char *const *argv, struct request *ret, struct buf *err)
{
    struct str verb = argc > 0 ? str_of(argv[0]) : STR_NULL;
    *ret = (struct request){.verb = VERB_LIST, .scopes = SCOPES_ANONYMOUS};
    if (str_eq(verb, STR("add"))) {
        ret->verb = VERB_ADD;
        return parse_add(argc, argv, ret, err);
    }
    if (str_eq(verb, STR("list")) && argc == 1) {
        return true;
    }
    if (str_eq(verb, STR("revoke")) && argc == 2) {
        ret->verb = VERB_REVOKE;
        ret->name = str_of(argv[1]);
        return token_name_valid(ret->name) || refuse(err, "not a name: ", ret->name);
    }
    return refuse(err, "token: add, list or revoke", STR_NULL);
}

bool api_token_check(int argc, char *const *argv, struct buf *err)
{
    struct request request;
    return parse(argc, argv, &request, err);
}

void api_token_command(const struct token_command_opts *opts)
{
    struct command *c = mem_new(struct command);
    struct request request;
    c->opts = *opts;
    buf_init(&c->out, OUT_LIMIT);
    buf_init(&c->err, OUT_LIMIT);
    if (!parse(opts->argc, opts->argv, &request, &c->err)) {
        end_later(c, EXIT_USAGE);
        return;
    }
    struct db_arg name[] = {DB_ARG_TEXT(request.name)};
    struct db_arg most[] = {DB_ARG_I64(AUTH_TOKENS_MAX)};
    switch (request.verb) {
    case VERB_ADD:
        insert(c, request.name, request.scopes, request.life_ms);
        return;
    case VERB_LIST:
        query(c, SQL_TOKENS, most, ARRAY_LEN(most), listed);
        return;
    case VERB_REVOKE:
        query(c, SQL_TOKEN_REVOKE, name, ARRAY_LEN(name), revoked);
        return;
    }
    UNREACHABLE();
}
