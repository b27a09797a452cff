/* collector/status_poll.h - asks upstream which rooms are live: all of them in turn, and some at once.
 *
 *      every interval_ms: all rooms, UPSTREAM_STATUS_MAX at a time, one question after the other's answer
 *      status_poll_ask:   this room with the next question, SOON_MS from now, so that several come together
 *
 * A failed question ends the round, and nothing is asked for interval_ms, then twice and four times as long, up to
 * PAUSE_MAX_MS, until one works: while upstream bans us or cannot be reached, nothing is gained by asking. Rooms of
 * status_poll_ask wait for that too.
 *
 * Threading:  loop thread only.
 * Ownership:  options are copied; answers are lent for the callback.
 * Limits:     one question under way; STATUS_POLL_SOON_MAX rooms wait to be asked at once, past it they wait for the round;
 *             STATUS_POLL_ROOMS_MAX rooms in a round.
 * Errors:     told once per change, counted.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/upstream/upstream.h"

struct loop;
struct stats;
struct status_poll;

enum { STATUS_POLL_SOON_MAX = 4096, STATUS_POLL_ROOMS_MAX = 65536 };

struct status_poll_opts {
    int64_t interval_ms;
    /* The rooms to ask for: at most max real ids into ret; returns how many. */
    size_t (*rooms)(void *ctx, int64_t *ret, size_t max);
    /* upstream_status, or a double of it. NULL: nobody can be asked. */
    void (*status)(void *status_ctx, const int64_t *room_ids, size_t n, upstream_rooms_fn *done,
                   void *done_ctx);
    void *status_ctx;
    /* An answer, and when the question left (wall). */
    void (*answer)(void *ctx, const struct upstream_room *room, int64_t asked_ms);
    void *ctx;
};

struct status_poll *status_poll_new(struct loop *loop, const struct status_poll_opts *opts,
                                    struct stats *stats);
/* At any time, also from a callback of it; the answer under way is dropped. NULL is fine. */
void status_poll_free(struct status_poll *p);
void status_poll_start(struct status_poll *p); /* the first round begins at once */
/* Whether anybody is asked; true at first. False: rounds rest, status_poll_ask refuses. */
void status_poll_enable(struct status_poll *p, bool on);
void status_poll_set_interval(struct status_poll *p, int64_t interval_ms);
/* False: it will not be asked before the next round (nobody to ask, a pause, too many). */
bool status_poll_ask(struct status_poll *p, int64_t room_id);
bool status_poll_works(const struct status_poll *p); /* the newest question was answered */
