"""When a committed event could be read in Redis: the join of three streams of observations. Pure bookkeeping.

The generator notes when the commit of an id had returned; the topic tells the id's partition and offset; the offsets
that the tally moves together with the counts tell when they were first seen past that offset. Observations may come
in any order. Times are nanoseconds since 1970.
"""

from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Iterable
from itertools import islice, pairwise

import msgspec

PROMISE_MS = 5_000
"""An event that takes longer than this from commit to Redis is late."""

_MAX_UNNOTED = 500_000
_MAX_STAMPS = 50_000
_GAP_PATIENCE_NS = 60 * 10**9
_SLOWEST = 5


class Latencies:
    """Latencies to a tenth of a millisecond. Memory depends on how different they are, not on how many."""

    def __init__(self) -> None:
        self._tenths: Counter[int] = Counter()
        self.count = 0

    def add(self, milliseconds: float, times: int = 1) -> None:
        """Count a latency."""
        self._tenths[round(milliseconds * 10)] += times
        self.count += times

    def merge(self, other: "Latencies") -> None:
        """Add those of another."""
        self._tenths.update(other._tenths)
        self.count += other.count

    def quantile(self, share: float) -> float | None:
        """Return the latency that `share` of all do not exceed, in milliseconds; None when there are none."""
        rank, seen = share * self.count, 0
        for tenths in sorted(self._tenths):
            seen += self._tenths[tenths]
            if seen >= rank:
                return tenths / 10
        return None

    def above(self, milliseconds: float) -> int:
        """Return how many are longer."""
        return sum(times for tenths, times in self._tenths.items() if tenths > milliseconds * 10)


class LastMinute:
    """The latencies of the last sixty seconds."""

    def __init__(self) -> None:
        self._seconds: deque[tuple[int, Latencies]] = deque()

    def add(self, at_ns: int, milliseconds: float) -> None:
        """Count a latency that was observed at a time."""
        second = at_ns // 10**9
        if not self._seconds or self._seconds[-1][0] < second:
            self._seconds.append((second, Latencies()))
        self._seconds[-1][1].add(milliseconds)

    def at(self, now_ns: int) -> Latencies:
        """Return what is not older than a minute."""
        while self._seconds and self._seconds[0][0] < now_ns // 10**9 - 60:
            self._seconds.popleft()
        merged = Latencies()
        for _, latencies in self._seconds:
            merged.merge(latencies)
        return merged


class Gaps:
    """The longest time for which committed events waited while nothing at all became readable."""

    def __init__(self) -> None:
        self._first_commit: dict[int, int] = {}
        self._previous = 0
        self._longest = 0

    def add(self, committed_ns: int, visible_ns: int) -> None:
        """Note that an event became readable."""
        earliest = self._first_commit.get(visible_ns)
        if earliest is None or committed_ns < earliest:
            self._first_commit[visible_ns] = committed_ns
        if len(self._first_commit) > 2 * _MAX_STAMPS:
            self._settle(visible_ns - _GAP_PATIENCE_NS)

    def longest_ms(self) -> float:
        """Return the longest gap so far, in milliseconds."""
        return max(self._longest, self._longest_of(sorted(self._first_commit))) / 1e6

    def _settle(self, before: int) -> None:
        old = sorted(at for at in self._first_commit if at < before)
        self._longest = max(self._longest, self._longest_of(old))
        self._previous = old[-1] if old else self._previous
        for at in old:
            del self._first_commit[at]

    def _longest_of(self, times: list[int]) -> int:
        return max(
            (at - max(last, self._first_commit[at]) for last, at in pairwise([self._previous, *times])), default=0
        )


class Stamps:
    """When the offset of one partition in Redis was first seen past a message."""

    def __init__(self) -> None:
        self._offsets: list[int] = []
        self._times: list[int] = []
        self._waiting: deque[tuple[int, int]] = deque()

    def move(self, offset: int, at_ns: int) -> list[int]:
        """Note the offset of the next message to count; return the ids that it has passed just now."""
        if self._offsets and offset <= self._offsets[-1]:
            return []
        self._offsets.append(offset)
        self._times.append(at_ns)
        if len(self._offsets) > 2 * _MAX_STAMPS:
            del self._offsets[:_MAX_STAMPS], self._times[:_MAX_STAMPS]
        passed = []
        while self._waiting and self._waiting[0][0] < offset:
            passed.append(self._waiting.popleft()[1])
        return passed

    def passed_at(self, offset: int, event_id: int) -> int | None:
        """Return when a message had been passed, or None: then `move` will return its id."""
        if not self._offsets or offset >= self._offsets[-1]:
            self._waiting.append((offset, event_id))
            return None
        return self._times[bisect_right(self._offsets, offset)]


class Visibility:
    """Joins notes, messages and offsets into latencies. Not thread-safe."""

    def __init__(self) -> None:
        self.noted = 0
        self.in_kafka = 0
        self.in_redis = 0
        self.unpublished = 0
        """Noted events that have not been seen in the topic."""
        self.first_visible_ns: int | None = None
        self.latencies = Latencies()
        self.last_minute = LastMinute()
        self.gaps = Gaps()
        self.slowest: list[tuple[float, int, int]] = []
        """Milliseconds, time of the commit and id of the events that took longest; the slowest last."""
        self._stamps: dict[int, Stamps] = {}
        self._waiting: dict[int, int] = {}
        self._unnoted: dict[int, int | None] = {}

    @property
    def waiting(self) -> int:
        """How many noted events have not been seen in Redis."""
        return len(self._waiting)

    def note(self, committed_ns: int, ids: Iterable[int]) -> None:
        """Note when the commit of these ids had returned."""
        for event_id in ids:
            self.noted += 1
            is_unnoted = event_id in self._unnoted
            visible_ns = self._unnoted.pop(event_id, None)
            if visible_ns is not None:
                self._measure(event_id, committed_ns, visible_ns)
                continue
            self._waiting[event_id] = committed_ns
            self.unpublished += not is_unnoted

    def message(self, partition: int, offset: int, event_id: int) -> None:
        """Note where in the topic an event is."""
        self.in_kafka += 1
        if event_id in self._waiting:
            self.unpublished -= 1
        else:
            self._unnoted[event_id] = None
        visible_ns = self._partition(partition).passed_at(offset, event_id)
        if visible_ns is not None:
            self._visible(event_id, visible_ns)
        if len(self._unnoted) > _MAX_UNNOTED:
            # Those of other programs, which nobody will note.
            for other in list(islice(self._unnoted, _MAX_UNNOTED // 2)):
                del self._unnoted[other]

    def offset(self, partition: int, offset: int, at_ns: int) -> None:
        """Note that Redis has counted everything before `offset`."""
        for event_id in self._partition(partition).move(offset, at_ns):
            self._visible(event_id, at_ns)

    def _partition(self, partition: int) -> Stamps:
        return self._stamps.setdefault(partition, Stamps())

    def _visible(self, event_id: int, at_ns: int) -> None:
        self.in_redis += 1
        self.first_visible_ns = min(self.first_visible_ns or at_ns, at_ns)
        committed_ns = self._waiting.pop(event_id, None)
        if committed_ns is None:
            self._unnoted[event_id] = at_ns
        else:
            self._measure(event_id, committed_ns, at_ns)

    def _measure(self, event_id: int, committed_ns: int, visible_ns: int) -> None:
        milliseconds = max(visible_ns - committed_ns, 0) / 1e6
        self.latencies.add(milliseconds)
        self.last_minute.add(visible_ns, milliseconds)
        self.gaps.add(committed_ns, visible_ns)
        if len(self.slowest) < _SLOWEST or milliseconds > self.slowest[0][0]:
            self.slowest = sorted([*self.slowest, (milliseconds, committed_ns, event_id)])[-_SLOWEST:]


class Quantiles(msgspec.Struct, frozen=True):
    """Latencies from commit to Redis, in milliseconds; None before the first."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    max: float | None = None


class Sighting(msgspec.Struct, frozen=True):
    """What has been seen since the measuring began."""

    noted: int = 0
    """Events whose commit the generator has noted."""
    in_kafka: int = 0
    in_redis: int = 0
    unpublished: int = 0
    """Noted events that are not in the topic yet."""
    waiting: int = 0
    """Noted events that are not in Redis yet."""
    measured: int = 0
    late: int = 0
    latency_ms: Quantiles = Quantiles()
    last_minute_ms: Quantiles = Quantiles()
    longest_gap_ms: float = 0
    slowest: tuple[tuple[float, int, int], ...] = ()
    """Milliseconds, time of the commit in nanoseconds since 1970, and id."""
    first_visible_ns: int | None = None
    final: bool = False


def quantiles(latencies: Latencies) -> Quantiles:
    """Return the figures that are reported."""
    return Quantiles(*(latencies.quantile(share) for share in (0.5, 0.95, 0.99, 1.0)))


def sighting(seen: Visibility, now_ns: int, *, final: bool = False) -> Sighting:
    """Return what to tell."""
    return Sighting(
        noted=seen.noted,
        in_kafka=seen.in_kafka,
        in_redis=seen.in_redis,
        unpublished=max(seen.unpublished, 0),
        waiting=seen.waiting,
        measured=seen.latencies.count,
        late=seen.latencies.above(PROMISE_MS),
        latency_ms=quantiles(seen.latencies),
        last_minute_ms=quantiles(seen.last_minute.at(now_ns)),
        longest_gap_ms=round(seen.gaps.longest_ms(), 1) if final else 0,
        slowest=tuple(seen.slowest) if final else (),
        first_visible_ns=seen.first_visible_ns,
        final=final,
    )


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Sighting).decode
