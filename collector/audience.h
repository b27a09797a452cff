/* collector/audience.h - figures of rooms over time: how many watch, like, follow. Pure.
 *
 * Upstream tells a figure when it feels like it. What is known of a room is kept, and put out as one row of all figures when
 * something has changed, at most each AUDIENCE_LIVE_MS while the room is live, else AUDIENCE_OFF_MS; and each
 * AUDIENCE_SAME_MS without any change, so that "the same" can be told from "nobody knows".
 *
 * Without a connection nothing is known; when a live ends, what is counted of it is not known any more.
 *
 * Threading:  loop thread only.
 * Limits:     opts.max_rooms rooms; past it nothing is recorded, counted.
 * Errors:     none.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/event/event.h"

struct audience;
struct stats;

enum {
    AUDIENCE_LIVE_MS = 10000,
    AUDIENCE_OFF_MS = 60000,
    AUDIENCE_SAME_MS = 600000,
    AUDIENCE_KEEP_MS = 24 * 3600 * 1000,
};

/* X(name): columns of table audience; names of the figures in events of kind audience. */
#define AUDIENCE_FIGURES(X)                                                                        \
    X(online)                                                                                      \
    X(rank_users)                                                                                  \
    X(watched)                                                                                     \
    X(likes)                                                                                       \
    X(popularity)                                                                                  \
    X(followers)                                                                                   \
    X(fans_club)
enum audience_figure {
#define X(name) AUDIENCE_##name,
    AUDIENCE_FIGURES(X)
#undef X
        AUDIENCE_N
};

struct audience_row {
    int64_t room_id;
    int64_t at_ms;         /* wall */
    int64_t v[AUDIENCE_N]; /* -1 unknown */
};

struct audience_opts {
    size_t max_rooms;
    void (*put)(void *ctx, const struct audience_row *row); /* at_ms increases per room */
    void *ctx;
};

struct audience *audience_new(const struct audience_opts *opts, struct stats *stats);
void audience_free(struct audience *a);

void audience_event(struct audience *a, const struct event *e); /* cheap for other kinds */
/* One figure from elsewhere; a value of no meaning (negative, popularity below 2) is passed over. */
void audience_set(struct audience *a, int64_t room_id, enum audience_figure which, int64_t value,
                  int64_t now_ms);
/* A room that is collected: connected since up_since_ms (0: not), live or not. Called again and again, each second or so:
 * what waits for its time comes out then. */
void audience_look(struct audience *a, int64_t room_id, int64_t up_since_ms, bool live,
                   int64_t now_ms);
/* After the looks: rooms that nobody has looked at for AUDIENCE_KEEP_MS are forgotten. */
void audience_tick(struct audience *a, int64_t now_ms);
