-- Days as partitions: of every table that is partitioned by ids or by ms since 1970 (a column at_ms), by the same two
-- functions. They take the place of event_make_day, raw_make_day, audience_make_day and raw_drop_before.

-- The UTC day as the first value of the partition key of table `parent` that belongs to it.
CREATE FUNCTION partition_day_begin(parent regclass, day date) RETURNS int8 LANGUAGE sql STABLE AS $$
    SELECT CASE a.attname
        WHEN 'id' THEN ((extract(epoch FROM day::timestamp)::int8 * 1000) - 1577836800000) << 22
        WHEN 'at_ms' THEN extract(epoch FROM day::timestamp)::int8 * 1000
    END
    FROM pg_partitioned_table AS p
    JOIN pg_attribute AS a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
    WHERE p.partrelid = parent
$$;

-- The UTC day that begins at `day` as a partition of `parent`; does nothing if it is there. Returns whether it was made.
-- Built aside and attached, so that readers and the writer are not locked out of the other days. What had to go to the
-- default partition meanwhile moves in. Gives up (55P03) rather than queue behind a long query: call again later.
CREATE FUNCTION partition_make_day(parent regclass, day date) RETURNS boolean
LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    base name := (SELECT relname FROM pg_class WHERE oid = parent);
    part text := base || '_' || to_char(day, 'YYYYMMDD');
    key name := (SELECT a.attname FROM pg_partitioned_table AS p
                 JOIN pg_attribute AS a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
                 WHERE p.partrelid = parent);
    rest regclass := (SELECT partdefid FROM pg_partitioned_table WHERE partrelid = parent AND partdefid <> 0);
    low int8 := partition_day_begin(parent, day);
    high int8 := partition_day_begin(parent, day + 1);
    waiting boolean := false;
BEGIN
    IF low IS NULL THEN
        RAISE EXCEPTION 'table % is not partitioned by days', parent;
    END IF;
    IF low < 0 OR to_regclass(quote_ident(part)) IS NOT NULL THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock((72368::int8 << 32) + parent::oid::int8);
    IF to_regclass(quote_ident(part)) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)', part, parent);
    IF rest IS NOT NULL THEN
        EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE %I >= %s AND %I < %s)', rest, key, low, key, high)
            INTO waiting;
    END IF;
    IF waiting THEN
        EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', rest);
        EXECUTE format('WITH moved AS (DELETE FROM %s WHERE %I >= %s AND %I < %s RETURNING *)'
                       ' INSERT INTO %I SELECT * FROM moved', rest, key, low, key, high, part);
    END IF;
    EXECUTE format('ALTER TABLE %s ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', parent, part, low, high);
    RETURN true;
END $$;

-- Drops at most `most` partitions of days of `parent` that end at `day` or before, oldest first, and returns how many. What
-- the default partition holds of that time goes with the last of them. Gives up (55P03) as partition_make_day does.
CREATE FUNCTION partition_drop_before(parent regclass, day date, most int4) RETURNS int4
LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    base name := (SELECT relname FROM pg_class WHERE oid = parent);
    key name := (SELECT a.attname FROM pg_partitioned_table AS p
                 JOIN pg_attribute AS a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
                 WHERE p.partrelid = parent);
    rest regclass := (SELECT partdefid FROM pg_partitioned_table WHERE partrelid = parent AND partdefid <> 0);
    part record;
    dropped int4 := 0;
BEGIN
    FOR part IN SELECT c.oid::regclass AS rel FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
                WHERE i.inhparent = parent AND left(c.relname, -8) = base || '_' AND c.relname ~ '_[0-9]{8}$'
                  AND to_date(right(c.relname, 8), 'YYYYMMDD') < day
                ORDER BY c.relname LOOP
        IF dropped >= most THEN
            RETURN dropped;
        END IF;
        EXECUTE format('DROP TABLE %s', part.rel);
        dropped := dropped + 1;
    END LOOP;
    IF rest IS NOT NULL THEN
        EXECUTE format('DELETE FROM %s WHERE %I < %s', rest, key, partition_day_begin(parent, day));
    END IF;
    RETURN dropped;
END $$;

DROP FUNCTION event_make_day(date);
DROP FUNCTION raw_make_day(date);
DROP FUNCTION audience_make_day(date);
DROP FUNCTION raw_drop_before(int8);
