/* collector/net/tls.h - tls over tcp: a filter that is a transport itself.
 *
 * OpenSSL reads from what tcp lends for the call and writes into a buffer that all connections share, so an idle
 * connection holds OpenSSL's state and nothing of ours. What a connection needs while a record is incomplete, OpenSSL
 * gives back itself (SSL_MODE_RELEASE_BUFFERS).
 *
 * Threading:  loop thread only.
 * Errors:     TRANSPORT_HANDSHAKE with the reason in words (certificate, host name, protocol); TRANSPORT_FRAMING for
 *             records that make no sense; ERR_UNAVAILABLE from tls_open: the net was not configured for tls.
 */
#pragma once

#include "collector/net/transport.h"

MUST_CHECK enum err_code tls_open(struct net *net, const struct transport_dial *dial,
                                  const struct transport_handler *handler, struct transport **ret,
                                  struct err *err);
