/* tests/support/pg_server_priv.h - processes, users and the template cluster behind pg_server.h.
 *
 * Threading:  any thread.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "server/core/attr.h"

struct passwd;

enum { PG_PATH_BYTES = 512 };

ATTR_NORETURN void pg_die(const char *fmt, ...) ATTR_PRINTF(1, 2);

/* snprintf that does not cut: it dies instead. */
void pg_print(char *out, size_t size, const char *fmt, ...) ATTR_PRINTF(3, 4);

const char *pg_bindir(void);        /* of the newest PostgreSQL (15 or newer) */
const struct passwd *pg_user(void); /* whom to become when we are root; NULL: nobody else */

/* Starts argv as `user` (NULL: as we are), in its own session, output appended to `log`. */
pid_t pg_spawn(const char *const argv[], const struct passwd *user, const char *log);
void pg_run(const char *const argv[], const struct passwd *user,
            const char *log); /* and waits; must succeed */

/* Copies the template cluster to `data` (missing yet); makes the template first if need be. `dir`: scratch. */
void pg_template_copy(const char *dir, const char *data);

/* Sends sig (0: none) to every process whose working directory is `dir` or below: a cluster's own. Returns how many. */
unsigned pg_signal_all(const char *dir, int sig);
void pg_remove_tree(const char *path);

/* A process that lives until we end, by whatever end, or close *ret_fd; then it kills what runs in `dir` and removes
 * it. */
pid_t pg_keep(const char *dir, int *ret_fd);
