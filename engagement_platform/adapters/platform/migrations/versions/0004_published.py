"""What the relay had published when, what a load had read, and what a rebuild found missing."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the history of checkpoints, which begins with the present one, and the columns."""
    op.execute("""
        CREATE TABLE engagement_platform.relay_checkpoint_history (
            topic text NOT NULL,
            recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            generation bigint NOT NULL,
            hi bigint NOT NULL,
            unseen_at bigint NOT NULL,
            checkpoint bytea NOT NULL,
            PRIMARY KEY (topic, recorded_at)
        )""")
    op.execute("""
        COMMENT ON TABLE engagement_platform.relay_checkpoint_history IS
        'The relay''s checkpoint about once a minute: what was published before a time, and so what was since.'""")
    op.execute("""
        INSERT INTO engagement_platform.relay_checkpoint_history
        SELECT topic, recorded_at, generation, hi, (convert_from(checkpoint, 'UTF8')::jsonb ->> 'unseen_at')::bigint,
               checkpoint
          FROM engagement_platform.relay_checkpoint_mirror""")
    op.execute("""
        ALTER TABLE engagement_platform.warehouse_load ADD COLUMN unseen_at jsonb NOT NULL DEFAULT '{}'""")
    op.execute("""
        COMMENT ON COLUMN engagement_platform.warehouse_load.unseen_at IS
        'Partition -> no message that was not read yet has an earlier header unseen-at, in microseconds since 1970.'""")
    op.execute("ALTER TABLE engagement_platform.day_rebuild ADD COLUMN missed bigint, ADD COLUMN missed_ids bigint[]")
    op.execute("""
        COMMENT ON COLUMN engagement_platform.day_rebuild.missed IS
        'How many events the stream should have brought and had not, before the rebuild; missed_ids are the first.'""")


def downgrade() -> None:
    """Remove the table and the columns."""
    op.execute("DROP TABLE engagement_platform.relay_checkpoint_history")
    op.execute("ALTER TABLE engagement_platform.warehouse_load DROP COLUMN unseen_at")
    op.execute("ALTER TABLE engagement_platform.day_rebuild DROP COLUMN missed, DROP COLUMN missed_ids")
