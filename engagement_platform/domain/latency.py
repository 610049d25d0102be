"""Histograms of latencies in seconds: constant memory, cumulative, quantiles within 5 percent.

A histogram only ever grows. Whoever wants the latencies of a span subtracts what there was at its beginning, so any
number of readers can look at the same one; those of several runs or loops are added up.
"""

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

ENOUGH_EVENTS = 100
"""Of fewer, the slowest hundredth is a single event, by which nothing is told."""

_GROWTH = math.log(1.05)
_UNIT = 1_000
"""Buckets grow by 5 percent from a thousandth of a second on; below it they are a twentieth of that wide."""


def _bucket_of(seconds: float) -> int:
    return math.ceil(math.log(seconds * _UNIT + 1) / _GROWTH)


def _end_of(bucket: int) -> float:
    """Return the longest latency of a bucket, in seconds."""
    return (math.exp(bucket * _GROWTH) - 1) / _UNIT


@dataclass(frozen=True, slots=True)
class Latencies:
    """The latencies of a span, in seconds."""

    buckets: Mapping[int, int] = field(default_factory=dict)
    """Number of a bucket -> number of latencies."""
    sum: float = 0.0
    maximum: float = 0.0

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(self.buckets.values())

    def quantile(self, share: float) -> float | None:
        """Return the seconds that `share` of all do not exceed; None when there are none."""
        rank, passed = math.ceil(share * self.count), 0
        for bucket in sorted(self.buckets):
            passed += self.buckets[bucket]
            if passed >= rank:
                return min(_end_of(bucket), self.maximum)
        return None

    def __add__(self, other: "Latencies") -> "Latencies":
        """Return those of both."""
        buckets = {b: self.buckets.get(b, 0) + other.buckets.get(b, 0) for b in {*self.buckets, *other.buckets}}
        return Latencies(buckets, self.sum + other.sum, max(self.maximum, other.maximum))

    def __sub__(self, earlier: "Latencies") -> "Latencies":
        """Return those that have come since. Their maximum is known as exactly as any quantile."""
        differences = {bucket: number - earlier.buckets.get(bucket, 0) for bucket, number in self.buckets.items()}
        buckets = {bucket: number for bucket, number in differences.items() if number > 0}
        maximum = min(_end_of(max(buckets)), self.maximum) if buckets else 0.0
        return Latencies(buckets, max(0.0, self.sum - earlier.sum), maximum)


def counts_up_to(latencies: Latencies, bounds: Sequence[float]) -> list[int]:
    """Return for each of some ascending bounds how many latencies do not exceed it.

    One that lies less than 5 percent below a bound may count as above it; what counts below it never does later.
    """
    counts = [0] * (len(bounds) + 1)
    for bucket, number in latencies.buckets.items():
        counts[bisect_left(bounds, _end_of(bucket))] += number
    return list(accumulate(counts[:-1]))


def to_object(latencies: Latencies) -> dict[str, Any]:
    """Return latencies as JSON can have them."""
    buckets = {str(bucket): number for bucket, number in sorted(latencies.buckets.items())}
    return {"sum": latencies.sum, "max": latencies.maximum, "buckets": buckets}


def from_object(kept: Any) -> Latencies:
    """Return latencies as they were kept; none where they cannot be read."""
    try:
        buckets = {int(bucket): int(number) for bucket, number in kept["buckets"].items()}
        return Latencies(buckets, float(kept["sum"]), float(kept["max"]))
    except (AttributeError, KeyError, TypeError, ValueError):
        return Latencies()


class Histogram:
    """Counts latencies. One thread adds; others may look. A negative one counts as zero."""

    def __init__(self) -> None:
        self._buckets: dict[int, int] = {}
        self._sum = 0.0
        self._maximum = 0.0

    def add(self, seconds: float, times: int = 1) -> None:
        """Count a latency, `times` times."""
        seconds = max(seconds, 0.0)
        bucket = _bucket_of(seconds)
        self._buckets[bucket] = self._buckets.get(bucket, 0) + times
        self._sum += seconds * times
        self._maximum = max(self._maximum, seconds)

    def present(self) -> Latencies:
        """Return all that were counted so far."""
        return Latencies(self._buckets.copy(), self._sum, self._maximum)


class Recent:
    """Tells the latencies of the last minute or so, or of another span, from a histogram that only grows."""

    SECONDS = 60.0

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds, self._step = seconds, seconds / 6
        self._kept: deque[tuple[float, Latencies]] = deque()

    def of(self, present: Latencies, now: float) -> Latencies:
        """Return the latencies of the span, given all of them; `now` in seconds, of a clock that nobody sets."""
        if not self._kept:
            self._kept.append((now, Latencies()))
        if now - self._kept[-1][0] >= self._step:
            self._kept.append((now, present))
        while len(self._kept) > 1 and now - self._kept[1][0] >= self._seconds:
            self._kept.popleft()
        return present - self._kept[0][1]
