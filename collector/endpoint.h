/* collector/endpoint.h - where a room connects to next, and with what credentials.
 *
 * A room asks its provider before each try. The provider below answers from the configured list: next host on each
 * try, no token. One that asks upstream over HTTP has the same interface.
 *
 * A host may be reached by several transports, each at a port of its own. Which is tried is the room's experience
 * (struct endpoint_choice) applied to the configured order: after ENDPOINT_TRIES failures in a row the next kind is
 * tried; what works is kept; ENDPOINT_PREFER_MS after leaving a better one, that gets a single try.
 *
 *      order wss, ws, tcp:   wss - - - ws - - - tcp + + + ... 30 min ... wss - tcp + + +       - failed, + authenticated
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

enum { ENDPOINT_TEXT_MAX = 4096, ENDPOINT_TRIES = 3, ENDPOINT_PREFER_MS = 30 * 60 * 1000 };

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
    unsigned rank; /* of the transports: 0 the first of the order, 1 the next, ...; goes round */
};

/* What upstream's list of hosts says of each: its port per transport (0: none), tcp "port", ws "ws_port",
 * wss "wss_port". */
struct endpoint_host {
    struct str host;
    uint16_t ports[TRANSPORT_KINDS];
};

struct endpoint_order {
    enum transport_kind kinds[TRANSPORT_KINDS];
    unsigned n;
};
extern const struct endpoint_order endpoint_order_default; /* wss, ws, tcp */
/* One name each. ERR_INVALID: empty, no such transport, or one of them twice. */
MUST_CHECK enum err_code endpoint_order_parse(const struct str *names, size_t n,
                                              struct endpoint_order *ret, struct err *err);
bool endpoint_order_has(const struct endpoint_order *order, enum transport_kind kind);

/* Host by ask->attempt (offset by the room, so that one host does not get them all), transport by ask->rank: the first
 * from there on that the host offers. Fills in kind, host and port of *ret. False: no host offers any of the order. */
bool endpoint_pick(const struct endpoint_host *hosts, size_t n, const struct endpoint_order *order,
                   const struct endpoint_ask *ask, struct endpoint *ret);

/* A room's experience with transports. Zeroed to begin with. */
struct endpoint_choice {
    unsigned rank;
    unsigned good; /* the rank that authenticated last */
    unsigned n_failed;
    int64_t left_ms; /* mono: when a better one was left */
    bool trying;     /* the single try of the best */
};
unsigned endpoint_choice_rank(struct endpoint_choice *c, int64_t now_ms); /* for the next try */
void endpoint_choice_failed(struct endpoint_choice *c, int64_t now_ms);   /* not even connected */
void endpoint_choice_worked(struct endpoint_choice *c);

typedef void(endpoint_done_fn)(void *ctx, enum err_code code, const struct endpoint *ep,
                               const struct err *err);
struct endpoint_provider {
    /* done is called exactly once, never before ask returns, also when nobody needs the answer any more. */
    void (*ask)(void *ctx, const struct endpoint_ask *ask, endpoint_done_fn *done, void *done_ctx);
    void *ctx;
};

/* "host:port", "[v6]:port", each optionally with "tcp://", "ws://" or "wss://" in front; tcp without. */
MUST_CHECK enum err_code endpoint_parse(struct str text, struct endpoint *ret, struct err *err);

struct endpoint_list;
/* Entries that do not parse are left out; an empty list answers ERR_NOT_FOUND. Each entry is one transport: the rank
 * changes nothing. */
struct endpoint_list *endpoint_list_new(struct loop *loop, const struct str *hosts, size_t n);
/* Answers that are under way come from the new ones. */
void endpoint_list_set(struct endpoint_list *l, const struct str *hosts, size_t n);
void endpoint_list_free(struct endpoint_list *l); /* no answer may be pending; NULL is fine */
struct endpoint_provider endpoint_list_provider(struct endpoint_list *l);
bool endpoint_list_has(const struct endpoint_list *l, enum transport_kind kind);
