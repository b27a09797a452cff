#include "server/http/target.h"

#include <stdalign.h>
#include <stdint.h>

#include "server/core/mem.h"
#include "server/core/utf8.h"

/* Where decoded bytes go: behind the copy of the target, never more than it has. */
struct decoder {
    char *out;
    struct err *err;
};

static size_t count(struct str s, char c)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        n += s.ptr[i] == c;
    }
    return n;
}

static size_t round_up(size_t n)
{
    const size_t align = alignof(struct target_pair);
    return (n + align - 1) / align * align;
}

/* memory: pairs | uri NUL | decoded. The pairs come first because they need the alignment. */
enum err_code target_init(struct target *t, struct str uri)
{
    *t = (struct target){.memory = NULL};
    const struct str whole = uri;
    struct str path = STR_NULL;
    struct str rest = uri;
    (void)str_split(&rest, '?', &path);
    size_t n_query = rest.len > 0 ? count(rest, '&') + 1 : 0;
    if (n_query > TARGET_QUERY) {
        n_query = TARGET_QUERY;
    }
    const size_t pairs = round_up(n_query * sizeof(struct target_pair));
    t->memory = mem_alloc(pairs + 2 * whole.len + 1);
    if (t->memory == NULL) {
        return ERR_NOMEM;
    }
    char *copy = t->memory + pairs;
    if (whole.len > 0) {
        memcpy(copy, whole.ptr, whole.len);
    }
    copy[whole.len] = '\0';
    t->query = (struct target_pair *)(void *)t->memory;
    t->uri = (struct str){copy, whole.len};
    t->path = (struct str){copy, path.len};
    return ERR_OK;
}

void target_deinit(struct target *t)
{
    mem_free(t->memory);
    *t = (struct target){.memory = NULL};
}

static int hex(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

static enum err_code decode(struct decoder *d, struct str in, bool plus, struct str *ret)
{
    char *const start = d->out;
    char *out = start;
    for (size_t i = 0; i < in.len; i++) {
        char c = in.ptr[i];
        if (c == '%') {
            const int high = i + 2 < in.len ? hex(in.ptr[i + 1]) : -1;
            const int low = high >= 0 ? hex(in.ptr[i + 2]) : -1;
            if (low < 0) {
                return err_set(d->err, ERR_INVALID, "a %% is not followed by two hex digits");
            }
            c = (char)(high * 16 + low);
            i += 2;
            if (c == '\0') {
                return err_set(d->err, ERR_INVALID, "a NUL byte is not allowed");
            }
        } else if (c == '+' && plus) {
            c = ' ';
        }
        *out++ = c;
    }
    *ret = (struct str){start, (size_t)(out - start)};
    if (!utf8_valid(*ret)) {
        return err_set(d->err, ERR_INVALID, "the text is not UTF-8");
    }
    d->out = out;
    return ERR_OK;
}

/* RFC 9112 3.2.2: a server takes "http://host/path" too. */
static struct str without_origin(struct str path)
{
    struct str rest = path;
    if (str_starts(rest, STR("http://"))) {
        rest = str_sub(rest, 7, rest.len);
    } else if (str_starts(rest, STR("https://"))) {
        rest = str_sub(rest, 8, rest.len);
    } else {
        return path;
    }
    const char *slash = rest.len > 0 ? memchr(rest.ptr, '/', rest.len) : NULL;
    if (slash == NULL) {
        return STR("/");
    }
    return (struct str){slash, (size_t)(path.ptr + path.len - slash)};
}

static enum err_code parse_path(struct target *t, struct target_path *ret, struct decoder *d)
{
    t->path = without_origin(t->path);
    if (t->path.len == 0 || t->path.ptr[0] != '/') {
        ret->too_deep = true; /* "*" and the like: nothing is there */
        return ERR_OK;
    }
    const char *p = t->path.ptr + 1;
    const char *const end = t->path.ptr + t->path.len;
    for (;;) {
        const char *slash = memchr(p, '/', (size_t)(end - p));
        const struct str part = {p, (size_t)((slash != NULL ? slash : end) - p)};
        struct str decoded = STR_NULL;
        const enum err_code rc = decode(d, part, false, &decoded);
        if (rc != ERR_OK) {
            return rc;
        }
        if (ret->n < TARGET_SEGMENTS) {
            ret->segments[ret->n++] = decoded;
        } else {
            ret->too_deep = true;
        }
        if (slash == NULL) {
            return ERR_OK;
        }
        p = slash + 1;
    }
}

static enum err_code parse_query(struct target *t, struct decoder *d, struct str query)
{
    struct str part = STR_NULL;
    while (str_split(&query, '&', &part)) {
        if (part.len == 0) {
            continue;
        }
        if (t->n_query == TARGET_QUERY) {
            return err_set(d->err, ERR_INVALID, "more than %d query parameters", TARGET_QUERY);
        }
        struct str name = STR_NULL;
        struct str value = part;
        (void)str_split(&value, '=', &name);
        struct target_pair *pair = &t->query[t->n_query];
        enum err_code rc = decode(d, name, true, &pair->name);
        if (rc == ERR_OK) {
            rc = decode(d, value, true, &pair->value);
        }
        if (rc != ERR_OK) {
            return rc;
        }
        t->n_query++;
    }
    return ERR_OK;
}

enum err_code target_parse(struct target *t, struct target_path *ret, struct err *err)
{
    struct decoder d = {.out = t->memory + (t->uri.ptr - t->memory) + t->uri.len + 1, .err = err};
    struct str path = STR_NULL;
    struct str query = t->uri;
    (void)str_split(&query, '?', &path);
    ret->n = 0;
    ret->too_deep = false;
    const enum err_code rc = parse_path(t, ret, &d);
    return rc != ERR_OK ? rc : parse_query(t, &d, query);
}
