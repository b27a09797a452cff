/* collector/net/ws_reader.h - bytes of a websocket server in, messages out. Pure; wslay reads the frames.
 *
 *   frame:    | fin rsv opcode | mask length | payload ... |
 *   message:  | text or binary, not fin | continuation | ... | continuation, fin |     control frames may lie between
 *
 * Any split of the same bytes gives the same calls to the sink. A reader keeps what is unfinished, of a frame and of a
 * message. In between it keeps nothing (ws_reader_is_clean) and may serve another connection, so that an idle
 * connection needs none.
 *
 * Threading:  one user at a time.
 * Ownership:  payloads are lent for the call.
 * Limits:     message_max bytes of one message, checked before memory is taken; 125 bytes of a control frame.
 * Errors:     ERR_PROTO: no server may send that; ERR_TOO_BIG: message over the limit; ERR_NOMEM. The reader is of no
 *             use after any of them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/core/attr.h"
#include "server/core/err.h"
#include "server/core/str.h"

enum { WS_CONTROL_MAX = 125 };

struct ws_sink {
    void (*on_message)(void *ctx, struct str message); /* binary, whole */
    void (*on_text)(void *ctx); /* a whole text message: nobody wants what it says */
    void (*on_ping)(void *ctx, struct str payload);
    /* code 0: none was given. Nothing is read behind it. */
    void (*on_close)(void *ctx, uint16_t code, struct str reason);
    void *ctx;
};

struct ws_reader;
struct ws_reader *ws_reader_new(void);
void ws_reader_free(struct ws_reader *r); /* NULL is fine */
/* *stop (may be NULL) is looked at after each call to the sink to leave early; the reader is of no use then. */
MUST_CHECK enum err_code ws_reader_feed(struct ws_reader *r, size_t message_max, struct str bytes,
                                        const struct ws_sink *sink, const bool *stop,
                                        struct err *err);
bool ws_reader_is_clean(const struct ws_reader *r);
