/* server/app/options.h - the command line: subcommand, flags for the configuration, the rest.
 *
 *   danmakud [COMMAND] [--key value | --key=value | --flag]... [ARGUMENT]...
 *
 * What commands there are, and what each takes, is in commands.def.
 *
 * Threading:  startup only.
 * Ownership:  options borrow from argv; the strings made for "key=value" are owned until options_free.
 */
#pragma once

#include "server/config/config.h"
#include "server/core/attr.h"
#include "server/core/buf.h"

enum command {
#define COMMAND(name, text, config, help, more) COMMAND_##name,
#define USAGE(name, text)
#define ITEM(name, word, value, text)
#include "server/app/commands.def"
#undef COMMAND
#undef USAGE
#undef ITEM
    COMMANDS
};

struct options {
    enum command command;
    enum command topic;          /* of COMMAND_HELP; COMMANDS: all of it */
    struct config_source source; /* file and flags; environ is the process's */
    char **flags;                /* owned "key=value" strings; source.flags points here */
    const char **args;           /* owned array of words that argv owns */
    size_t n_args;
};

/* Problems (usage) as lines into problems; ERR_INVALID if there is any. */
MUST_CHECK enum err_code options_parse(int argc, char **argv, struct options *ret,
                                       struct buf *problems);
void options_free(struct options *o);
void options_help(enum command topic, struct buf *out); /* COMMANDS: the overview */
void options_man(struct buf *out);                      /* danmakud(1) */
/* How it is called, and where to read more, on stderr; returns EXIT_USAGE. */
int options_usage(enum command command);

/* ---- the rows of commands.def, for the files of this module ---- */

enum command_config { COMMAND_CONFIG_NONE, COMMAND_CONFIG_SOME, COMMAND_CONFIG_ALL };

struct command_row {
    const char *name;
    enum command_config config;
    const char *text;
    const char *more;
};

struct command_item {
    enum command command;
    const char *word;  /* "--flag" or an argument */
    const char *value; /* "" if it takes none */
    const char *text;
};

const struct command_row *options_row(enum command command);
/* The usages and items of a command, in order; NULL behind the last one. */
const char *options_usage_at(enum command command, size_t i);
const struct command_item *options_item_at(enum command command, size_t i);
