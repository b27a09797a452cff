/* collector/coverage_signs.h - signs that less comes from a room than there is, made into spans of the ledger (coverage.h).
 *
 *   masked    of SIGNS_WINDOW senders in a row at least masked_percent were hidden by the upstream
 *   login     the upstream told this connection that it hides things from whom it does not know; until the connection ends
 *   silence   live and connected, but nobody said or gave anything for silence_ms and silence_times the time that usually
 *             lies between two messages of this room
 *   broken    messages that cannot be decoded, or not wholly, and frames that are damaged, too large or too deep: from the first to
 *             the last one, as one span while no SIGNS_BROKEN_MS pass between two. Commands nobody knows are none of it,
 *             nor what makes the connection end (a gap)
 *
 * Pure: no clock; times are wall ms.
 *
 * Threading:  one user at a time.
 * Ownership:  the ledger is borrowed.
 * Limits:     a small struct per room that is collected; nothing grows with what comes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct coverage;
struct event;
struct signs;

enum {
    SIGNS_WINDOW = 100,
    SIGNS_USUAL_MIN = 30, /* messages of a live before it is known what is usual */
    SIGNS_USUAL_OF = 32,  /* over about so many */
    SIGNS_BROKEN_MS = 60000,
};

struct signs_opts {
    int64_t masked_percent; /* 0: never; what was open ends with the next tick */
    int64_t silence_ms;     /* 0: never */
    int64_t silence_times;
};

struct signs *signs_new(struct coverage *ledger);
void signs_free(struct signs *s);
void signs_set(struct signs *s, const struct signs_opts *opts);

/* The connection of a room came up, or ended: since at_ms. */
void signs_link(struct signs *s, int64_t room_id, bool up, int64_t at_ms);
void signs_leave(struct signs *s, int64_t room_id); /* it is no longer collected */
/* In the order of publication. */
void signs_event(struct signs *s, const struct event *e, int64_t at_ms);
/* Something of the room was thrown away. */
void signs_broken(struct signs *s, int64_t room_id, uint64_t n, int64_t at_ms);
/* Looks for rooms that are silent, and ends what was broken; now and then. is_live: as the sessions know it. */
void signs_tick(struct signs *s, int64_t now_ms, bool (*is_live)(void *ctx, int64_t room_id),
                void *ctx);
