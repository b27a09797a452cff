#include "server/app/options.h"

#include <unistd.h>

#include "server/core/assert.h"
#include "server/core/mem.h"
#include "server/core/near.h"

static bool command_parse(const char *word, enum command *ret)
{
    for (size_t i = 0; i < COMMANDS; i++) {
        if (str_eq(str_of(word), str_of(options_row((enum command)i)->name))) {
            *ret = (enum command)i;
            return true;
        }
    }
    return false;
}

static void command_unknown(const char *word, struct buf *problems)
{
    const char *near = NULL;
    size_t distance = SIZE_MAX;
    for (size_t i = 0; i < COMMANDS; i++) {
        const char *name = options_row((enum command)i)->name;
        if (near_better(str_of(word), str_of(name), &distance)) {
            near = name;
        }
    }
    buf_printf(problems, "unknown command %s; ", word[0] != '\0' ? word : "\"\"");
    if (near != NULL) {
        buf_printf(problems, "did you mean %s?\n", near);
    } else {
        buf_put(problems, STR("danmakud help lists them\n"));
    }
}

/* The command's own flag of this name (without the dashes). */
static const struct command_item *own_flag(enum command command, struct str key)
{
    const struct command_item *item = NULL;
    for (size_t i = 0; (item = options_item_at(command, i)) != NULL; i++) {
        struct str word = str_of(item->word);
        if (str_starts(word, STR("--")) && str_eq(str_sub(word, 2, word.len), key)) {
            return item;
        }
    }
    return NULL;
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

static void option_unknown(enum command command, struct str key, struct buf *problems)
{
    const struct command_item *item = NULL;
    size_t distance = SIZE_MAX;
    const char *near = NULL;
    for (size_t i = 0; (item = options_item_at(command, i)) != NULL; i++) {
        if (str_starts(str_of(item->word), STR("--")) &&
            near_better(key, str_of(item->word + 2), &distance)) {
            near = item->word + 2;
        }
    }
    static const char *const everywhere[] = {"help", "version", "config"};
    for (size_t i = 0; i < ARRAY_LEN(everywhere); i++) {
        if (near_better(key, str_of(everywhere[i]), &distance)) {
            near = everywhere[i];
        }
    }
    const char *setting = config_key_like(key);
    if (setting != NULL && near_better(key, str_of(setting), &distance)) {
        near = setting;
    }
    buf_printf(problems, "unknown option --" STR_FMT, STR_ARG(key));
    if (near != NULL) {
        buf_put(problems, STR("; did you mean --"));
        for (const char *p = near; *p != '\0'; p++) {
            buf_put_c(problems, *p == '_' ? '-' : *p);
        }
        buf_put(problems, STR("?\n"));
    } else {
        buf_printf(problems, "; danmakud help%s%s lists them\n", command == COMMAND_RUN ? "" : " ",
                   command == COMMAND_RUN ? "" : options_row(command)->name);
    }
}

/* A flag that only this command knows, and its value if that is a word of its own. */
static void own_flag_take(struct options *o, int argc, char **argv, int *i, bool takes_next)
{
    o->args[o->n_args++] = argv[*i];
    if (takes_next && *i + 1 < argc) {
        o->args[o->n_args++] = argv[++*i];
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
    char name[64];
    bool is_bool = false;
    bool known = str_eq(key, STR("config"));
    if (!known && key.len < sizeof(name)) {
        memcpy(name, key.ptr, key.len);
        name[key.len] = '\0';
        known = config_is_key(name, &is_bool);
    }
    const struct command_item *own = known ? NULL : own_flag(o->command, key);
    if (own != NULL) {
        own_flag_take(o, argc, argv, i, !has_value && own->value[0] != '\0');
        return;
    }
    if (!known) {
        option_unknown(o->command, key, problems);
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

/* What was asked for besides the command, which may have been said before or behind it. */
struct asked {
    bool command;
    bool known; /* the command, if there was any */
    bool help;
    bool version;
};

static void word_parse(struct options *o, struct asked *asked, const char *word,
                       struct buf *problems)
{
    if (asked->command) {
        o->args[o->n_args++] = word;
        return;
    }
    asked->command = true;
    if (!command_parse(word, &o->command)) {
        asked->known = false;
        command_unknown(word, problems);
    }
}

/* Help is shown whatever else is wrong, but for a command that does not exist. */
static void settle(struct options *o, const struct asked *asked, struct buf *problems)
{
    bool takes_args = o->command == COMMAND_TOKEN || o->command == COMMAND_DOCS ||
                      o->command == COMMAND_DECODE || o->command == COMMAND_REPARSE;
    if (asked->help) {
        o->topic = asked->command ? o->command : COMMANDS;
        o->command = COMMAND_HELP;
        if (asked->known) {
            buf_clear(problems);
        }
    } else if (asked->version) {
        o->command = COMMAND_VERSION;
    } else if (o->command == COMMAND_HELP && o->n_args > 0) {
        if (!command_parse(o->args[0], &o->topic)) {
            command_unknown(o->args[0], problems);
        }
    } else if (o->n_args > 0 && !takes_args) {
        buf_printf(problems, "unexpected argument %s\n", o->args[0]);
    }
}

enum err_code options_parse(int argc, char **argv, struct options *ret, struct buf *problems)
{
    *ret = (struct options){.command = COMMAND_RUN, .topic = COMMANDS};
    ret->source.environ = environ;
    ret->flags = mem_new_array(char *, (size_t)argc + 1);
    ret->args = mem_new_array(const char *, (size_t)argc + 1);
    ret->source.flags = (const char *const *)ret->flags;
    struct asked asked = {.known = true};
    bool only_args = false;
    for (int i = 1; i < argc; i++) {
        struct str word = str_of(argv[i]);
        if (!only_args && str_eq(word, STR("--"))) {
            only_args = true;
        } else if (!only_args && (str_eq(word, STR("--help")) || str_eq(word, STR("-h")))) {
            asked.help = true;
        } else if (!only_args && str_eq(word, STR("--version"))) {
            asked.version = true;
        } else if (!only_args && str_starts(word, STR("--"))) {
            flag_parse(ret, argc, argv, &i, problems);
        } else {
            word_parse(ret, &asked, argv[i], problems);
        }
    }
    settle(ret, &asked, problems);
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
