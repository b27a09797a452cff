/* Which host, and by which transport. */
#include "collector/endpoint.h"

const struct endpoint_order endpoint_order_default = {
    .kinds = {TRANSPORT_WSS, TRANSPORT_WS, TRANSPORT_TCP},
    .n = 3,
};

bool endpoint_order_has(const struct endpoint_order *order, enum transport_kind kind)
{
    for (unsigned i = 0; i < order->n; i++) {
        if (order->kinds[i] == kind) {
            return true;
        }
    }
    return false;
}

enum err_code endpoint_order_parse(const struct str *names, size_t n, struct endpoint_order *ret,
                                   struct err *err)
{
    struct endpoint_order order = {.n = 0};
    for (size_t i = 0; i < n; i++) {
        enum transport_kind kind;
        if (!transport_kind_parse(str_trim(names[i]), &kind)) {
            return err_set(err, ERR_INVALID, "no such transport: " STR_FMT, STR_ARG(names[i]));
        }
        if (endpoint_order_has(&order, kind)) {
            return err_set(err, ERR_INVALID, "twice: " STR_FMT, STR_ARG(names[i]));
        }
        order.kinds[order.n++] = kind;
    }
    if (order.n == 0) {
        return err_set(err, ERR_INVALID, "no transport");
    }
    *ret = order;
    return ERR_OK;
}

bool endpoint_pick(const struct endpoint_host *hosts, size_t n, const struct endpoint_order *order,
                   const struct endpoint_ask *ask, struct endpoint *ret)
{
    for (size_t h = 0; h < n; h++) {
        const struct endpoint_host *host = &hosts[((uint64_t)ask->room_id + ask->attempt + h) % n];
        for (unsigned k = 0; k < order->n; k++) {
            const enum transport_kind kind = order->kinds[(ask->rank + k) % order->n];
            if (host->ports[kind] > 0) {
                ret->kind = kind;
                ret->host = host->host;
                ret->port = host->ports[kind];
                return true;
            }
        }
    }
    return false;
}

unsigned endpoint_choice_rank(struct endpoint_choice *c, int64_t now_ms)
{
    if (c->rank > 0 && !c->trying && now_ms - c->left_ms >= ENDPOINT_PREFER_MS) {
        c->rank = 0;
        c->n_failed = 0;
        c->trying = true;
    }
    return c->rank;
}

void endpoint_choice_failed(struct endpoint_choice *c, int64_t now_ms)
{
    if (c->trying) {
        c->trying = false;
        c->rank = c->good;
        c->left_ms = now_ms;
        c->n_failed = 0;
    } else if (++c->n_failed >= ENDPOINT_TRIES) {
        c->n_failed = 0;
        c->rank++;
        c->left_ms = now_ms;
    }
}

void endpoint_choice_worked(struct endpoint_choice *c)
{
    c->trying = false;
    c->n_failed = 0;
    c->good = c->rank;
}
