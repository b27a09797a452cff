#include "server/core/log.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "server/core/assert.h"
#include "server/core/clock.h"
#include "server/core/utf8.h"

static const char *const level_names[] = {"debug", "info", "warn", "error"};
static_assert(ARRAY_LEN(level_names) == LOG_LEVEL_ERROR + 1, "one name per level");

static struct {
    enum log_level min;
    log_sink_fn *sink; /* NULL: stderr */
    void *ctx;
} out = {.min = LOG_LEVEL_INFO};

/* The line under construction. Two bytes stay free for the closing quote and the newline, so that a line that was cut
 * is still well-formed. */
struct line {
    char text[LOG_LINE_BYTES];
    size_t len;
    bool full;
};

static bool fits(const struct line *l, size_t n)
{
    return !l->full && l->len + n <= sizeof(l->text) - 2;
}

/* All of it or nothing: keys and escapes are never cut in the middle. */
static void put(struct line *l, const char *p, size_t n)
{
    if (!fits(l, n)) {
        l->full = true;
        return;
    }
    memcpy(l->text + l->len, p, n);
    l->len += n;
}

static void put_cstr(struct line *l, const char *s)
{
    put(l, s, strlen(s));
}

static bool plain(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        if (c <= ' ' || c >= 0x7F || c == '"' || c == '=' || c == '\\') {
            return false;
        }
    }
    return s.len > 0;
}

/* One byte that may not stand as it is: control characters, quotes, bytes that are no UTF-8. */
static void put_escaped(struct line *l, unsigned char c)
{
    static const char from[] = "\"\\\n\r\t";
    static const char to[] = "\"\\nrt";
    const char *at = c ? strchr(from, c) : NULL;
    char esc[8];
    int n;

    if (at) {
        put(l, (char[]){'\\', to[at - from]}, 2);
        return;
    }
    n = c < 0x80 ? snprintf(esc, sizeof(esc), "\\u%04x", c) : snprintf(esc, sizeof(esc), "\\ufffd");
    put(l, esc, (size_t)n);
}

static size_t sequence_len(unsigned char lead)
{
    if (lead < 0xC0) {
        return 1;
    }
    return 2U + (lead >= 0xE0) + (lead >= 0xF0);
}

static void put_quoted(struct line *l, struct str s)
{
    put(l, "\"", 1);
    if (l->full) {
        return;
    }
    for (size_t i = 0; i < s.len && !l->full;) {
        unsigned char c = (unsigned char)s.ptr[i];
        size_t n = sequence_len(c);

        if (c < ' ' || c == '"' || c == '\\' || c == 0x7F) {
            put_escaped(l, c);
            i++;
        } else if (n > s.len - i || !utf8_valid((struct str){s.ptr + i, n})) {
            put_escaped(l, 0xFF);
            i++;
        } else if (c == 0xC2 && (unsigned char)s.ptr[i + 1] < 0xA0) {
            /* U+0080 to U+009F: terminals take some of them for commands. */
            put_escaped(l, 0xFF);
            i += 2;
        } else {
            put(l, s.ptr + i, n);
            i += n;
        }
    }
    l->text[l->len++] = '"'; /* its place was kept */
}

/* The key and at least a byte of the value, or nothing. What is too long is cut within quotes. */
static void put_kv(struct line *l, const struct log_kv *kv, bool quoted)
{
    size_t start = l->len;
    size_t value;
    char num[24];

    put(l, " ", 1);
    put_cstr(l, kv->key);
    put(l, "=", 1);
    value = l->len;
    if (!l->full && kv->type == LOG_KV_I64) {
        put(l, num, (size_t)snprintf(num, sizeof(num), "%lld", (long long)kv->i));
    } else if (!quoted && plain(kv->s) && fits(l, kv->s.len)) {
        put(l, kv->s.ptr, kv->s.len);
    } else {
        put_quoted(l, kv->s);
    }
    if (l->len == value) {
        l->len = start;
    }
}

static bool is_room(const struct log_kv *kv)
{
    return strcmp(kv->key, "room") == 0;
}

static void emit(struct str line)
{
    if (out.sink) {
        out.sink(out.ctx, line);
        return;
    }
    while (line.len > 0) {
        ssize_t n = write(STDERR_FILENO, line.ptr, line.len);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return; /* nobody is left to tell */
        }
        line = str_sub(line, (size_t)n, line.len);
    }
}

void log_line(enum log_level level, const char *mod, const char *msg, const struct log_kv *kv,
              size_t n)
{
    struct line l;
    char ts[CLOCK_RFC3339_BYTES];

    if (level < out.min) {
        return;
    }
    l.len = 0;
    l.full = false;
    put(&l, "ts=", 3);
    put(&l, ts, clock_rfc3339(clock_wall_ms(clock_system()), ts));
    put_cstr(&l, " level=");
    put_cstr(&l, level_names[level]);
    put_kv(&l, &KV_CSTR("mod", mod), false);
    for (size_t i = 0; i < n; i++) {
        if (is_room(&kv[i])) {
            put_kv(&l, &kv[i], false);
        }
    }
    put_kv(&l, &KV_CSTR("msg", msg), true);
    for (size_t i = 0; i < n && !l.full; i++) {
        if (!is_room(&kv[i])) {
            put_kv(&l, &kv[i], false);
        }
    }
    l.text[l.len++] = '\n';
    emit((struct str){l.text, l.len});
}

enum log_level log_min_level(void)
{
    return out.min;
}

void log_set_level(enum log_level level)
{
    out.min = level;
}

int log_level_parse(struct str s, enum log_level *ret)
{
    for (unsigned i = 0; i < ARRAY_LEN(level_names); i++) {
        if (str_eq(s, str_of(level_names[i]))) {
            *ret = (enum log_level)i;
            return 0;
        }
    }
    return -1;
}

void log_set_sink(log_sink_fn *sink, void *ctx)
{
    out.sink = sink;
    out.ctx = ctx;
}

int log_limit(struct log_limit *l, int64_t mono_ms, int64_t period_ms, uint64_t *ret_held)
{
    if (mono_ms < l->until_ms) {
        l->held++;
        return 0;
    }
    *ret_held = l->held;
    l->held = 0;
    l->until_ms = mono_ms + period_ms;
    return 1;
}
