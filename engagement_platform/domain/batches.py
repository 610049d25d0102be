"""Batches on their way to the warehouse: their lines, their names, and what is left out of them.

A batch is named by its offset ranges. With the identity of the topic and of the table they make its load id, so that
the same batch always has the same id, and another batch never.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from engagement_platform.domain.coverage import Coverage
from engagement_platform.domain.days import day_of
from engagement_platform.domain.event import EXCERPT_CHARACTERS, EnrichedEvent, decode, id_of
from engagement_platform.domain.table import is_numeric

Ranges = Mapping[int, tuple[int, int]]
"""partition -> (first offset, offset after the last)."""

_MAX_NAME_LENGTH = 150


@dataclass(frozen=True, slots=True)
class Line:
    """One event as a line of NDJSON, without the line's end."""

    id: int
    day: date
    json: bytes


@dataclass(frozen=True, slots=True)
class Rejected:
    """A message that is no event of ours."""

    id: int | None
    reason: str
    excerpt: str
    value: bytes = b""
    """All of the message."""


class _Row(msgspec.Struct, frozen=True):
    """The columns of `engagement_events`, in order."""

    id: int
    content_id: Any
    user_id: Any
    event_type: str | None
    event_ts: datetime
    duration_ms: int | None
    device: str | None
    raw_payload: str | None
    slug: str | None
    title: str | None
    content_type: str | None
    length_seconds: int | None
    engagement_seconds: Decimal | None
    engagement_pct: Decimal | None


_encode = msgspec.json.Encoder(decimal_format="number", uuid_format="canonical").encode
_HIGHEST_ID = (1 << 63) - 1


def line_of(value: bytes | None) -> Line | Rejected:
    """Check a message and return its line, or why it is none."""
    if value is None:
        return Rejected(None, "not an event: the message has no value", "")
    try:
        event = decode(value)
    except (msgspec.MsgspecError, ValueError) as error:  # ValueError: text that is not UTF-8
        return Rejected(id_of(value), f"not an event: {error}", _excerpt(value), value)
    if event.event_ts.tzinfo is None:
        return Rejected(event.id, "not an event: event_ts has no time zone", _excerpt(value), value)
    if not 0 <= event.id <= _HIGHEST_ID:
        return Rejected(event.id, "not an event: its id is out of range", _excerpt(value), value)
    if not (is_numeric(event.engagement_seconds) and is_numeric(event.engagement_pct)):
        return Rejected(event.id, "not an event: a number has more digits than NUMERIC(18, 2)", _excerpt(value), value)
    return Line(event.id, day_of(event.event_ts), _encode(_row(event)))


def _row(event: EnrichedEvent) -> _Row:
    raw = bytes(event.raw_payload)
    return _Row(
        event.id,
        event.content_id,
        event.user_id,
        event.event_type,
        event.event_ts,
        event.duration_ms,
        event.device,
        # JSON's null and SQL's NULL are the same in a message, so they are in the warehouse.
        None if raw == b"null" else raw.decode(),
        event.slug,
        event.title,
        event.content_type,
        event.length_seconds,
        event.engagement_seconds,
        event.engagement_pct,
    )


def _excerpt(value: bytes) -> str:
    return value.decode("utf-8", "replace")[:EXCERPT_CHARACTERS]


def uncovered(lines: Iterable[Line], coverages: Mapping[date, Coverage]) -> list[Line]:
    """Return the lines that no rebuilt day holds already."""
    nothing = Coverage(-1)
    return [line for line in lines if not coverages.get(line.day, nothing).covers(line.id)]


def name_of(topic: str, ranges: Ranges) -> str:
    """Return the name of a batch's files: the topic, and for each partition its offsets, the last one included."""
    parts = [f"{partition}@{begin}-{end - 1}" for partition, (begin, end) in sorted(ranges.items())]
    name = "_".join([topic, *parts])
    return name if len(name) <= _MAX_NAME_LENGTH else f"{name[:_MAX_NAME_LENGTH]}_{_digest(name)[:16]}"


def load_id(table_id: str, topic_id: str, ranges: Ranges) -> str:
    """Return the id under which the batch is loaded."""
    return "stage_" + _digest(msgspec.json.encode([table_id, topic_id, sorted(ranges.items())]).decode())[:40]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
