"""The enriched event as it travels through Kafka: its form, its headers, its dead letters.

The value of a message is UTF-8 JSON with the fields of its schema, in that order. PostgreSQL writes it (`enriched.sql`
of the stream), so that stream, rebuild and checks cannot differ.
"""

from datetime import datetime

import msgspec

from engagement_platform.domain.columns import Column, Schema, parsed
from engagement_platform.domain.nesting import decoded, is_json
from engagement_platform.domain.records import Reader

SCHEMA_VERSION = 1

HEADER_SCHEMA_VERSION = "schema-version"
HEADER_UNSEEN_AT = "unseen-at"
"""Header with the time, in microseconds since 1970, at which the last poll that did not see the row began.

The commit lies after it, so (time of effect - unseen-at) bounds the latency from above.
"""

HEADER_TO = "to"
"""Header of messages in the topic of replays that are meant for one reader."""
TO_API = b"api"
"""Its value for the partner's API; `forward` delivers no other message of that topic."""

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


NO_EVENT = msgspec.Raw(b"null")


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event that could not be delivered: why, and enough to find it again. Value of the dead-letter topic."""

    source: str
    """Who gave it up: relay, tally, forward or stage."""
    event_id: int | None
    reason: str
    excerpt: str
    """The beginning of the event, or of what stands in its place; at most `EXCERPT_CHARACTERS`."""
    at: datetime
    status: int | None = None
    """HTTP status of the last answer, where there was one."""
    response: str | None = None
    """The beginning of that answer's body; at most `EXCERPT_CHARACTERS`."""
    first_try: datetime | None = None
    last_try: datetime | None = None
    event: msgspec.Raw = NO_EVENT
    """The event as it stands in the message's value; `NO_EVENT` where it was too large, or is none."""
    key: str | None = None
    """The key under which it was sent."""


EXCERPT_CHARACTERS = 500

_reader = Reader(ENGAGEMENT)

decode = _reader.decode
"""Read and validate one message of the packaged stream, however deep its payload is nested.

Raises msgspec.ValidationError or msgspec.DecodeError, and UnicodeDecodeError.
"""

id_of = _reader.id_of
"""Return the id of a message that need not be an event; None where it has none."""


_LETTER_BYTES = 8 << 10
"""What a letter has at most beside the event: reason, excerpts, times, and Kafka's own."""

_letter_decoder = msgspec.json.Decoder(DeadLetter)


def encode_dead_letter(letter: DeadLetter) -> bytes:
    """Return the value of the message for the dead-letter topic."""
    return msgspec.json.encode(letter)


def decode_dead_letter(value: bytes) -> DeadLetter:
    """Read one message of the dead-letter topic. Raises msgspec.ValidationError or msgspec.DecodeError."""
    letter, aside = decoded(_letter_decoder.decode, value)
    return msgspec.structs.replace(letter, event=msgspec.Raw(aside["event"])) if "event" in aside else letter


def kept(value: bytes, largest: int) -> msgspec.Raw:
    """Return what a letter keeps of a message: all of it, or `NO_EVENT` where it is too large or no JSON.

    `largest` is the `max.message.bytes` of the topic of letters.
    """
    return msgspec.Raw(value) if len(value) + _LETTER_BYTES <= largest and _fits_a_letter(value) else NO_EVENT


def _fits_a_letter(value: bytes) -> bool:
    try:
        value.decode()
        msgspec.json.decode(value, type=msgspec.Raw)  # numbers of any size are JSON, too
    except RecursionError:
        return is_json(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True
