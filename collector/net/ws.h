/* collector/net/ws.h - a websocket client over tcp, or over tls over tcp: a filter that is a transport itself.
 *
 *      connecting --> asking (request sent) --> open --> ended
 *
 * One binary message up is one on_data (whole); one transport_write is one binary message. Text messages are counted
 * and ignored, pings answered, a close frame is answered and ends the connection (TRANSPORT_EOF, the code in words).
 * All that is left of the handshake and of finished messages is given back, so that an open connection which waits
 * holds one small struct.
 *
 * Threading:  loop thread only.
 * Errors:     TRANSPORT_HANDSHAKE: refused, or closed before it was done; TRANSPORT_TIMEOUT; TRANSPORT_FRAMING.
 */
#pragma once

#include "collector/net/transport.h"

MUST_CHECK enum err_code ws_open(struct net *net, const struct transport_dial *dial,
                                 const struct transport_handler *handler, struct transport **ret,
                                 struct err *err);
