-- What is known to be missing: the state of a room's collection from from_ms on, until its next row.
CREATE TABLE coverage (
    room_id int8 NOT NULL,
    from_ms int8 NOT NULL,          -- reception time, ms since 1970
    state   text NOT NULL CHECK (state IN ('ok', 'degraded', 'gap')),
    cause   text NOT NULL,          -- overflow, ...; empty for ok
    detail  json,                   -- {"events": how many are missing, if known, "first_id": "...", "last_id": "..."}
    PRIMARY KEY (room_id, from_ms)
);
