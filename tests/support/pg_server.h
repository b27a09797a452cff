/* tests/support/pg_server.h - a real PostgreSQL for one test program, with faults on request.
 *
 * The first program to ask makes a template cluster in the build folder (about 1 s); each server is a copy of it, in a
 * temporary folder, on a unix socket in a short path. PostgreSQL refuses to run as root, so a program that runs as root
 * starts it as `postgres` or `nobody`. The server is stopped and its files are removed however the program ends
 * (exit, crash, kill): a keeper process waits for its end.
 *
 * Whatever goes wrong in here is a broken machine, not a finding: it is printed and the program exits with 1.
 *
 * Threading:  one user at a time.
 * Limits:     durability is off (fsync, full_page_writes): these servers never meet a power loss.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/core/attr.h"

struct pg_server;

struct pg_server_opts {
    bool tcp;         /* listen on 127.0.0.1, a free port, too */
    const char *conf; /* more lines for postgresql.conf, or NULL */
};
/* Ready for connections when it returns. opts may be NULL. */
struct pg_server *pg_server_start(const struct pg_server_opts *opts);
void pg_server_free(struct pg_server *s); /* NULL is fine */

const char *pg_server_conninfo(const struct pg_server *s); /* superuser, database `postgres` */
const char *pg_server_dir(const struct pg_server *s);      /* holds the socket */
unsigned pg_server_port(const struct pg_server *s);
const char *pg_server_bindir(void); /* pg_dump and the like */

/* A new empty database; its conninfo is written to ret (unix socket) and stays as it is over restarts. */
enum { PG_SERVER_CONNINFO_BYTES = 256 };
void pg_server_new_db(struct pg_server *s, char ret_conninfo[static PG_SERVER_CONNINFO_BYTES]);

/* SQL from outside the program under test, in a connection of its own. Must succeed. */
void pg_server_sql(const char *conninfo, const char *sql);
int64_t pg_server_i64(const char *conninfo, const char *sql); /* first column of the first row */
char *pg_server_text(const char *conninfo,
                     const char *sql); /* the same as text, NULL if there is no row; mem_free it */
/* Waits (some seconds) until the query gives a first value of 't'; exits when it does not. */
void pg_server_wait(const char *conninfo, const char *sql);

/* A connection that stays, to hold locks or transactions open. */
struct pg_client;
struct pg_client *pg_client_open(const char *conninfo);
void pg_client_sql(struct pg_client *c, const char *sql);
void pg_client_close(struct pg_client *c);

/* Faults. Each returns when its effect is there. */
enum pg_server_stop { PG_STOP_FAST, PG_STOP_IMMEDIATE, PG_STOP_KILL };
void pg_server_stop(struct pg_server *s, enum pg_server_stop how); /* no process of it is left */
void pg_server_restart(struct pg_server *s); /* after pg_server_stop: ready again */
void pg_server_launch(struct pg_server *s);  /* the same without waiting until it is ready */
void pg_server_pause(struct pg_server *s);   /* SIGSTOP for the server and all its backends */
void pg_server_resume(struct pg_server *s);
