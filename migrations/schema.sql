--
-- PostgreSQL database dump
--

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: partition_day_begin(regclass, date); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.partition_day_begin(parent regclass, day date) RETURNS bigint
    LANGUAGE sql STABLE
    AS $$
    SELECT CASE a.attname
        WHEN 'id' THEN ((extract(epoch FROM day::timestamp)::int8 * 1000) - 1577836800000) << 22
        WHEN 'at_ms' THEN extract(epoch FROM day::timestamp)::int8 * 1000
    END
    FROM pg_partitioned_table AS p
    JOIN pg_attribute AS a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
    WHERE p.partrelid = parent
$$;

--
-- Name: partition_drop_before(regclass, date, integer); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.partition_drop_before(parent regclass, day date, most integer) RETURNS integer
    LANGUAGE plpgsql
    SET lock_timeout TO '2s'
    AS $_$
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
END $_$;

--
-- Name: partition_make_day(regclass, date); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.partition_make_day(parent regclass, day date) RETURNS boolean
    LANGUAGE plpgsql
    SET lock_timeout TO '2s'
    AS $$
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

SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: amend; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.amend (
    room_id bigint NOT NULL,
    target_id bigint NOT NULL,
    by_id bigint NOT NULL,
    what text NOT NULL,
    data json,
    CONSTRAINT amend_what_check CHECK ((what = ANY (ARRAY['deleted'::text, 'translated'::text, 'recalled'::text])))
);

--
-- Name: api_token; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.api_token (
    name text NOT NULL,
    hash bytea NOT NULL,
    scopes text[] NOT NULL,
    created_ms bigint NOT NULL,
    expires_ms bigint
);

--
-- Name: audience; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.audience (
    room_id bigint NOT NULL,
    at_ms bigint NOT NULL,
    online bigint,
    watched bigint,
    likes bigint,
    popularity bigint,
    followers bigint,
    rank_users integer,
    fans_club integer
)
PARTITION BY RANGE (at_ms);

--
-- Name: audience_default; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.audience_default (
    room_id bigint NOT NULL,
    at_ms bigint NOT NULL,
    online bigint,
    watched bigint,
    likes bigint,
    popularity bigint,
    followers bigint,
    rank_users integer,
    fans_club integer
);

--
-- Name: backfill_mark; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.backfill_mark (
    one boolean DEFAULT true NOT NULL,
    last_id bigint NOT NULL,
    CONSTRAINT backfill_mark_one_check CHECK (one)
);

--
-- Name: command; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.command (
    cmd_id integer NOT NULL,
    cmd text NOT NULL
);

--
-- Name: command_cmd_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.command ALTER COLUMN cmd_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.command_cmd_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

--
-- Name: coverage_span; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.coverage_span (
    room_id bigint NOT NULL,
    source smallint NOT NULL,
    from_ms bigint NOT NULL,
    first_id bigint DEFAULT 0 NOT NULL,
    to_ms bigint,
    node smallint NOT NULL,
    cause text NOT NULL,
    last_id bigint,
    n bigint,
    extra text,
    CONSTRAINT coverage_span_check CHECK ((to_ms >= from_ms))
);

--
-- Name: coverage; Type: VIEW; Schema: public; Owner: -
--

CREATE VIEW public.coverage AS
 WITH edge AS (
         SELECT coverage_span.room_id,
            coverage_span.from_ms AS at_ms
           FROM public.coverage_span
          WHERE ((coverage_span.to_ms IS NULL) OR (coverage_span.to_ms > coverage_span.from_ms))
        UNION
         SELECT coverage_span.room_id,
            coverage_span.to_ms
           FROM public.coverage_span
          WHERE (coverage_span.to_ms > coverage_span.from_ms)
        ), held AS (
         SELECT e.room_id,
            e.at_ms,
            s.source,
            s.from_ms,
            s.first_id,
            s.cause,
            s.last_id,
            s.n,
            s.extra,
            ((lag(ROW(s.source, s.from_ms, s.first_id)) OVER w IS DISTINCT FROM ROW(s.source, s.from_ms, s.first_id)) OR (row_number() OVER w = 1)) AS begins
           FROM (edge e
             LEFT JOIN LATERAL ( SELECT c.room_id,
                    c.source,
                    c.from_ms,
                    c.first_id,
                    c.to_ms,
                    c.node,
                    c.cause,
                    c.last_id,
                    c.n,
                    c.extra
                   FROM public.coverage_span c
                  WHERE ((c.room_id = e.room_id) AND (c.from_ms <= e.at_ms) AND ((c.to_ms IS NULL) OR (c.to_ms > e.at_ms)))
                  ORDER BY (c.source > 1), c.from_ms, c.source, c.first_id
                 LIMIT 1) s ON (true))
          WINDOW w AS (PARTITION BY e.room_id ORDER BY e.at_ms)
        )
 SELECT held.room_id,
    held.at_ms AS from_ms,
        CASE
            WHEN (held.source IS NULL) THEN 'ok'::text
            WHEN (held.source <= 1) THEN 'gap'::text
            ELSE 'degraded'::text
        END AS state,
    COALESCE(held.cause, ''::text) AS cause,
        CASE held.source
            WHEN 0 THEN json_strip_nulls(json_build_object('failed_tries', held.n, 'last_failure', held.extra))
            WHEN 1 THEN json_strip_nulls(json_build_object('events', held.n, 'first_id', (held.first_id)::text, 'last_id', (held.last_id)::text))
            WHEN 2 THEN json_build_object('masked_per_mille', held.n)
            WHEN 4 THEN json_build_object('usual_ms', held.n)
            WHEN 5 THEN json_build_object('thrown_away', held.n)
            ELSE NULL::json
        END AS detail
   FROM held
  WHERE held.begins;

--
-- Name: event; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.event (
    room_id bigint NOT NULL,
    id bigint NOT NULL,
    nkey bigint NOT NULL,
    actor bigint NOT NULL,
    value_mcny bigint,
    item_id bigint,
    medal_uid bigint,
    sent_off_ms integer,
    color integer,
    num integer,
    kind smallint NOT NULL,
    flags smallint NOT NULL,
    guard smallint,
    medal_lv smallint,
    mode smallint,
    wealth smallint,
    uname text,
    text text,
    medal text,
    extra json
)
PARTITION BY RANGE (id);

--
-- Name: event_default; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.event_default (
    room_id bigint NOT NULL,
    id bigint NOT NULL,
    nkey bigint NOT NULL,
    actor bigint NOT NULL,
    value_mcny bigint,
    item_id bigint,
    medal_uid bigint,
    sent_off_ms integer,
    color integer,
    num integer,
    kind smallint NOT NULL,
    flags smallint NOT NULL,
    guard smallint,
    medal_lv smallint,
    mode smallint,
    wealth smallint,
    uname text,
    text text,
    medal text,
    extra json
);

--
-- Name: kept; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.kept (
    what text NOT NULL,
    from_ms bigint NOT NULL,
    CONSTRAINT kept_what_check CHECK ((what = ANY (ARRAY['events'::text, 'minutes'::text, 'audience'::text, 'coverage'::text])))
);

--
-- Name: minute_dirty; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.minute_dirty (
    room_id bigint NOT NULL,
    minute integer NOT NULL
);

--
-- Name: parked_event; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.parked_event (
    id bigint NOT NULL,
    node smallint NOT NULL,
    at_ms bigint NOT NULL,
    reason text NOT NULL,
    line bytea NOT NULL
);

--
-- Name: raw_event; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.raw_event (
    room_id bigint NOT NULL,
    id bigint NOT NULL,
    actor bigint,
    cmd_id integer,
    dict smallint,
    reason text NOT NULL,
    body bytea,
    places smallint
)
PARTITION BY RANGE (id);

--
-- Name: raw_event_default; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.raw_event_default (
    room_id bigint NOT NULL,
    id bigint NOT NULL,
    actor bigint,
    cmd_id integer,
    dict smallint,
    reason text NOT NULL,
    body bytea,
    places smallint
);

--
-- Name: rollup_mark; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.rollup_mark (
    one boolean DEFAULT true NOT NULL,
    minute integer NOT NULL,
    CONSTRAINT rollup_mark_one_check CHECK (one)
);

--
-- Name: room; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.room (
    room_id bigint NOT NULL,
    short_id bigint,
    anchor_uid bigint,
    uname text,
    title text,
    area_id integer,
    area text,
    parent_area text,
    live boolean,
    origin text NOT NULL,
    state text DEFAULT 'active'::text NOT NULL,
    rev bigint DEFAULT 0 NOT NULL,
    created_ms bigint NOT NULL,
    by_api boolean DEFAULT false NOT NULL,
    pinned boolean DEFAULT false NOT NULL,
    groups text[] DEFAULT '{}'::text[] NOT NULL,
    parent_area_id integer,
    live_since_ms bigint
);

--
-- Name: room_minute; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.room_minute (
    room_id bigint NOT NULL,
    minute integer NOT NULL,
    n_danmaku integer DEFAULT 0 NOT NULL,
    n_mirror integer DEFAULT 0 NOT NULL,
    n_gift integer DEFAULT 0 NOT NULL,
    n_guard integer DEFAULT 0 NOT NULL,
    n_superchat integer DEFAULT 0 NOT NULL,
    n_redpacket integer DEFAULT 0 NOT NULL,
    n_other integer DEFAULT 0 NOT NULL,
    chatters integer DEFAULT 0 NOT NULL,
    v_gift bigint DEFAULT 0 NOT NULL,
    v_guard bigint DEFAULT 0 NOT NULL,
    v_superchat bigint DEFAULT 0 NOT NULL,
    v_redpacket bigint DEFAULT 0 NOT NULL
);

--
-- Name: room_minute_kind; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.room_minute_kind (
    room_id bigint NOT NULL,
    minute integer NOT NULL,
    kind smallint NOT NULL,
    n integer NOT NULL
);

--
-- Name: schema_migrations; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.schema_migrations (
    version integer NOT NULL,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL,
    applied_by text NOT NULL
);

--
-- Name: session; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.session (
    id bigint NOT NULL,
    room_id bigint NOT NULL,
    start_id bigint NOT NULL,
    end_id bigint,
    end_cause text,
    upstream_start_ms bigint,
    CONSTRAINT session_check CHECK (((end_id IS NULL) = (end_cause IS NULL))),
    CONSTRAINT session_check1 CHECK ((end_id >= start_id)),
    CONSTRAINT session_end_cause_check CHECK ((end_cause = ANY (ARRAY['preparing'::text, 'cut_off'::text, 'poll'::text, 'unseen'::text, 'removed'::text, 'abandoned'::text])))
);

--
-- Name: session_mark; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.session_mark (
    node smallint NOT NULL,
    upto_id bigint NOT NULL
);

--
-- Name: session_segment; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.session_segment (
    session_id bigint NOT NULL,
    from_id bigint NOT NULL,
    live_key text,
    title text,
    area_id bigint,
    area text,
    parent_area_id bigint,
    parent_area text
);

--
-- Name: unknown_command; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.unknown_command (
    cmd_id integer NOT NULL,
    node smallint NOT NULL,
    first_ms bigint NOT NULL,
    last_ms bigint NOT NULL,
    n_unknown bigint NOT NULL,
    n_broken bigint NOT NULL,
    run bigint NOT NULL,
    run_unknown bigint NOT NULL,
    run_broken bigint NOT NULL,
    reason text,
    shape json
);

--
-- Name: writer_mark; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.writer_mark (
    node smallint NOT NULL,
    last_id bigint NOT NULL,
    alive_ms bigint NOT NULL,
    complete_id bigint DEFAULT 0 NOT NULL
);

--
-- Name: audience_default; Type: TABLE ATTACH; Schema: public; Owner: -
--

ALTER TABLE ONLY public.audience ATTACH PARTITION public.audience_default DEFAULT;

--
-- Name: event_default; Type: TABLE ATTACH; Schema: public; Owner: -
--

ALTER TABLE ONLY public.event ATTACH PARTITION public.event_default DEFAULT;

--
-- Name: raw_event_default; Type: TABLE ATTACH; Schema: public; Owner: -
--

ALTER TABLE ONLY public.raw_event ATTACH PARTITION public.raw_event_default DEFAULT;

--
-- Name: amend amend_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.amend
    ADD CONSTRAINT amend_pkey PRIMARY KEY (room_id, target_id, by_id);

--
-- Name: api_token api_token_hash_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.api_token
    ADD CONSTRAINT api_token_hash_key UNIQUE (hash);

--
-- Name: api_token api_token_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.api_token
    ADD CONSTRAINT api_token_pkey PRIMARY KEY (name);

--
-- Name: audience audience_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.audience
    ADD CONSTRAINT audience_pkey PRIMARY KEY (room_id, at_ms);

--
-- Name: audience_default audience_default_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.audience_default
    ADD CONSTRAINT audience_default_pkey PRIMARY KEY (room_id, at_ms);

--
-- Name: backfill_mark backfill_mark_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.backfill_mark
    ADD CONSTRAINT backfill_mark_pkey PRIMARY KEY (one);

--
-- Name: command command_cmd_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.command
    ADD CONSTRAINT command_cmd_key UNIQUE (cmd);

--
-- Name: command command_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.command
    ADD CONSTRAINT command_pkey PRIMARY KEY (cmd_id);

--
-- Name: coverage_span coverage_span_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.coverage_span
    ADD CONSTRAINT coverage_span_pkey PRIMARY KEY (room_id, source, from_ms, first_id);

--
-- Name: event event_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.event
    ADD CONSTRAINT event_pkey PRIMARY KEY (room_id, id) WITH (fillfactor='100');

--
-- Name: event_default event_default_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.event_default
    ADD CONSTRAINT event_default_pkey PRIMARY KEY (room_id, id) WITH (fillfactor='100');

--
-- Name: kept kept_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.kept
    ADD CONSTRAINT kept_pkey PRIMARY KEY (what);

--
-- Name: minute_dirty minute_dirty_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.minute_dirty
    ADD CONSTRAINT minute_dirty_pkey PRIMARY KEY (room_id, minute);

--
-- Name: parked_event parked_event_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.parked_event
    ADD CONSTRAINT parked_event_pkey PRIMARY KEY (id);

--
-- Name: raw_event raw_event_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.raw_event
    ADD CONSTRAINT raw_event_pkey PRIMARY KEY (room_id, id);

--
-- Name: raw_event_default raw_event_default_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.raw_event_default
    ADD CONSTRAINT raw_event_default_pkey PRIMARY KEY (room_id, id);

--
-- Name: rollup_mark rollup_mark_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.rollup_mark
    ADD CONSTRAINT rollup_mark_pkey PRIMARY KEY (one);

--
-- Name: room_minute_kind room_minute_kind_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.room_minute_kind
    ADD CONSTRAINT room_minute_kind_pkey PRIMARY KEY (room_id, minute, kind);

--
-- Name: room_minute room_minute_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.room_minute
    ADD CONSTRAINT room_minute_pkey PRIMARY KEY (room_id, minute);

--
-- Name: room room_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.room
    ADD CONSTRAINT room_pkey PRIMARY KEY (room_id);

--
-- Name: schema_migrations schema_migrations_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (version);

--
-- Name: session_mark session_mark_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.session_mark
    ADD CONSTRAINT session_mark_pkey PRIMARY KEY (node);

--
-- Name: session session_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.session
    ADD CONSTRAINT session_pkey PRIMARY KEY (id);

--
-- Name: session session_room_id_start_id_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.session
    ADD CONSTRAINT session_room_id_start_id_key UNIQUE (room_id, start_id);

--
-- Name: session_segment session_segment_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.session_segment
    ADD CONSTRAINT session_segment_pkey PRIMARY KEY (session_id, from_id);

--
-- Name: unknown_command unknown_command_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.unknown_command
    ADD CONSTRAINT unknown_command_pkey PRIMARY KEY (cmd_id, node);

--
-- Name: writer_mark writer_mark_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.writer_mark
    ADD CONSTRAINT writer_mark_pkey PRIMARY KEY (node);

--
-- Name: coverage_span_open; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX coverage_span_open ON public.coverage_span USING btree (node, room_id) WHERE (to_ms IS NULL);

--
-- Name: coverage_span_time; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX coverage_span_time ON public.coverage_span USING gist (int8range(from_ms, to_ms));

--
-- Name: event_id_brin; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX event_id_brin ON ONLY public.event USING brin (id) WITH (autosummarize='on', pages_per_range='32');

--
-- Name: event_default_id_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX event_default_id_idx ON public.event_default USING brin (id) WITH (autosummarize='on', pages_per_range='32');

--
-- Name: event_rare; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX event_rare ON ONLY public.event USING btree (room_id, id) WHERE (kind <> ALL (ARRAY[1, 10, 12]));

--
-- Name: event_default_room_id_id_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX event_default_room_id_id_idx ON public.event_default USING btree (room_id, id) WHERE (kind <> ALL (ARRAY[1, 10, 12]));

--
-- Name: raw_event_cmd; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX raw_event_cmd ON ONLY public.raw_event USING btree (cmd_id, id);

--
-- Name: raw_event_default_cmd_id_id_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX raw_event_default_cmd_id_id_idx ON public.raw_event_default USING btree (cmd_id, id);

--
-- Name: room_minute_kind_minute; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX room_minute_kind_minute ON public.room_minute_kind USING btree (minute);

--
-- Name: room_minute_minute; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX room_minute_minute ON public.room_minute USING btree (minute);

--
-- Name: room_short_id; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX room_short_id ON public.room USING btree (short_id) WHERE (short_id > 0);

--
-- Name: session_end; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX session_end ON public.session USING btree (end_id);

--
-- Name: session_open; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX session_open ON public.session USING btree (room_id) WHERE (end_id IS NULL);

--
-- Name: audience_default_pkey; Type: INDEX ATTACH; Schema: public; Owner: -
--

ALTER INDEX public.audience_pkey ATTACH PARTITION public.audience_default_pkey;

--
-- Name: event_default_id_idx; Type: INDEX ATTACH; Schema: public; Owner: -
--

ALTER INDEX public.event_id_brin ATTACH PARTITION public.event_default_id_idx;

--
-- Name: event_default_pkey; Type: INDEX ATTACH; Schema: public; Owner: -
--

ALTER INDEX public.event_pkey ATTACH PARTITION public.event_default_pkey;

--
-- Name: event_default_room_id_id_idx; Type: INDEX ATTACH; Schema: public; Owner: -
--

ALTER INDEX public.event_rare ATTACH PARTITION public.event_default_room_id_id_idx;

--
-- Name: raw_event_default_cmd_id_id_idx; Type: INDEX ATTACH; Schema: public; Owner: -
--

ALTER INDEX public.raw_event_cmd ATTACH PARTITION public.raw_event_default_cmd_id_id_idx;

--
-- Name: raw_event_default_pkey; Type: INDEX ATTACH; Schema: public; Owner: -
--

ALTER INDEX public.raw_event_pkey ATTACH PARTITION public.raw_event_default_pkey;

--
-- Name: session_segment session_segment_session_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.session_segment
    ADD CONSTRAINT session_segment_session_id_fkey FOREIGN KEY (session_id) REFERENCES public.session(id) ON DELETE CASCADE;

--
-- Name: unknown_command unknown_command_cmd_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.unknown_command
    ADD CONSTRAINT unknown_command_cmd_id_fkey FOREIGN KEY (cmd_id) REFERENCES public.command(cmd_id);

--
-- PostgreSQL database dump complete
--

