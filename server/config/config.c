#include "server/config/config_priv.h"

#include <ctype.h>
#include <stdarg.h>
#include <string.h>

#include "server/core/assert.h"
#include "server/core/mem.h"

enum { ENV_NAME_BYTES = 128, MSG_BYTES = 512 };

/* A problem that was told: where its line is in the text, and what orders it. */
struct told {
    struct config_origin from;
    size_t start; /* of the line in problems */
    size_t end;
};

/* One load of all sources; the opaque struct config_check of the header. */
struct config_check {
    struct config *c;     /* owned until it is given out */
    struct buf *problems; /* borrowed */
    size_t n_problems;
    struct buf told;             /* struct told of each problem */
    bool unusable[CONFIG_KEYS];  /* it could not be read, and was told */
    unsigned first[CONFIG_KEYS]; /* line of the file that set it first; 0: none */
    struct buf list;             /* the list that continued lines extend */
};

static size_t index_of(const struct config_key *k)
{
    return (size_t)(k - config_keys);
}

static void note(struct config_check *l, struct told told)
{
    l->n_problems++;
    told.end = l->problems->len;
    buf_put(&l->told, (struct str){(const char *)&told, sizeof told});
}

static bool is_before(const struct told *a, const struct told *b)
{
    return a->from.rank != b->from.rank ? a->from.rank < b->from.rank : a->from.line < b->from.line;
}

/* They were found source by source and check by check; whoever mends a file goes through it from the top. */
static void order(struct config_check *l, size_t start)
{
    struct buf text;
    const size_t n = l->told.len / sizeof(struct told);
    if (n < 2 || !buf_ok(&l->told) || !buf_ok(l->problems)) {
        return;
    }
    struct told *all = mem_new_array(struct told, n);
    memcpy(all, l->told.data, n * sizeof *all);
    for (size_t i = 1; i < n; i++) {
        const struct told one = all[i];
        size_t k = i;
        for (; k > 0 && is_before(&one, &all[k - 1]); k--) {
            all[k] = all[k - 1];
        }
        all[k] = one;
    }
    buf_init(&text, l->problems->limit);
    for (size_t i = 0; i < n; i++) {
        buf_put(&text, str_sub(buf_str(l->problems), all[i].start, all[i].end));
    }
    if (buf_ok(&text)) {
        memcpy(l->problems->data + start, text.data, text.len);
    }
    buf_deinit(&text);
    mem_free(all);
}

static void tell(struct config_check *l, struct config_origin from, struct str name,
                 const char *fmt, va_list args) ATTR_PRINTF(4, 0);
static void tell(struct config_check *l, struct config_origin from, struct str name,
                 const char *fmt, va_list args)
{
    char msg[MSG_BYTES];
    (void)vsnprintf(msg, sizeof msg, fmt, args);
    struct told told = {.from = from, .start = l->problems->len};
    if (from.rank == CONFIG_RANK_DEFAULT) {
        buf_put(l->problems, name);
    } else {
        config_put_origin(l->c, from, name, l->problems);
    }
    if (from.rank == CONFIG_RANK_FILE) {
        buf_put(l->problems, STR(": "));
        buf_put(l->problems, name);
    }
    buf_printf(l->problems, ": %s\n", msg);
    note(l, told);
}

static void problem(struct config_check *l, struct config_origin from, struct str name,
                    const char *fmt, ...) ATTR_PRINTF(4, 5);
static void problem(struct config_check *l, struct config_origin from, struct str name,
                    const char *fmt, ...)
{
    const struct config_key *k = config_key_find(name);
    if (k != NULL) {
        l->unusable[index_of(k)] = true;
    }
    va_list args;
    va_start(args, fmt);
    tell(l, from, name, fmt, args);
    va_end(args);
}

void config_problem(struct config_check *check, const char *key, const char *fmt, ...)
{
    const struct config_key *k = config_key_find(str_of(key));
    ASSERT(k != NULL);
    if (check->unusable[index_of(k)]) {
        return;
    }
    va_list args;
    va_start(args, fmt);
    tell(check, check->c->origins[index_of(k)], str_of(key), fmt, args);
    va_end(args);
}

const char *config_key_like(struct str name)
{
    const struct config_key *near = config_key_nearest(name);
    return near != NULL ? near->name : NULL;
}

static void unknown(struct config_check *l, struct config_origin from, struct str name)
{
    const struct config_key *near = config_key_nearest(name);
    if (near == NULL) {
        problem(l, from, name, "there is no such setting");
        return;
    }
    char hint[ENV_NAME_BYTES] = "";
    const char *prefix = from.rank == CONFIG_RANK_ENV    ? CONFIG_ENV_PREFIX
                         : from.rank == CONFIG_RANK_FLAG ? "--"
                                                         : "";
    (void)snprintf(hint, sizeof hint, "%s%s", prefix, near->name);
    for (char *p = hint; *p != '\0'; p++) {
        if (from.rank == CONFIG_RANK_ENV) {
            *p = (char)toupper((unsigned char)*p);
        } else if (from.rank == CONFIG_RANK_FLAG && *p == '_') {
            *p = '-';
        }
    }
    problem(l, from, name, "there is no such setting; did you mean %s?", hint);
}

static void set(struct config_check *l, const struct config_key *k, struct config_origin from,
                struct str value)
{
    struct err err;
    if (config_value_set(l->c, k, value, &err) != ERR_OK) {
        problem(l, from, str_of(k->name), "%s", err.msg);
    }
    l->c->origins[index_of(k)] = from;
}

/* --- the file --- */

static void on_file_syntax(void *ctx, unsigned line)
{
    struct config_check *l = ctx;
    struct told told = {.from = {.rank = CONFIG_RANK_FILE, .line = line},
                        .start = l->problems->len};
    buf_printf(l->problems, "%s:%u: neither a comment nor key = value\n", l->c->file, line);
    note(l, told);
}

/* Leaves the key usable: what is wrong with its new value is told as well. */
static void set_twice(struct config_check *l, struct config_origin from, struct str name,
                      const char *fmt, ...) ATTR_PRINTF(4, 5);
static void set_twice(struct config_check *l, struct config_origin from, struct str name,
                      const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    tell(l, from, name, fmt, args);
    va_end(args);
}

/* One more line of the key above; only lists have several. */
static void continue_list(struct config_check *l, const struct config_key *k,
                          struct config_origin from, struct str value)
{
    if (k->type != CONFIG_LIST || memchr(value.ptr, '=', value.len) != NULL) {
        problem(l, from, str_of(k->name),
                "an indented line continues the one above; begin a key in the first column");
        return;
    }
    buf_put_c(&l->list, ',');
    buf_put(&l->list, value);
    set(l, k, from, buf_str(&l->list));
}

static void on_file_pair(void *ctx, unsigned line, struct str section, struct str name,
                         struct str value, bool continued)
{
    struct config_check *l = ctx;
    const struct config_origin from = {.rank = CONFIG_RANK_FILE, .line = line};
    if (section.len > 0 && !str_eq(section, STR("danmakud"))) {
        problem(l, from, name, "there is no section [" STR_FMT "]; keys need none",
                STR_ARG(section));
        return;
    }
    const struct config_key *k = config_key_find(name);
    if (k == NULL) {
        unknown(l, from, name);
        return;
    }
    if (continued) {
        continue_list(l, k, from, value);
        return;
    }
    if (l->first[index_of(k)] != 0) {
        set_twice(l, from, name, "set twice, first in line %u", l->first[index_of(k)]);
    } else {
        l->first[index_of(k)] = line;
    }
    buf_clear(&l->list);
    buf_put(&l->list, value);
    set(l, k, from, value);
}

static void load_file(struct config_check *l)
{
    const struct config_file_sink sink = {.ctx = l, .pair = on_file_pair, .syntax = on_file_syntax};
    struct err err;
    if (config_file_read(l->c->file, &sink, &err) != ERR_OK) {
        struct told told = {.from = {.rank = CONFIG_RANK_FILE}, .start = l->problems->len};
        buf_printf(l->problems, "%s: %s\n", l->c->file, err.msg);
        note(l, told);
    }
}

/* --- the environment --- */

static bool split_env(const char *entry, struct str *ret_name, struct str *ret_value)
{
    const struct str prefix = STR(CONFIG_ENV_PREFIX);
    struct str name = STR_NULL;
    struct str rest = str_of(entry);
    if (!str_starts(rest, prefix) || !str_split(&rest, '=', &name)) {
        return false;
    }
    *ret_name = str_sub(name, prefix.len, name.len);
    *ret_value = rest;
    return true;
}

static void load_env_one(struct config_check *l, struct str name, struct str value)
{
    const struct config_origin from = {.rank = CONFIG_RANK_ENV};
    char lower[ENV_NAME_BYTES];
    if (str_eq(name, STR("CONFIG"))) {
        return; /* the file's name, see file_name */
    }
    if (name.len >= sizeof lower) {
        problem(l, from, str_sub(name, 0, sizeof lower - 1), "there is no such setting");
        return;
    }
    for (size_t i = 0; i < name.len; i++) {
        lower[i] = (char)tolower((unsigned char)name.ptr[i]);
    }
    const struct str key = {lower, name.len};
    const struct config_key *k = config_key_find(key);
    if (k == NULL) {
        unknown(l, from, key);
    } else {
        set(l, k, from, value);
    }
}

static void load_env(struct config_check *l, char *const *envp)
{
    struct str name;
    struct str value;
    for (size_t i = 0; envp != NULL && envp[i] != NULL; i++) {
        if (split_env(envp[i], &name, &value)) {
            load_env_one(l, name, value);
        }
    }
}

static const char *file_name(const struct config_source *src)
{
    if (src->file != NULL) {
        return src->file;
    }
    const struct str prefix = STR(CONFIG_ENV_PREFIX "CONFIG=");
    for (size_t i = 0; src->environ != NULL && src->environ[i] != NULL; i++) {
        const char *entry = src->environ[i];
        if (str_starts(str_of(entry), prefix) && entry[prefix.len] != '\0') {
            return entry + prefix.len;
        }
    }
    return NULL;
}

/* --- the flags --- */

static void load_flags(struct config_check *l, const struct config_source *src)
{
    const struct config_origin from = {.rank = CONFIG_RANK_FLAG};
    for (size_t i = 0; i < src->n_flags; i++) {
        const char *flag = src->flags[i];
        const char *eq = strchr(flag, '=');
        const struct str name = {flag, eq != NULL ? (size_t)(eq - flag) : strlen(flag)};
        const struct config_key *k = config_key_find(name);
        if (k == NULL) {
            unknown(l, from, name);
        } else if (eq != NULL) {
            set(l, k, from, str_of(eq + 1));
        } else if (k->type == CONFIG_BOOL) {
            set(l, k, from, STR("true"));
        } else {
            problem(l, from, name, "needs a value");
        }
    }
}

/* --- secrets in files --- */

static void load_secret(struct config_check *l, const struct config_key *secret,
                        const struct config_key *file)
{
    const struct config_origin from = l->c->origins[index_of(file)];
    const struct config_origin other = l->c->origins[index_of(secret)];
    if (config_value_is_empty(l->c, file)) {
        return;
    }
    if (!config_value_is_empty(l->c, secret)) {
        if (other.rank == from.rank) {
            problem(l, from, str_of(file->name), "%s is set as well; keep one", secret->name);
        }
        if (other.rank >= from.rank) {
            return; /* the value itself came from a stronger source */
        }
    }
    struct buf text;
    struct err err;
    buf_init(&text, CONFIG_TEXT_LIMIT);
    const char *path = *(char **)((char *)l->c + file->offset);
    if (config_file_slurp(path, &text, &err) != ERR_OK) {
        problem(l, from, str_of(file->name), "%s %s", path, err.msg);
    } else if (str_trim(buf_str(&text)).len == 0) {
        problem(l, from, str_of(file->name), "%s is empty", path);
    } else {
        set(l, secret, from, buf_str(&text));
        l->c->origins[index_of(secret)].key = file->name;
    }
    /* Secrets do not linger in freed memory. */
    if (text.data != NULL) {
        explicit_bzero(text.data, text.cap);
    }
    buf_deinit(&text);
}

static void load_secrets(struct config_check *l)
{
    for (size_t i = 0; i < CONFIG_KEYS; i++) {
        char name[ENV_NAME_BYTES];
        (void)snprintf(name, sizeof name, "%s_file", config_keys[i].name);
        const struct config_key *file = config_key_find(str_of(name));
        if (config_keys[i].secret && file != NULL) {
            load_secret(l, &config_keys[i], file);
        }
    }
}

/* --- all of it --- */

enum err_code config_load(const struct config_source *src, struct config **ret,
                          struct buf *problems)
{
    struct config_check l = {.c = mem_new(struct config), .problems = problems};
    const size_t start = problems->len;
    l.c->origins = mem_new_array(struct config_origin, CONFIG_KEYS);
    buf_init(&l.list, CONFIG_TEXT_LIMIT);
    buf_init(&l.told, CONFIG_TEXT_LIMIT);
    for (size_t i = 0; i < CONFIG_KEYS; i++) {
        config_value_default(l.c, &config_keys[i]);
    }
    const char *file = file_name(src);
    if (file != NULL) {
        const size_t n = strlen(file);
        l.c->file = mem_new_array(char, n + 1);
        memcpy(l.c->file, file, n);
        load_file(&l);
    }
    load_env(&l, src->environ);
    load_flags(&l, src);
    load_secrets(&l);
    if (src->check != NULL) {
        src->check(l.c, &l);
    }
    order(&l, start);
    buf_deinit(&l.told);
    buf_deinit(&l.list);
    if (l.n_problems > 0) {
        config_free(l.c);
        return ERR_INVALID;
    }
    *ret = l.c;
    return ERR_OK;
}

enum err_code config_reload(struct config *c, const struct config_source *src, struct buf *problems,
                            struct buf *notes)
{
    struct config *fresh = NULL;
    const enum err_code rc = config_load(src, &fresh, problems);
    if (rc != ERR_OK) {
        return rc;
    }
    for (size_t i = 0; i < CONFIG_KEYS; i++) {
        const struct config_key *k = &config_keys[i];
        if (config_value_eq(c, fresh, k)) {
            continue;
        }
        if (k->reloadable) {
            config_value_swap(c, fresh, k);
            c->origins[i] = fresh->origins[i];
        } else {
            buf_put(notes, str_of(k->name));
            buf_put_c(notes, '\n');
        }
    }
    config_free(fresh);
    return ERR_OK;
}

void config_free(struct config *c)
{
    if (c == NULL) {
        return;
    }
    for (size_t i = 0; i < CONFIG_KEYS; i++) {
        config_value_clear(c, &config_keys[i]);
    }
    mem_free(c->file);
    mem_free(c->origins);
    mem_free(c);
}
