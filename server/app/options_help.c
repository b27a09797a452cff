/* Help of danmakud and of each command, from commands.def and the settings' table. */
#include "server/app/options.h"

#include <stdio.h>

#include "server/app/app.h"
#include "server/core/assert.h"

enum { WIDTH = 96, WORD_COLUMNS = 22, USAGE_BYTES = 4096 };

#define COMMAND(name, text, config, help, more)
#define USAGE(name, text)
#define ITEM(name, word, value, text)

#undef COMMAND
#define COMMAND(name, word, config, text, more) {word, COMMAND_CONFIG_##config, text, more},
static const struct command_row rows[] = {
#include "server/app/commands.def"
};
#undef COMMAND
#define COMMAND(name, text, config, help, more)
static_assert(ARRAY_LEN(rows) == COMMANDS, "one row per command");

#undef ITEM
#define ITEM(name, word, value, text) {COMMAND_##name, word, value, text},
static const struct command_item items[] = {
#include "server/app/commands.def"
};
#undef ITEM
#define ITEM(name, word, value, text)

#undef USAGE
#define USAGE(name, text) {COMMAND_##name, text},
static const struct {
    enum command command;
    const char *text;
} usages[] = {
#include "server/app/commands.def"
};

const struct command_row *options_row(enum command command)
{
    ASSERT((size_t)command < ARRAY_LEN(rows));
    return &rows[command];
}

const char *options_usage_at(enum command command, size_t i)
{
    for (size_t k = 0; k < ARRAY_LEN(usages); k++) {
        if (usages[k].command == command && i-- == 0) {
            return usages[k].text;
        }
    }
    return NULL;
}

const struct command_item *options_item_at(enum command command, size_t i)
{
    for (size_t k = 0; k < ARRAY_LEN(items); k++) {
        if (items[k].command == command && i-- == 0) {
            return &items[k];
        }
    }
    return NULL;
}

static void put_usages(enum command command, struct buf *out)
{
    const char *text = NULL;
    for (size_t i = 0; (text = options_usage_at(command, i)) != NULL; i++) {
        buf_printf(out, "%s danmakud %s%s%s\n", i == 0 ? "usage:" : "      ",
                   options_row(command)->name, text[0] != '\0' ? " " : "", text);
    }
}

int options_usage(enum command command)
{
    struct buf out;
    buf_init(&out, USAGE_BYTES);
    put_usages(command, &out);
    buf_printf(&out, "danmakud %s --help tells more\n", options_row(command)->name);
    (void)fprintf(stderr, STR_FMT, STR_ARG(buf_str(&out)));
    buf_deinit(&out);
    return EXIT_USAGE;
}

/* "  --room N              text", or the text below if the word is long. */
static void put_item(const char *word, const char *value, const char *text, struct buf *out)
{
    const size_t before = out->len;
    buf_printf(out, "  %s%s%s", word, value[0] != '\0' ? " " : "", value);
    if (out->len - before >= WORD_COLUMNS + 2) {
        buf_put_c(out, '\n');
    } else {
        while (out->len - before < WORD_COLUMNS + 2) {
            buf_put_c(out, ' ');
        }
    }
    config_put_indented(out, WORD_COLUMNS + 2, str_of(text), WIDTH);
}

static void put_items(enum command command, struct buf *out)
{
    const struct command_item *item = NULL;
    for (size_t i = 0; (item = options_item_at(command, i)) != NULL; i++) {
        buf_put(out, i == 0 ? STR("\n") : STR(""));
        put_item(item->word, item->value, item->text, out);
    }
}

static void put_settings(struct buf *out)
{
    buf_put(out, STR("\nOptions (also as DANMAKUD_NAME in the environment, or name = value in the "
                     "file of --config):\n"));
    config_write_help(out);
}

static void put_exit_codes(struct buf *out)
{
    buf_put(out, STR("\nExit codes: 0 ok, 1 failure, 2 usage or configuration, 3 database schema "
                     "does not fit.\n"));
}

static void put_signals(struct buf *out)
{
    buf_put(out, STR("Signals: TERM and INT stop gracefully, a second one at once; HUP reloads; "
                     "USR1 logs the state.\n"));
}

static void help_of(enum command topic, struct buf *out)
{
    const struct command_row *row = options_row(topic);
    put_usages(topic, out);
    buf_printf(out, "\n%c%s.\n", row->text[0] - 'a' + 'A', row->text + 1);
    if (row->more[0] != '\0') {
        config_put_indented(out, 0, str_of(row->more), WIDTH);
    }
    put_items(topic, out);
    if (topic == COMMAND_TOKEN) {
        buf_put(out, STR("\nScopes:\n"));
#define X(NAME, bit, name, text) put_item(name, "", text, out);
#include "api/scope.def"
#undef X
    }
    if (row->config == COMMAND_CONFIG_ALL) {
        put_settings(out);
    } else if (row->config == COMMAND_CONFIG_SOME) {
        buf_put(out, STR("\nWhat the service is configured with counts here, too (--config FILE, "
                         "DANMAKUD_*): danmakud help.\n"));
    }
    put_exit_codes(out);
    if (topic == COMMAND_RUN) {
        put_signals(out);
    }
}

void options_help(enum command topic, struct buf *out)
{
    if (topic != COMMANDS) {
        help_of(topic, out);
        return;
    }
    buf_put(out, STR("usage: danmakud [COMMAND] [--config FILE] [--OPTION VALUE]...\n\n"
                     "Collects the barrage of Bilibili live rooms, keeps it in PostgreSQL and "
                     "serves it over HTTP.\n\n"
                     "Commands (danmakud COMMAND --help tells what each takes):\n"));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        buf_printf(out, "  %-14s %s\n", rows[i].name, rows[i].text);
    }
    put_settings(out);
    put_exit_codes(out);
    put_signals(out);
}
