-- Events and what is derived from them. Ids are the time axis (docs/data-model.md): ms since 2020-01-01 UTC << 22.

-- One row per event, never updated. A NULL is the default of the field: see event_columns in collector/writer and api/query.
CREATE TABLE event (
    room_id    int8 NOT NULL,
    id         int8 NOT NULL,
    nkey       int8 NOT NULL,
    actor      int8 NOT NULL,
    value_mcny int8,             -- NULL: 0
    item_id    int8,             -- NULL: none
    medal_uid  int8,             -- NULL: none
    sent_off_ms int4,            -- sent_ms - reception ms; NULL: unknown
    color      int4,             -- NULL: 16777215
    num        int4,             -- NULL: none
    kind       int2 NOT NULL,
    flags      int2 NOT NULL,
    guard      int2,             -- NULL: 0
    medal_lv   int2,             -- NULL: no medal
    mode       int2,             -- NULL: 1
    wealth     int2,             -- NULL: 0
    uname      text,             -- NULL: empty
    text       text,
    medal      text,
    extra      json,             -- NULL: nothing; json, not jsonb, so that it reads back byte for byte
    PRIMARY KEY (room_id, id) WITH (fillfactor = 100) -- rows come in order within a room and stay: 2 bytes a row less
) PARTITION BY RANGE (id);

-- Its use is an alarm: days are made ahead.
CREATE TABLE event_default PARTITION OF event DEFAULT;

CREATE INDEX event_id_brin ON event USING brin (id) WITH (autosummarize = on, pages_per_range = 32);
-- Kinds that are few: paid kinds, room state. Not danmaku (1), interact (10), like (12).
CREATE INDEX event_rare ON event (room_id, id) WHERE kind NOT IN (1, 10, 12);

-- The UTC day that begins at `day` as a partition; does nothing if it is there. Returns whether it was made.
-- Built aside and attached, so that readers and the writer are not locked out of the other days. What had to go to
-- event_default meanwhile moves in. Gives up (55P03) rather than queue behind a long query: call again later.
CREATE FUNCTION event_make_day(day date) RETURNS boolean LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    name text := 'event_' || to_char(day, 'YYYYMMDD');
    low int8 := ((extract(epoch FROM day::timestamp)::int8 * 1000) - 1577836800000) << 22;
    high int8 := ((extract(epoch FROM (day + 1)::timestamp)::int8 * 1000) - 1577836800000) << 22;
BEGIN
    IF low < 0 OR to_regclass(quote_ident(name)) IS NOT NULL THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(7236812340042);
    IF to_regclass(quote_ident(name)) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE event INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)', name);
    IF EXISTS (SELECT FROM event_default WHERE id >= low AND id < high) THEN
        LOCK TABLE event_default IN SHARE ROW EXCLUSIVE MODE;
        EXECUTE format('WITH moved AS (DELETE FROM event_default WHERE id >= %s AND id < %s RETURNING *)'
                       ' INSERT INTO %I SELECT * FROM moved', low, high, name);
    END IF;
    EXECUTE format('ALTER TABLE event ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', name, low, high);
    RETURN true;
END $$;

-- How far each node has written: set in the transaction that writes the events, so it is never wrong.
CREATE TABLE writer_mark (
    node     int2 PRIMARY KEY,
    last_id  int8 NOT NULL,
    alive_ms int8 NOT NULL
);

-- One row per room and minute with events; recomputed from event when the minute is closed.
CREATE TABLE room_minute (
    room_id     int8 NOT NULL,
    minute      int4 NOT NULL,   -- minutes since 1970-01-01 UTC
    n_danmaku   int4 NOT NULL DEFAULT 0,
    n_mirror    int4 NOT NULL DEFAULT 0,
    n_gift      int4 NOT NULL DEFAULT 0,
    n_guard     int4 NOT NULL DEFAULT 0,
    n_superchat int4 NOT NULL DEFAULT 0,
    n_redpacket int4 NOT NULL DEFAULT 0,
    n_other     int4 NOT NULL DEFAULT 0,
    chatters    int4 NOT NULL DEFAULT 0,   -- distinct actors with a danmaku
    v_gift      int8 NOT NULL DEFAULT 0,   -- 1/1000 CNY
    v_guard     int8 NOT NULL DEFAULT 0,
    v_superchat int8 NOT NULL DEFAULT 0,
    v_redpacket int8 NOT NULL DEFAULT 0,
    PRIMARY KEY (room_id, minute)
);
CREATE INDEX room_minute_minute ON room_minute (minute);
-- How far minutes are rolled up: every minute below is final unless it is in minute_dirty.
CREATE TABLE rollup_mark (
    one    boolean PRIMARY KEY DEFAULT true CHECK (one),
    minute int4 NOT NULL
);

-- Rooms ever collected. Removed rooms keep their row.
CREATE TABLE room (
    room_id    int8 PRIMARY KEY,
    short_id   int8,
    anchor_uid int8,
    uname      text,
    title      text,
    area_id    int4,
    area       text,
    parent_area text,
    live       boolean,
    origin     text NOT NULL,              -- config, api, discovery
    state      text NOT NULL DEFAULT 'active', -- active, paused, removed
    rev        int8 NOT NULL DEFAULT 0,    -- grows with every change that alters answers about the past
    created_ms int8 NOT NULL
);

CREATE TABLE api_token (
    name       text PRIMARY KEY,
    hash       bytea NOT NULL UNIQUE,      -- SHA-256 of the token
    scopes     text[] NOT NULL,
    created_ms int8 NOT NULL,
    expires_ms int8
);
