"""The heartbeats of the processes that work on runs of the warehouse."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create the table."""
    op.execute("""
        CREATE TABLE engagement_platform.run_beat (
            run_id text PRIMARY KEY,
            job text NOT NULL,
            subject text NOT NULL,
            host text NOT NULL,
            pid integer NOT NULL,
            begun_at timestamptz NOT NULL DEFAULT now(),
            beat_at timestamptz,
            ended_at timestamptz,
            given_up_at timestamptz
        )""")
    op.execute("""
        COMMENT ON TABLE engagement_platform.run_beat IS
        'The process of each run of a warehouse job: its last heartbeat, whether it ended, whether it was given up.'""")


def downgrade() -> None:
    """Remove the table."""
    op.execute("DROP TABLE engagement_platform.run_beat")
