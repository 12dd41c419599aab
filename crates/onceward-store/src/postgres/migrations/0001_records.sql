-- `{schema}` stands for the schema's quoted name. Every function runs with the rights of its caller.

-- One row a key. `place` is the order in which keys were first seen; listings follow it. `kind`, `due_ms`, `key` and `actor` repeat what
-- `head` says, so that it can be looked for. `kind`: 0 absent, 1 claimed, 2 done, 3 in doubt, 4 tombstone.
--
-- An id has to be unique over all time, so the table cannot be partitioned by time. Each step of a record's life changes `due_ms`, which is
-- indexed, so no update is heap-only and room kept free in pages would serve none; dead rows are what autovacuum is told to look for.
CREATE TABLE {schema}.records (
    place bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    due_ms bigint,
    kind smallint NOT NULL,
    id bytea NOT NULL CONSTRAINT records_id PRIMARY KEY,
    mark bytea NOT NULL,
    key bytea NOT NULL,
    actor bytea NOT NULL,
    head bytea NOT NULL,
    outcome bytea
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.1);

-- Outcomes are ciphertext: trying to compress them would cost time and gain nothing. Heads stay in the row, so that listings read no other.
ALTER TABLE {schema}.records ALTER head SET STORAGE MAIN, ALTER outcome SET STORAGE EXTERNAL;

CREATE UNIQUE INDEX records_by_place ON {schema}.records (place);
CREATE INDEX records_by_due ON {schema}.records (due_ms) WHERE due_ms IS NOT NULL;
CREATE INDEX records_by_key ON {schema}.records (key);
CREATE INDEX records_by_actor ON {schema}.records (actor, place);
CREATE INDEX records_in_doubt ON {schema}.records (place) WHERE kind = 3;

-- Trimmed in order of `place`, from the start: cheap enough that partitions, which somebody would have to make in time, gain nothing.
CREATE TABLE {schema}.audit (
    place bigint NOT NULL GENERATED ALWAYS AS IDENTITY CONSTRAINT audit_place PRIMARY KEY,
    at_ms bigint NOT NULL,
    key bytea,
    json text NOT NULL
);

CREATE INDEX audit_by_key ON {schema}.audit (key, place) WHERE key IS NOT NULL;

-- One row: what the store knows of itself, and the lineage of the server that it was last used on.
CREATE TABLE {schema}.books (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    secret_check bytea NOT NULL,
    system_id bigint NOT NULL,
    timeline bigint NOT NULL,
    relation bigint NOT NULL,
    started_ms bigint NOT NULL,
    barrier_ms bigint,
    correction_ms bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 10);

-- Which past this server has: the cluster (another one after a dump was loaded elsewhere), the timeline (another one after each promotion
-- and each recovery to a point in time), the table itself (another one after a dump was loaded in place); and, where the server
-- does not sync its log, the run of the server, since the end of any run may have lost something.
CREATE FUNCTION {schema}.lineage(
    OUT system_id bigint, OUT timeline bigint, OUT relation bigint, OUT started_ms bigint
) LANGUAGE plpgsql AS $$
BEGIN
    -- The name of a log file begins with its timeline. The control file's own timeline lags until the checkpoint after a promotion.
    SELECT c.system_identifier,
        ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::bigint,
        '{schema}.records'::regclass::oid::bigint,
        CASE current_setting('fsync')
            WHEN 'on' THEN 0
            ELSE (extract(epoch FROM pg_postmaster_start_time()) * 1000)::bigint
        END
    INTO STRICT system_id, timeline, relation, started_ms
    FROM pg_control_system() AS c;
END
$$;

-- Makes this transaction's commit wait for the disk, and for the synchronous standbys where there are any, whatever the role, the database
-- or another user of a pooled session has set; and makes the server say so when such a wait was cancelled.
CREATE FUNCTION {schema}.durable() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('synchronous_commit') NOT IN ('on', 'remote_apply') THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    IF current_setting('client_min_messages') = 'error' THEN
        PERFORM set_config('client_min_messages', 'warning', true);
    END IF;
    -- Each statement below has to see what others committed before it.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'onceward needs the isolation level read committed'
            USING ERRCODE = 'invalid_transaction_state';
    END IF;
END
$$;

-- Looks for a break in the server's history, and raises the barrier to `now_ms` where acknowledged records may be lost (T5).
-- `seen_lsn` is how much of its log the server had synced on the timeline `seen_timeline` when the caller last looked. A server of an
-- older timeline than that is the primary before a promotion, which somebody forgot to stop: it grants nothing to those who know.
CREATE FUNCTION {schema}.look_back(
    now_ms bigint, promotion_loses boolean, seen_timeline bigint, seen_lsn bigint,
    OUT barrier bigint, OUT timeline bigint, OUT lsn bigint, OUT broke boolean
) LANGUAGE plpgsql AS $$
DECLARE
    here record;
    book record;
    rewound boolean;
    promoted boolean;
BEGIN
    SELECT l.system_id, l.timeline, l.relation, l.started_ms INTO STRICT here FROM {schema}.lineage() AS l;
    rewound := here.timeline = seen_timeline AND pg_current_wal_insert_lsn() - '0/0'::pg_lsn < seen_lsn;
    SELECT * INTO STRICT book FROM {schema}.books AS b WHERE b.one;
    IF here.timeline < seen_timeline AND here.system_id = book.system_id THEN
        RAISE EXCEPTION 'this server was superseded: the caller has seen the timeline % of its cluster', seen_timeline
            USING ERRCODE = 'read_only_sql_transaction';
    END IF;
    broke := false;
    IF rewound OR (book.system_id, book.timeline, book.relation, book.started_ms)
        IS DISTINCT FROM (here.system_id, here.timeline, here.relation, here.started_ms)
    THEN
        -- Another caller may be at it, or done.
        SELECT * INTO STRICT book FROM {schema}.books AS b WHERE b.one FOR UPDATE;
        promoted := book.timeline <> here.timeline
            AND (book.system_id, book.relation, book.started_ms)
            IS NOT DISTINCT FROM (here.system_id, here.relation, here.started_ms);
        broke := rewound OR (promoted AND promotion_loses)
            OR (book.system_id, book.relation, book.started_ms)
            IS DISTINCT FROM (here.system_id, here.relation, here.started_ms);
        UPDATE {schema}.books AS b
        SET system_id = here.system_id, timeline = here.timeline, relation = here.relation,
            started_ms = here.started_ms,
            barrier_ms = CASE WHEN broke THEN greatest(b.barrier_ms, now_ms) ELSE b.barrier_ms END
        WHERE b.one
        RETURNING b.barrier_ms INTO STRICT book.barrier_ms;
        IF broke THEN
            -- Positions that a reader of the lost lines went past must not come back for others.
            PERFORM setval(
                pg_get_serial_sequence('{schema}.audit', 'place'),
                nextval(pg_get_serial_sequence('{schema}.audit', 'place')) + 4294967296
            );
        END IF;
    END IF;
    barrier := book.barrier_ms;
    timeline := here.timeline;
    lsn := pg_current_wal_flush_lsn() - '0/0'::pg_lsn;
END
$$;

-- Writes the store's own row if it is not there yet, and says under which secret it was made; null where records are there without it.
CREATE FUNCTION {schema}.open_books(secret bytea) RETURNS bytea LANGUAGE plpgsql AS $$
BEGIN
    PERFORM {schema}.durable();
    IF NOT EXISTS (SELECT FROM {schema}.books) THEN
        IF EXISTS (SELECT FROM {schema}.records) THEN
            RETURN NULL;
        END IF;
        INSERT INTO {schema}.books (secret_check, system_id, timeline, relation, started_ms)
        SELECT secret, l.system_id, l.timeline, l.relation, l.started_ms FROM {schema}.lineage() AS l
        ON CONFLICT (one) DO NOTHING;
    END IF;
    RETURN (SELECT b.secret_check FROM {schema}.books AS b WHERE b.one);
END
$$;

-- Writers of audit lines hold this lock shared from before their lines get positions until they are committed; a reader that has had it for
-- itself knows that no line will turn up behind those that it sees.
CREATE FUNCTION {schema}.audit_lock() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    -- `oncw`, and the table, since advisory locks are shared by the whole database.
    RETURN (1869505399::bigint << 32) | '{schema}.audit'::regclass::oid::bigint;
END
$$;

-- Applies a batch of swaps, each array sorted by id: `i_` puts a row where none is, `u_` one for another, `d_` takes one away, `k_` looks
-- only, and `a_` are the audit lines of those that apply. `i_barrier` and `u_barrier` are what grants were judged by, null for no barrier;
-- the highest number where a swap is none. `grants` says whether any is.
--
-- The first row has no id: it says which swaps applied (null: all) and, where there are grants, what `look_back` found. Where not all
-- applied, a row for each swap follows, with what is there now; head and outcome only where it is not what the swap puts.
--
-- Each statement takes a new snapshot, so a row that another transaction put in the way is read after it committed. Locks are always taken in one
-- order (audit, books, inserts by id, then updates and deletes by id), and nobody who holds one of the last kind waits for one of an
-- earlier, so exchanges do not deadlock.
CREATE FUNCTION {schema}.exchange(
    now_ms bigint, grants boolean, promotion_loses boolean, seen_timeline bigint, seen_lsn bigint,
    i_id bytea[], i_barrier bigint[], i_mark bytea[], i_kind smallint[], i_due bigint[], i_key bytea[], i_actor bytea[],
    i_head bytea[], i_outcome bytea[],
    u_id bytea[], u_expected bytea[], u_barrier bigint[], u_mark bytea[], u_kind smallint[], u_due bigint[],
    u_head bytea[], u_outcome bytea[],
    d_id bytea[], d_expected bytea[],
    k_id bytea[], k_expected bytea[],
    a_id bytea[], a_at bigint[], a_key bytea[], a_json text[]
) RETURNS TABLE (
    swap_id bytea, found_mark bytea, found_head bytea, found_outcome bytea,
    swaps_applied bytea[], barrier bigint, timeline bigint, lsn bigint, broke boolean
) LANGUAGE plpgsql
-- Plans are made once a session and kept. These leave the planner one way, by the primary key from each swap's id, whatever the statistics
-- say; and a refused sequential scan looks so dear that the compiler would be called for it.
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
-- Below the 1.5 s after which the caller gives up, so that it learns that nothing happened.
SET lock_timeout = '1s'
AS $$
DECLARE
    applied bytea[] := '{}';
    part bytea[];
    look_barrier bigint;
    look_timeline bigint;
    look_lsn bigint;
    look_broke boolean;
    swaps integer := cardinality(i_id) + cardinality(u_id) + cardinality(d_id) + cardinality(k_id);
BEGIN
    PERFORM {schema}.durable();
    IF cardinality(a_id) > 0 THEN
        PERFORM pg_advisory_xact_lock_shared({schema}.audit_lock());
    END IF;
    IF grants THEN
        SELECT l.barrier, l.timeline, l.lsn, l.broke
        INTO STRICT look_barrier, look_timeline, look_lsn, look_broke
        FROM {schema}.look_back(now_ms, promotion_loses, seen_timeline, seen_lsn) AS l;
    END IF;
    IF cardinality(i_id) > 0 THEN
        WITH made AS (
            INSERT INTO {schema}.records AS r (id, mark, kind, due_ms, key, actor, head, outcome)
            SELECT s.id, s.mark, s.kind, s.due_ms, s.key, s.actor, s.head, s.outcome
            FROM unnest(i_id, i_barrier, i_mark, i_kind, i_due, i_key, i_actor, i_head, i_outcome)
                AS s (id, barrier_ms, mark, kind, due_ms, key, actor, head, outcome)
            WHERE look_barrier IS NULL OR s.barrier_ms >= look_barrier
            ON CONFLICT (id) DO NOTHING
            RETURNING r.id
        )
        SELECT array_agg(made.id) INTO part FROM made;
        applied := applied || part;
    END IF;

    IF cardinality(u_id) > 0 AND cardinality(d_id) > 0 THEN
        PERFORM FROM (SELECT s.id FROM unnest(u_id || d_id) AS s (id) ORDER BY s.id OFFSET 0) AS s
        CROSS JOIN LATERAL (SELECT r.id FROM {schema}.records AS r WHERE r.id = s.id FOR UPDATE) AS held;
    END IF;
    -- A limit that the planner cannot know counts as a tenth of ten: so it begins with the swaps, in their order.
    IF cardinality(u_id) > 0 THEN
        WITH moved AS (
            UPDATE {schema}.records AS r
            SET mark = s.mark, kind = s.kind, due_ms = s.due_ms, head = s.head, outcome = s.outcome
            FROM (
                SELECT * FROM unnest(u_id, u_expected, u_barrier, u_mark, u_kind, u_due, u_head, u_outcome)
                    AS u (id, expected, barrier_ms, mark, kind, due_ms, head, outcome)
                LIMIT cardinality(u_id)
            ) AS s
            WHERE r.id = s.id AND r.mark = s.expected AND (look_barrier IS NULL OR s.barrier_ms >= look_barrier)
            RETURNING r.id
        )
        SELECT array_agg(moved.id) INTO part FROM moved;
        applied := applied || part;
    END IF;
    IF cardinality(d_id) > 0 THEN
        WITH gone AS (
            DELETE FROM {schema}.records AS r
            USING (SELECT * FROM unnest(d_id, d_expected) AS d (id, expected) LIMIT cardinality(d_id)) AS s
            WHERE r.id = s.id AND r.mark = s.expected
            RETURNING r.id
        )
        SELECT array_agg(gone.id) INTO part FROM gone;
        applied := applied || part;
    END IF;
    IF cardinality(k_id) > 0 THEN
        SELECT array_agg(s.id) INTO part
        FROM unnest(k_id, k_expected) AS s (id, expected)
        LEFT JOIN LATERAL (SELECT r.mark FROM {schema}.records AS r WHERE r.id = s.id OFFSET 0) AS r ON true
        WHERE r.mark IS NOT DISTINCT FROM s.expected;
        applied := applied || part;
    END IF;

    IF cardinality(a_id) > 0 THEN
        INSERT INTO {schema}.audit (at_ms, key, json)
        SELECT a.at_ms, a.key, a.json FROM unnest(a_id, a_at, a_key, a_json) AS a (id, at_ms, key, json)
        WHERE a.id = ANY (applied);
    END IF;

    IF cardinality(applied) = swaps THEN
        applied := NULL;
    END IF;
    RETURN QUERY SELECT NULL::bytea, NULL::bytea, NULL::bytea, NULL::bytea,
        applied, look_barrier, look_timeline, look_lsn, look_broke;
    IF applied IS NOT NULL THEN
        RETURN QUERY
        SELECT s.id, r.mark,
            CASE WHEN r.mark IS DISTINCT FROM s.mark THEN r.head END,
            CASE WHEN r.mark IS DISTINCT FROM s.mark THEN r.outcome END,
            NULL::bytea[], NULL::bigint, NULL::bigint, NULL::bigint, NULL::boolean
        FROM unnest(i_id || u_id || d_id || k_id, i_mark || u_mark) AS s (id, mark)
        LEFT JOIN LATERAL (
            SELECT r.mark, r.head, r.outcome FROM {schema}.records AS r WHERE r.id = s.id OFFSET 0
        ) AS r ON true;
    END IF;
END
$$;

CREATE FUNCTION {schema}.append(a_at bigint[], a_key bytea[], a_json text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM {schema}.durable();
    PERFORM pg_advisory_xact_lock_shared({schema}.audit_lock());
    INSERT INTO {schema}.audit (at_ms, key, json)
    SELECT a.at_ms, a.key, a.json FROM unnest(a_at, a_key, a_json) AS a (at_ms, key, json);
END
$$;

CREATE FUNCTION {schema}.read_audit(after bigint, of_key bytea, lines_max bigint)
RETURNS TABLE (line_place bigint, line_at_ms bigint, line_key bytea, line_json text) LANGUAGE plpgsql
SET lock_timeout = '1s'
AS $$
BEGIN
    IF pg_is_in_recovery() THEN
        RAISE EXCEPTION 'onceward reads no replica' USING ERRCODE = 'read_only_sql_transaction';
    END IF;
    PERFORM pg_advisory_xact_lock({schema}.audit_lock());
    IF of_key IS NULL THEN
        RETURN QUERY SELECT a.place, a.at_ms, a.key, a.json FROM {schema}.audit AS a
        WHERE a.place > after ORDER BY a.place LIMIT lines_max;
    ELSE
        RETURN QUERY SELECT a.place, a.at_ms, a.key, a.json FROM {schema}.audit AS a
        WHERE a.key = of_key AND a.place > after ORDER BY a.place LIMIT lines_max;
    END IF;
END
$$;
