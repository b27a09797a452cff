/* server/db/private_pg.h - a PostgreSQL of our own under the data directory: unix socket only, in a short path.
 *
 *   data_dir/postgres/       the cluster; postgresql.conf is the operator's, danmakud.conf in it is ours
 *   data_dir/postgres.log    its messages; the old ones in postgres.log.1 once there are 16 MB
 *   data_dir/postgres.lock   held while somebody starts it
 *
 * Start is blocking (startup only) and idempotent: initdb when the cluster is missing, takes over a cluster that a
 * crashed danmakud left running, clears what a killed server left behind, waits until it accepts connections (crash
 * recovery included) and makes the database `danmakud`. The server is in a session of its own: neither Ctrl-C nor
 * kill -9 of danmakud ends it; private_pg_stop does ("fast", then "immediate"). Whoever may enter the socket's
 * directory (0700) is let in, so `psql "host=... user=danmakud"` works for the same user and for root.
 *
 * PostgreSQL refuses to run as root, and so do we here with a message that says what to do.
 *
 * A server that ends by itself (killed, out of memory) is not watched by anybody else: who owns the object asks
 * private_pg_runs now and then, and lets it be started again.
 *
 * Threading:  startup only for start; loop thread for runs and again, which do not wait, and for stop at the end of the
 *             process (blocking, the loop is done).
 * Errors:     ERR_FORBIDDEN as root. ERR_NOT_FOUND no PostgreSQL of the right version is installed. ERR_CONFLICT the
 *             directory is not a cluster of ours. ERR_UNAVAILABLE another process starts it, or it does not get ready;
 *             ERR_IO anything the system refuses. Messages say what to do next.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "server/core/attr.h"
#include "server/core/err.h"

struct private_pg;
MUST_CHECK enum err_code private_pg_start(const char *data_dir, struct private_pg **ret,
                                          struct err *err);
const char *private_pg_conninfo(const struct private_pg *pg); /* borrowed */
bool private_pg_runs(struct private_pg *pg);
/* It does not run: starts the same cluster again. Whether it gets ready shows by its connections, or by runs. */
MUST_CHECK enum err_code private_pg_again(struct private_pg *pg, struct err *err);
/* The last line of its log, for who tells that it ended. */
void private_pg_last_words(const struct private_pg *pg, char *out, size_t size);
void private_pg_stop(struct private_pg *pg);   /* stops the server, frees; NULL is fine */
void private_pg_detach(struct private_pg *pg); /* frees, leaves the server running */
/* For a command beside the service: stops the server if it was started by this object, leaves one that ran already. */
void private_pg_leave(struct private_pg *pg);
