"""The independent judgement: what each sink has, held against source and topic. Pure.

It imports nothing of the package; a test holds that.
"""

import itertools
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NONE = "(none)"


@dataclass(frozen=True)
class Message:
    """An event as it stands in the topic, as far as it is judged by."""

    partition: int
    offset: int
    event_id: int
    content_id: str | None
    content_type: str | None
    device: str | None
    event_ms: int
    duration_ms: int


@dataclass(frozen=True)
class Verdict:
    """Ids that break a promise of one sink; all empty where it is kept."""

    events: int = 0
    lost: frozenset[int] = frozenset()
    doubled: frozenset[int] = frozenset()
    unknown: frozenset[int] = frozenset()
    """There, and not in the source."""
    disordered: frozenset[int] = frozenset()
    """After an event of the same content that came later."""
    repeats: int = 0
    """Of a sink that may get an event again."""

    @property
    def broken(self) -> bool:
        """Whether a promise was broken."""
        return bool(self.lost or self.doubled or self.unknown or self.disordered)


def exactly_once(wanted: Iterable[int], present: Sequence[int], letters: frozenset[int] = frozenset()) -> Verdict:
    """Judge a sink that has each event once: `wanted` = present, or a dead letter."""
    ids, times = set(wanted), Counter(present)
    return Verdict(
        len(present),
        lost=frozenset(ids - times.keys() - letters),
        doubled=frozenset(number for number, n in times.items() if n > 1),
        unknown=frozenset(times.keys() - ids),
    )


def published(
    topic: Sequence[Message], committed: Iterable[int], sequences: Iterable[Sequence[int]], growths: int = 0
) -> Verdict:
    """Judge the topic: each committed row once, a content in one partition, and in the order of its commits.

    `sequences` are the ids of one content each, in the order in which one writer committed them, one after the other;
    what was committed side by side has no order to be held to. With each of the `growths`, in which the topic got more
    partitions, a content may move to one other partition; it is ordered within each.
    """
    verdict = exactly_once(committed, [message.event_id for message in topic])
    partitions: dict[str, set[int]] = defaultdict(set)
    for message in topic:
        if message.content_id is not None:
            partitions[message.content_id].add(message.partition)
    spread = {content for content, those in partitions.items() if len(those) > 1 + growths}
    apart = {message.event_id for message in topic if message.content_id in spread}
    at = {message.event_id: (message.partition, message.offset) for message in reversed(topic)}
    wrong = {
        after
        for ids in sequences
        for before, after in itertools.pairwise(number for number in ids if number in at)
        if at[after][0] == at[before][0] and at[after] < at[before]
    }
    return Verdict(verdict.events, verdict.lost, verdict.doubled, verdict.unknown, frozenset(apart | wrong))


def _by_content(topic: Sequence[Message]) -> dict[tuple[str, int], list[int]]:
    """Return the ids of each content in the order of the topic, by partition: mostly one."""
    order: dict[tuple[str, int], list[int]] = defaultdict(list)
    for message in sorted(topic, key=lambda message: (message.partition, message.offset)):
        if message.content_id is not None:
            order[message.content_id, message.partition].append(message.event_id)
    return order


def delivered(
    topic: Sequence[Message],
    committed: Iterable[int],
    taken: Sequence[int],
    letters: frozenset[int],
    redriven: Container[int] = (),
) -> Verdict:
    """Judge the partner by its own record: each event at least once, first deliveries in the topic's order.

    `taken` are the ids that it took, in the order in which it took them, repeats included. Those that were `redriven`
    beside the stream have no order.
    """
    ids = set(committed)
    first = {number: place for place, number in reversed(list(enumerate(taken)))}
    wrong = set[int]()
    for those in _by_content(topic).values():
        arrived = [first[number] for number in those if number in first and number not in redriven]
        latest = -1
        for place in arrived:
            if place < latest:
                wrong.add(taken[place])
            latest = max(latest, place)
    return Verdict(
        len(first),
        lost=frozenset(ids - first.keys() - letters),
        unknown=frozenset(first.keys() - ids),
        disordered=frozenset(wrong),
        repeats=len(taken) - len(first),
    )


Counts = dict[str, dict[str, int]]
"""View -> member -> score; the views are named as their keys end: `content:count`, `device:ms` …"""


@dataclass(frozen=True)
class Views:
    """The views as they were read in one transaction, with the offsets up to which they count."""

    counts: Counts
    offsets: Mapping[int, int]
    as_of_ms: int
    window_ms: int
    bucket_ms: int
    max_future_ms: int
    generation: str = ""


def recounted(topic: Iterable[Message], views: Views) -> Counts:
    """Count from the topic what the views have to hold, by the rule in docs/redis-keys.md."""
    edge = views.as_of_ms - views.window_ms
    start, end = edge - edge % views.bucket_ms, views.as_of_ms + views.max_future_ms
    counts: Counts = {name: defaultdict(int) for name in views.counts}
    for message in topic:
        bucket = message.event_ms - message.event_ms % views.bucket_ms
        if message.offset < views.offsets.get(message.partition, 0) and start <= bucket <= end:
            members = {"content": message.content_id, "content_type": message.content_type, "device": message.device}
            for dimension, member in members.items():
                counts[f"{dimension}:count"][member or NONE] += 1
                counts[f"{dimension}:ms"][member or NONE] += message.duration_ms
    return {name: dict(members) for name, members in counts.items()}


@dataclass(frozen=True)
class ViewsVerdict:
    """How the views differ from the recount."""

    events: int
    """That they should count."""
    too_few: int
    too_many: int
    """By how much members of any view of counts are off, in events, summed up."""
    other_sums: tuple[str, ...] = field(default=())
    """Members whose milliseconds differ."""

    @property
    def broken(self) -> bool:
        """Whether a promise was broken."""
        return bool(self.too_few or self.too_many or self.other_sums)


def compared(views: Views, wanted: Counts) -> ViewsVerdict:
    """Hold the views against the recount, member by member."""
    few = many = 0
    sums = list[str]()
    for name, members in wanted.items():
        for member in members.keys() | views.counts[name].keys():
            off = views.counts[name].get(member, 0) - members.get(member, 0)
            if name == "content_type:count":
                few, many = few + max(-off, 0), many + max(off, 0)
            if off:
                sums.append(f"{name} {member}: {off:+}")
    return ViewsVerdict(sum(wanted["content_type:count"].values()), few, many, tuple(sums))


def milliseconds(text: str) -> int:
    """Return a moment of a message, RFC 3339, in whole milliseconds since 1970, rounded down as the buckets are."""
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(milliseconds=1)


def message_of(partition: int, offset: int, event: Mapping[str, Any]) -> Message:
    """Return what is judged by of a decoded message of the topic."""
    return Message(
        partition,
        offset,
        event["id"],
        event["content_id"],
        event["content_type"],
        event["device"],
        milliseconds(event["event_ts"]),
        event["duration_ms"] or 0,
    )
