#include "api/auth.h"

#include "api/api_priv.h"
#include "api/query/sql.h"
#include "api/token.h"
#include "server/core/log.h"
#include "server/core/mem.h"
#include "server/crypto/crypto.h"
#include "server/loop/loop.h"
#include "server/stats/stats.h"

struct token {
    uint8_t hash[TOKEN_HASH_BYTES];
    unsigned scopes;
    int64_t expires_ms; /* INT64_MAX: never */
};

struct auth {
    struct auth_opts opts;
    struct token *tokens; /* owned */
    size_t n_tokens;
    bool loaded;           /* the table was read at least once */
    bool loading;          /* a reading is under way */
    bool failing;          /* the last reading failed */
    int64_t last_start_ms; /* mono: of the last reading */
    struct loop_timer timer;
    struct list waiting;
};

enum { AUTH_RETRY_MS = 1000 };

/* Lets all waiting checks go on; they look at what is loaded now. */
static void release_waiting(struct auth *auth)
{
    for (struct list_node *node; (node = list_first(&auth->waiting)) != NULL;) {
        struct auth_waiter *w = CONTAINER_OF(node, struct auth_waiter, node);
        list_remove(&auth->waiting, node);
        w->fn(w->ctx);
    }
}

static bool read_row(const struct db_rows *rows, size_t row, struct token *ret)
{
    struct str hex = db_text(rows, row, TOKEN_COL_HASH);
    if (hex.len != sizeof(ret->hash) * 2) {
        return false;
    }
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < hex.len; i++) {
        const char *digit = hex.ptr[i] != '\0' ? strchr(digits, hex.ptr[i]) : NULL;
        if (digit == NULL) {
            return false;
        }
        uint8_t value = (uint8_t)(digit - digits);
        ret->hash[i / 2] = (uint8_t)(i % 2 == 0 ? value << 4 : ret->hash[i / 2] | value);
    }
    ret->expires_ms = db_null(rows, row, TOKEN_COL_EXPIRES_MS)
                          ? INT64_MAX
                          : db_i64(rows, row, TOKEN_COL_EXPIRES_MS);
    return token_scopes_parse(db_text(rows, row, TOKEN_COL_SCOPES), &ret->scopes);
}

static const struct token *find(const struct auth *auth, const uint8_t *hash);

/* Has anybody lost a right against what was known before? */
static bool is_narrower(const struct auth *auth, const struct token *old, size_t n_old)
{
    if (n_old == 0) {
        return auth->n_tokens > 0;
    }
    for (size_t i = 0; i < n_old; i++) {
        const struct token *t = find(auth, old[i].hash);
        if (t == NULL || (old[i].scopes & ~t->scopes) != 0 || t->expires_ms < old[i].expires_ms) {
            return true;
        }
    }
    return false;
}

static void take_rows(struct auth *auth, const struct db_rows *rows)
{
    size_t n = db_rows_n(rows);
    struct token *tokens = mem_new_array(struct token, n + 1);
    size_t good = 0;
    for (size_t i = 0; i < n && i < AUTH_TOKENS_MAX; i++) {
        if (read_row(rows, i, &tokens[good])) {
            good++;
        } else { /* of a later release, say: it must not lock everybody else out */
            LOG(WARN, "auth", "token row not understood",
                KV_STR("name", db_text(rows, i, TOKEN_COL_NAME)));
        }
    }
    if (n > AUTH_TOKENS_MAX) {
        LOG(WARN, "auth", "too many tokens, the last ones by name are not accepted",
            KV_I64("max", AUTH_TOKENS_MAX));
    }
    struct token *old = auth->tokens;
    size_t n_old = auth->n_tokens;
    auth->tokens = tokens;
    auth->n_tokens = good;
    /* A row that was not understood still says that the operator wants tokens. */
    if (n > 0 && good == 0) {
        auth->n_tokens = 1;
        tokens[0] = (struct token){.scopes = 0, .expires_ms = 0};
    }
    bool narrower = auth->loaded && is_narrower(auth, old, n_old);
    auth->loaded = true;
    mem_free(old);
    if (narrower && auth->opts.narrowed != NULL) {
        auth->opts.narrowed(auth->opts.ctx);
    }
}

static void tokens_read(void *ctx, enum err_code code, const struct err *err,
                        const struct db_rows *rows)
{
    struct auth *auth = ctx;
    auth->loading = false;
    if (code == ERR_OK) {
        take_rows(auth, rows);
        stats_inc(auth->opts.stats, STAT_API_TOKEN_READS);
        auth->failing = false;
    } else if (!auth->failing) {
        LOG(WARN, "auth", "tokens could not be read, the known ones stay valid",
            KV_CSTR("err", err->msg));
        auth->failing = true;
    }
    loop_timer_start(&auth->timer, code == ERR_OK ? AUTH_REFRESH_MS : AUTH_RETRY_MS, 0);
    release_waiting(auth);
}

static void read_tokens(void *ctx)
{
    struct auth *auth = ctx;
    if (auth->loading) {
        return;
    }
    struct db_arg args[] = {DB_ARG_I64(AUTH_TOKENS_MAX + 1)};
    struct err err;
    auth->last_start_ms = loop_now_ms(auth->opts.loop);
    auth->loading = db_query(auth->opts.db, sql_stmt(SQL_TOKENS), args, ARRAY_LEN(args),
                             tokens_read, auth, &err) == ERR_OK;
    loop_timer_start(&auth->timer, AUTH_RETRY_MS, 0); /* moved on by tokens_read */
    if (!auth->loading) {
        release_waiting(auth);
    }
}

struct auth *auth_new(const struct auth_opts *opts)
{
    struct auth *auth = mem_new(struct auth);
    auth->opts = *opts;
    list_init(&auth->waiting);
    loop_timer_init(&auth->timer, opts->loop, read_tokens, auth);
    read_tokens(auth);
    return auth;
}

void auth_read(struct auth *auth)
{
    read_tokens(auth);
}

void auth_free(struct auth *auth)
{
    if (auth == NULL) {
        return;
    }
    for (struct list_node *node; (node = list_first(&auth->waiting)) != NULL;) {
        list_remove(&auth->waiting, node);
    }
    loop_timer_stop(&auth->timer);
    db_forget(auth->opts.db, auth);
    mem_free(auth->tokens);
    mem_free(auth);
}

bool auth_has_tokens(const struct auth *auth)
{
    return auth->n_tokens > 0;
}

static const struct token *find(const struct auth *auth, const uint8_t *hash)
{
    const struct token *found = NULL;
    for (size_t i = 0; i < auth->n_tokens;
         i++) { /* all of them: the time says nothing about which one fits */
        if (crypto_equal(auth->tokens[i].hash, hash, TOKEN_HASH_BYTES)) {
            found = &auth->tokens[i];
        }
    }
    return found;
}

enum auth_result auth_check(struct auth *auth, struct str header, bool may_wait,
                            unsigned *ret_scopes)
{
    uint8_t hash[TOKEN_HASH_BYTES];
    const struct str scheme = STR("Bearer ");
    if (!auth->loaded) {
        if (may_wait && !auth->loading) { /* the database may be there by now */
            read_tokens(auth);
        }
        return may_wait && auth->loading ? AUTH_WAIT : AUTH_UNCERTAIN;
    }
    if (header.len == 0) {
        if (auth->n_tokens > 0 || !auth->opts.open) {
            return AUTH_NONE;
        }
        *ret_scopes = SCOPES_ANONYMOUS;
        return AUTH_GRANTED;
    }
    if (header.len <= scheme.len || !str_ieq(str_sub(header, 0, scheme.len), scheme) ||
        !token_hash(str_trim(str_sub(header, scheme.len, header.len)), hash)) {
        return AUTH_INVALID;
    }
    const struct token *t = find(auth, hash);
    if (t != NULL) {
        if (t->expires_ms <= loop_wall_ms(auth->opts.loop)) {
            return AUTH_INVALID;
        }
        *ret_scopes = t->scopes;
        return AUTH_GRANTED;
    }
    /* Made a moment ago, perhaps. */
    if (may_wait && !auth->loading &&
        loop_now_ms(auth->opts.loop) - auth->last_start_ms >= AUTH_MISS_MS) {
        read_tokens(auth);
    }
    return may_wait && auth->loading ? AUTH_WAIT : AUTH_INVALID;
}

bool auth_wait(struct auth *auth, struct auth_waiter *w)
{
    if (auth->waiting.n >= AUTH_WAITING_MAX) {
        return false;
    }
    list_push_back(&auth->waiting, &w->node);
    return true;
}

void auth_unwait(struct auth *auth, struct auth_waiter *w)
{
    list_remove(&auth->waiting, &w->node);
}
