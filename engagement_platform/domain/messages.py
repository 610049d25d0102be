"""What becomes of a row that the relay has read: a message with its headers, or a dead letter with the reason.

The value of a message is UTF-8 JSON with the columns of its schema, in that order. PostgreSQL writes it (`enriched.sql`
of the stream), so that stream, rebuild and checks cannot differ.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from engagement_platform.domain.dead_letters import EXCERPT_CHARACTERS, DeadLetter, kept
from engagement_platform.domain.rejections import Judged

HEADER_SCHEMA_VERSION = "schema-version"
"""Header with the number of the message's schema. The platform database has the schema of each number."""
HEADER_UNSEEN_AT = "unseen-at"
"""Header with the time, in microseconds since 1970, at which the last poll that did not see the row began.

The commit lies after it, so (time of effect - unseen-at) bounds the latency from above.
"""

HEADER_SOURCE = "source"
"""Header of messages that Debezium has published: where the change stands in the database's log, as JSON."""

HEADER_TO = "to"
"""Header of messages in the topic of replays that are meant for one reader."""
TO_API = b"api"
"""Its value for the partner's API; `forward` delivers no other message of that topic."""

OVERHEAD_BYTES = 512
"""What Kafka adds at most to a value of ours: batch and record headers, the key, our headers."""


def largest_value(max_message_bytes: int) -> int:
    """Return the largest value, in bytes, that fits a topic with this `max.message.bytes`."""
    return max_message_bytes - OVERHEAD_BYTES


def fault(size: int, limit: int, has_timestamp: bool | None, time: str) -> str | None:
    """Return why a row cannot become a message; None when it can. Sizes are in bytes; `time` is the column."""
    if size > limit:
        return f"too large: the message would have {size} bytes, the topic takes {limit}"
    if not has_timestamp:
        return f"{time} is outside the years 1 to 9999, or infinite: RFC 3339 cannot carry it"
    return None


def judged(ids: Sequence[int], faults: Sequence[str | None]) -> tuple[Judged, str]:
    """Return which rows of one read cannot become messages, and the first of them in words."""
    rejected = [at for at, reason in enumerate(faults) if reason is not None]
    if not rejected:
        return Judged({"rows": len(ids)}), ""
    return Judged({"rows": len(ids)}, {"rows": rejected}), f"event {ids[rejected[0]]}, {faults[rejected[0]]}"


def schema_header(number: int) -> tuple[str, bytes]:
    """Return the header that says which schema a message has."""
    return HEADER_SCHEMA_VERSION, b"%d" % number


def headers(schema: int, unseen_at: int) -> tuple[tuple[str, bytes], ...]:
    """Return the headers of the messages of one read: the schema's number, and a time in microseconds since 1970."""
    return schema_header(schema), (HEADER_UNSEEN_AT, b"%d" % unseen_at)


def dead_letter(event_id: int, reason: str, value: bytes, at: int, largest: int) -> DeadLetter:
    """Return the dead letter of an event that the relay gives up; `at` in microseconds since 1970.

    A `value` that was cut off is no JSON and is not kept. Its topic takes messages up to `largest` bytes.
    """
    return DeadLetter(
        source="relay",
        event_id=event_id,
        reason=reason,
        excerpt=value.decode("utf-8", "replace")[:EXCERPT_CHARACTERS],
        at=datetime.fromtimestamp(at / 1e6, UTC),
        event=kept(value, largest),
    )
