-- What reparse has to know: how many ids from its own on are kept free for the events of a message (NULL: 16), and up to where
-- everything of a node is written, also while nothing comes that moves last_id.
ALTER TABLE raw_event ADD COLUMN places int2;
ALTER TABLE writer_mark ADD COLUMN complete_id int8 NOT NULL DEFAULT 0;
