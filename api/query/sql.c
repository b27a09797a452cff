#include "api/query/sql.h"

#include "server/core/assert.h"

/* The order of EVENT_ROW_COLUMNS; a unit test compares. */
#define SQL_EVENT_COLUMNS                                                                          \
    "e.id, e.room_id, e.nkey, e.actor, e.value_mcny, e.item_id, e.medal_uid, e.sent_off_ms, "      \
    "e.color, e.num, e.kind, "                                                                     \
    "e.flags, e.guard, e.medal_lv, e.mode, e.wealth, e.uname, e.text, e.medal, e.extra"
#define SQL_FILTER                                                                                 \
    "($4::int8[] IS NULL OR e.kind = ANY ($4)) AND ($5::int8 = 0 OR e.value_mcny >= $5)"
/* The predicate of the index event_rare, word for word. */
#define SQL_RARE " AND e.kind NOT IN (1, 10, 12)"
#define SQL_EVERY_ROOM "(SELECT room_id FROM room WHERE $1::int8[] IS NULL)"
#define SQL_EVENTS(rooms, condition, dir)                                                          \
    "SELECT " SQL_EVENT_COLUMNS " FROM " rooms " AS r(room_id) CROSS JOIN LATERAL "                \
    "(SELECT * FROM event e WHERE e.room_id = r.room_id AND e.id >= $2 AND e.id < $3 "             \
    "AND " SQL_FILTER condition " ORDER BY e.id " dir " LIMIT $6) e ORDER BY e.id " dir            \
    " LIMIT $6"
#define SQL_EVENTS_ALL(dir)                                                                        \
    "SELECT " SQL_EVENT_COLUMNS                                                                    \
    " FROM event e WHERE $1::int8[] IS NULL AND e.id >= $2 AND e.id < $3 AND " SQL_FILTER          \
    " ORDER BY e.id " dir " LIMIT $6"
/* The last id there can be stands for the end of what goes on. */
#define SQL_LAST_ID "9223372036854775807"
#define SQL_SPANS_OF_R                                                                             \
    "SELECT s.start_id AS low, coalesce(s.end_id + 1, " SQL_LAST_ID ") AS high FROM session s "    \
    "WHERE s.room_id = r.room_id AND s.start_id < $3 AND (s.end_id IS NULL OR s.end_id >= $2)"
#define SQL_INSIDE "(" SQL_SPANS_OF_R ") p"
#define SQL_OUTSIDE                                                                                \
    "(SELECT coalesce(lag(g.high) OVER (ORDER BY g.low), 0) AS low, g.low AS high "                \
    "FROM (" SQL_SPANS_OF_R " UNION ALL SELECT " SQL_LAST_ID ", " SQL_LAST_ID ") g) p"
#define SQL_EVENTS_LIVE(spans, dir)                                                                \
    "SELECT " SQL_EVENT_COLUMNS " FROM (SELECT unnest($1::int8[]) AS room_id UNION ALL "           \
    "SELECT room_id FROM room WHERE $1::int8[] IS NULL) r CROSS JOIN LATERAL "                     \
    "(SELECT x.* FROM " spans " CROSS JOIN LATERAL (SELECT * FROM event e "                        \
    "WHERE e.room_id = r.room_id AND e.id >= greatest(p.low, $2) AND e.id < least(p.high, $3) "    \
    "AND " SQL_FILTER " ORDER BY e.id " dir " LIMIT $6) x ORDER BY x.id " dir " LIMIT $6) e "      \
    "ORDER BY e.id " dir " LIMIT $6"
#define SQL_ROOM_COLUMNS                                                                           \
    "room_id, short_id, anchor_uid, uname, title, area_id, area, parent_area, live, origin, "      \
    "state, rev, created_ms, parent_area_id, live_since_ms, pinned, array_to_string(groups, ',')"

/* Minutes: the columns of MINUTE_COL_*; in the row of the mark, minute is NULL and danmaku holds the mark. */
#define SQL_MINUTE_MARK                                                                            \
    "SELECT NULL::int8 AS minute, minute::int8, 0::int8, 0::int8, 0::int8, 0::int8, 0::int8, "     \
    "0::int8, 0::int8, "                                                                           \
    "0::int8, 0::int8, 0::int8, 0::int8 FROM rollup_mark"
#define SQL_MINUTE_COLUMNS                                                                         \
    "::int8, n_danmaku::int8, n_mirror::int8, n_gift::int8, n_guard::int8, n_superchat::int8, "    \
    "n_redpacket::int8, "                                                                          \
    "n_other::int8, chatters::int8, v_gift, v_guard, v_superchat, v_redpacket"
#define SQL_MINUTE_SUMS                                                                            \
    "::int8, sum(n_danmaku)::int8, sum(n_mirror)::int8, sum(n_gift)::int8, sum(n_guard)::int8, "   \
    "sum(n_superchat)::int8, sum(n_redpacket)::int8, sum(n_other)::int8, sum(chatters)::int8, "    \
    "sum(v_gift)::int8, "                                                                          \
    "sum(v_guard)::int8, sum(v_superchat)::int8, sum(v_redpacket)::int8"
/* The same of no group: zeros when there is nothing. */
#define SQL_MINUTE_TOTALS                                                                          \
    ", coalesce(sum(n_danmaku), 0)::int8, coalesce(sum(n_mirror), 0)::int8, "                      \
    "coalesce(sum(n_gift), 0)::int8, coalesce(sum(n_guard), 0)::int8, "                            \
    "coalesce(sum(n_superchat), 0)::int8, coalesce(sum(n_redpacket), 0)::int8, "                   \
    "coalesce(sum(n_other), 0)::int8 + coalesce((SELECT sum(n) FROM room_minute_kind "             \
    "WHERE room_id = $1 AND minute >= $2 AND minute < $3), 0)::int8, 0::int8, "                    \
    "coalesce(sum(v_gift), 0)::int8, coalesce(sum(v_guard), 0)::int8, "                            \
    "coalesce(sum(v_superchat), 0)::int8, coalesce(sum(v_redpacket), 0)::int8"
#define SQL_SESSION_ROW                                                                            \
    "SELECT s.id, s.room_id, s.start_id, s.end_id, s.end_cause, s.upstream_start_ms, g.title, "    \
    "g.area_id, g.area, g.parent_area_id, g.parent_area FROM session s LEFT JOIN LATERAL "         \
    "(SELECT * FROM session_segment x WHERE x.session_id = s.id ORDER BY x.from_id DESC LIMIT 1) " \
    "g ON true"
#define SQL_SESSIONS(dir)                                                                          \
    SQL_SESSION_ROW " WHERE s.room_id = $1 AND s.start_id >= $2 AND s.start_id < $3 AND "          \
                    "(s.end_id IS NULL OR s.end_id >= $4) ORDER BY s.start_id " dir " LIMIT $5"
/* Kinds that are only counted belong to `other`. */
#define SQL_MINUTE_KINDS(where)                                                                    \
    " UNION ALL (SELECT minute::int8, 0::int8, 0::int8, 0::int8, 0::int8, 0::int8, 0::int8, "      \
    "sum(n)::int8, 0::int8, 0::int8, 0::int8, 0::int8, 0::int8 FROM room_minute_kind "             \
    "WHERE " where " GROUP BY minute)"
/* $2 and $3 are ids: the minutes that they begin and end in. */
#define SQL_MINUTES_OF_IDS                                                                         \
    " AND minute >= ($2 / 4194304 + 1577836800000) / 60000 "                                       \
    "AND minute <= (($3 - 1) / 4194304 + 1577836800000) / 60000"
#define SQL_COUNT_OF(kind) "count(*) FILTER (WHERE e.kind = " kind "), "
#define SQL_VALUE_OF(kind) "coalesce(sum(e.value_mcny) FILTER (WHERE e.kind = " kind "), 0)::int8"
#define SQL_COUNT(where, chatter)                                                                  \
    "SELECT (e.id / 4194304 + 1577836800000) / 60000 AS minute, " SQL_COUNT_OF("1")                \
        SQL_COUNT_OF("2") SQL_COUNT_OF("3") SQL_COUNT_OF("5") SQL_COUNT_OF("6") SQL_COUNT_OF(      \
            "8") "count(*) FILTER (WHERE e.kind NOT IN (1, 2, 3, 5, 6, 8)), "                      \
                 "count(DISTINCT " chatter                                                         \
                 ") FILTER (WHERE e.kind = 1), " SQL_VALUE_OF("3") ", " SQL_VALUE_OF(              \
                     "5") ", " SQL_VALUE_OF("6") ", " SQL_VALUE_OF("8") " FROM event e "           \
                                                                        "WHERE " where             \
                                                                        " AND e.id >= $2 AND "     \
                                                                        "e.id < $3 GROUP BY 1"

static const struct db_stmt stmts[SQLS] = {
#define X(NAME, name, text) [SQL_##NAME] = {name, text},
#include "api/query/sql.def"
#undef X
};

const struct db_stmt *sql_stmt(enum sql which)
{
    ASSERT(which < SQLS);
    return &stmts[which];
}

enum sql sql_events(const struct filter *f, bool descending)
{
    if (f->live == FILTER_INSIDE) {
        return descending ? SQL_EVENTS_INSIDE_DESC : SQL_EVENTS_INSIDE_ASC;
    }
    if (f->live == FILTER_OUTSIDE) {
        return descending ? SQL_EVENTS_OUTSIDE_DESC : SQL_EVENTS_OUTSIDE_ASC;
    }
    if (filter_is_rare(f)) {
        if (f->n_rooms == 0) {
            return descending ? SQL_EVENTS_ANYRARE_DESC : SQL_EVENTS_ANYRARE_ASC;
        }
        return descending ? SQL_EVENTS_RARE_DESC : SQL_EVENTS_RARE_ASC;
    }
    if (f->n_rooms == 0) {
        return descending ? SQL_EVENTS_ALL_DESC : SQL_EVENTS_ALL_ASC;
    }
    return descending ? SQL_EVENTS_ROOMS_DESC : SQL_EVENTS_ROOMS_ASC;
}
