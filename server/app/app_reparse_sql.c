/* The statements of `danmakud reparse`. */
#include "collector/writer/batch.h"
#include "server/app/app_reparse_priv.h"

const struct db_stmt reparse_temp = {
    "reparse_temp", "CREATE TEMP TABLE IF NOT EXISTS reparse_event (LIKE event) ON COMMIT DELETE "
                    "ROWS"};
/* guard_buy last: its other messages know the price that was paid. */
const struct db_stmt reparse_commands = {
    "reparse_commands",
    "SELECT cmd FROM command AS c WHERE ($1::text IS NULL OR cmd = $1) AND EXISTS (SELECT FROM "
    "raw_event AS r WHERE r.cmd_id = c.cmd_id AND r.id >= $2 AND r.id < $3) "
    "ORDER BY cmd = 'GUARD_BUY', cmd LIMIT $4"};
#define LAST_ID                                                                                    \
    "CASE WHEN r.reason <> 'kept' THEN 9223372036854775807 "                                       \
    "ELSE coalesce(greatest(m.last_id, m.complete_id), 0) END"
const struct db_stmt reparse_page = {
    "reparse_page",
    "SELECT r.id, r.room_id, coalesce(r.dict, 0), r.body, " LAST_ID ", coalesce(r.places, 16) "
    "FROM raw_event AS r LEFT JOIN writer_mark AS m ON m.node = (r.id >> 16) & 63 "
    "WHERE r.cmd_id = (SELECT cmd_id FROM command WHERE cmd = $1) AND r.id > $2 AND r.id >= $3 "
    "AND r.id < $4 AND r.id <= " LAST_ID " ORDER BY r.id LIMIT $5"};
/* uncount: what was only counted when it came (store_kinds) and is stored now counts once. */
const struct db_stmt reparse_add = {
    "reparse_add",
    "WITH candidate AS (SELECT p.*, p.id - lag(p.id) OVER (PARTITION BY p.room_id, p.nkey ORDER BY "
    "p.id) AS since FROM reparse_event AS p), "
    "fresh AS (INSERT INTO event (" BATCH_COLUMNS ") SELECT " BATCH_COLUMNS " FROM candidate AS p "
    "WHERE (p.nkey = 0 OR ((p.since IS NULL OR p.since > $1) AND NOT EXISTS (SELECT FROM event AS "
    "e WHERE e.room_id = p.room_id AND e.id > p.id - $1 AND e.id < p.id + $1 AND e.nkey = "
    "p.nkey))) "
    "AND (p.kind <> 5 OR NOT EXISTS (SELECT FROM event AS e WHERE e.room_id = p.room_id "
    "AND e.id > p.id - $2 AND e.id < p.id + $2 AND e.kind NOT IN (1, 10, 12) AND e.kind = 5 "
    "AND e.guard IS NOT DISTINCT FROM p.guard "
    "AND (e.actor = p.actor OR (e.actor <= 0 AND p.actor <= 0 AND e.uname = p.uname)) "
    "AND coalesce(e.extra ->> 'payflow_id' = p.extra ->> 'payflow_id', true) "
    "AND (coalesce(e.num = p.num, true) OR coalesce(e.extra ->> 'unit', '月') <> '月' "
    "OR coalesce(p.extra ->> 'unit', '月') <> '月'))) "
    "ORDER BY room_id, id ON CONFLICT DO NOTHING RETURNING room_id, id, kind, "
    "(((id >> 22) + 1577836800000) / 60000)::int4 AS minute), "
    "dirty AS (INSERT INTO minute_dirty (room_id, minute) SELECT DISTINCT room_id, minute "
    "FROM fresh ON CONFLICT DO NOTHING), "
    "uncount AS (UPDATE room_minute_kind AS k SET n = greatest(k.n - c.n, 0) "
    "FROM (SELECT f.room_id, f.minute, f.kind, count(*)::int4 AS n FROM fresh AS f "
    "WHERE (SELECT r.reason FROM raw_event AS r WHERE r.room_id = f.room_id AND r.id <= f.id "
    "AND r.id > f.id - 256 ORDER BY r.id DESC LIMIT 1) = 'kept' GROUP BY 1, 2, 3) AS c "
    "WHERE k.room_id = c.room_id AND k.minute = c.minute AND k.kind = c.kind), "
    "rev AS (UPDATE room SET rev = rev + 1 WHERE room_id IN (SELECT room_id FROM fresh)), "
    "mark AS (INSERT INTO backfill_mark AS m (last_id) SELECT max(id) FROM fresh HAVING count(*) > "
    "0 ON CONFLICT (one) DO UPDATE SET last_id = greatest(m.last_id, excluded.last_id)) "
    "SELECT count(*), count(*) FILTER (WHERE kind IN (1, 6)) FROM fresh"};
/* What was a repeat says nothing a second time. */
const struct db_stmt reparse_clean = {
    "reparse_clean", "DELETE FROM amend AS a USING reparse_event AS p WHERE a.room_id = p.room_id "
                     "AND a.by_id = p.id AND NOT EXISTS (SELECT FROM event AS e WHERE e.room_id = "
                     "p.room_id AND e.id = p.id)"};
const struct db_stmt reparse_later = {
    "reparse_later",
    "SELECT e.id, e.room_id, e.kind, coalesce(e.actor, 0), coalesce(e.item_id, 0), e.extra "
    "FROM (SELECT p.room_id, min(p.id) AS low, max(p.id) AS high FROM reparse_event AS p "
    "WHERE p.kind IN (1, 6) GROUP BY 1) AS t JOIN event AS e ON e.room_id = t.room_id "
    "AND e.id > t.low AND e.id <= t.high + (86400001::int8 << 22) "
    "WHERE e.id > $1 AND e.kind NOT IN (1, 10, 12) AND (e.kind IN (7, 17) "
    "OR e.kind = 19 AND e.extra ->> 'notice' = 'superchat_translation') ORDER BY e.id LIMIT $2"};
