/* danmakud: command line to exit code. */
#include <stdio.h>

#include "api/api.h"
#include "server/app/app.h"
#include "server/app/options.h"
#include "server/app/version.h"
#include "server/core/buf.h"
#include "server/core/log.h"

enum { TEXT_BYTES = 1 << 20 };

static void print(FILE *to, const struct buf *b)
{
    if (b->len > 0) {
        (void)fwrite(b->data, 1, b->len, to);
    }
    (void)fflush(to);
}

static int docs(const struct options *o, struct buf *out)
{
    struct str what = o->n_args == 1 ? str_of(o->args[0]) : STR_NULL;
    if (str_eq(what, STR("configuration"))) {
        config_write_docs(out);
    } else if (str_eq(what, STR("example"))) {
        config_write_example(out);
    } else if (str_eq(what, STR("man"))) {
        options_man(out);
    } else {
        return options_usage(o->command);
    }
    return EXIT_OK;
}

static int with_config(const struct options *o, struct config *config, struct buf *out)
{
    enum log_level level = LOG_LEVEL_INFO;
    if (log_level_parse(str_of(config->log_level), &level) == 0) {
        log_set_level(level);
    }
    switch (o->command) {
    case COMMAND_RUN:
        return app_run(config, &o->source);
    case COMMAND_MIGRATE:
        return app_migrate(config);
    case COMMAND_TOKEN:
        if (level < LOG_LEVEL_WARN) {
            log_set_level(LOG_LEVEL_WARN); /* a command for people: only what goes wrong */
        }
        return app_token(config, o->args, o->n_args);
    case COMMAND_REPARSE:
        if (level < LOG_LEVEL_WARN) {
            log_set_level(LOG_LEVEL_WARN);
        }
        return app_reparse(config, o->args, o->n_args);
    case COMMAND_CHECK_CONFIG:
        buf_put(out, STR("configuration ok\n"));
        app_check_notes(config, out);
        return EXIT_OK;
    case COMMAND_PRINT_CONFIG:
        app_data_dir_settle(config);
        config_print(config, out);
        return EXIT_OK;
    case COMMAND_DECODE:
    case COMMAND_PRINT_ROUTES:
    case COMMAND_DOCS:
    case COMMAND_VERSION:
    case COMMAND_HELP:
    case COMMANDS:
        break;
    }
    return EXIT_FAILED; /* without_config has answered these */
}

/* Commands that need no configuration. True if it was one. */
static bool without_config(const struct options *o, struct buf *out, int *ret_status)
{
    *ret_status = EXIT_OK;
    switch (o->command) {
    case COMMAND_HELP:
        options_help(o->topic, out);
        return true;
    case COMMAND_VERSION:
        version_write(out);
        return true;
    case COMMAND_PRINT_ROUTES:
        api_print_routes(out);
        return true;
    case COMMAND_DOCS:
        *ret_status = docs(o, out);
        return true;
    case COMMAND_DECODE:
        *ret_status = app_decode(o->args, o->n_args);
        return true;
    case COMMAND_RUN:
    case COMMAND_MIGRATE:
    case COMMAND_CHECK_CONFIG:
    case COMMAND_PRINT_CONFIG:
    case COMMAND_TOKEN:
    case COMMAND_REPARSE:
    case COMMANDS:
        break;
    }
    return false;
}

int main(int argc, char **argv)
{
    struct options o;
    struct buf problems;
    struct buf out;
    struct config *config = NULL;
    int status = EXIT_OK;
    buf_init(&problems, TEXT_BYTES);
    buf_init(&out, TEXT_BYTES);
    enum err_code code = options_parse(argc, argv, &o, &problems);
    if (code != ERR_OK && options_row(o.command)->config == COMMAND_CONFIG_NONE) {
        print(stderr, &problems);
        status = EXIT_USAGE;
    } else if (code != ERR_OK || !without_config(&o, &out, &status)) {
        /* All problems at once: those of the command line together with those of the configuration. */
        o.source.check = app_check;
        code = config_load(&o.source, &config, &problems);
        if (problems.len > 0 || code != ERR_OK) {
            print(stderr, &problems);
            status = EXIT_USAGE;
        } else {
            status = with_config(&o, config, &out);
        }
    }
    print(stdout, &out);
    config_free(config);
    options_free(&o);
    buf_deinit(&problems);
    buf_deinit(&out);
    return status;
}
