#include "server/config/config_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <ini.h>

enum { READ_BYTES = 65536, SYNTAX_ERRORS_SHOWN = 32, PREV_NAME_BYTES = 128 };

enum err_code config_file_slurp(const char *path, struct buf *out, struct err *err)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return err_set_sys(err, ERR_IO, errno, "cannot be opened");
    }
    enum err_code rc = ERR_OK;
    for (;;) {
        char *p = buf_reserve(out, READ_BYTES);
        if (p == NULL) {
            rc = err_set(err, ERR_TOO_BIG, "is larger than %zu bytes", out->limit - READ_BYTES);
            break;
        }
        const ssize_t n = read(fd, p, READ_BYTES);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            rc = err_set_sys(err, ERR_IO, errno, "cannot be read");
            break;
        }
        if (n == 0) {
            break;
        }
        buf_commit(out, (size_t)n);
    }
    (void)close(fd);
    return rc;
}

/* Feeds inih line by line, so that we know the line and whether it is indented (inih: a continuation). */
struct reader {
    const struct config_file_sink *sink;
    struct str rest;
    unsigned line;
    bool indented;
    char prev[PREV_NAME_BYTES];         /* name of the last pair of this section */
    unsigned skip[SYNTAX_ERRORS_SHOWN]; /* lines already known to be bad: read as empty */
    size_t n_skip;
};

static bool is_skipped(const struct reader *r)
{
    for (size_t i = 0; i < r->n_skip; i++) {
        if (r->skip[i] == r->line) {
            return true;
        }
    }
    return false;
}

static char *on_line(char *out, int max, void *ctx)
{
    struct reader *r = ctx;
    if (r->rest.len == 0) {
        return NULL;
    }
    const char *nl = memchr(r->rest.ptr, '\n', r->rest.len);
    size_t n = nl != NULL ? (size_t)(nl - r->rest.ptr) + 1 : r->rest.len;
    const struct str line = str_sub(r->rest, 0, n);
    r->rest = str_sub(r->rest, n, r->rest.len);
    r->line++;
    r->indented = line.ptr[0] == ' ' || line.ptr[0] == '\t';
    if (line.ptr[0] == '[') {
        r->prev[0] = '\0';
    }
    if (is_skipped(r)) {
        memcpy(out, "\n", 2);
        return out;
    }
    if (n >= (size_t)max) {
        n = (size_t)max - 1; /* cannot be: the buffer is larger than any file we take */
    }
    memcpy(out, line.ptr, n);
    out[n] = '\0';
    return out;
}

/* inih cuts comments off a pair's first line only. */
static struct str without_comment(struct str value)
{
    for (size_t i = 1; i < value.len; i++) {
        if (value.ptr[i] == ';' && (value.ptr[i - 1] == ' ' || value.ptr[i - 1] == '\t')) {
            return str_trim(str_sub(value, 0, i));
        }
    }
    return value;
}

static int on_pair(void *ctx, const char *section, const char *name, const char *value)
{
    struct reader *r = ctx;
    const bool continued = r->indented && r->prev[0] != '\0' && strcmp(name, r->prev) == 0;
    const size_t n = strlen(name);
    r->prev[0] = '\0';
    if (n < sizeof r->prev) {
        memcpy(r->prev, name, n + 1);
    }
    const struct str text = continued ? without_comment(str_of(value)) : str_of(value);
    r->sink->pair(r->sink->ctx, r->line, str_of(section), str_of(name), text, continued);
    return 1;
}

static int on_pair_ignored(void *ctx, const char *section, const char *name, const char *value)
{
    (void)ctx;
    (void)section;
    (void)name;
    (void)value;
    return 1;
}

/* inih only tells the first bad line: read again without it until none is left. */
static void find_syntax_errors(struct reader *r, struct str text)
{
    while (r->n_skip < SYNTAX_ERRORS_SHOWN) {
        r->rest = text;
        r->line = 0;
        const int bad = ini_parse_stream(on_line, r, on_pair_ignored, r);
        if (bad <= 0) {
            return;
        }
        r->skip[r->n_skip++] = (unsigned)bad;
        r->sink->syntax(r->sink->ctx, (unsigned)bad);
    }
}

enum err_code config_file_read(const char *path, const struct config_file_sink *sink,
                               struct err *err)
{
    struct buf text;
    buf_init(&text, CONFIG_TEXT_LIMIT + READ_BYTES);
    enum err_code rc = config_file_slurp(path, &text, err);
    if (rc == ERR_OK && text.len > 0 && memchr(text.data, '\0', text.len) != NULL) {
        rc = err_set(err, ERR_INVALID, "contains a NUL byte: not a text file");
    }
    if (rc == ERR_OK) {
        ini_use_stack = false;
        ini_max_line = CONFIG_TEXT_LIMIT + READ_BYTES + 1;
        ini_initial_alloc = ini_max_line;
        struct reader r = {.sink = sink};
        find_syntax_errors(&r, buf_str(&text));
        r.rest = buf_str(&text);
        r.line = 0;
        if (ini_parse_stream(on_line, &r, on_pair, &r) == -2) {
            rc = err_set(err, ERR_NOMEM, "no memory to read it");
        }
    }
    buf_deinit(&text);
    return rc;
}
