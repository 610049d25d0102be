-- The lease, the loops' heartbeats and the copy of the relay's checkpoint.

CREATE TABLE {schema}.stream_lease (
    epoch bigint PRIMARY KEY,
    run_id text NOT NULL UNIQUE,
    claimed_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    released_at timestamptz,
    loops text[] NOT NULL
);

CREATE TABLE {schema}.stream_loop (
    run_id text NOT NULL,
    loop text NOT NULL,
    awaits bigint NOT NULL,
    ready_at timestamptz,
    heartbeat_at timestamptz NOT NULL,
    ended_at timestamptz,
    progress jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (run_id, loop)
) WITH (fillfactor = 50);

CREATE TABLE {schema}.relay_checkpoint_mirror (
    topic text PRIMARY KEY,
    generation bigint NOT NULL,
    hi bigint NOT NULL,
    checkpoint bytea NOT NULL,
    recorded_at timestamptz NOT NULL
);

COMMENT ON TABLE {schema}.stream_lease IS 'Who may stream: the run with the highest epoch.';

COMMENT ON TABLE {schema}.stream_loop IS 'The loops of streaming runs: heartbeats, and what they have done since they started.';

COMMENT ON TABLE {schema}.relay_checkpoint_mirror IS 'A copy of the relay''s checkpoint in Kafka, for display and to notice its loss.';
