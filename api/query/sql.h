/* api/query/sql.h - the statements of the api, as static texts.
 *
 * Threading:  any thread.
 */
#pragma once

#include <stdbool.h>

#include "api/query/filter.h"
#include "server/db/db.h"

enum sql {
#define X(NAME, name, text) SQL_##NAME,
#include "api/query/sql.def"
#undef X
    SQLS
};

const struct db_stmt *sql_stmt(enum sql which);
/* The EVENTS_* variant for a filter and a direction. */
enum sql sql_events(const struct filter *f, bool descending);

/* Columns of ROOM and ROOMS. */
enum {
    ROOM_COL_ROOM_ID,
    ROOM_COL_SHORT_ID,
    ROOM_COL_ANCHOR_UID,
    ROOM_COL_UNAME,
    ROOM_COL_TITLE,
    ROOM_COL_AREA_ID,
    ROOM_COL_AREA,
    ROOM_COL_PARENT_AREA,
    ROOM_COL_LIVE,
    ROOM_COL_ORIGIN,
    ROOM_COL_STATE,
    ROOM_COL_REV,
    ROOM_COL_CREATED_MS,
    ROOM_COL_PARENT_AREA_ID,
    ROOM_COL_LIVE_SINCE_MS,
    ROOM_COL_PINNED,
    ROOM_COL_GROUPS, /* joined by commas */
    ROOM_COLS
};

/* Columns of COVERAGE_*. */
#define SQL_SPAN_COLUMNS                                                                           \
    "room_id, source, from_ms, first_id, to_ms, cause, last_id, n, extra FROM coverage_span"
enum {
    SPAN_COL_ROOM_ID,
    SPAN_COL_SOURCE,
    SPAN_COL_FROM_MS,
    SPAN_COL_FIRST_ID,
    SPAN_COL_TO_MS,
    SPAN_COL_CAUSE,
    SPAN_COL_LAST_ID,
    SPAN_COL_N,
    SPAN_COL_EXTRA,
};

/* Columns of MINUTES_* and COUNT_*. */
enum {
    MINUTE_COL_MINUTE,
    MINUTE_COL_DANMAKU,
    MINUTE_COL_MIRROR,
    MINUTE_COL_GIFT,
    MINUTE_COL_GUARD,
    MINUTE_COL_SUPERCHAT,
    MINUTE_COL_REDPACKET,
    MINUTE_COL_OTHER,
    MINUTE_COL_CHATTERS,
    MINUTE_COL_V_GIFT,
    MINUTE_COL_V_GUARD,
    MINUTE_COL_V_SUPERCHAT,
    MINUTE_COL_V_REDPACKET,
    MINUTE_COLS,
};

/* Columns of AMENDS. */
enum { AMEND_COL_TARGET_ID, AMEND_COL_BY_ID, AMEND_COL_WHAT, AMEND_COL_DATA };

/* Columns of UNKNOWN_COMMANDS. */
enum {
    COMMAND_COL_CMD,
    COMMAND_COL_UNKNOWN,
    COMMAND_COL_BROKEN,
    COMMAND_COL_FIRST_MS,
    COMMAND_COL_LAST_MS,
    COMMAND_COL_REASON,
    COMMAND_COL_SHAPE,
    COMMAND_COL_KEPT,
};

/* Columns of SESSIONS_* and SESSION. */
enum {
    SESSION_COL_ID,
    SESSION_COL_ROOM_ID,
    SESSION_COL_START_ID,
    SESSION_COL_END_ID,
    SESSION_COL_END_CAUSE,
    SESSION_COL_UPSTREAM_START_MS,
    SESSION_COL_TITLE,
    SESSION_COL_AREA_ID,
    SESSION_COL_AREA,
    SESSION_COL_PARENT_AREA_ID,
    SESSION_COL_PARENT_AREA,
};

/* Columns of SESSION_SPANS. */
enum { SESSION_SPAN_COL_ROOM_ID, SESSION_SPAN_COL_START_ID, SESSION_SPAN_COL_END_ID };

/* Columns of SEGMENTS. */
enum {
    SEGMENT_COL_FROM_ID,
    SEGMENT_COL_LIVE_KEY,
    SEGMENT_COL_TITLE,
    SEGMENT_COL_AREA_ID,
    SEGMENT_COL_AREA,
    SEGMENT_COL_PARENT_AREA_ID,
    SEGMENT_COL_PARENT_AREA,
};

/* Columns of AUDIENCE; the figures follow ONLINE. */
enum { AUDIENCE_COL_AT_MS, AUDIENCE_COL_ONLINE };

/* Columns of TOKENS: hash as hexadecimal digits, scopes joined by commas. */
enum {
    TOKEN_COL_NAME,
    TOKEN_COL_HASH,
    TOKEN_COL_SCOPES,
    TOKEN_COL_CREATED_MS,
    TOKEN_COL_EXPIRES_MS
};
