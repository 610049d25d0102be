"""The enriched event as it travels through Kafka: its form, its headers, its dead letters.

The value of a message is UTF-8 JSON with the fields of its schema, in that order. PostgreSQL writes it (`enriched.sql`
of the stream), so that stream, rebuild and checks cannot differ.
"""

from engagement_platform.domain.columns import Column, Schema, parsed
from engagement_platform.domain.records import Reader

SCHEMA_VERSION = 1

ENGAGEMENT = Schema(
    tuple(
        Column(name, parsed(of))
        for name, of in {
            "id": "integer",
            "content_id": "uuid",
            "user_id": "uuid",
            "event_type": "text",
            "event_ts": "timestamp",
            "duration_ms": "integer",
            "device": "text",
            "raw_payload": "jsonb",
            "slug": "text",
            "title": "text",
            "content_type": "text",
            "length_seconds": "integer",
            "engagement_seconds": "numeric(18,2)",
            "engagement_pct": "numeric(18,2)",
        }.items()
    ),
    id="id",
    time="event_ts",
    key="content_id",
)
"""The form of the packaged stream's messages whose number is `SCHEMA_VERSION`, as PostgreSQL describes them."""

_reader = Reader(ENGAGEMENT)

decode = _reader.decode
"""Read and validate one message of the packaged stream, however deep its payload is nested.

Raises msgspec.ValidationError or msgspec.DecodeError, and UnicodeDecodeError.
"""

id_of = _reader.id_of
"""Return the id of a message that need not be an event; None where it has none."""
