"""The forms that a stream's messages have had, by number."""

import hashlib

from engagement_platform.adapters.platform.migrate import execute, schema_in_hand
from engagement_platform.domain.stream_names import COMMON

revision = "0008"
down_revision = "0007"

FIRST_FORM = (
    '{"columns": [["id", "integer"], ["content_id", "uuid"], ["user_id", "uuid"], ["event_type", "text"], '
    '["event_ts", "timestamp"], ["duration_ms", "integer"], ["device", "text"], ["raw_payload", "jsonb"], '
    '["slug", "text"], ["title", "text"], ["content_type", "text"], ["length_seconds", "integer"], '
    '["engagement_seconds", "numeric(18,2)"], ["engagement_pct", "numeric(18,2)"]], '
    '"id": "id", "time": "event_ts", "key": "content_id"}'
)
"""What the messages of `engagement` had before forms were numbered: their header says 1."""


def upgrade() -> None:
    """Create the table; in that of an `engagement` that has streamed before note its first form."""
    execute("""
        CREATE TABLE {schema}.stream_schema (
            number integer PRIMARY KEY CHECK (number > 0),
            hash text NOT NULL UNIQUE,
            form text NOT NULL,
            noted_at timestamptz NOT NULL DEFAULT now()
        )""")
    execute("""
        COMMENT ON TABLE {schema}.stream_schema IS
        'The columns that messages have: their header schema-version is a number of this table.'""")
    if schema_in_hand() == COMMON:
        digest = hashlib.sha256(FIRST_FORM.encode()).hexdigest()[:16]
        execute(f"""
            INSERT INTO {{schema}}.stream_schema (number, hash, form)
            SELECT 1, '{digest}', '{FIRST_FORM}'
             WHERE EXISTS (SELECT FROM {{schema}}.relay_checkpoint_mirror)""")  # noqa: S608
