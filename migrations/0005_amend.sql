-- Which event says what about an earlier one: written with the events that say it, in the same transaction.
CREATE TABLE amend (
    room_id   int8 NOT NULL,
    target_id int8 NOT NULL,   -- the event it is about
    by_id     int8 NOT NULL,   -- the event that says it; perhaps of a kind that is not stored
    what      text NOT NULL CHECK (what IN ('deleted', 'translated', 'recalled')),
    data      json,
    PRIMARY KEY (room_id, target_id, by_id)
);
