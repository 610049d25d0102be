"""The database session of a loop's heartbeats, whose end tells that the loop's process is gone."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the columns."""
    op.execute("""
        ALTER TABLE engagement_platform.stream_loop
            ADD COLUMN backend_pid integer,
            ADD COLUMN backend_start timestamptz""")
    op.execute("""
        COMMENT ON COLUMN engagement_platform.stream_loop.backend_pid IS
        'With backend_start: the session of pg_stat_activity that sent the last heartbeat.'""")


def downgrade() -> None:
    """Remove the columns."""
    op.execute("""
        ALTER TABLE engagement_platform.stream_loop
            DROP COLUMN backend_pid,
            DROP COLUMN backend_start""")
