-- `state` is a state's number (crate::step::Kind); 127 and above only ever inside a transaction, and gone at its end.
-- `place` is the order in which keys were first seen. `came_from` is the mark that the row was swapped from.
CREATE TABLE IF NOT EXISTS {records} (
    id BINARY(32) NOT NULL PRIMARY KEY,
    place BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    mark BINARY(16) NOT NULL,
    came_from BINARY(16) NOT NULL,
    state TINYINT UNSIGNED NOT NULL,
    due_ms BIGINT UNSIGNED NULL,
    key_tag BINARY(8) NOT NULL,
    actor BINARY(8) NOT NULL,
    head MEDIUMBLOB NOT NULL,
    outcome LONGBLOB NULL,
    KEY by_place (place),
    KEY by_due (due_ms),
    KEY by_state (state, place),
    KEY by_key (key_tag, place),
    KEY by_actor (actor, place)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET binary;

-- Places are given out under the lock of the one row of `audit_head`, so that they are seen in order.
CREATE TABLE IF NOT EXISTS {audit} (
    place BIGINT UNSIGNED NOT NULL PRIMARY KEY,
    at_ms BIGINT UNSIGNED NOT NULL,
    key_tag BINARY(8) NULL,
    json LONGBLOB NOT NULL,
    KEY by_key (key_tag, place)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET binary;

CREATE TABLE IF NOT EXISTS {audit_head} (
    place TINYINT UNSIGNED NOT NULL PRIMARY KEY,
    last BIGINT UNSIGNED NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET binary;

-- The one row of the store about itself.
CREATE TABLE IF NOT EXISTS {books} (
    place TINYINT UNSIGNED NOT NULL PRIMARY KEY,
    secret_check BINARY(32) NOT NULL,
    server VARBINARY(255) NOT NULL,
    witness BIGINT UNSIGNED NOT NULL,
    barrier_ms BIGINT UNSIGNED NULL,
    correction_ms BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET binary;

-- Its row is gone when the server was started again.
CREATE TABLE IF NOT EXISTS {alive} (
    place TINYINT UNSIGNED NOT NULL PRIMARY KEY
) ENGINE = MEMORY;
