-- What is known to be missing, as the spans of time it is known by. A room's state at a time is that of the worst span which
-- covers it; without any it is ok, and before the first span of source 0 nobody collected the room.
CREATE TABLE coverage_span (
    room_id  int8 NOT NULL,
    source   int2 NOT NULL,            -- 0 link, 1 lost events: gap. 2 masked, 3 login, 4 silence: degraded
    from_ms  int8 NOT NULL,            -- reception time, ms since 1970
    first_id int8 NOT NULL DEFAULT 0,  -- lost events: id of the first one
    to_ms    int8,                     -- exclusive; NULL: goes on
    node     int2 NOT NULL,
    cause    text NOT NULL,
    last_id  int8,                     -- lost events: id of the last one
    n        int8,                     -- lost events: how many, if known; link: failed tries; masked: per mille; silence: usual ms
    extra    text,                     -- link: what the last try failed of
    PRIMARY KEY (room_id, source, from_ms, first_id),
    CHECK (to_ms >= from_ms)
);
CREATE INDEX coverage_span_time ON coverage_span USING gist (int8range(from_ms, to_ms));
CREATE INDEX coverage_span_open ON coverage_span (node, room_id) WHERE to_ms IS NULL;

INSERT INTO coverage_span (room_id, source, from_ms, first_id, to_ms, node, cause, last_id, n)
SELECT room_id, 1, from_ms, coalesce((detail ->> 'first_id')::int8, 0), greatest(to_ms, from_ms), 0, cause,
       (detail ->> 'last_id')::int8, (detail ->> 'events')::int8
FROM (SELECT *, lead(from_ms, 1, from_ms) OVER (PARTITION BY room_id ORDER BY from_ms) AS to_ms FROM coverage) AS c
WHERE state = 'gap';
DROP TABLE coverage;

-- The same as states: each row holds until the room's next one.
CREATE VIEW coverage AS
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
       END AS detail
FROM held
WHERE begins;
