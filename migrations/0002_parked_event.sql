-- Rows that PostgreSQL refused: nothing is lost silently. `line` is that of COPY event, `reason` what the server said.
CREATE TABLE parked_event (
    id     int8 PRIMARY KEY,
    node   int2 NOT NULL,
    at_ms  int8 NOT NULL,
    reason text NOT NULL,
    line   bytea NOT NULL
);
