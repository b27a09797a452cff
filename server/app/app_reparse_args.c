/* The arguments of `danmakud reparse`. */
#include "server/app/app_priv.h"

#include <stdio.h>

#include "api/query/time_text.h"
#include "server/app/app_reparse.h"
#include "server/core/mem.h"

enum { UNTIL_MS = 10000 }; /* younger messages may still be on their way */

static const char usage[] =
    "usage: danmakud reparse [--cmd NAME] [--from TIME] [--to TIME] [--dry-run]\n"
    "\n"
    "Decodes messages that were kept as they came (setting `raw`) again, with what this release\n"
    "knows, and adds the events that are missing, with the ids they would have had. They show up\n"
    "in lists and figures, never in the live feed. Running it twice adds nothing. The service may\n"
    "run meanwhile; what it has yet to write is left to it.\n"
    "\n"
    "  --cmd NAME   only messages of this command, e.g. SEND_GIFT_V3; GET "
    "/api/v1/admin/unknown-commands\n"
    "               lists what is kept\n"
    "  --from TIME  received at TIME or later; 2026-11-22T08:00:00+08:00, or milliseconds since "
    "1970\n"
    "  --to TIME    received before TIME; without it: up to ten seconds ago\n"
    "  --dry-run    says what would be added, and adds nothing\n";

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
static int parse(const char *const *args, size_t n, struct reparse_opts *o, bool *ret_help)
{
    for (size_t i = 0; i < n; i++) {
        struct str value = STR_NULL;
        bool ok = true;
        if (str_eq(str_of(args[i]), STR("--help"))) {
            *ret_help = true;
        } else if (str_eq(str_of(args[i]), STR("--dry-run"))) {
            o->dry_run = true;
        } else if (take(args, n, &i, "--cmd", &value)) {
            o->has_cmd = true;
            o->cmd = value;
        } else if (take(args, n, &i, "--from", &value)) {
            ok = take_time(value, "--from", &o->from_id);
        } else if (take(args, n, &i, "--to", &value)) {
            ok = take_time(value, "--to", &o->to_id);
        } else {
            (void)fprintf(stderr, "what is %s? See danmakud reparse --help\n", args[i]);
            ok = false;
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
    bool help = false;
    int status = parse(args, n_args, &o, &help);
    if (help) {
        printf("%s", usage);
        return EXIT_OK;
    }
    if (status != EXIT_OK) {
        return status;
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
