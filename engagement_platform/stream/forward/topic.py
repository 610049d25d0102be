"""Reads the topics that forward delivers, and keeps how far each of their partitions is settled."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from engagement_platform.adapters.kafka.group import GroupReader, Stored, note_of
from engagement_platform.adapters.kafka.record import Record
from engagement_platform.adapters.platform.forwarded import Position
from engagement_platform.domain.batches import Lines, Rejected
from engagement_platform.domain.delivery.parcels import Outgoing
from engagement_platform.domain.delivery.tries import Prefix, Tried, from_text, to_text
from engagement_platform.domain.messages import HEADER_TO, HEADER_UNSEEN_AT, TO_API
from engagement_platform.domain.rejections import Judged

MAX_TRIES_BYTES = 3_000
"""Of what is stored beside an offset: Kafka takes 4,096 unless offset.metadata.max.bytes says otherwise."""


class Topic:
    """One topic on its way to the partner, and how far each of its partitions is settled.

    Methods raise Unavailable, OffsetsExpired and TopicChanged.
    """

    def __init__(self, reader: GroupReader, *, only_for_api: bool) -> None:
        self.reader = reader
        self._only_for_api = only_for_api
        self._prefixes: dict[int, Prefix] = {}
        self._stored: dict[int, int] = {}
        self._settled_to: dict[int, datetime | None] = {}
        self._tried_before: dict[tuple[int, int], Tried] = {}
        self.has_copy = False
        """Whether it goes on from the copy of the offsets, as Kafka had lost them."""

    @property
    def name(self) -> str:
        """The topic's name."""
        return self.reader.topic

    def resume(self, stored: Mapping[int, Stored]) -> None:
        """Go on from these offsets; from the oldest messages there are when there are none."""
        own = self.reader.shard.part_of(stored)
        self._settled_to = {partition: one.settled_to for partition, one in own.items()}
        self._prefixes = {partition: Prefix(one.offset) for partition, one in own.items()}
        self.reader.resume(stored)
        self._prefixes = {partition: Prefix(at) for partition, at in self.reader.positions().items()}
        for partition, one in own.items():
            for offset, tried in from_text(one.tried, one.offset).items():
                self._tried_before[partition, offset] = tried

    @property
    def is_begun(self) -> bool:
        """Whether it is known where it goes on."""
        return bool(self._prefixes)

    def tried_before(self, partition: int, offset: int) -> Tried | None:
        """Return how a message fared in earlier runs."""
        return self._tried_before.pop((partition, offset), None)

    def poll(self, timeout_ms: int) -> list[Record]:
        """Return the messages that are to be delivered; the others are settled already."""
        for partition in self.reader.follow_new_partitions():
            self._prefixes[partition] = Prefix(0)
        chosen = []
        for partition, records in self.reader.poll(timeout_ms).items():
            prefix = self._prefixes[partition]
            for record in records:
                prefix.add(record.offset, record.timestamp)
                if self._only_for_api and (HEADER_TO, TO_API) not in record.headers:
                    prefix.settle(record.offset)
                else:
                    chosen.append(record)
        for partition, position in self.reader.positions().items():
            self._prefixes[partition].reach(position)
        return chosen

    def settle(self, partition: int, offset: int) -> None:
        """Note that a message is delivered or a dead letter."""
        self._prefixes[partition].settle(offset)

    def store(self, tried: Mapping[tuple[str, int, int], Tried], credit: int, *, everything: bool) -> Position:
        """Store how far the partitions are settled: those that have advanced, or all of them; return it.

        `tried` are the events that were tried in vain; as many of them as there is room for are told of. `credit` is
        how many events may become dead letters.
        """
        self._note_settled_to()
        offsets = {partition: prefix.committable for partition, prefix in self._prefixes.items()}
        tries: dict[int, dict[int, Tried]] = defaultdict(dict)
        for (topic, partition, offset), one in tried.items():
            if topic == self.name:
                tries[partition][offset] = one
        texts = {partition: to_text(tries[partition], at, MAX_TRIES_BYTES) for partition, at in offsets.items()}
        new = {partition: at for partition, at in offsets.items() if everything or self._stored.get(partition) != at}
        if new:
            to, topic_id = self._settled_to, self.reader.topic_id
            self.reader.store(new, {p: note_of(topic_id, to.get(p), credit, texts[p]) for p in new})
            self._stored |= new
        partitions = 0 if self.reader.shard.is_whole else len(self.reader.all_partitions)
        return Position(self.reader.topic_id, offsets, self.settled_to, partitions)

    def _note_settled_to(self) -> None:
        """Note up to which time all that arrived in Kafka is settled."""
        at_end, now = self.reader.at_end(), datetime.now(UTC)
        for partition, prefix in self._prefixes.items():
            if prefix.oldest_ms is not None:
                self._settled_to[partition] = _of_ms(prefix.oldest_ms)
            elif partition in at_end:
                self._settled_to[partition] = now
            elif prefix.last_ms is not None:
                self._settled_to[partition] = _of_ms(prefix.last_ms)

    @property
    def settled_to(self) -> datetime | None:
        """The time before which everything that arrived in Kafka is delivered or a dead letter; None: not known."""
        times = [self._settled_to.get(partition) for partition in self._prefixes]
        settled = [time for time in times if time is not None]
        return min(settled) if times and len(settled) == len(times) else None

    def has_settled(self, ends: Mapping[int, int]) -> bool:
        """Say whether everything before these ends is settled."""
        return all(p in self._prefixes and self._prefixes[p].committable >= end for p, end in ends.items())

    @property
    def span(self) -> int:
        """How many messages are remembered because one before them is not settled."""
        return sum(prefix.span for prefix in self._prefixes.values())


def _of_ms(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1_000, UTC)


def outgoing(record: Record, now: float, lines: Lines, tried: Tried | None = None) -> Outgoing | Rejected:
    """Check a message; `now` is the loop's clock. Its order is kept by its key, and there is none without one."""
    value = record.value or b""  # a message without a value is no event either
    try:
        event = lines.reader.decode(value)
    except (msgspec.MsgspecError, ValueError):  # ValueError: not UTF-8
        rejected = lines.of(record.value)
        return rejected if isinstance(rejected, Rejected) else Rejected(rejected.id, "not an event", "")
    number, key = lines.reader.id_and_time(event)[0], lines.reader.key_of(event)
    unseen = next((text for name, text in record.headers if name == HEADER_UNSEEN_AT and text), b"")
    return Outgoing(
        number,
        ("event", number) if key is None else key,
        value,
        (record.topic, record.partition, record.offset),
        now,
        int(unseen) if unseen.isdigit() else None,
        tried,
    )


def judged(records: Sequence[Record], checked: Sequence[Outgoing | Rejected]) -> Judged:
    """Return which of the messages of each partition are no events."""
    sizes: Counter[Hashable] = Counter()
    rejected: dict[Hashable, list[int]] = {}
    for record, one in zip(records, checked, strict=True):
        lane = record.topic, record.partition
        if isinstance(one, Rejected):
            rejected.setdefault(lane, []).append(sizes[lane])
        sizes[lane] += 1
    return Judged(sizes, rejected)
