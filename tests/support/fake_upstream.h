/* tests/support/fake_upstream.h - an upstream on the loop of the test: takes connections, answers as it is told.
 *
 * Threading:  loop thread only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/core/buf.h"
#include "server/core/str.h"
#include "server/loop/loop.h"

enum fake_auth {
    FAKE_AUTH_OK,
    FAKE_AUTH_SILENT, /* takes the connection and says nothing */
    FAKE_AUTH_BAD,    /* {"code":-101} */
    FAKE_AUTH_NO_CODE,
    FAKE_AUTH_CLOSE, /* closes instead of a reply */
    FAKE_AUTH_RESET,
    FAKE_AUTH_GARBAGE, /* "HTTP/1.1 403 Forbidden" */
};

struct fake_upstream;
struct fake_upstream *fake_upstream_new(struct loop *loop);
void fake_upstream_free(struct fake_upstream *f); /* turns the loop until all is closed */
struct str fake_upstream_host(const struct fake_upstream *f); /* "127.0.0.1:port" */

void fake_upstream_auth(struct fake_upstream *f, enum fake_auth how);
void fake_upstream_heartbeats(struct fake_upstream *f, bool answer, uint32_t popularity);
void fake_upstream_refuse(struct fake_upstream *f); /* from now on; open connections stay */
void fake_upstream_accept(struct fake_upstream *f); /* again, on the same port */

/* To all authenticated connections, or to those of one room (0: all). */
void fake_upstream_send(struct fake_upstream *f, int64_t room_id, struct str bytes);
void fake_upstream_drip(struct fake_upstream *f, struct str bytes); /* one byte per loop turn */
void fake_upstream_drop(struct fake_upstream *f, int64_t room_id, bool reset);

struct fake_upstream_seen {
    unsigned n_accepted;
    unsigned n_open;
    unsigned n_auth;
    unsigned n_heartbeats;       /* with an empty body, as it must be */
    unsigned n_bad_packets;      /* anything else */
    const struct buf *last_auth; /* body */
};
struct fake_upstream_seen fake_upstream_seen(const struct fake_upstream *f);
