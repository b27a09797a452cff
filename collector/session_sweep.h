/* collector/session_sweep.h - an end for the open sessions that nobody is there to end.
 *
 * A process ends the sessions of its rooms itself: by messages and polling, or as `removed` when it collects the room no more
 * (session.h), also after a restart. Left over is what a process of another node number began that never came back. Every
 * process looks for that and ends it with the cause `abandoned`, if all of this holds:
 *
 *   - the node of the session is gone: for after_ms, in which this process could look all the time, nobody held the lock
 *     that a writer holds as long as it is connected (writer.h);
 *   - this process does not go on with the session itself (held);
 *   - no node that is there collects the room, by the newest gap or connection of its link; or a later session of the room
 *     began, which the room's process goes on with.
 *
 * The end is when the node last wrote, or earlier: when it had left the room, or before the room's next session. A session of our own
 * node that is open behind a later one (a restart takes up the newest) ends in the same way.
 *
 * Threading:  loop thread only.
 * Ownership:  db is borrowed; session_sweep_free forgets what is under way.
 * Limits:     SESSION_SWEEP_STEP sessions per statement, one statement at a time.
 * Errors:     tried again with the next look, without a word: the pool tells of the database. A look that failed makes every
 *             node present again.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db;
struct loop;
struct session_sweep;
struct stats;

enum { SESSION_SWEEP_STEP = 500 };

struct session_sweep_opts {
    struct db *db;
    unsigned node;
    int64_t after_ms; /* 0: never */
    /* The open sessions that this process goes on with: how many, and their ids. */
    size_t (*n_held)(void *ctx);
    size_t (*held)(void *ctx, int64_t *ids, size_t max); /* returns how many it wrote */
    void *ctx;
};

struct session_sweep *session_sweep_new(struct loop *loop, const struct session_sweep_opts *opts,
                                        struct stats *stats);
void session_sweep_free(struct session_sweep *sw); /* NULL is fine */
void session_sweep_start(struct session_sweep *sw);
void session_sweep_set(struct session_sweep *sw, int64_t after_ms);
