"""Reads a topic whose offsets are stored in a consumer group.

The group only stores: partitions are assigned by the reader itself, all of them, and whoever holds the lease reads.
Beside each offset stand the identity of its topic, the time up to which all that arrived is settled, how many events
may become dead letters, and for how long those behind the offset have been tried in vain.

Kafka drops a group's offsets with the topic, after a week without use, and when somebody deletes the group. So where
forward stands is kept in the platform's database, too: see `adapters.platform.forwarded`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from engagement_platform.adapters.kafka.consumer import TopicChanged, TopicReader
from engagement_platform.adapters.kafka.port import NoteTooLong
from engagement_platform.domain.shards import WHOLE, Shard
from engagement_platform.settings import Kafka

_MAX_WAIT_MS = 200
"""Seldom, for a partner is a few hundred milliseconds away anyway, and the broker has others to serve at once."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What the group stores for a partition."""

    offset: int
    topic_id: str
    """Empty when another program stored it."""
    at: str
    """Every event that arrived before is settled, in UTC; empty when nobody wrote it down."""
    credit: int | None = None
    """How many events may become dead letters, as `domain.delivery.blame` counts them."""
    tried: str = ""
    """For how long events behind it were tried, as `domain.delivery.tries` writes it."""

    @property
    def settled_to(self) -> datetime | None:
        """`at` as a time; None where nobody wrote it down, or another program wrote something else."""
        try:
            return datetime.fromisoformat(self.at).replace(tzinfo=UTC)
        except ValueError:
            return None


def note_of(topic_id: str, settled_to: datetime | None, credit: int | None = None, tried: str = "") -> str:
    """Return what stands beside an offset."""
    at = "-" if settled_to is None else f"{settled_to:%Y-%m-%dT%H:%M:%S}"
    return f"{topic_id} {at} {'-' if credit is None else credit} {tried}".rstrip()


class GroupReader(TopicReader):
    """A `TopicReader` of one topic, the topic of events or that of replays, with a group for its offsets."""

    def __init__(self, kafka: Kafka, topic: str, group: str, shard: Shard = WHOLE) -> None:
        super().__init__(
            kafka,
            topic,
            shard=shard,
            min_bytes=1 << 17,
            max_wait_ms=_MAX_WAIT_MS,
            max_records=2_000,
            max_partition_bytes=1 << 20,
            group=group,
            without_duplicates=True,
        )
        self._group = group
        self._holding = False

    def stored(self) -> dict[int, Stored]:
        """Return partition -> what the group stores, for the partitions that have something stored, whoever's."""
        stored = self._consumer.stored(self.all_partitions)
        return {partition: _stored(offset, note) for partition, (offset, note) in stored.items()}

    def store(self, offsets: Mapping[int, int], notes: Mapping[int, str]) -> None:
        """Store partition -> offset to go on from, and what stands beside it: see `note_of`.

        Where Kafka has less room for that (offset.metadata.max.bytes), the tries are left out.
        """
        try:
            self._consumer.store({p: (offset, notes[p]) for p, offset in offsets.items()})
        except NoteTooLong:
            self._consumer.store({p: (offset, without_tries(notes[p])) for p, offset in offsets.items()})

    def resume(self, stored: Mapping[int, Stored]) -> None:
        """Read the shard's partitions on from the offsets stored, or from the oldest messages when nothing is stored.

        A partition that has nothing stored, beside others that have, is new and read from 0. Raises TopicChanged when
        they were stored for another topic of the same name.
        """
        others = {offset.topic_id for offset in stored.values()} - {self.topic_id, ""}
        if others:
            raise TopicChanged(
                f"The offsets in group {self._group} are those of topic {min(others)}, "
                f"but {self.topic} is {self.topic_id} now."
            )
        offsets = {partition: one.offset for partition, one in self.shard.part_of(stored).items()}
        self.seek(dict.fromkeys(self.partitions, 0) | offsets if stored else self.beginning_offsets())

    def begin_others(self) -> None:
        """Store for the other shards, at a first start, that they begin with the oldest messages there are.

        Else theirs would look like partitions that were added since.
        """
        others = {p: at for p, at in self.beginning_offsets_of_all().items() if not self.shard.owns(p)}
        if others:
            self.store(others, dict.fromkeys(others, note_of(self.topic_id, None)))

    def follow_new_partitions(self) -> frozenset[int]:
        """Read partitions that were added, from their beginning, beside the others; return them."""
        positions = self.positions()
        new = self.partitions - positions.keys()
        if new:
            self.seek(dict.fromkeys(new, 0) | positions, self.wal_positions)
            self.hold(holding=self._holding)
        return new

    def hold(self, *, holding: bool) -> None:
        """Stop fetching, or go on. A reader that holds still notices what happens to its topic when it is polled."""
        self._holding = holding
        self._consumer.hold(holding=holding)


def without_tries(note: str) -> str:
    """Return a note without its last part."""
    return " ".join(note.split(" ")[:3])


def _stored(offset: int, note: str) -> Stored:
    topic_id, at, credit, tried = [*note.split(" "), "", "", ""][:4]
    is_number = credit.isascii() and credit.isdigit() and len(credit) < 10  # else another program wrote it
    return Stored(offset, topic_id, "" if at == "-" else at, int(credit) if is_number else None, tried)
