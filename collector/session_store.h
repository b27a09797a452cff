/* collector/session_store.h - sessions on their way into the database, and back at a start.
 *
 * Rows wait here until they are stored; a newer state of a row replaces the one that waits. The tables say the same
 * however often a row is written. session_mark follows when nothing waits: every event up to it has had its effect, so
 * after a crash the events behind it are looked at again, and what waited here in memory comes out the same.
 *
 * Threading:  loop thread only.
 * Ownership:  rows are copied. The database is borrowed.
 * Limits:     SESSION_STORE_MAX rows wait; past it new ones are dropped and counted (until then updates are taken), and
 *             on_room asks for what is open again once there is room.
 * Errors:     tried again each second while the database is away; a row that it refuses is dropped, logged and counted.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/session.h"
#include "server/core/err.h"

struct db;
struct loop;
struct session_store;
struct stats;

enum { SESSION_STORE_MAX = 20000 };

struct session_store_opts {
    struct db *db;
    unsigned node;
    int64_t (*upto)(void *ctx); /* newest event that sessions_event has been told; 0 none */
    /* What is open is to be put again: rows were dropped, or the database was away for so long that another process may have
     * ended them (session_sweep.h). There is room for SESSION_STORE_MAX. True: it has more to put when these are stored. */
    bool (*on_room)(void *ctx);
    void *ctx;
};

struct session_store *session_store_new(struct loop *loop, const struct session_store_opts *opts,
                                        struct stats *stats);
/* What waits is forgotten; the next start finds it in the events. Before db_close. NULL is fine. */
void session_store_free(struct session_store *st);

void session_store_put(struct session_store *st, const struct session *row);
void session_store_put_segment(struct session_store *st, const struct session_segment *row);
size_t session_store_n_waiting(const struct session_store *st);
/* Nothing is stored any more, but what is under way; the timer stops. */
void session_store_stop(struct session_store *st);

/* At a start, before any row is put: the newest session of each room that this node has followed lately, or that any node
 * (id_node of its id) has left open, each by restored, then done once with the mark (0: none). */
typedef void(session_restored_fn)(void *ctx, const struct session *row,
                                  const struct session_segment *segment, unsigned n_segments);
typedef void(session_loaded_fn)(void *ctx, enum err_code code, const struct err *err,
                                int64_t upto_id);
MUST_CHECK enum err_code session_store_load(struct session_store *st, session_restored_fn *restored,
                                            session_loaded_fn *done, void *ctx, struct err *err);
