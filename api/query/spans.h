/* api/query/spans.h - spans of time in which something is known to be missing, made into states of a room.
 *
 *      spans_init(&set, from_ms, to_ms);
 *      spans_add(&set, &span) ...           of the database first, then those that memory knows better
 *      spans_settle(&set);
 *      spans_walk(&set, room_id, begin_ms, fn, ctx);
 *
 * The state at a time is that of the worst span that covers it, of equally bad ones the one that began first; without any
 * it is ok. Before begin_ms nobody collected the room: that is a gap with the cause not_collected.
 *
 * Threading:  any thread.
 * Ownership:  texts are borrowed for the life of the set; the set owns its array.
 * Limits:     SPANS_MAX spans; past it spans_add drops them and `overflow` is set.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/core/str.h"

struct json_out;

#define SPAN_OPEN INT64_MAX
enum { SPANS_MAX = 20000 };
/* Stored in coverage_span.source. */
enum span_source { SPAN_LINK, SPAN_LOST, SPAN_MASKED, SPAN_LOGIN, SPAN_SILENCE, SPAN_BROKEN };
enum span_state { SPAN_OK, SPAN_DEGRADED, SPAN_GAP, SPAN_STATES };
const char *span_state_name(enum span_state s);

struct span {
    int64_t room_id; /* 0: of every room */
    int64_t source;  /* enum span_source, or one that we do not know: degraded */
    int64_t from_ms;
    int64_t to_ms; /* exclusive; SPAN_OPEN: goes on */
    int64_t first_id;
    int64_t last_id;
    int64_t n;
    struct str cause;
    struct str extra;
};
enum span_state span_state_of(const struct span *s); /* NULL: ok */
/* A gap because the operator did not want the room to be collected, or others came first. */
bool span_is_unwanted(const struct span *s);
/* The object `detail`. */
void span_put_detail(struct json_out *w, const struct span *s);

struct spans {
    struct span *all; /* owned */
    size_t n;
    size_t cap;
    int64_t from_ms;
    int64_t to_ms;
    bool overflow;
};

void spans_init(struct spans *set, int64_t from_ms, int64_t to_ms);
void spans_deinit(struct spans *set); /* a zeroed one is fine */
/* Takes the place of one with the same key (room, source, from_ms, first_id) that was added before. */
void spans_add(struct spans *set, const struct span *s);
/* Sorts, by room and time; a gap of the link ends where the next one begins. Nothing may be added afterwards. */
void spans_settle(struct spans *set);

/* Calls fn for [from_ms, to_ms) of the room in order: intervals that follow each other without a hole, equal neighbours as
 * one. span: what holds, NULL when it is ok; lent. fn returns false to stop. */
struct span_interval {
    enum span_state state;
    int64_t from_ms;
    int64_t to_ms;
    struct str cause;
    const struct span *span;
};
typedef bool(spans_fn)(void *ctx, const struct span_interval *i);
void spans_walk(const struct spans *set, int64_t room_id, int64_t begin_ms, spans_fn *fn,
                void *ctx);
