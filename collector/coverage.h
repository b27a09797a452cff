/* collector/coverage.h - the ledger of what is known to be missing: per room, spans of time with a reason.
 *
 *      source   link      no authenticated connection: from its loss (or from when the room was added) until the next one
 *               lost      events that were received and dropped: an interval of the past, with their ids
 *               masked, login, silence      what comes is less than there is (degraded)
 *               broken    something that came could not be read: from the first to the last of it (degraded)
 *
 *      link     [ connecting )                 [ peer_reset )                    the state at a time is the worst span
 *      masked                  [ masked                          )               that covers it; none: ok
 *      state    gap            degraded        gap           degr.  ok
 *
 * Spans of one source of a room do not overlap, except those of `lost`. A span begins open (COVERAGE_OPEN) and is closed
 * once; each change makes it dirty, and the owner writes dirty spans to the database by their key (room, source, from):
 * writing one again changes nothing, so after anything ambiguous it is just written again.
 *
 * Pure: no clock, no input or output. Times are wall ms; those of a room never go back: what would is moved forward.
 *
 * Threading:  one user at a time.
 * Limits:     COVERAGE_DIRTY_MAX dirty spans per room: past it two neighbours become one that covers both (n_merged);
 *             COVERAGE_LOST_MAX dirty spans of lost events over all rooms: past it they are told for room 0, which stands
 *             for every room. COVERAGE_KEPT clean closed spans per room are remembered, the rest only the database has.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/core/attr.h"

#define COVERAGE_OPEN INT64_MAX
enum { COVERAGE_DIRTY_MAX = 64, COVERAGE_KEPT = 16, COVERAGE_LOST_MAX = 100000 };

enum coverage_state { COVERAGE_OK, COVERAGE_DEGRADED, COVERAGE_GAP, COVERAGE_STATES };
const char *coverage_state_name(enum coverage_state s);

/* Stored: never renumber. */
enum coverage_source {
    COVERAGE_LINK = 0,
    COVERAGE_LOST = 1,
    COVERAGE_MASKED = 2,
    COVERAGE_LOGIN = 3,
    COVERAGE_SILENCE = 4,
    COVERAGE_BROKEN = 5,
    COVERAGE_SOURCES
};
static inline enum coverage_state coverage_state_of(enum coverage_source s)
{
    return s <= COVERAGE_LOST ? COVERAGE_GAP : COVERAGE_DEGRADED;
}

struct coverage_span {
    int64_t room_id; /* 0: every room there is (lost only) */
    int64_t from_ms;
    int64_t to_ms;     /* exclusive; COVERAGE_OPEN: goes on */
    const char *cause; /* static */
    enum coverage_source source;
    /* lost: the ids of the first and last event, and how many there were; n 0: nobody knows */
    int64_t first_id;
    int64_t last_id;
    uint64_t
        n; /* link: failed tries within it; masked: per mille; silence: the usual ms between two messages; broken: how much */
    const char *extra; /* static; link: what the newest try failed of; NULL none */

    int64_t heard_ms; /* private, as all below: the end that `changed` heard of */
    bool dirty;
    bool sent; /* in the statement under way */
    bool told; /* the database may have it */
};

struct coverage;

/* A span began, ended (to_ms is set), or both at once; one of lost events grew (heard of once per second of it, and when it
 * is sent). It is lent. */
typedef void(coverage_change_fn)(void *ctx, const struct coverage_span *span);

/* Nothing before start_ms is known here. */
struct coverage *coverage_new(int64_t start_ms, coverage_change_fn *changed, void *ctx);
void coverage_free(struct coverage *c);

/* What the process before has left and the database may not have; the spans of a room in the order in which they began,
 * before anything else of it. An open gap of the link goes on until the room is collected (coverage_down). The texts are
 * borrowed until coverage_free. `changed` does not hear of it. */
void coverage_restore(struct coverage *c, const struct coverage_span *span);

/* ---- what happens; at_ms may lie in the past ---- */

/* The room is collected but not connected: a new room, or one whose connection ended. When it was not connected before,
 * only the newest reason is noted. */
void coverage_down(struct coverage *c, int64_t room_id, int64_t at_ms, const char *cause);
void coverage_up(struct coverage *c, int64_t room_id, int64_t at_ms);
/* source: masked, login, silence or broken. Begins a span (of broken that is open: changes n), or ends it; n as in struct
 * coverage_span. */
void coverage_degrade(struct coverage *c, int64_t room_id, enum coverage_source source,
                      int64_t at_ms, uint64_t n);
void coverage_recover(struct coverage *c, int64_t room_id, enum coverage_source source,
                      int64_t at_ms);
/* Events of a room with first_id <= id <= last_id are gone. apart: an event between these and those lost before may be
 * stored, so that they are two intervals. */
struct coverage_lost {
    int64_t room_id;
    int64_t first_id;
    int64_t last_id;
    uint64_t n;
    const char *cause;
};
typedef bool(coverage_apart_fn)(void *ctx, const struct coverage_span *before,
                                const struct coverage_lost *lost);
void coverage_lost(struct coverage *c, const struct coverage_lost *lost, coverage_apart_fn *apart,
                   void *ctx);
/* The room is no longer collected: a gap with this cause begins. It goes on in the database, and leaves memory once that
 * has it. */
void coverage_leave(struct coverage *c, int64_t room_id, int64_t at_ms, const char *cause);

/* ---- writing ---- */

size_t coverage_n_dirty(const struct coverage *c);
/* Copies up to max dirty spans; they are in flight until coverage_stored. One flight at a time. */
size_t coverage_send(struct coverage *c, struct coverage_span *out, size_t max);
void coverage_stored(struct coverage *c, bool ok);
/* What the database may not have, in flight or not. */
size_t coverage_n_unstored(const struct coverage *c);
uint64_t coverage_changes(const struct coverage *c); /* grows with each change of it */
/* Every span of lost events up to this id is stored; INT64_MAX: all are. */
int64_t coverage_safe_id(const struct coverage *c);
uint64_t coverage_n_merged(const struct coverage *c);

/* ---- reading ---- */

/* What memory holds reaches back to here: every span that ends later is in it, as far as it concerns rooms that are
 * collected now (room_id: that one; 0: all). INT64_MAX: the room is not here. */
int64_t coverage_known_from(const struct coverage *c, int64_t room_id);
/* The spans in memory that overlap [from_ms, to_ms), in no order, and those that the database may have otherwise; room_id 0:
 * of all rooms. Spans told for every room come with room_id 0. fn returns false to stop. */
typedef bool(coverage_span_fn)(void *ctx, const struct coverage_span *span);
void coverage_each(const struct coverage *c, int64_t room_id, int64_t from_ms, int64_t to_ms,
                   coverage_span_fn *fn, void *ctx);
/* Those that the database may not have; returns how many. */
size_t coverage_each_unstored(const struct coverage *c, coverage_span_fn *fn, void *ctx);
/* The room's worst open span; NULL: ok, or not here (*ret_here). */
const struct coverage_span *coverage_now(const struct coverage *c, int64_t room_id, bool *ret_here);
