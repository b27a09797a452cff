-- Messages of upstream as they came, packed: those that nobody understood, or all (setting `raw`). A message shares its
-- message id with its events: id is that of the event at place 0, whether there is one or not.
CREATE TABLE raw_event (
    room_id int8 NOT NULL,
    id      int8 NOT NULL,
    actor   int8,            -- of its first event, as the event has it; NULL: none, or no event
    cmd_id  int4,            -- NULL: the name found no place in table command
    dict    int2,            -- number of the dictionary the body was packed with (zstd); 0: none
    reason  text NOT NULL,   -- unknown: no decoder; kept: its events are stored; else why it is broken
    body    bytea,           -- NULL: too large to be kept
    PRIMARY KEY (room_id, id)
) PARTITION BY RANGE (id);
CREATE TABLE raw_event_default PARTITION OF raw_event DEFAULT;
CREATE INDEX raw_event_cmd ON raw_event (cmd_id, id);

-- The UTC day that begins at `day` as a partition, as event_make_day does for event.
CREATE FUNCTION raw_make_day(day date) RETURNS boolean LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    name text := 'raw_event_' || to_char(day, 'YYYYMMDD');
    low int8 := ((extract(epoch FROM day::timestamp)::int8 * 1000) - 1577836800000) << 22;
    high int8 := ((extract(epoch FROM (day + 1)::timestamp)::int8 * 1000) - 1577836800000) << 22;
BEGIN
    IF low < 0 OR to_regclass(quote_ident(name)) IS NOT NULL THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(7236812340043);
    IF to_regclass(quote_ident(name)) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE raw_event INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)', name);
    IF EXISTS (SELECT FROM raw_event_default WHERE id >= low AND id < high) THEN
        LOCK TABLE raw_event_default IN SHARE ROW EXCLUSIVE MODE;
        EXECUTE format('WITH moved AS (DELETE FROM raw_event_default WHERE id >= %s AND id < %s RETURNING *)'
                       ' INSERT INTO %I SELECT * FROM moved', low, high, name);
    END IF;
    EXECUTE format('ALTER TABLE raw_event ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', name, low, high);
    RETURN true;
END $$;

-- Drops the days that end before the id. Gives up (55P03) rather than queue behind a long query: call again later.
CREATE FUNCTION raw_drop_before(before int8) RETURNS int LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    name text;
    day date;
    dropped int := 0;
BEGIN
    FOR name IN SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
                WHERE i.inhparent = 'raw_event'::regclass AND c.relname ~ '^raw_event_[0-9]{8}$' ORDER BY 1 LOOP
        day := to_date(right(name, 8), 'YYYYMMDD');
        IF ((extract(epoch FROM (day + 1)::timestamp)::int8 * 1000) - 1577836800000) << 22 <= before THEN
            EXECUTE format('DROP TABLE %I', name);
            dropped := dropped + 1;
        END IF;
    END LOOP;
    DELETE FROM raw_event_default WHERE id < before;
    RETURN dropped;
END $$;
