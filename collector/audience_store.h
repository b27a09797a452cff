/* collector/audience_store.h - rows of audience figures on their way into the database.
 *
 * Rows wait in memory: they are no events, and what a crash takes is what came in the last second, or since the database
 * went away. Partitions of the coming days are made here too.
 *
 * Threading:  loop thread only.
 * Ownership:  rows are copied. The database is borrowed.
 * Limits:     AUDIENCE_STORE_MAX rows wait; past it the oldest is dropped and counted.
 * Errors:     tried again each second while the database is away; rows that it refuses are dropped, logged and counted.
 */
#pragma once

#include <stddef.h>

#include "collector/audience.h"

struct audience_store;
struct db;
struct loop;
struct stats;

enum { AUDIENCE_STORE_MAX = 50000 };

struct audience_store *audience_store_new(struct loop *loop, struct db *db, struct stats *stats);
void audience_store_free(struct audience_store *st); /* before db_close; NULL is fine */
void audience_store_start(struct audience_store *st);
void audience_store_put(struct audience_store *st, const struct audience_row *row);
size_t audience_store_n_waiting(const struct audience_store *st);
