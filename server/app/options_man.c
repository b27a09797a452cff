/* danmakud(1): from the same tables as the parser and the help. */
#include "server/app/options.h"
#include "server/app/version.h"

static void put_item(const char *word, const char *value, const char *text, struct buf *out)
{
    buf_put(out, STR(".TP\n\\fB"));
    config_put_roff(out, word);
    buf_put(out, STR("\\fR"));
    if (value[0] != '\0') {
        buf_put(out, STR(" \\fI"));
        config_put_roff(out, value);
        buf_put(out, STR("\\fR"));
    }
    buf_put_c(out, '\n');
    config_put_roff(out, text);
    buf_put_c(out, '\n');
}

static void put_command(enum command command, struct buf *out)
{
    const struct command_row *row = options_row(command);
    const struct command_item *item = NULL;
    const char *usage = NULL;
    for (size_t i = 0; (usage = options_usage_at(command, i)) != NULL; i++) {
        buf_put(out, i == 0 ? STR(".TP\n\\fB") : STR(".TQ\n\\fB"));
        config_put_roff(out, row->name);
        buf_put(out, STR("\\fR "));
        config_put_roff(out, usage);
        buf_put_c(out, '\n');
    }
    config_put_roff(out, row->text);
    buf_put(out, STR(".\n"));
    config_put_roff(out, row->more);
    buf_put(out, STR("\n.RS\n"));
    for (size_t i = 0; (item = options_item_at(command, i)) != NULL; i++) {
        put_item(item->word, item->value, item->text, out);
    }
    if (command == COMMAND_TOKEN) {
        buf_put(out, STR(".PP\nScopes:\n"));
#define X(NAME, bit, name, text) put_item(name, "", text, out);
#include "api/scope.def"
#undef X
    }
    buf_put(out, STR(".RE\n"));
}

void options_man(struct buf *out)
{
    buf_printf(out,
               ".TH DANMAKUD 1 \"\" \"danmakud %s\" \"User Commands\"\n"
               ".SH NAME\n"
               "danmakud \\- collects the barrage of Bilibili live rooms, keeps it and serves it\n"
               ".SH SYNOPSIS\n"
               ".B danmakud\n"
               "[\\fICOMMAND\\fR] [\\fB\\-\\-config\\fR \\fIFILE\\fR] "
               "[\\fB\\-\\-\\fIOPTION\\fR=\\fIVALUE\\fR]...\n"
               ".SH DESCRIPTION\n"
               "Collects danmaku, gifts, super chats, guards and audience figures of live rooms "
               "around the clock, keeps\n"
               "them in PostgreSQL and serves them over HTTP: lists by room and time, a live feed "
               "by server\\-sent events,\n"
               "figures per minute. Without a command it runs the service.\n"
               ".SH COMMANDS\n",
               version_string());
    for (size_t i = 0; i < COMMANDS; i++) {
        put_command((enum command)i, out);
    }
    buf_put(out,
            STR(".SH OPTIONS\n"
                "Each is also a variable \\fBDANMAKUD_\\fINAME\\fR of the environment, and a "
                "line \\fIname\\fB = \\fIvalue\\fR of the file of\n"
                "\\fB\\-\\-config\\fR (or \\fBDANMAKUD_CONFIG\\fR). A flag is stronger than the "
                "environment, the environment stronger\n"
                "than the file. Times need a unit (ms s m h d), sizes may have one (k M G).\n"));
    config_write_man(out);
    buf_put(out, STR(".SH SIGNALS\n"
                     ".TP\n.B TERM, INT\nStop gracefully; a second one stops at once.\n"
                     ".TP\n.B HUP\nRead the configuration again.\n"
                     ".TP\n.B USR1\nLog the state.\n"
                     ".SH EXIT STATUS\n"
                     "0 ok, 1 failure, 2 usage or configuration, 3 database schema does not fit.\n"
                     ".SH FILES\n"
                     ".TP\n.I /var/lib/danmakud\nDatabase, spool and state, if started as root or "
                     "as a service; else\n.IR ~/.local/share/danmakud .\n"
                     ".SH EXAMPLES\n"
                     ".nf\ndanmakud check\\-config \\-\\-config danmakud.ini\n"
                     "danmakud run \\-\\-rooms 1234,5678\n"
                     "danmakud token add grafana \\-\\-scopes=read\n.fi\n"));
}
