"""The sliding window: which bucket an event belongs to, which buckets count at a time, and how events are added up.

The Lua scripts of the views follow the same rules, so a recount as of a time gives exactly what the views held at that
time. Times are integers, milliseconds since 1970. The window's edge is a bucket's edge: the window of ten
minutes holds the bucket in which it begins as a whole.

An event is any value that has an attribute for each column that is counted; `attribute_of` says its name.
"""

import keyword
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import repeat
from operator import attrgetter
from typing import Any

import msgspec

from engagement_platform.domain.event_stream import EventStream, Views

NONE = "(none)"
"""The member under which an event counts where its column is NULL."""

CLOCK_SKEW_MS = 60_000
"""How far the clocks of Kafka and Redis may be apart without a rebuilt window missing an event."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_as_json = msgspec.json.Encoder(decimal_format="number").encode

Sums = dict[str, list[int]]
"""member -> a sum for each measure, in the order of the stream's; the first is the number of events."""

Adds = dict[str, Sums]
"""dimension -> member -> sums."""


@dataclass(frozen=True, slots=True)
class Window:
    """The geometry of a sliding window, in milliseconds."""

    length_ms: int
    bucket_ms: int
    max_future_ms: int

    @classmethod
    def of_seconds(cls, length: int, bucket: int, max_future: int) -> "Window":
        """Return the window of the settings, which are in seconds."""
        return cls(length * 1000, bucket * 1000, max_future * 1000)

    def start(self, now_ms: int) -> int:
        """Return the start of the oldest bucket that counts at `now_ms`."""
        edge = now_ms - self.length_ms
        return edge - edge % self.bucket_ms

    @property
    def replay_ms(self) -> int:
        """How far back the arrivals lie that can count at a time, at most."""
        return self.length_ms + self.bucket_ms + self.max_future_ms + CLOCK_SKEW_MS

    def replay_from(self, now_ms: int) -> int:
        """Return the time of arrival from which on Kafka holds every event that can count at `now_ms`."""
        return max(0, self.start(now_ms) - self.max_future_ms - CLOCK_SKEW_MS)


def attribute_of(column: str) -> str:
    """Return the name of the attribute in which an event has a column."""
    if column.isidentifier() and not keyword.iskeyword(column):
        return column
    return f"column_{column.encode().hex()}"


def member_of(value: object) -> str:
    """Return the member under which a value counts: a text as it is, any other value as its JSON."""
    if isinstance(value, str):
        return value
    return NONE if value is None else _as_json(value).decode().strip('"')  # a moment's JSON is a string


def members_of(events: Sequence[Any], column: str) -> list[str]:
    """Return the member of each event in the dimension that counts by a column."""
    values = list(map(attrgetter(attribute_of(column)), events))
    if set(map(type, values)) <= {str}:
        return values
    return [value if value.__class__ is str else member_of(value) for value in values]


def aggregate(stream: EventStream, events: Sequence[Any], bucket_ms: int) -> dict[int, Adds]:
    """Add the events up: bucket -> dimension -> member -> sums. Late and future ones included.

    This is the hot path: an event costs one step of a loop for each dimension, and nothing that is written in Python is
    called for it.
    """
    width = timedelta(milliseconds=bucket_ms)
    times = map(attrgetter(attribute_of(stream.source.time)), events)
    starts = [(time - _EPOCH) // width * bucket_ms for time in times]
    amounts = [
        [number or 0 for number in map(attrgetter(attribute_of(measure.column)), events)]
        for measure in stream.views.measures
        if measure.column is not None
    ]
    buckets: dict[int, Adds] = {start: {} for start in starts}
    for dimension in stream.views.dimensions:
        sums: dict[int, Sums] = {start: {} for start in buckets}
        members = members_of(events, dimension.column)
        if len(amounts) == 1:
            _add_one(map(sums.__getitem__, starts), members, amounts[0])
        else:
            rows = zip(*amounts, strict=True) if amounts else repeat(())
            _add_several(map(sums.__getitem__, starts), members, rows)
        for start, adds in buckets.items():
            adds[dimension.name] = sums[start]
    return buckets


def _add_one(sums_of_each: Iterable[Sums], members: Iterable[str], amounts: Iterable[int]) -> None:
    """Do what `_add_several` does for the usual stream, which sums up one column, in four fifths of the time."""
    for sums, member, amount in zip(sums_of_each, members, amounts, strict=True):
        present = sums.get(member)
        if present is None:
            sums[member] = [1, amount]
        else:
            present[0] += 1
            present[1] += amount


def _add_several(sums_of_each: Iterable[Sums], members: Iterable[str], amounts: Iterable[tuple[int, ...]]) -> None:
    for sums, member, row in zip(sums_of_each, members, amounts, strict=False):
        present = sums.get(member)
        if present is None:
            sums[member] = [1, *row]
        else:
            present[0] += 1
            for column, amount in enumerate(row, 1):
                present[column] += amount


def nothing(views: Views) -> Adds:
    """Return views that have no member."""
    return {dimension.name: {} for dimension in views.dimensions}
