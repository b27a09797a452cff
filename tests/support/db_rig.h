/* tests/support/db_rig.h - a database of its own with our schema, a loop, and a pool on it that is up.
 *
 * Ownership:  the members belong to the rig; the server must outlive it.
 * Threading:  one user at a time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tests/support/pg_server.h"

struct db;
struct loop;
struct stats;

struct db_rig {
    char conninfo[PG_SERVER_CONNINFO_BYTES];
    struct loop *loop;
    struct stats *stats;
    struct db *db;
    bool closed;
};

void db_rig_open(struct db_rig *r, struct pg_server *server, unsigned pool);
void db_rig_close(struct db_rig *r); /* after whoever uses db */
/* Turns until it is so; fails when it never is. */
void db_rig_until(struct db_rig *r, bool (*is)(void *ctx), void *ctx);
