"""The heartbeats of the processes that work on runs of the warehouse. They are of Dagster, not of a stream."""

from engagement_platform.adapters.platform.migrate import execute, schema_in_hand
from engagement_platform.domain.stream_names import COMMON

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create the table, once for all streams."""
    if schema_in_hand() != COMMON:
        return
    execute("""
        CREATE TABLE {schema}.run_beat (
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
    execute("""
        COMMENT ON TABLE {schema}.run_beat IS
        'The process of each run of a warehouse job: its last heartbeat, whether it ended, whether it was given up.'""")
