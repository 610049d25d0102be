"""The lease, the loops' heartbeats and the copy of the relay's checkpoint."""

from engagement_platform.adapters.platform.migrate import execute

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the first tables."""
    execute("""
        CREATE TABLE {schema}.stream_lease (
            epoch bigint PRIMARY KEY,
            run_id text NOT NULL UNIQUE,
            claimed_at timestamptz NOT NULL,
            ends_at timestamptz NOT NULL,
            released_at timestamptz,
            loops text[] NOT NULL
        )""")
    execute("""
        CREATE TABLE {schema}.stream_loop (
            run_id text NOT NULL,
            loop text NOT NULL,
            awaits bigint NOT NULL,
            ready_at timestamptz,
            heartbeat_at timestamptz NOT NULL,
            ended_at timestamptz,
            progress jsonb NOT NULL DEFAULT '{}',
            PRIMARY KEY (run_id, loop)
        ) WITH (fillfactor = 50)""")
    execute("""
        CREATE TABLE {schema}.relay_checkpoint_mirror (
            topic text PRIMARY KEY,
            generation bigint NOT NULL,
            hi bigint NOT NULL,
            checkpoint bytea NOT NULL,
            recorded_at timestamptz NOT NULL
        )""")
    for table, comment in {
        "stream_lease": "Who may stream: the run with the highest epoch.",
        "stream_loop": "The loops of streaming runs: heartbeats, and what they have done since they started.",
        "relay_checkpoint_mirror": "A copy of the relay''s checkpoint in Kafka, for display and to notice its loss.",
    }.items():
        execute(f"COMMENT ON TABLE {{schema}}.{table} IS '{comment}'")
