/* collector/endpoint_upstream.h - endpoints from upstream's own list: token and hosts of each room, over HTTP.
 *
 * An answer is used for several tries of its room: one round of its hosts (ENDPOINT_REUSE at least), not longer than
 * ENDPOINT_TOKEN_MS, and not again once a connection with it ended during auth. Upstream's common host, which counts
 * connections per address, is used only where the list has no other.
 *
 * Threading:  loop thread only.
 * Ownership:  the upstream is borrowed.
 * Limits:     one kept answer per room that asked in the last ENDPOINT_TOKEN_MS.
 * Errors:     what upstream answers is passed on: ERR_UNAVAILABLE (and ERR_FORBIDDEN, ERR_FULL): later;
 *             ERR_NOT_FOUND, ERR_PROTO: this room. ERR_CANCELED: stopped.
 */
#pragma once

#include "collector/endpoint.h"

struct endpoint_upstream;
struct upstream;

enum { ENDPOINT_TOKEN_MS = 30 * 60 * 1000, ENDPOINT_REUSE = 3 };

struct endpoint_upstream *endpoint_upstream_new(struct loop *loop, struct upstream *upstream,
                                                const struct endpoint_order *order);
/* Before upstream_close: nothing is asked any more. */
void endpoint_upstream_stop(struct endpoint_upstream *e);
void endpoint_upstream_free(
    struct endpoint_upstream *e); /* no answer may be pending; NULL is fine */
struct endpoint_provider endpoint_upstream_provider(struct endpoint_upstream *e);
