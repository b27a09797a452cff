/* server/db/private_pg.h - a PostgreSQL of our own under the data directory: unix socket only, in a short path.
 *
 * Start is blocking (startup only) and idempotent: initdb when the cluster is missing, takes over a cluster that a
 * crashed danmakud left running, waits until it accepts connections. It survives a kill -9 of danmakud and is stopped
 * by private_pg_stop ("fast"). PostgreSQL refuses to run as root, and so do we here with a message that says what to do.
 *
 * Threading:  startup only for start; loop thread for stop at the end of the process (blocking, the loop is done).
 */
#pragma once

#include "server/core/attr.h"
#include "server/core/err.h"

struct private_pg;
MUST_CHECK enum err_code private_pg_start(const char *data_dir, struct private_pg **ret,
                                          struct err *err);
const char *private_pg_conninfo(const struct private_pg *pg); /* borrowed */
void private_pg_stop(struct private_pg *pg);   /* stops the server, frees; NULL is fine */
void private_pg_detach(struct private_pg *pg); /* frees, leaves the server running */
