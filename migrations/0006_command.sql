-- Names of upstream's commands, as what is kept of their messages refers to them.
CREATE TABLE command (
    cmd_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    cmd    text NOT NULL UNIQUE   -- cut at ':'; empty: messages without a command
);
-- Messages that gave no event because nobody knows their command (unknown) or because they lack what makes them one
-- (broken), counted by each node.
CREATE TABLE unknown_command (
    cmd_id      int4 NOT NULL REFERENCES command,
    node        int2 NOT NULL,
    first_ms    int8 NOT NULL,
    last_ms     int8 NOT NULL,
    n_unknown   int8 NOT NULL,
    n_broken    int8 NOT NULL,
    run         int8 NOT NULL,   -- which process counted last, and how much of its own counting is in: telling it twice
    run_unknown int8 NOT NULL,   -- adds nothing
    run_broken  int8 NOT NULL,
    reason      text,            -- why the newest broken one was
    shape       json,            -- what the fullest one seen is made of, without its values
    PRIMARY KEY (cmd_id, node)
);
