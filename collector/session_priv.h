/* collector/session_priv.h - what session.c and session_segment.c share. Private to the two.
 *
 * Threading:  loop thread only.
 */
#pragma once

#include "collector/session.h"
#include "server/core/str.h"

struct session_place { /* what is known of the room, live or not */
    char title[SESSION_TITLE_BYTES + 1];
    char area[SESSION_AREA_BYTES + 1];
    char parent_area[SESSION_AREA_BYTES + 1];
    int64_t area_id;
    int64_t parent_area_id;
};

struct room_sessions {
    int64_t room_id;
    struct session last; /* id 0: none yet */
    struct session_segment segment;
    unsigned n_segments;
    struct session_place place;
    int64_t fed_id;        /* newest event looked at */
    int64_t told_live_ms;  /* newest LIVE; 0 none since the last end */
    int64_t told_off_ms;   /* newest message that ended something, or would have */
    int64_t told_place_ms; /* newest message about title and area */
    int64_t evidence_ms;   /* newest LIVE or poll that said live; 0 none since the last end */
    int64_t seen_ms;       /* last known to be live, but for a connection that stands */
    int64_t up_since_ms;   /* 0: not connected */
    int64_t looked_ms;     /* newest sessions_link */
    int64_t doubt_id;      /* of a LIVE that waits for a poll; 0 none */
    bool doubt_keyed;      /* and it had the key of the last segment */
};

struct sessions {
    struct sessions_opts opts;
    struct stats *stats;
    struct room_sessions **rooms; /* owned, n of cap, by room id */
    size_t n;
    size_t cap;
    size_t n_open;
    int64_t put_room_id; /* sessions_put_open has come so far; 0: it begins anew */
};

/* Makes valid UTF-8 without NUL of at most max bytes; out has room for a NUL more. */
void session_text_copy(char *out, size_t max, struct str text);
/* Both are known, and they are not the same. */
bool session_text_differs(const char *was, const char *now);
/* A segment of r->last from here on, with what is known of the room. */
void session_segment_begin(struct sessions *s, struct room_sessions *r, int64_t from_id,
                           const char *key);
/* What is known now, of the open session: fills in, or begins a new segment; key "": unknown. */
void session_segment_update(struct sessions *s, struct room_sessions *r, int64_t at_id,
                            const char *key);

struct session_member {
    const char *name;
    char *text; /* room for max + 1; NULL: a number */
    size_t max;
    int64_t *number;
};
/* Reads the members of a JSON object that are asked for; what is missing or of another type stays. */
void session_members_read(struct str object, const struct session_member *members, size_t n);
