/* collector/net/tcp.h - plain tcp: the bottom of every stack of transports.
 *
 * A name is resolved off the loop, an address given as text is used at once. The addresses of a name are tried one
 * after another within the one timeout. TCP_NODELAY is set; what the socket does not take is kept, up to
 * TRANSPORT_OUT_MAX bytes, and sent later in order.
 *
 * Threading:  loop thread only.
 * Errors:     as transport.h.
 */
#pragma once

#include "collector/net/transport.h"

MUST_CHECK enum err_code tcp_open(struct net *net, const struct transport_dial *dial,
                                  const struct transport_handler *handler, struct transport **ret,
                                  struct err *err);
