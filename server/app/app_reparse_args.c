/* The arguments of `danmakud reparse`. */
#include "server/app/app_priv.h"

#include <stdio.h>

#include "api/query/time_text.h"
#include "server/app/app_reparse.h"
#include "server/app/options.h"
#include "server/core/mem.h"

enum { UNTIL_MS = 10000 }; /* younger messages may still be on their way */

/* --name=value, or --name value: then *i moves on. */
static bool take(const char *const *args, size_t n, size_t *i, const char *name, struct str *ret)
{
    struct str word = str_of(args[*i]);
    struct str key = str_of(name);
    if (str_eq(word, key) && *i + 1 < n) {
        *ret = str_of(args[++*i]);
        return true;
    }
    if (str_starts(word, key) && word.len > key.len && word.ptr[key.len] == '=') {
        *ret = str_sub(word, key.len + 1, word.len);
        return true;
    }
    return false;
}

static bool take_time(struct str text, const char *name, int64_t *ret_id)
{
    const char *reason = "";
    int64_t ms = 0;
    if (!time_text_parse(text, &ms, &reason)) {
        (void)fprintf(stderr, "%s " STR_FMT ": %s\n", name, STR_ARG(text), reason);
        return false;
    }
    *ret_id = id_first_of_ms(ms);
    return true;
}

/* EXIT_OK: go on. */
static int parse(const char *const *args, size_t n, struct reparse_opts *o)
{
    for (size_t i = 0; i < n; i++) {
        struct str value = STR_NULL;
        bool ok = true;
        if (str_eq(str_of(args[i]), STR("--dry-run"))) {
            o->dry_run = true;
        } else if (take(args, n, &i, "--cmd", &value)) {
            o->has_cmd = true;
            o->cmd = value;
        } else if (take(args, n, &i, "--from", &value)) {
            ok = take_time(value, "--from", &o->from_id);
        } else if (take(args, n, &i, "--to", &value)) {
            ok = take_time(value, "--to", &o->to_id);
        } else {
            (void)fprintf(stderr, "what is %s?\n", args[i]);
            return options_usage(COMMAND_REPARSE);
        }
        if (!ok) {
            return EXIT_USAGE;
        }
    }
    return EXIT_OK;
}

int app_reparse(struct config *config, const char *const *args, size_t n_args)
{
    struct reparse_opts o = {.to_id = id_first_of_ms(clock_wall_ms(clock_system()) - UNTIL_MS)};
    int status = parse(args, n_args, &o);
    if (status != EXIT_OK) {
        return status;
    }
    if (!app_database_exists(config, "reparse")) {
        return EXIT_FAILED;
    }
    struct private_pg *pg = NULL;
    char *conninfo = NULL;
    app_step_down(config);
    status = app_database_open(config, &pg, &conninfo);
    if (status == EXIT_OK) {
        status = app_reparse_run(conninfo, config, &o);
        private_pg_leave(pg);
        mem_free(conninfo);
    }
    return status;
}
