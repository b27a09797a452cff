#include "server/stats/prom.h"

/* The format's escapes: backslash and newline everywhere, the quote in label values only. */
static void put_escaped(struct buf *out, struct str s, bool quotes)
{
    size_t from = 0;
    for (size_t i = 0; i < s.len; i++) {
        const char c = s.ptr[i];
        if (c == '\\' || c == '\n' || (quotes && c == '"')) {
            buf_put(out, str_sub(s, from, i));
            buf_put_c(out, '\\');
            buf_put_c(out, c == '\n' ? 'n' : c);
            from = i + 1;
        }
    }
    if (from < s.len) {
        buf_put(out, str_sub(s, from, s.len));
    }
}

void prom_head(struct buf *out, const char *metric, const char *type, const char *help)
{
    buf_put(out, STR("# HELP "));
    buf_put(out, str_of(metric));
    buf_put_c(out, ' ');
    put_escaped(out, str_of(help), false);
    buf_put(out, STR("\n# TYPE "));
    buf_put(out, str_of(metric));
    buf_put_c(out, ' ');
    buf_put(out, str_of(type));
    buf_put_c(out, '\n');
}

void prom_i64(struct buf *out, const char *metric, const char *labels, int64_t value)
{
    buf_put(out, str_of(metric));
    if (labels[0] != '\0') {
        buf_put_c(out, '{');
        buf_put(out, str_of(labels));
        buf_put_c(out, '}');
    }
    buf_put_c(out, ' ');
    buf_put_i64(out, value);
    buf_put_c(out, '\n');
}

void prom_label(struct buf *out, const char *name, struct str value)
{
    buf_put(out, str_of(name));
    buf_put(out, STR("=\""));
    put_escaped(out, value, true);
    buf_put_c(out, '"');
}
