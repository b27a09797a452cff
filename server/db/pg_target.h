/* server/db/pg_target.h - where a conninfo leads: its hosts, so that names are resolved off the loop.
 *
 * libpq's own lookup blocks. So names are found out first, looked up by the owner, and libpq gets every address as a
 * host of its own: "host=db,db hostaddr=::1,127.0.0.1". It tries them in that order.
 *
 * Threading:  any thread.
 * Limits:     PG_TARGET_HOSTS hosts in a conninfo, PG_TARGET_ADDRS addresses together; what is more is not tried.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "server/core/attr.h"
#include "server/core/buf.h"
#include "server/core/err.h"
#include "server/core/str.h"

struct sockaddr;

enum { PG_TARGET_HOSTS = 16, PG_TARGET_ADDRS = 64 };

struct pg_target {
    char *host; /* owned: the lists of the conninfo (or PGHOST, PGPORT) */
    char *port;
    size_t n; /* hosts that need a lookup or stand beside one; 0: libpq finds its way without us */
    size_t n_out;     /* entries in the lists below */
    struct buf hosts; /* for libpq, comma-separated */
    struct buf addrs;
    struct buf ports;
};

/* ERR_INVALID: it is no conninfo (the message does not repeat it: it may hold a password). */
MUST_CHECK enum err_code pg_target_init(struct pg_target *t, const char *conninfo, struct err *err);
void pg_target_deinit(struct pg_target *t);

/* Host number i < n, NUL-terminated into out (cut at size). Returns whether it is a name to look up; if not, call
 * pg_target_add with NULL. */
bool pg_target_host(const struct pg_target *t, size_t i, char *out, size_t size);
void pg_target_restart(struct pg_target *t); /* forgets what was added */
void pg_target_add(struct pg_target *t, size_t i, const struct sockaddr *addr);
/* The lists, NUL-terminated; false when there is nothing to connect to. */
bool pg_target_done(struct pg_target *t);
