"""What was lost and what was doubled: comparisons of source and sinks. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from engagement_platform.domain.windows import Adds

_CHUNK = 1 << 16
_MAX_COUNT = 255


class IdCounts:
    """How often each id occurs. One byte for each id from `base` on; those below it are few."""

    def __init__(self, base: int = 0, ids: Iterable[int] = ()) -> None:
        self.base = base
        self.total = 0
        self._bytes = bytearray()
        self._below: Counter[int] = Counter()
        self.add(ids)

    def add(self, ids: Iterable[int]) -> None:
        """Count ids."""
        counts = self._bytes
        for event_id in ids:
            index = event_id - self.base
            self.total += 1
            if index < 0:
                self._below[event_id] += 1
                continue
            if index >= len(counts):
                counts.extend(bytes(index - len(counts) + _CHUNK))
            if counts[index] < _MAX_COUNT:
                counts[index] += 1

    def __getitem__(self, event_id: int) -> int:
        index = event_id - self.base
        if index < 0:
            return self._below[event_id]
        return self._bytes[index] if index < len(self._bytes) else 0

    def differences(self, other: "IdCounts") -> Iterator[int]:
        """Yield the ids whose counts differ. Both have the same base."""
        yield from sorted(i for i in self._below.keys() | other._below.keys() if self._below[i] != other._below[i])
        size = max(len(self._bytes), len(other._bytes))
        for start in range(0, size, _CHUNK):
            mine = bytes(self._bytes[start : start + _CHUNK]).ljust(_CHUNK, b"\0")
            theirs = bytes(other._bytes[start : start + _CHUNK]).ljust(_CHUNK, b"\0")
            if mine != theirs:
                yield from (self.base + start + i for i in range(_CHUNK) if mine[i] != theirs[i])


@dataclass(frozen=True, slots=True)
class TopicDifference:
    """Ids for which source = topic + dead letters does not hold."""

    lost: tuple[int, ...] = ()
    """In the source only."""
    doubled: tuple[int, ...] = ()
    """More than once in the topic."""
    unknown: tuple[int, ...] = ()
    """In the topic, but not in the source."""


def compare_ids(source: IdCounts, topic: IdCounts, dead: set[int], first_id: int = 0) -> TopicDifference:
    """Compare by id, from `first_id` on. `dead` are the ids that are accounted for as dead letters."""
    lost, doubled, unknown = [], [], []
    for event_id in source.differences(topic):
        if event_id < first_id:
            continue
        if topic[event_id] > 1:
            doubled.append(event_id)
        elif not source[event_id]:
            unknown.append(event_id)
        elif event_id not in dead:
            lost.append(event_id)
    return TopicDifference(tuple(lost), tuple(doubled), tuple(unknown))


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
