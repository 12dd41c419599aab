-- The order of `place` is the order in which keys were first seen; listings follow it.
-- `state`, `due_ms`, `key` and `actor` repeat what `head` says, so that it can be looked for.
CREATE TABLE records (
    place INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    state INTEGER NOT NULL,
    due_ms INTEGER,
    key BLOB NOT NULL,
    actor BLOB NOT NULL,
    head BLOB NOT NULL,
    outcome BLOB
) STRICT;

-- Serves the sweep (what is due in a state), the recovery (what is claimed) and the listing of doubts.
CREATE INDEX records_by_state ON records (state, due_ms);

CREATE INDEX records_by_key ON records (key);

-- AUTOINCREMENT, so that a position read once never comes back for another line.
CREATE TABLE audit (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms INTEGER NOT NULL,
    key BLOB,
    json TEXT NOT NULL
) STRICT;

CREATE INDEX audit_by_key ON audit (key) WHERE key IS NOT NULL;

-- One row: what the store knows of itself. `boot` and `durability` are those of the run that has it open; after an orderly
-- end `boot` is NULL.
CREATE TABLE store (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    secret_check BLOB NOT NULL,
    runs INTEGER NOT NULL,
    boot TEXT,
    durability TEXT,
    clock_ms INTEGER NOT NULL,
    epoch_end INTEGER NOT NULL,
    barrier_ms INTEGER,
    absent INTEGER NOT NULL,
    claimed INTEGER NOT NULL,
    done INTEGER NOT NULL,
    in_doubt INTEGER NOT NULL,
    tombstone INTEGER NOT NULL
) STRICT;

CREATE TABLE migrations (
    number INTEGER PRIMARY KEY,
    sha256 BLOB NOT NULL
) STRICT;
