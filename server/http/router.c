#include "server/http/router.h"

#include <stdlib.h>

#include "server/core/assert.h"
#include "server/core/mem.h"

enum { ALLOW_BYTES = 64 };

static const char *const METHODS[HTTP_METHODS] = {
    [HTTP_GET] = "GET",         [HTTP_HEAD] = "HEAD",   [HTTP_POST] = "POST",
    [HTTP_PUT] = "PUT",         [HTTP_PATCH] = "PATCH", [HTTP_DELETE] = "DELETE",
    [HTTP_OPTIONS] = "OPTIONS",
};

struct segment {
    struct str text; /* the literal, or the parameter's name */
    bool is_param;
};

struct pattern {
    struct segment segments[TARGET_SEGMENTS];
    size_t n;
    const struct http_route *by_method[HTTP_METHODS]; /* borrowed */
    const struct http_route *any;
    char allow[ALLOW_BYTES];
};

struct router {
    struct pattern *patterns; /* owned; by number of segments, the most specific first */
    size_t n;
    size_t first[TARGET_SEGMENTS + 2]; /* first[k]: index of the first pattern of k segments */
};

const char *router_method_name(enum http_method m)
{
    return m < HTTP_METHODS ? METHODS[m] : "?";
}

enum http_method router_method(struct str name)
{
    enum http_method m = HTTP_GET;
    while (m < HTTP_METHODS && !str_eq(name, str_of(METHODS[m]))) {
        m++;
    }
    return m;
}

static void parse_pattern(struct pattern *p, const char *path)
{
    ASSERT(path[0] == '/');
    const char *at = path + 1;
    size_t n_params = 0;
    for (;;) {
        const char *slash = strchr(at, '/');
        const size_t len = slash != NULL ? (size_t)(slash - at) : strlen(at);
        ASSERT(p->n < TARGET_SEGMENTS);
        struct segment *s = &p->segments[p->n++];
        s->is_param = len > 2 && at[0] == '{' && at[len - 1] == '}';
        s->text = s->is_param ? (struct str){at + 1, len - 2} : (struct str){at, len};
        n_params += s->is_param;
        if (slash == NULL) {
            break;
        }
        at = slash + 1;
    }
    ASSERT(n_params <= ROUTER_PARAMS);
}

static int compare(const void *x, const void *y)
{
    const struct pattern *a = x;
    const struct pattern *b = y;
    if (a->n != b->n) {
        return a->n < b->n ? -1 : 1;
    }
    for (size_t i = 0; i < a->n; i++) {
        if (a->segments[i].is_param != b->segments[i].is_param) {
            return a->segments[i].is_param ? 1 : -1;
        }
        const int c =
            a->segments[i].is_param ? 0 : str_cmp(a->segments[i].text, b->segments[i].text);
        if (c != 0) {
            return c;
        }
    }
    return 0;
}

static void add_allowed(struct pattern *p, const char *name)
{
    const size_t at = strlen(p->allow);
    const size_t n = strlen(name);
    const size_t comma = at > 0 ? 2 : 0;
    ASSERT(at + comma + n < sizeof p->allow);
    memcpy(p->allow + at, ", ", comma);
    memcpy(p->allow + at + comma, name, n + 1);
}

static void fill_allow(struct pattern *p)
{
    for (enum http_method m = HTTP_GET; m < HTTP_METHODS; m++) {
        if (p->by_method[m] != NULL) {
            add_allowed(p, METHODS[m]);
            if (m == HTTP_GET && p->by_method[HTTP_HEAD] == NULL) {
                p->by_method[HTTP_HEAD] = p->by_method[HTTP_GET];
            }
        }
    }
}

/* Patterns that stand together after sorting and are equal become one. */
static void merge_equal(struct router *r)
{
    size_t kept = 0;
    for (size_t i = 0; i < r->n; i++) {
        struct pattern *p = &r->patterns[i];
        if (kept == 0 || compare(&r->patterns[kept - 1], p) != 0) {
            r->patterns[kept++] = *p;
            continue;
        }
        struct pattern *same = &r->patterns[kept - 1];
        for (size_t m = 0; m < HTTP_METHODS; m++) {
            ASSERT(same->by_method[m] == NULL || p->by_method[m] == NULL);
            if (p->by_method[m] != NULL) {
                same->by_method[m] = p->by_method[m];
            }
        }
        for (size_t s = 0; s < p->n; s++) {
            ASSERT(str_eq(same->segments[s].text, p->segments[s].text)); /* same parameter names */
        }
    }
    r->n = kept;
}

struct router *router_new(const struct http_route *routes, size_t n)
{
    struct router *r = mem_new(struct router);
    r->patterns = mem_new_array(struct pattern, n > 0 ? n : 1);
    r->n = n;
    for (size_t i = 0; i < n; i++) {
        parse_pattern(&r->patterns[i], routes[i].path);
        r->patterns[i].by_method[routes[i].method] = &routes[i];
        r->patterns[i].any = &routes[i];
    }
    qsort(r->patterns, r->n, sizeof r->patterns[0], compare);
    merge_equal(r);
    size_t at = 0;
    for (size_t k = 0; k < ARRAY_LEN(r->first); k++) {
        while (at < r->n && r->patterns[at].n < k) {
            at++;
        }
        r->first[k] = at;
    }
    for (size_t i = 0; i < r->n; i++) {
        fill_allow(&r->patterns[i]);
    }
    return r;
}

void router_free(struct router *r)
{
    if (r != NULL) {
        mem_free(r->patterns);
        mem_free(r);
    }
}

/* From the right: that is where the paths of an API differ. */
static bool matches(const struct pattern *p, const struct target_path *path)
{
    for (size_t i = p->n; i-- > 0;) {
        const struct str have = path->segments[i];
        if (p->segments[i].is_param ? have.len == 0 : !str_eq(p->segments[i].text, have)) {
            return false;
        }
    }
    return true;
}

bool router_find(const struct router *r, enum http_method method, const struct target_path *path,
                 struct router_match *ret)
{
    if (path->too_deep) {
        return false;
    }
    for (size_t i = r->first[path->n]; i < r->first[path->n + 1]; i++) {
        const struct pattern *p = &r->patterns[i];
        if (!matches(p, path)) {
            continue;
        }
        *ret = (struct router_match){.route = method < HTTP_METHODS ? p->by_method[method] : NULL,
                                     .any = p->any,
                                     .allow = p->allow};
        for (size_t s = 0; s < p->n; s++) {
            if (p->segments[s].is_param) {
                ret->params[ret->n_params++] =
                    (struct target_pair){p->segments[s].text, path->segments[s]};
            }
        }
        return true;
    }
    return false;
}
