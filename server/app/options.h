/* server/app/options.h - the command line: subcommand, flags for the configuration, the rest.
 *
 *   danmakud [COMMAND] [--key value | --key=value | --flag]... [ARGUMENT]...
 *
 * Threading:  startup only.
 * Ownership:  options borrow from argv; the strings made for "key=value" are owned until options_free.
 */
#pragma once

#include "server/config/config.h"
#include "server/core/attr.h"
#include "server/core/buf.h"

#define OPTIONS_COMMANDS(X)                                                                        \
    X(RUN, "run", "collect and serve until told to stop (the default)")                            \
    X(MIGRATE, "migrate", "bring the database schema up to date and exit")                         \
    X(CHECK_CONFIG, "check-config", "report every problem of the configuration and exit")          \
    X(PRINT_CONFIG, "print-config", "print the effective configuration, secrets hidden")           \
    X(TOKEN, "token",                                                                              \
      "add NAME [--scopes=read,stream] [--expires=90d] | list | revoke NAME: who may use the API") \
    X(DECODE, "decode",                                                                            \
      "[--room N] [--at MS] FILE...|-: messages or frames in, events out as NDJSON")               \
    X(REPARSE, "reparse",                                                                          \
      "[--cmd NAME] [--from TIME] [--to TIME] [--dry-run]: decode kept messages again")            \
    X(PRINT_ROUTES, "print-routes", "print the HTTP routes: method, path, scope, operation")       \
    X(DOCS, "docs", "configuration | example | man: print the generated documentation")            \
    X(VERSION, "version", "print the version and those of the libraries")                          \
    X(HELP, "help", "this text")

enum command {
#define X(name, text, help) COMMAND_##name,
    OPTIONS_COMMANDS(X)
#undef X
        COMMANDS
};

struct options {
    enum command command;
    struct config_source source; /* file and flags; environ is the process's */
    char **flags;                /* owned "key=value" strings; source.flags points here */
    const char **args;           /* owned array of words that argv owns */
    size_t n_args;
};

/* Problems (usage) as lines into problems; ERR_INVALID if there is any. */
MUST_CHECK enum err_code options_parse(int argc, char **argv, struct options *ret,
                                       struct buf *problems);
void options_free(struct options *o);
void options_help(struct buf *out);
void options_man(struct buf *out); /* danmakud(1) */
