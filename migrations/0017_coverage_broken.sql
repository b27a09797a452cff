-- coverage_span.source 5, broken: what came and was thrown away because it could not be read (degraded). n: how much.
CREATE OR REPLACE VIEW coverage AS
WITH edge AS (
    SELECT room_id, from_ms AS at_ms FROM coverage_span WHERE to_ms IS NULL OR to_ms > from_ms
    UNION
    SELECT room_id, to_ms FROM coverage_span WHERE to_ms > from_ms
), held AS (
    SELECT e.room_id, e.at_ms, s.source, s.from_ms, s.first_id, s.cause, s.last_id, s.n, s.extra,
           lag(ROW (s.source, s.from_ms, s.first_id)) OVER w IS DISTINCT FROM ROW (s.source, s.from_ms, s.first_id)
               OR row_number() OVER w = 1 AS begins
    FROM edge AS e
    LEFT JOIN LATERAL (
        SELECT * FROM coverage_span AS c
        WHERE c.room_id = e.room_id AND c.from_ms <= e.at_ms AND (c.to_ms IS NULL OR c.to_ms > e.at_ms)
        ORDER BY c.source > 1, c.from_ms, c.source, c.first_id LIMIT 1) AS s ON true
    WINDOW w AS (PARTITION BY e.room_id ORDER BY e.at_ms)
)
SELECT room_id, at_ms AS from_ms,
       CASE WHEN source IS NULL THEN 'ok' WHEN source <= 1 THEN 'gap' ELSE 'degraded' END AS state,
       coalesce(cause, '') AS cause,
       CASE source
           WHEN 0 THEN json_strip_nulls(json_build_object('failed_tries', n, 'last_failure', extra))
           WHEN 1 THEN json_strip_nulls(json_build_object('events', n, 'first_id', first_id::text, 'last_id', last_id::text))
           WHEN 2 THEN json_build_object('masked_per_mille', n)
           WHEN 4 THEN json_build_object('usual_ms', n)
           WHEN 5 THEN json_build_object('thrown_away', n)
       END AS detail
FROM held
WHERE begins;
