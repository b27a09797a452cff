-- Figures of a room as upstream tells them: a row when one has changed, seldom enough. NULL: not known, or not now.
CREATE TABLE audience (
    room_id    int8 NOT NULL,
    at_ms      int8 NOT NULL,   -- ms since 1970
    online     int8,            -- people in the list of viewers
    watched    int8,            -- people who have watched this live
    likes      int8,            -- likes of this live
    popularity int8,            -- upstream's own measure
    followers  int8,            -- of the anchor
    rank_users int4,            -- people in the ranking of givers
    fans_club  int4,            -- members of the anchor's fan club
    PRIMARY KEY (room_id, at_ms)
) PARTITION BY RANGE (at_ms);
CREATE TABLE audience_default PARTITION OF audience DEFAULT;

-- The UTC day that begins at `day` as a partition, as event_make_day does for event.
CREATE FUNCTION audience_make_day(day date) RETURNS boolean LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    name text := 'audience_' || to_char(day, 'YYYYMMDD');
    low int8 := extract(epoch FROM day::timestamp)::int8 * 1000;
    high int8 := extract(epoch FROM (day + 1)::timestamp)::int8 * 1000;
BEGIN
    IF to_regclass(quote_ident(name)) IS NOT NULL THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(7236812340044);
    IF to_regclass(quote_ident(name)) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE audience INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)', name);
    IF EXISTS (SELECT FROM audience_default WHERE at_ms >= low AND at_ms < high) THEN
        LOCK TABLE audience_default IN SHARE ROW EXCLUSIVE MODE;
        EXECUTE format('WITH moved AS (DELETE FROM audience_default WHERE at_ms >= %s AND at_ms < %s RETURNING *)'
                       ' INSERT INTO %I SELECT * FROM moved', low, high, name);
    END IF;
    EXECUTE format('ALTER TABLE audience ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', name, low, high);
    RETURN true;
END $$;
