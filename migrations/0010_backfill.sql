-- Minutes that got events after they were counted (reparse, import) or lost some (erasure): they are counted again.
CREATE TABLE minute_dirty (
    room_id int8 NOT NULL,
    minute  int4 NOT NULL,
    PRIMARY KEY (room_id, minute)
);
-- The newest event that came by another way than the live feed: what is up to it has to be read from the database.
CREATE TABLE backfill_mark (
    one     boolean PRIMARY KEY DEFAULT true CHECK (one),
    last_id int8 NOT NULL
);
