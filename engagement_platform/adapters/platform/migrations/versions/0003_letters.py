"""What operators have done with dead letters, and which loops they have paused."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the tables."""
    op.execute("""
        CREATE TABLE engagement_platform.letter_action (
            number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            topic_id text NOT NULL,
            partition integer NOT NULL,
            "offset" bigint NOT NULL,
            event_id bigint,
            kind text NOT NULL CHECK (kind IN ('redrive', 'discard')),
            who text NOT NULL,
            why text NOT NULL,
            begun_at timestamptz NOT NULL DEFAULT now(),
            ended_at timestamptz,
            outcome text CHECK (outcome IN ('done', 'failed')),
            note text NOT NULL DEFAULT '',
            CHECK ((ended_at IS NULL) = (outcome IS NULL))
        )""")
    op.execute("""
        CREATE INDEX letter_action_letter
            ON engagement_platform.letter_action (topic_id, partition, "offset", number)""")
    op.execute("""
        COMMENT ON TABLE engagement_platform.letter_action IS
        'Who did what when with a dead letter. Its state is that of the last action; without one it is open.'""")
    op.execute("""
        CREATE TABLE engagement_platform.pause (
            number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            loop text NOT NULL,
            paused_at timestamptz NOT NULL DEFAULT now(),
            paused_by text NOT NULL,
            why text NOT NULL,
            resumed_at timestamptz,
            resumed_by text,
            CHECK ((resumed_at IS NULL) = (resumed_by IS NULL))
        )""")
    op.execute("CREATE UNIQUE INDEX pause_present ON engagement_platform.pause (loop) WHERE resumed_at IS NULL")
    op.execute("""
        COMMENT ON TABLE engagement_platform.pause IS
        'Loops that an operator has paused: since when, by whom and why; and when they went on.'""")


def downgrade() -> None:
    """Remove the tables."""
    for table in ("pause", "letter_action"):
        op.execute(f"DROP TABLE engagement_platform.{table}")
