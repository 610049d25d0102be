"""For how long each sink stood still: the longest that a marker waited to be seen there. Pure."""

import bisect
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Marker:
    """An event that is committed each tenth of a second, to be looked for in each sink."""

    event_id: int
    committed: float
    """In seconds since 1970, as all times here."""


@dataclass(frozen=True)
class Occurrence:
    """A fault as it happened."""

    name: str
    began: float
    healed: float
    """When it was healed from outside."""
    counts_from: float
    """Waiting before this is the fault's own: `began`, or `healed`."""
    flowed: float
    """When every sink had a marker again that was committed after `healed`."""


def standstills(
    markers: Sequence[Marker], seen: Mapping[int, float], occurrences: Sequence[Occurrence]
) -> tuple[float, dict[int, float]]:
    """Return the longest wait outside of faults, and of each occurrence, by its place in the sequence.

    A wait belongs to the last fault that had begun when the marker was seen, unless everything had flowed again after
    that when the marker was committed. A marker that was never seen is for the verdict on what was lost.
    """
    begins = [one.began for one in occurrences]
    quiet, worst = 0.0, dict.fromkeys(range(len(occurrences)), 0.0)
    for marker in markers:
        at = seen.get(marker.event_id)
        if at is None:
            continue
        place = bisect.bisect_right(begins, at) - 1
        if place < 0 or marker.committed > occurrences[place].flowed:
            quiet = max(quiet, at - marker.committed)
        else:
            since = max(marker.committed, occurrences[place].counts_from)
            worst[place] = max(worst[place], at - since)
    return quiet, worst


def middle_and_worst(seconds: Sequence[float]) -> tuple[float, float]:
    """Return the median and the longest."""
    return statistics.median(seconds), max(seconds)


def fault_of(event_time: float, occurrences: Sequence[Occurrence]) -> int | None:
    """Return the place of the fault that had begun last at a time; None before the first."""
    place = bisect.bisect_right([one.began for one in occurrences], event_time) - 1
    return place if place >= 0 else None
