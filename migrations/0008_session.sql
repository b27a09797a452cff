-- Lives of rooms. Events belong to a session by their id: start_id <= id, and id <= end_id unless it goes on.
CREATE TABLE session (
    id        int8 PRIMARY KEY,  -- of the event that began it, or made when polling found it
    room_id   int8 NOT NULL,
    start_id  int8 NOT NULL,     -- an id as a time: perhaps before anything was collected
    end_id    int8,              -- NULL: it goes on
    end_cause text CHECK (end_cause IN ('preparing', 'cut_off', 'poll', 'unseen', 'removed')),
    upstream_start_ms int8,      -- what upstream says, ms since 1970
    CHECK ((end_id IS NULL) = (end_cause IS NULL)),
    CHECK (end_id >= start_id),
    UNIQUE (room_id, start_id)
);
CREATE INDEX session_open ON session (room_id) WHERE end_id IS NULL;
CREATE INDEX session_end ON session (end_id);

-- What a session was called, from which id on. NULL: not known.
CREATE TABLE session_segment (
    session_id     int8 NOT NULL REFERENCES session ON DELETE CASCADE,
    from_id        int8 NOT NULL,
    live_key       text,
    title          text,
    area_id        int8,
    area           text,
    parent_area_id int8,
    parent_area    text,
    PRIMARY KEY (session_id, from_id)
);

-- Every event of the node up to this id has had its effect on the two tables; the next start looks at those after it.
CREATE TABLE session_mark (
    node    int2 PRIMARY KEY,
    upto_id int8 NOT NULL
);
