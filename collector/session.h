/* collector/session.h - when rooms were live: messages and polling of the upstream merged into sessions. Pure.
 *
 *                     LIVE, poll: live                    PREPARING, CUT_OFF, poll: off, room removed
 *      (off) -------------------------------> (open) -----------------------------------------------> (off)
 *        ^                                       |  LIVE with a new key after a hole: one ends, the next begins
 *        \--- LIVE within merge_ms of the end, or poll: the live that ended goes on: the same session again ---/
 *
 * Upstream tells a start twice, tells "starts" when a push reconnects, ends and starts again within seconds, and tells
 * nothing of what happened while we were not connected; its HTTP answers lag behind its messages. So:
 *
 *   - a LIVE while the session is open is the same live, unless it has another key and there was a hole of merge_ms in
 *     which nothing was known of the room;
 *   - a LIVE that says neither when it began nor a new key, long after the end, is doubtful: it waits for the next poll, for
 *     at most SESSION_DOUBT_MS;
 *   - a poll that was asked less than SESSION_LAG_MS after a message does not contradict it;
 *   - what ended unseen ends when it was last known to be live: by a message, a poll, or because the connection that told
 *     so stood and told no end;
 *   - live_status 2 (replays) is not live.
 *
 * A segment is a stretch of a session with one title, area and key. What was unknown is filled in; what changes begins a
 * new one.
 *
 * Threading:  loop thread only.
 * Ownership:  events and answers are lent for the call; rows are lent for the callback.
 * Limits:     opts.max_rooms rooms are followed, SESSION_SEGMENTS_MAX segments per session; past them nothing more is
 *             recorded, counted.
 * Errors:     none.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/event/event.h"

struct sessions;
struct stats;
struct upstream_room;

enum {
    SESSION_LAG_MS = 30000,
    SESSION_DOUBT_MS = 90000,
    SESSION_GRACE_MS = 60000,
    SESSION_KEEP_MS = 24 * 3600 * 1000,
    SESSION_SEGMENTS_MAX = 1000,
    SESSION_KEY_BYTES = 128,
    SESSION_TITLE_BYTES = 256,
    SESSION_AREA_BYTES = 64,
};

enum session_end {
    SESSION_OPEN,
    SESSION_PREPARING, /* upstream told so */
    SESSION_CUT_OFF,   /* staff cut it */
    SESSION_POLL,      /* polling found it over */
    SESSION_UNSEEN,    /* another live was found instead: it ended when it was last seen */
    SESSION_REMOVED,   /* the room was no longer collected */
    SESSION_ABANDONED, /* nobody was there to see it: session_sweep.h */
    SESSION_ENDS
};
const char *session_end_name(enum session_end end); /* as in table session; "" for open */
enum session_end session_end_parse(struct str name);

struct session {
    int64_t id; /* 0: none */
    int64_t room_id;
    int64_t start_id;
    int64_t end_id;            /* 0 while open */
    int64_t upstream_start_ms; /* 0 unknown */
    enum session_end end;
};

/* Texts are valid UTF-8 and end with NUL; "" and 0 are unknown. */
struct session_segment {
    int64_t session_id;
    int64_t from_id;
    char live_key[SESSION_KEY_BYTES + 1];
    char title[SESSION_TITLE_BYTES + 1];
    char area[SESSION_AREA_BYTES + 1];
    char parent_area[SESSION_AREA_BYTES + 1];
    int64_t area_id;
    int64_t parent_area_id;
};

struct sessions_opts {
    int64_t merge_ms;
    size_t max_rooms;
    /* The row as it is now; to be stored in the place of what has its id. */
    void (*put)(void *ctx, const struct session *row);
    /* The row as it is now, by session_id and from_id. */
    void (*put_segment)(void *ctx, const struct session_segment *row);
    int64_t (*new_id)(void *ctx); /* greater than every id so far */
    /* A poll of this room would help now. False: nobody can be asked. NULL: nobody ever. */
    bool (*ask)(void *ctx, int64_t room_id);
    void *ctx;
};

struct sessions *sessions_new(const struct sessions_opts *opts, struct stats *stats);
void sessions_free(struct sessions *s);
void sessions_set_merge(struct sessions *s, int64_t merge_ms);

/* What was stored when the process before ended: the newest session of a room (id > 0) and its newest segment (from_id 0:
 * none), n_segments in all. seen_ms: until when, wall, we were there. Before any event of the room. */
void sessions_restore(struct sessions *s, const struct session *row,
                      const struct session_segment *segment, unsigned n_segments, int64_t seen_ms);
/* In order of ids per room; what is not newer than the last one is passed over. Cheap for kinds that do not matter. */
void sessions_event(struct sessions *s, const struct event *e);
/* An answer to a question asked at asked_ms, wall. */
void sessions_poll(struct sessions *s, const struct upstream_room *answer, int64_t asked_ms);
/* A room that is collected: its connection is authenticated since up_since_ms, wall (0: it is not), as of now_ms. Called for
 * all of them again and again. True: the connection is another one than at the last call, so ask upstream what was missed. */
bool sessions_link(struct sessions *s, int64_t room_id, int64_t up_since_ms, int64_t now_ms);
/* Every some seconds, after the links: resolves doubts that no poll resolved, and ends the open sessions of rooms that have
 * not been collected for merge_ms, and SESSION_GRACE_MS. Rooms that have not been for SESSION_KEEP_MS, and merge_ms, are
 * forgotten. */
void sessions_tick(struct sessions *s, int64_t now_ms);
/* Puts open sessions and their segments again: at most max, behind those of the last call. False: those were the last, and
 * the next call begins anew. */
bool sessions_put_open(struct sessions *s, size_t max);

/* The newest session of the room; false: none is known. */
bool sessions_room(const struct sessions *s, int64_t room_id, struct session *ret);
size_t sessions_n_open(const struct sessions *s);
/* By room id; fn returns false to stop. */
void sessions_each(const struct sessions *s, bool (*fn)(void *ctx, const struct session *newest),
                   void *ctx);
