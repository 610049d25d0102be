"""The sliding window: which bucket an event belongs to, which buckets count at a time, and how events are added up.

Everyone who counts uses these rules, the Lua scripts included, so a recount as of a time gives exactly what the views
held at that time. Times are integers, milliseconds since 1970. The window's edge is a bucket's edge: the window of ten
minutes holds the bucket in which it begins as a whole.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

DIMENSIONS = ("content", "content_type", "device")
"""What engagement is counted by. A member of `content` is a content_id."""

MEASURES = ("count", "ms")
"""How many events, and the sum of their durations in milliseconds."""

NONE = "(none)"
"""The member under which an event counts where its column is NULL."""

CLOCK_SKEW_MS = 60_000
"""How far the clocks of Kafka and Redis may be apart without a rebuilt window missing an event."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Adds = dict[str, dict[str, list[int]]]
"""dimension -> member -> [count, ms]."""


class Engagement(Protocol):
    """What the window needs of an event."""

    @property
    def event_ts(self) -> datetime:
        """When it happened; with a time zone."""

    @property
    def content_id(self) -> str | None:
        """Counted by `content`."""

    @property
    def content_type(self) -> str | None:
        """Counted by `content_type`."""

    @property
    def device(self) -> str | None:
        """Counted by `device`."""

    @property
    def duration_ms(self) -> int | None:
        """Summed as it is, negative ones too; NULL adds 0."""


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

    def bucket_of(self, event_ts: datetime) -> int:
        """Return the start of the bucket that an event belongs to."""
        return (event_ts - _EPOCH) // timedelta(milliseconds=self.bucket_ms) * self.bucket_ms

    def start(self, now_ms: int) -> int:
        """Return the start of the oldest bucket that counts at `now_ms`."""
        edge = now_ms - self.length_ms
        return edge - edge % self.bucket_ms

    def is_late(self, bucket: int, now_ms: int) -> bool:
        """Say whether the bucket has left the window."""
        return bucket < self.start(now_ms)

    def is_future(self, bucket: int, now_ms: int) -> bool:
        """Say whether the bucket begins too far ahead to be believed."""
        return bucket > now_ms + self.max_future_ms

    def is_live(self, bucket: int, now_ms: int) -> bool:
        """Say whether the bucket counts at `now_ms`."""
        return not (self.is_late(bucket, now_ms) or self.is_future(bucket, now_ms))

    @property
    def replay_ms(self) -> int:
        """How far back the arrivals lie that can count at a time, at most."""
        return self.length_ms + self.bucket_ms + self.max_future_ms + CLOCK_SKEW_MS

    def replay_from(self, now_ms: int) -> int:
        """Return the time of arrival from which on Kafka holds every event that can count at `now_ms`."""
        return max(0, self.start(now_ms) - self.max_future_ms - CLOCK_SKEW_MS)


def aggregate(events: Iterable[Engagement], bucket_ms: int) -> dict[int, Adds]:
    """Add the events up: bucket -> dimension -> member -> [count, ms]. Late and future ones included."""
    width = timedelta(milliseconds=bucket_ms)
    buckets: dict[int, tuple[dict[str, list[int]], ...]] = {}
    for event in events:
        index = (event.event_ts - _EPOCH) // width
        adds = buckets.get(index)
        if adds is None:
            adds = buckets[index] = ({}, {}, {})
        ms = event.duration_ms or 0
        for sums, member in zip(adds, (event.content_id, event.content_type, event.device), strict=True):
            name = NONE if member is None else member
            pair = sums.get(name)
            if pair is None:
                sums[name] = [1, ms]
            else:
                pair[0] += 1
                pair[1] += ms
    return {index * bucket_ms: dict(zip(DIMENSIONS, adds, strict=True)) for index, adds in buckets.items()}


def recount(events: Iterable[Engagement], window: Window, as_of_ms: int) -> Adds:
    """Return what the views hold at `as_of_ms`: the oracle of tests and of comparisons with the source.

    An event that was more than an hour beyond the future's edge when it arrived is not in the views, although it counts
    here once its bucket is live. Nor is one that was beyond the edge and arrived before the views were built anew.
    """
    totals: Adds = {dimension: {} for dimension in DIMENSIONS}
    for bucket, adds in aggregate(events, window.bucket_ms).items():
        if window.is_live(bucket, as_of_ms):
            merge(totals, adds)
    return totals


def merge(totals: Adds, adds: Mapping[str, Mapping[str, list[int]]]) -> None:
    """Add `adds` to `totals`, in place."""
    for dimension, sums in adds.items():
        into = totals[dimension]
        for member, (count, ms) in sums.items():
            pair = into.setdefault(member, [0, 0])
            pair[0] += count
            pair[1] += ms
