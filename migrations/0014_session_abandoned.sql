-- One more end: nobody was there to see it (the session's process is gone, and nobody collects the room).
ALTER TABLE session DROP CONSTRAINT session_end_cause_check;
ALTER TABLE session ADD CONSTRAINT session_end_cause_check
    CHECK (end_cause IN ('preparing', 'cut_off', 'poll', 'unseen', 'removed', 'abandoned'));
