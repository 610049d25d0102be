"""The enriched event as it travels through Kafka: its one typed definition, its headers, its dead letters.

The value of a message is UTF-8 JSON with exactly the fields of `EnrichedEvent`, in that order. PostgreSQL writes
it (`streams/engagement/enriched.sql`), so that stream, rebuild and checks cannot differ; this definition validates it
and is its JSON Schema.
"""

import re
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import msgspec

from engagement_platform.domain.nesting import decoded, is_json

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

Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""What a BIGINT of the source, an INT64 of the warehouse can hold."""


class EnrichedEvent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row of the source with the columns of its content; a field is null where the source has NULL."""

    id: int
    content_id: UUID | None
    user_id: UUID | None
    event_type: str | None
    """Any text: at first play, pause, finish and click, but the source's owner may add others."""
    event_ts: datetime
    """RFC 3339 in UTC, to the microsecond."""
    duration_ms: Integer | None
    device: str | None
    raw_payload: msgspec.Raw
    """The JSON document of the source as it is: an object, an array or a scalar."""
    slug: str | None
    title: str | None
    content_type: str | None
    """Any text: at first podcast, newsletter and video."""
    length_seconds: Integer | None
    engagement_seconds: Decimal | None
    """duration_ms / 1000, rounded half away from zero to two decimals."""
    engagement_pct: Decimal | None
    """duration_ms / 1000 / length_seconds as a ratio, rounded likewise; null where length_seconds is 0."""


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

_event_decoder = msgspec.json.Decoder(EnrichedEvent)


def decode(value: bytes) -> EnrichedEvent:
    """Read and validate one message, however deep its payload is nested.

    Raises msgspec.ValidationError or msgspec.DecodeError, and UnicodeDecodeError.
    """
    event, aside = decoded(_event_decoder.decode, value)
    if "raw_payload" in aside:
        return msgspec.structs.replace(event, raw_payload=msgspec.Raw(aside["raw_payload"]))
    return event


class _OnlyId(msgspec.Struct):
    id: int


_id_decoder = msgspec.json.Decoder(_OnlyId)
_FIRST_ID = re.compile(rb'\s*\{\s*"id"\s*:\s*(-?\d{1,19})\s*[,}]')


def id_of(value: bytes) -> int | None:
    """Return the id of a message that need not be an event; None where it has none.

    The relay writes the id first, so that of a message which cannot be read to its end is known, too.
    """
    try:
        return decoded(_id_decoder.decode, value)[0].id
    except (msgspec.MsgspecError, ValueError):
        begin = _FIRST_ID.match(value)
        return int(begin[1]) if begin else None


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


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a message's value."""
    return msgspec.json.schema(EnrichedEvent, schema_hook=_raw_schema)


def _raw_schema(kind: type) -> dict[str, Any]:
    if kind is msgspec.Raw:
        return {"description": "any JSON value"}
    raise NotImplementedError(kind)
