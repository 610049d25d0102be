"""What the relay had published when, what a load had read, and what a rebuild found missing."""

from engagement_platform.adapters.platform.migrate import execute

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the history of checkpoints, which begins with the present one, and the columns."""
    execute("""
        CREATE TABLE {schema}.relay_checkpoint_history (
            topic text NOT NULL,
            recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            generation bigint NOT NULL,
            hi bigint NOT NULL,
            unseen_at bigint NOT NULL,
            checkpoint bytea NOT NULL,
            PRIMARY KEY (topic, recorded_at)
        )""")
    execute("""
        COMMENT ON TABLE {schema}.relay_checkpoint_history IS
        'The relay''s checkpoint about once a minute: what was published before a time, and so what was since.'""")
    execute("""
        INSERT INTO {schema}.relay_checkpoint_history
        SELECT topic, recorded_at, generation, hi, (convert_from(checkpoint, 'UTF8')::jsonb ->> 'unseen_at')::bigint,
               checkpoint
          FROM {schema}.relay_checkpoint_mirror""")
    execute("""
        ALTER TABLE {schema}.warehouse_load ADD COLUMN unseen_at jsonb NOT NULL DEFAULT '{}'""")
    execute("""
        COMMENT ON COLUMN {schema}.warehouse_load.unseen_at IS
        'Partition -> no message that was not read yet has an earlier header unseen-at, in microseconds since 1970.'""")
    execute("ALTER TABLE {schema}.day_rebuild ADD COLUMN missed bigint, ADD COLUMN missed_ids bigint[]")
    execute("""
        COMMENT ON COLUMN {schema}.day_rebuild.missed IS
        'How many events the stream should have brought and had not, before the rebuild; missed_ids are the first.'""")
