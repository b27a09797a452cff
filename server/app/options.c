#include "server/app/options.h"

#include <unistd.h>

#include "server/core/assert.h"
#include "server/core/mem.h"

static bool command_parse(const char *word, enum command *ret)
{
    static const char *const names[] = {
#define X(name, text, help) text,
        OPTIONS_COMMANDS(X)
#undef X
    };
    static_assert(ARRAY_LEN(names) == COMMANDS, "one name per command");
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (str_eq(str_of(word), str_of(names[i]))) {
            *ret = (enum command)i;
            return true;
        }
    }
    return false;
}

static void flag_add(struct options *o, struct str key, struct str value)
{
    struct buf b;
    buf_init(&b, key.len + value.len + 2);
    for (size_t i = 0; i < key.len; i++) {
        buf_put_c(&b, key.ptr[i] == '-' ? '_' : key.ptr[i]);
    }
    buf_put_c(&b, '=');
    buf_put(&b, value);
    buf_put_c(&b, '\0');
    ASSERT(buf_ok(&b));
    size_t len = 0;
    o->flags[o->source.n_flags++] = buf_take(&b, &len);
}

static void option_unknown(struct str key, struct buf *problems)
{
    char like[64];
    size_t n = 0;
    for (; n < key.len && n < sizeof(like); n++) {
        like[n] = key.ptr[n] == '-' ? '_' : key.ptr[n];
    }
    const char *near = config_key_like((struct str){like, n});
    buf_printf(problems, "unknown option --" STR_FMT, STR_ARG(key));
    if (near != NULL) {
        buf_put(problems, STR("; did you mean --"));
        for (const char *p = near; *p != '\0'; p++) {
            buf_put_c(problems, *p == '_' ? '-' : *p);
        }
        buf_put(problems, STR("?\n"));
    } else {
        buf_put(problems, STR("; danmakud help lists them\n"));
    }
}

/* One --key, --key=value or --key value at argv[*i]; moves *i to the last word used. */
static void flag_parse(struct options *o, int argc, char **argv, int *i, struct buf *problems)
{
    struct str key = str_of(argv[*i] + 2);
    struct str value = STR_NULL;
    bool has_value = false;
    for (size_t k = 0; k < key.len; k++) {
        if (key.ptr[k] == '=') {
            value = str_sub(key, k + 1, key.len);
            key = str_sub(key, 0, k);
            has_value = true;
            break;
        }
    }
    if (str_eq(key, STR("help")) && o->command == COMMAND_REPARSE) {
        o->args[o->n_args++] = argv[*i];
        return;
    }
    if (str_eq(key, STR("help"))) {
        o->command = COMMAND_HELP;
        return;
    }
    if (str_eq(key, STR("version"))) {
        o->command = COMMAND_VERSION;
        return;
    }
    char name[64];
    bool is_bool = false;
    bool known = str_eq(key, STR("config"));
    if (!known && key.len < sizeof(name)) {
        memcpy(name, key.ptr, key.len);
        name[key.len] = '\0';
        known = config_is_key(name, &is_bool);
    }
    if (!known && (o->command == COMMAND_TOKEN || o->command == COMMAND_DECODE ||
                   o->command == COMMAND_REPARSE)) {
        o->args[o->n_args++] = argv[*i]; /* --scopes=..., --room are the command's own */
        return;
    }
    if (!known) {
        option_unknown(key, problems);
        if (!has_value && *i + 1 < argc && argv[*i + 1][0] != '-') {
            (*i)++; /* its value, most likely */
        }
        return;
    }
    if (!has_value && is_bool) {
        value = STR("true");
    } else if (!has_value) {
        if (*i + 1 >= argc) {
            buf_printf(problems, "--" STR_FMT " needs a value\n", STR_ARG(key));
            return;
        }
        value = str_of(argv[++*i]);
    }
    if (str_eq(key, STR("config"))) {
        o->source.file = value.ptr; /* both forms end with argv's own NUL */
    } else {
        flag_add(o, key, value);
    }
}

enum err_code options_parse(int argc, char **argv, struct options *ret, struct buf *problems)
{
    *ret = (struct options){.command = COMMAND_RUN};
    ret->source.environ = environ;
    ret->flags = mem_new_array(char *, (size_t)argc + 1);
    ret->args = mem_new_array(const char *, (size_t)argc + 1);
    ret->source.flags = (const char *const *)ret->flags;
    bool have_command = false;
    bool only_args = false;
    for (int i = 1; i < argc; i++) {
        if (!only_args && str_eq(str_of(argv[i]), STR("--"))) {
            only_args = true;
        } else if (!only_args && str_starts(str_of(argv[i]), STR("--"))) {
            flag_parse(ret, argc, argv, &i, problems);
        } else if (!only_args && str_eq(str_of(argv[i]), STR("-h"))) {
            ret->command = COMMAND_HELP;
            have_command = true;
        } else if (!have_command) {
            have_command = true;
            if (!command_parse(argv[i], &ret->command)) {
                buf_printf(problems, "unknown command %s; danmakud help lists them\n", argv[i]);
            }
        } else {
            ret->args[ret->n_args++] = argv[i];
        }
    }
    bool takes_args = ret->command == COMMAND_TOKEN || ret->command == COMMAND_DOCS ||
                      ret->command == COMMAND_HELP || ret->command == COMMAND_DECODE ||
                      ret->command == COMMAND_REPARSE;
    if (ret->n_args > 0 && !takes_args) {
        buf_printf(problems, "unexpected argument %s\n", ret->args[0]);
    }
    return problems->len > 0 ? ERR_INVALID : ERR_OK;
}

void options_free(struct options *o)
{
    for (size_t i = 0; i < o->source.n_flags; i++) {
        mem_free(o->flags[i]);
    }
    mem_free(o->flags);
    mem_free(o->args);
    *o = (struct options){.command = COMMAND_RUN};
}

void options_help(struct buf *out)
{
    buf_put(out, STR("usage: danmakud [COMMAND] [--config FILE] [--OPTION VALUE]...\n\n"
                     "Collects the barrage of Bilibili live rooms, keeps it in PostgreSQL and "
                     "serves it over HTTP.\n\n"
                     "Commands:\n"));
#define X(name, text, help) buf_printf(out, "  %-14s %s\n", text, help);
    OPTIONS_COMMANDS(X)
#undef X
    buf_put(out, STR("\nOptions (also as DANMAKUD_NAME in the environment, or name = value in the "
                     "file of --config):\n"));
    config_write_help(out);
    buf_put(out, STR("\nExit codes: 0 ok, 1 failure, 2 usage or configuration, 3 database schema "
                     "does not fit.\n"
                     "Signals: TERM and INT stop gracefully, a second one at once; HUP reloads; "
                     "USR1 logs the state.\n"));
}
