#include "collector/endpoint.h"

#include "server/core/assert.h"
#include "server/core/log.h"
#include "server/core/mem.h"
#include "server/loop/loop.h"

struct endpoint_list {
    struct loop *loop;          /* borrowed */
    struct endpoint *endpoints; /* owned */
    char **texts;               /* owned, what the endpoints point into */
    size_t n;
    size_t n_pending;
};

/* An answer under way: asked now, told from the loop. */
struct answer {
    struct endpoint_list *list;
    uint64_t attempt;
    endpoint_done_fn *done;
    void *done_ctx;
};

static bool split_host(struct str text, struct str *ret_host, struct str *ret_port)
{
    size_t colon = text.len;
    while (colon > 0 && text.ptr[colon - 1] != ':') {
        colon--;
    }
    if (colon < 2) {
        return false;
    }
    *ret_host = str_sub(text, 0, colon - 1);
    *ret_port = str_sub(text, colon, text.len);
    if (ret_host->ptr[0] == '[') {
        if (ret_host->len < 3 || ret_host->ptr[ret_host->len - 1] != ']') {
            return false;
        }
        *ret_host = str_sub(*ret_host, 1, ret_host->len - 1);
        return true;
    }
    return memchr(ret_host->ptr, ':', ret_host->len) == NULL;
}

enum err_code endpoint_parse(struct str text, struct endpoint *ret, struct err *err)
{
    struct endpoint ep = {.kind = TRANSPORT_TCP};
    struct str host;
    struct str port;
    int64_t number;
    text = str_trim(text);
    for (size_t i = 0; i + 3 <= text.len; i++) {
        if (memcmp(text.ptr + i, "://", 3) == 0) {
            if (!transport_kind_parse(str_sub(text, 0, i), &ep.kind)) {
                return err_set(err, ERR_INVALID, "no such transport: " STR_FMT, STR_ARG(text));
            }
            text = str_sub(text, i + 3, text.len);
            break;
        }
    }
    if (!split_host(text, &host, &port) || host.len > TRANSPORT_HOST_MAX ||
        !str_to_i64(port, &number) || number < 1 || number > UINT16_MAX) {
        return err_set(err, ERR_INVALID, "not host:port: " STR_FMT, STR_ARG(text));
    }
    ep.host = host;
    ep.port = (uint16_t)number;
    *ret = ep;
    return ERR_OK;
}

static void clear(struct endpoint_list *l)
{
    for (size_t i = 0; i < l->n; i++) {
        mem_free(l->texts[i]);
    }
    mem_free(l->texts);
    mem_free(l->endpoints);
    l->texts = NULL;
    l->endpoints = NULL;
    l->n = 0;
}

void endpoint_list_set(struct endpoint_list *l, const struct str *hosts, size_t n)
{
    clear(l);
    if (n == 0) {
        return;
    }
    l->endpoints = mem_new_array(struct endpoint, n);
    l->texts = mem_new_array(char *, n);
    for (size_t i = 0; i < n; i++) {
        struct err err;
        char *text = mem_dup(hosts[i].ptr, hosts[i].len);
        if (!text || endpoint_parse((struct str){text, hosts[i].len}, &l->endpoints[l->n], &err)) {
            LOG(ERROR, "collector", "upstream host left out", KV_STR("host", hosts[i]));
            mem_free(text);
            continue;
        }
        l->texts[l->n++] = text;
    }
}

struct endpoint_list *endpoint_list_new(struct loop *loop, const struct str *hosts, size_t n)
{
    struct endpoint_list *l = mem_new(struct endpoint_list);
    l->loop = loop;
    endpoint_list_set(l, hosts, n);
    return l;
}

void endpoint_list_free(struct endpoint_list *l)
{
    if (!l) {
        return;
    }
    ASSERT(l->n_pending == 0);
    clear(l);
    mem_free(l);
}

static void answer_now(void *ctx)
{
    struct answer a = *(struct answer *)ctx;
    mem_free(ctx);
    a.list->n_pending--;
    if (a.list->n == 0) {
        struct err err;
        const enum err_code rc = err_set(&err, ERR_NOT_FOUND, "no upstream host is configured");
        a.done(a.done_ctx, rc, NULL, &err);
        return;
    }
    a.done(a.done_ctx, ERR_OK, &a.list->endpoints[a.attempt % a.list->n], NULL);
}

static void list_ask(void *ctx, const struct endpoint_ask *ask, endpoint_done_fn *done,
                     void *done_ctx)
{
    struct endpoint_list *l = ctx;
    struct answer *a = mem_new(struct answer);
    /* Rooms start at different places of the list, so that one host does not get them all. */
    *a = (struct answer){l, (uint64_t)ask->room_id + ask->attempt, done, done_ctx};
    l->n_pending++;
    loop_defer(l->loop, answer_now, a);
}

bool endpoint_list_has(const struct endpoint_list *l, enum transport_kind kind)
{
    for (size_t i = 0; i < l->n; i++) {
        if (l->endpoints[i].kind == kind) {
            return true;
        }
    }
    return false;
}

struct endpoint_provider endpoint_list_provider(struct endpoint_list *l)
{
    return (struct endpoint_provider){list_ask, l};
}
