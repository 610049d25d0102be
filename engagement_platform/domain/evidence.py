"""What became of the events of an hour in each sink: held against the source, id by id.

An event that a sink lacks is *missing* when the sink has passed it, and *on its way* while the sink has not come to it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from engagement_platform.domain.reconciliation import Ids, named
from engagement_platform.domain.windows import Adds, Window


class Verdict(StrEnum):
    """What is to be said of a sink."""

    COMPLETE = "complete"
    AWAITED = "on its way"
    UNKNOWN = "not known"
    BROKEN = "missing or doubled"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one sink has of the events of an hour."""

    sink: str
    expected: int = 0
    """Events that it should have."""
    letters: int = 0
    """Of these, dead letters in its place."""
    missing: Ids = field(default_factory=Ids)
    doubled: Ids = field(default_factory=Ids)
    awaited: Ids = field(default_factory=Ids)
    """Not there, and the sink has not come to them yet."""
    note: str = ""
    """What cannot be told, or what else there is to know; for people."""
    is_known: bool = True

    @property
    def present(self) -> int:
        """How many of the events are there, each counted once."""
        return self.expected - self.letters - self.missing.count - self.awaited.count

    @property
    def verdict(self) -> Verdict:
        """Say what is to be said of it."""
        if self.missing.count or self.doubled.count:
            return Verdict.BROKEN
        if self.awaited.count:
            return Verdict.AWAITED
        return Verdict.COMPLETE if self.is_known else Verdict.UNKNOWN


@dataclass(frozen=True, slots=True)
class Hour:
    """The messages that arrived in an hour, as far as they are judged by."""

    ids: Sequence[int]
    partitions: Sequence[int]
    offsets: Sequence[int]

    def before(self, next_offsets: Mapping[int, int]) -> set[int]:
        """Return the ids of the messages that somebody has passed who goes on from these offsets."""
        rows = zip(self.ids, self.partitions, self.offsets, strict=True)
        return {number for number, partition, offset in rows if offset < next_offsets.get(partition, 0)}


def of_topic(source: Collection[int], arrived: Sequence[int], letters: Collection[int]) -> Evidence:
    """Hold the topic against what the source has of the ids that were published: each once, or a dead letter."""
    lacking = set(source).difference(arrived)
    dead = lacking.intersection(letters)
    return Evidence("kafka", len(source), len(dead), named(lacking - dead), named(_doubled(arrived)))


def of_table(
    hour: Hour, source: Collection[int], loaded: Mapping[int, int], rows: Sequence[int], letters: Collection[int]
) -> Evidence:
    """Hold the warehouse's table against what arrived in the topic and is in the source still.

    `loaded` are the offsets up to which the stage has loaded everything.
    """
    expected = set(hour.ids).intersection(source)
    lacking = expected.difference(rows)
    dead = lacking.intersection(letters)
    passed = hour.before(loaded)
    lacking -= dead
    doubled = _doubled([number for number in rows if number in expected])
    return Evidence(
        "warehouse", len(expected), len(dead), named(lacking & passed), named(doubled), named(lacking - passed)
    )


def of_partner(hour: Hour, settled: Mapping[int, int]) -> Evidence:
    """Say which events forward has settled: delivered, as the partner's answer said, or given up as dead letters.

    `settled` are the offsets from which it goes on: it moves them behind an event once that is the one or the other.
    What the partner really has, it alone can tell.
    """
    expected = set(hour.ids)
    return Evidence("partner", len(expected), awaited=named(expected - hour.before(settled)))


def of_views(present: Adds, recounted: Adds, as_of: str) -> Evidence:
    """Hold the views in Redis against a recount of the topic, member by member: sums, not ids."""
    wrong = [
        f"{dimension} {member}: {present[dimension].get(member)} in place of {recounted[dimension].get(member)}"
        for dimension in recounted
        for member in sorted(present[dimension].keys() | recounted[dimension].keys())
        if present[dimension].get(member) != recounted[dimension].get(member)
    ]
    events = max((sum(sums[0] for sums in members.values()) for members in recounted.values()), default=0)
    note = f"The window as of {as_of}, recounted from the topic."
    if not wrong:
        return Evidence("redis", events, note=note)
    said = "; ".join(wrong[:_NAMED])
    return Evidence("redis", events, missing=Ids(len(wrong)), note=f"{note} Members that differ: {said}.")


_NAMED = 5


def _doubled(ids: Sequence[int]) -> set[int]:
    seen: set[int] = set()
    return {number for number in ids if number in seen or seen.add(number)}  # type: ignore[func-returns-value]


def live_sums(totals: Adds, buckets: Mapping[int, Adds], window: Window, as_of_ms: int) -> None:
    """Add to `totals` what counts at a time, in place."""
    for bucket, adds in buckets.items():
        if window.start(as_of_ms) <= bucket <= as_of_ms + window.max_future_ms:
            for dimension, sums in adds.items():
                for member, added in sums.items():
                    present = totals[dimension].setdefault(member, [0] * len(added))
                    present[:] = [one + other for one, other in zip(present, added, strict=True)]


def unknown(sink: str, why: str) -> Evidence:
    """Return what is said of a sink of which nothing can be told."""
    return Evidence(sink, note=why, is_known=False)


def verdict_of(evidence: Collection[Evidence]) -> Verdict:
    """Return the worst verdict."""
    order = (Verdict.BROKEN, Verdict.AWAITED, Verdict.UNKNOWN)
    verdicts = {one.verdict for one in evidence}
    return next((verdict for verdict in order if verdict in verdicts), Verdict.COMPLETE)


def in_words(evidence: Collection[Evidence]) -> str:
    """Say for people what is not complete; one sentence a sink."""
    return " ".join(filter(None, map(_in_words, evidence))) or "Every sink has every event."


def _in_words(one: Evidence) -> str:
    kinds = {"missing": one.missing, "doubled": one.doubled, "on their way": one.awaited}
    present = {kind: ids for kind, ids in kinds.items() if ids.count}
    said = [f"{ids.count:,} {kind}" + (f" ({ids})" if ids.first else "") for kind, ids in present.items()]
    if said:
        return f"{one.sink}: {', '.join(said)}." + (f" {one.note}" if one.sink == "redis" else "")
    return "" if one.is_known else f"{one.sink}: {one.note}"
