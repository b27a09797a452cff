-- Events of kinds that are not stored (store_kinds), only counted: added to by the transaction that passes them, never
-- recomputed. What room_minute counts is stored events; the two add up.
CREATE TABLE room_minute_kind (
    room_id int8 NOT NULL,
    minute  int4 NOT NULL,   -- minutes since 1970-01-01 UTC
    kind    int2 NOT NULL,   -- number of the kind
    n       int4 NOT NULL,
    PRIMARY KEY (room_id, minute, kind)
);
CREATE INDEX room_minute_kind_minute ON room_minute_kind (minute);
