-- Rooms by discovery and over HTTP: who asked for a room, and what was said about it.
-- room.state is now: active, paused, removed (by request: discovery does not bring it back), left (nobody asks for it).
ALTER TABLE room
    ADD COLUMN by_api boolean NOT NULL DEFAULT false,  -- asked for over HTTP
    ADD COLUMN pinned boolean NOT NULL DEFAULT false,
    ADD COLUMN groups text[] NOT NULL DEFAULT '{}',
    ADD COLUMN parent_area_id int4,
    ADD COLUMN live_since_ms int8;
CREATE INDEX room_short_id ON room (short_id) WHERE short_id > 0;
