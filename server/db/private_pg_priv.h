/* server/db/private_pg_priv.h - the parts of the private PostgreSQL.
 *
 *   private_pg.c          start, take over, stop
 *   private_pg_setup.c    programs, initdb, configuration, the socket's directory
 *   private_pg_proc.c     processes
 *
 * Threading:  startup only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "server/core/attr.h"
#include "server/core/err.h"
#include "server/core/str.h"
#include "server/db/private_pg.h"

enum { PG_PATH_BYTES = 4096, PG_OLDEST = 15 };

struct private_pg_place {
    char data[PG_PATH_BYTES / 2]; /* data_dir, absolute */
    char cluster[PG_PATH_BYTES];
    char log[PG_PATH_BYTES];
    char bin[PG_PATH_BYTES]; /* where postgres and initdb are */
    int version;
    char socket_dir[PG_PATH_BYTES];
};

/* snprintf that fails instead of cutting. */
MUST_CHECK enum err_code pg_path(char *out, size_t size, struct err *err, const char *fmt, ...)
    ATTR_PRINTF(4, 5);
/* The last line of a file that is not empty, into out. */
void pg_last_line(const char *path, char *out, size_t size);
/* Whole small file into out, NUL-terminated; -1 when it cannot be read. */
ssize_t pg_read_file(const char *path, char *out, size_t size);

/* --- private_pg_setup.c --- */
/* data, cluster, log, version and bin; makes the data directory. */
MUST_CHECK enum err_code pg_setup_place(struct private_pg_place *p, const char *data_dir,
                                        struct err *err);
/* initdb if it is missing; cluster is its real path then. */
MUST_CHECK enum err_code pg_setup_cluster(struct private_pg_place *p, struct err *err);
MUST_CHECK enum err_code pg_setup_conf(const struct private_pg_place *p, struct err *err);
MUST_CHECK enum err_code pg_setup_socket_dir(struct private_pg_place *p, struct err *err);

/* --- private_pg_proc.c --- */
/* argv in a session of its own, output appended to `log`. -1: fork failed (errno). */
pid_t pg_proc_start(const char *const argv[], const char *log);
/* The same and waits. The exit status, or -1. */
int pg_proc_run(const char *const argv[], const char *log);
/* First bytes of what argv prints, NUL-terminated; its exit status, or -1. */
int pg_proc_read(const char *const argv[], char *out, size_t size);
/* Is pid alive and a server of this cluster (its working directory)? Not a zombie, not somebody who got the number. */
bool pg_proc_is_of(pid_t pid, const char *cluster);
pid_t pg_proc_any_of(const char *cluster); /* a process of this cluster, 0: none */
void pg_proc_sleep(int ms);
