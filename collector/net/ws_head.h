/* collector/net/ws_head.h - the websocket handshake: the client's request, the check of the server's answer. Pure.
 *
 * No extension and no subprotocol is asked for, so none may be answered. A redirect is refused like any other status:
 * where to connect is the provider's decision, not the server's.
 *
 * Threading:  any thread.
 * Limits:     WS_HEAD_MAX bytes of the answer's head.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/core/attr.h"
#include "server/core/buf.h"
#include "server/core/err.h"
#include "server/core/str.h"

enum { WS_HEAD_MAX = 8192, WS_REQUEST_MAX = 8192, WS_KEY_BYTES = 25, WS_ACCEPT_BYTES = 29 };

struct ws_request {
    struct str host;
    uint16_t port;
    bool tls; /* which port needs no mention */
    struct str path;
    struct str origin;
    struct str user_agent;
};

/* A fresh Sec-WebSocket-Key and the Sec-WebSocket-Accept that belongs to it, both NUL-terminated.
 * ERR_UNAVAILABLE: no randomness. */
MUST_CHECK enum err_code ws_key_new(char key[static WS_KEY_BYTES],
                                    char accept[static WS_ACCEPT_BYTES], struct err *err);
void ws_accept_of(const char *key, char accept[static WS_ACCEPT_BYTES]);

/* Texts of a request hold no control characters; a host no blanks either. */
bool ws_is_text(struct str s);
bool ws_is_host(struct str s);
void ws_request_put(struct buf *out, const struct ws_request *r, const char *key);

/* Bytes of the head at the front of `bytes`, the blank line included; 0: it is not whole yet. `from`: where the last
 * look ended, so that a head that comes byte by byte is not searched again and again. */
size_t ws_head_len(struct str bytes, size_t from);
/* ERR_PROTO: the answer is no "101", or not to our key; the message says what it was. */
MUST_CHECK enum err_code ws_answer_check(struct str head, const char *accept, struct err *err);
