/* collector/endpoint.h - where a room connects to next, and with what credentials.
 *
 * A room asks its provider before each try. The provider below answers from the configured list: next host on each
 * try, no token. One that asks upstream over HTTP has the same interface.
 *
 * Threading:  loop thread only.
 * Ownership:  an endpoint's strings are lent for the callback.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/net/transport.h"
#include "server/core/attr.h"
#include "server/core/err.h"
#include "server/core/str.h"

struct loop;

enum { ENDPOINT_TEXT_MAX = 4096 };

struct endpoint {
    enum transport_kind kind;
    struct str host;
    uint16_t port;
    /* For the auth body; a token is never logged. At most ENDPOINT_TEXT_MAX bytes each. */
    struct str token;
    struct str buvid;
    int64_t uid;
};

struct endpoint_ask {
    int64_t room_id;
    uint64_t attempt;  /* 0, 1, ...: the room's connection tries so far */
    bool token_failed; /* the last try ended during auth: a new token, please */
};

typedef void(endpoint_done_fn)(void *ctx, enum err_code code, const struct endpoint *ep,
                               const struct err *err);
struct endpoint_provider {
    /* done is called exactly once, never before ask returns, also when nobody needs the answer any more. */
    void (*ask)(void *ctx, const struct endpoint_ask *ask, endpoint_done_fn *done, void *done_ctx);
    void *ctx;
};

/* "host:port", "[v6]:port", each optionally with a "tcp://" in front. */
MUST_CHECK enum err_code endpoint_parse(struct str text, struct endpoint *ret, struct err *err);

struct endpoint_list;
/* Entries that do not parse are left out; an empty list answers ERR_UNAVAILABLE. */
struct endpoint_list *endpoint_list_new(struct loop *loop, const struct str *hosts, size_t n);
void endpoint_list_free(struct endpoint_list *l); /* no answer may be pending; NULL is fine */
struct endpoint_provider endpoint_list_provider(struct endpoint_list *l);
