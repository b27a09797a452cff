/* collector/net/ws_writer.h - frames of a websocket client: whole, masked with a fresh random key. Pure; wslay writes.
 *
 * Threading:  one user at a time.
 * Errors:     ERR_NOMEM: out is full; ERR_UNAVAILABLE: no randomness. What is in out is of no use then.
 */
#pragma once

#include <stdint.h>

#include "server/core/attr.h"
#include "server/core/buf.h"
#include "server/core/err.h"
#include "server/core/str.h"

enum { WS_FRAME_HEAD_MAX = 14 };

struct ws_writer;
struct ws_writer *ws_writer_new(void);
void ws_writer_free(struct ws_writer *w); /* NULL is fine */
/* Each appends one frame. */
MUST_CHECK enum err_code ws_put_message(struct ws_writer *w, struct buf *out, struct str bytes,
                                        struct err *err); /* binary */
/* At most WS_CONTROL_MAX bytes. */
MUST_CHECK enum err_code ws_put_pong(struct ws_writer *w, struct buf *out, struct str payload,
                                     struct err *err);
/* code 0: none. */
MUST_CHECK enum err_code ws_put_close(struct ws_writer *w, struct buf *out, uint16_t code,
                                      struct err *err);
