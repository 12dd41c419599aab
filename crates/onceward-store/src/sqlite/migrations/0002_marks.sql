-- Which effect was last let through for what it means (P5): the lookup id of its record, and the epoch of its claim.
CREATE TABLE marks (
    id BLOB PRIMARY KEY,
    holder BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    since_ms INTEGER NOT NULL,
    until_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Serves the sweep.
CREATE INDEX marks_by_until ON marks (until_ms);
