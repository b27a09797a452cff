#include "server/config/config_priv.h"

#include <ctype.h>
#include <string.h>

enum { HELP_COLUMN = 4, HELP_WIDTH = 96, WORDS_COLUMNS = 100 };

void config_put_origin(const struct config *c, struct config_origin from, struct str name,
                       struct buf *out)
{
    const struct str key = from.key != NULL ? str_of(from.key) : name;
    switch (from.rank) {
    case CONFIG_RANK_DEFAULT:
        buf_put(out, STR("default"));
        break;
    case CONFIG_RANK_FILE:
        buf_printf(out, "%s:%u", c->file, from.line);
        break;
    case CONFIG_RANK_ENV:
        buf_put(out, STR(CONFIG_ENV_PREFIX));
        for (size_t i = 0; i < key.len; i++) {
            buf_put_c(out, (char)toupper((unsigned char)key.ptr[i]));
        }
        break;
    case CONFIG_RANK_FLAG:
        buf_put(out, STR("--"));
        for (size_t i = 0; i < key.len; i++) {
            buf_put_c(out, key.ptr[i] == '_' ? '-' : key.ptr[i]);
        }
        break;
    }
}

void config_print(const struct config *c, struct buf *out)
{
    if (c->file != NULL) {
        buf_printf(out,
                   "# read from %s, the environment and flags; behind each value: who set it\n",
                   c->file);
    }
    for (size_t i = 0; i < CONFIG_KEYS; i++) {
        const struct config_key *k = &config_keys[i];
        buf_printf(out, "%s =", k->name);
        if (!config_value_is_empty(c, k)) {
            buf_put_c(out, ' ');
            if (k->secret) {
                buf_put(out, STR("***"));
            } else {
                config_value_print(c, k, out);
            }
        }
        buf_put(out, STR(" ; "));
        config_put_origin(c, c->origins[i], str_of(k->name), out);
        buf_put_c(out, '\n');
    }
}

static void put_default(const struct config_key *k, struct buf *out)
{
    switch (k->type) {
    case CONFIG_STR:
    case CONFIG_LIST:
        buf_put(out, str_of(k->def_text));
        break;
    case CONFIG_BOOL:
        buf_put(out, k->def_num != 0 ? STR("true") : STR("false"));
        break;
    case CONFIG_INT:
    case CONFIG_MS:
    case CONFIG_BYTES:
        config_number_print(k->type, k->def_num, out);
        break;
    }
}

static bool has_default(const struct config_key *k)
{
    return k->def_text == NULL || k->def_text[0] != '\0';
}

/* What values are taken: "100ms to 10m", "address:port", "true or false". */
static void put_range(const struct config_key *k, struct buf *out)
{
    switch (k->type) {
    case CONFIG_STR:
        buf_put(out, str_of(k->unit));
        break;
    case CONFIG_LIST:
        buf_printf(out, "%s, separated by commas", k->unit);
        break;
    case CONFIG_BOOL:
        buf_put(out, STR("true or false"));
        break;
    case CONFIG_INT:
    case CONFIG_MS:
    case CONFIG_BYTES:
        config_number_print(k->type, k->min, out);
        buf_put(out, STR(" to "));
        config_number_print(k->type, k->max, out);
        if (k->type == CONFIG_INT) {
            buf_printf(out, " %s", k->unit);
        }
        break;
    }
}

/* Words of text, each line begun with prefix and broken before width. */
static void put_wrapped(struct buf *out, const char *prefix, struct str text, size_t width)
{
    size_t column = 0;
    struct str word;
    while (str_split(&text, ' ', &word)) {
        if (column > 0 && column + 1 + word.len > width) {
            buf_put_c(out, '\n');
            column = 0;
        }
        if (column == 0) {
            buf_put(out, str_of(prefix));
            column = strlen(prefix);
        } else {
            buf_put_c(out, ' ');
            column++;
        }
        buf_put(out, word);
        column += word.len;
    }
    buf_put_c(out, '\n');
}

void config_put_indented(struct buf *out, size_t indent, struct str text, size_t width)
{
    const bool new_line = out->len == 0 || out->data[out->len - 1] == '\n';
    size_t column = new_line ? 0 : indent;
    bool first = !new_line;
    struct str word;
    while (str_split(&text, ' ', &word)) {
        if (!first && column > 0 && column + 1 + word.len > width) {
            buf_put_c(out, '\n');
            column = 0;
        }
        for (; column < indent; column++) {
            buf_put_c(out, ' ');
        }
        if (!first && column > indent) {
            buf_put_c(out, ' ');
            column++;
        }
        buf_put(out, word);
        column += word.len;
        first = false;
    }
    buf_put_c(out, '\n');
}

static void put_flag(const struct config_key *k, struct buf *out)
{
    buf_put(out, STR("--"));
    for (const char *p = k->name; *p != '\0'; p++) {
        buf_put_c(out, *p == '_' ? '-' : *p);
    }
}

void config_write_help(struct buf *out)
{
    for (size_t i = 0; i < CONFIG_KEYS; i++) {
        const struct config_key *k = &config_keys[i];
        buf_put(out, STR("  "));
        put_flag(k, out);
        if (k->type != CONFIG_BOOL) {
            buf_printf(out, "=<%s>", k->unit);
        }
        if (has_default(k)) {
            buf_put(out, STR("  (default "));
            put_default(k, out);
            buf_put_c(out, ')');
        }
        buf_put_c(out, '\n');
        put_wrapped(out, "      ", str_of(k->doc), HELP_WIDTH);
    }
}

void config_write_example(struct buf *out)
{
    buf_put(
        out,
        STR("# danmakud.ini.example - every setting with its default, commented out.\n"
            "# Times need a unit (ms s m h d); sizes may have one (k M G). An environment "
            "variable\n"
            "# DANMAKUD_<NAME> is stronger than this file, a flag --<name> is stronger than both.\n"
            "# A comment begins with # or ; at the start of a line, or with ; behind a blank.\n"
            "# An indented line continues the list above it.\n"));
    for (size_t i = 0; i < CONFIG_KEYS; i++) {
        const struct config_key *k = &config_keys[i];
        buf_put_c(out, '\n');
        put_wrapped(out, "# ", str_of(k->doc), WORDS_COLUMNS);
        buf_put(out, STR("# Takes: "));
        put_range(k, out);
        buf_printf(out, ".%s\n#%s =%s", k->reloadable ? " Read again on SIGHUP." : "", k->name,
                   has_default(k) ? " " : "");
        put_default(k, out);
        buf_put_c(out, '\n');
    }
}

/* Markdown cells: a pipe would end the cell. */
static void put_cell(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '|') {
            buf_put_c(out, '\\');
        }
        buf_put_c(out, text.ptr[i]);
    }
}

static void put_doc_row(const struct config_key *k, struct buf *out)
{
    struct buf cell;
    buf_init(&cell, CONFIG_TEXT_LIMIT);
    buf_printf(out, "| `%s` | ", k->name);
    if (has_default(k)) {
        buf_put_c(out, '`');
        put_default(k, out);
        buf_put_c(out, '`');
    }
    buf_put(out, STR(" | "));
    put_range(k, &cell);
    put_cell(out, buf_str(&cell));
    buf_printf(out, " | %s | ", k->reloadable ? "yes" : "");
    put_cell(out, str_of(k->doc));
    if (k->secret) {
        buf_put(out, STR(" Secret: never printed or logged."));
    }
    buf_put(out, STR(" |\n"));
    buf_deinit(&cell);
}

void config_write_docs(struct buf *out)
{
    buf_put(out,
            STR("# Configuration\n"
                "\n"
                "This page is generated from `server/config/config_keys.def`; `cmake --build "
                "--preset dev --target docs`\n"
                "writes it again. A test fails when it is out of date.\n"
                "\n"
                "A setting comes from, weakest first: its default, the INI file (`--config FILE` "
                "or `DANMAKUD_CONFIG`), the\n"
                "environment, a flag. The setting `query_timeout` is\n"
                "\n"
                "- `query_timeout = 10s` in the file, without a section or below `[danmakud]`,\n"
                "- `DANMAKUD_QUERY_TIMEOUT=10s` in the environment,\n"
                "- `--query-timeout=10s` as a flag (of a repeated flag the last one counts; a flag "
                "for true or false may stand\n"
                "  alone).\n"
                "\n"
                "Times need a unit (`500ms 30s 5m 2h 7d`); sizes are bytes or have one (`64k 8M "
                "1G`, powers of 1024). Lists are\n"
                "separated by commas and may go on in indented lines. Comments begin with `#` or "
                "`;` at the start of a line, or\n"
                "with `;` behind a blank. A secret can stand in a file of its own, named by the "
                "key that ends with `_file`.\n"
                "\n"
                "Every problem of every source is reported at once, with file and line; unknown "
                "keys and unknown `DANMAKUD_*`\n"
                "variables are problems too. `danmakud check-config` does only this and exits with "
                "2 if there is any;\n"
                "`danmakud print-config` prints what is in force and who set it, secrets as `***`. "
                "SIGHUP reads "
                "everything again and takes over\n"
                "what is marked below; the log names the rest that changed. "
                "[danmakud.ini.example](danmakud.ini.example) has every\n"
                "key.\n"
                "\n"
                "| Key | Default | Takes | SIGHUP | What it does |\n"
                "|---|---|---|---|---|\n"));
    for (size_t i = 0; i < CONFIG_KEYS; i++) {
        put_doc_row(&config_keys[i], out);
    }
}

void config_put_roff(struct buf *out, const char *text)
{
    bool line_begins = true;
    for (const char *p = text; *p != '\0'; p++) {
        if (line_begins && (*p == '.' || *p == '\'')) {
            buf_put(out, STR("\\&"));
        }
        line_begins = *p == '\n';
        if (*p == '\\') {
            buf_put(out, STR("\\e"));
        } else if (*p == '-') {
            buf_put(out, STR("\\-"));
        } else {
            buf_put_c(out, *p);
        }
    }
}

void config_write_man(struct buf *out)
{
    for (size_t i = 0; i < CONFIG_KEYS; i++) {
        const struct config_key *k = &config_keys[i];
        struct buf def;
        buf_init(&def, CONFIG_TEXT_LIMIT);
        put_default(k, &def);
        buf_put_c(&def, '\0');
        buf_put(out, STR(".TP\n\\fB\\-\\-"));
        for (const char *p = k->name; *p != '\0'; p++) {
            buf_put(out, *p == '_' ? STR("\\-") : (struct str){p, 1});
        }
        buf_put(out, STR("\\fR"));
        if (k->type != CONFIG_BOOL) {
            buf_put(out, STR("=\\fI"));
            config_put_roff(out, k->unit);
            buf_put(out, STR("\\fR"));
        }
        if (def.data[0] != '\0') {
            buf_put(out, STR(" (default "));
            config_put_roff(out, def.data);
            buf_put_c(out, ')');
        }
        buf_put_c(out, '\n');
        config_put_roff(out, k->doc);
        buf_put(out, k->reloadable ? STR(" Read again on SIGHUP.\n") : STR("\n"));
        buf_deinit(&def);
    }
}
