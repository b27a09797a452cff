-- What was dropped because it was older than its retention: there may be rows of later times only. A table that is not named
-- is kept for ever. So answers about earlier times can say so, also when the setting is another one now.
CREATE TABLE kept (
    what    text PRIMARY KEY CHECK (what IN ('events', 'minutes', 'audience', 'coverage')),
    from_ms int8 NOT NULL
);
