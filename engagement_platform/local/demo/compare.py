"""What was lost and what was doubled: comparisons of source and sinks. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from engagement_platform.domain.windows import Adds

Ids = np.ndarray[Any, Any]
"""Ids of events, in any order; one that occurs several times is there several times."""


@dataclass(frozen=True, slots=True)
class TopicDifference:
    """Ids for which source = topic + dead letters does not hold."""

    lost: tuple[int, ...] = ()
    """In the source only."""
    doubled: tuple[int, ...] = ()
    """More than once in the topic."""
    unknown: tuple[int, ...] = ()
    """In the topic, but not in the source."""


def compare_ids(source: Ids, topic: Ids, dead: set[int], first_id: int = 0) -> TopicDifference:
    """Compare by id, from `first_id` on. `dead` are the ids that are accounted for as dead letters."""
    source = np.unique(source[source >= first_id])
    topic, times = np.unique(topic[topic >= first_id], return_counts=True)
    lost = np.setdiff1d(source, topic, assume_unique=True).tolist()
    return TopicDifference(
        lost=tuple(event_id for event_id in lost if event_id not in dead),
        doubled=tuple(topic[times > 1].tolist()),
        unknown=tuple(np.setdiff1d(topic[times == 1], source, assume_unique=True).tolist()),
    )


@dataclass(frozen=True, slots=True)
class KeyDifference:
    """One key of a view that does not hold what the source has."""

    dimension: str
    member: str
    expected: tuple[int, ...]
    """Events and sums of the recount."""
    actual: tuple[int, ...]
    """Events and sums in Redis."""

    @property
    def missing(self) -> int:
        """How many events are missing; 1 when only a part of a sum is."""
        return self._off(-1)

    @property
    def surplus(self) -> int:
        """How many events are too many; 1 when only a part of a sum is."""
        return self._off(+1)

    def _off(self, sign: int) -> int:
        count, *sums = ((actual - expected) * sign for actual, expected in zip(self.actual, self.expected, strict=True))
        return max(count, 0) if count else int(any(off > 0 for off in sums))


def compare_views(expected: Adds, present: Adds) -> list[KeyDifference]:
    """Return every key whose count or sums differ. A key with nothing is as good as no key."""
    return [
        KeyDifference(dimension, member, tuple(sums), tuple(there))
        for dimension in sorted(expected.keys() | present.keys())
        for member in sorted(expected.get(dimension, {}).keys() | present.get(dimension, {}).keys())
        for sums, there in [_beside(expected.get(dimension, {}).get(member), present.get(dimension, {}).get(member))]
        if sums != there
    ]


def _beside(expected: list[int] | None, present: list[int] | None) -> tuple[list[int], list[int]]:
    """Return the sums of both, where nothing is with zeros."""
    nothing = [0] * len(expected or present or [])
    return expected or nothing, present or nothing


def events_off(differences: Iterable[KeyDifference]) -> tuple[int, int]:
    """Return how many events are missing and how many too many: each dimension sees each event, so the worst counts."""
    missing: Counter[str] = Counter()
    surplus: Counter[str] = Counter()
    for difference in differences:
        missing[difference.dimension] += difference.missing
        surplus[difference.dimension] += difference.surplus
    return max(missing.values(), default=0), max(surplus.values(), default=0)


def total(views: Mapping[str, Mapping[str, list[int]]]) -> int:
    """Return how many events the views count: each is under one member of a dimension, or under none."""
    return sum(count for count, *_ in next(iter(views.values()), {}).values())
