"""Batches on their way to the warehouse: their lines, their names, and what is left out of them.

A batch is named by its offset ranges. With the identity of the topic and of the table they make its load id, so that
the same batch always has the same id, and another batch never.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

import msgspec

from engagement_platform.domain.columns import Schema
from engagement_platform.domain.coverage import Coverage
from engagement_platform.domain.days import day_of
from engagement_platform.domain.dead_letters import EXCERPT_CHARACTERS
from engagement_platform.domain.records import Reader, Unfit

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


_HIGHEST_ID = (1 << 63) - 1


class Lines:
    """Makes the lines of a stream's messages."""

    def __init__(self, schema: Schema) -> None:
        self._time = schema.time
        self.reader = Reader(schema)

    def of(self, value: bytes | None) -> Line | Rejected:
        """Check a message and return its line, or why it is none."""
        if value is None:
            return Rejected(None, "not an event: the message has no value", "")
        try:
            record = self.reader.decode(value)
        except (msgspec.MsgspecError, ValueError) as error:  # ValueError: text that is not UTF-8
            return Rejected(self.reader.id_of(value), f"not an event: {error}", _excerpt(value), value)
        number, time = self.reader.id_and_time(record)
        if time.tzinfo is None:
            return Rejected(number, f"not an event: {self._time} has no time zone", _excerpt(value), value)
        if not 0 <= number <= _HIGHEST_ID:
            return Rejected(number, "not an event: its id is out of range", _excerpt(value), value)
        try:
            return Line(number, day_of(time), self.reader.encode_line(record))
        except Unfit as error:
            return Rejected(number, f"not an event: {error}", _excerpt(value), value)


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
