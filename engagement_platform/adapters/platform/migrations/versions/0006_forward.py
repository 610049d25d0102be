"""Where forward stands, a second time beside Kafka's consumer group; and what operators decide of refused events."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Create the tables."""
    op.execute("""
        CREATE TABLE engagement_platform.forward_position (
            consumer_group text NOT NULL,
            topic text NOT NULL,
            topic_id text NOT NULL,
            next_offsets jsonb NOT NULL,
            settled_to timestamptz,
            recorded_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (consumer_group, topic)
        )""")
    op.execute("""
        COMMENT ON TABLE engagement_platform.forward_position IS
        'A copy of the offsets in forward''s group: with a topic that is deleted, Kafka drops the group''s own.'""")
    op.execute("""
        COMMENT ON COLUMN engagement_platform.forward_position.settled_to IS
        'Every event that arrived in Kafka before is delivered or a dead letter.'""")
    op.execute("""
        CREATE TABLE engagement_platform.forward_decision (
            number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            consumer_group text NOT NULL,
            events bigint NOT NULL CHECK (events > 0),
            who text NOT NULL,
            decided_at timestamptz NOT NULL DEFAULT now(),
            taken_at timestamptz
        )""")
    op.execute("""
        COMMENT ON TABLE engagement_platform.forward_decision IS
        'Who let how many events that the partner refuses become dead letters, and when forward began with it.'""")


def downgrade() -> None:
    """Remove the tables."""
    for table in ("forward_decision", "forward_position"):
        op.execute(f"DROP TABLE engagement_platform.{table}")
