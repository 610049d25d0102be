"""A read_committed reader of the topic of events: it goes where it is told, and never jumps by itself.

Offsets are the caller's business, and one that does not exist is an error. A group only stores them: see `group`.
"""

import time
from collections.abc import Mapping
from typing import NamedTuple

from engagement_platform.adapters.kafka.client import client_of
from engagement_platform.adapters.kafka.port import Fetching, OffsetsExpired, TopicState
from engagement_platform.adapters.kafka.record import Record
from engagement_platform.adapters.kafka.refusals import no_answer
from engagement_platform.adapters.kafka.topics import topic_id
from engagement_platform.domain.duplicates import WalPosition, WalPositions, without_duplicates
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.shards import WHOLE, Shard
from engagement_platform.settings import Kafka

__all__ = ["REFRESH_MS", "OffsetsExpired", "TopicChanged", "TopicReader", "latest_arrival"]

REFRESH_MS = 2_000
"""How often topic and partitions are looked up; three misses in a row mean that Kafka does not answer."""


class TopicChanged(EngagementError):
    """The topic was deleted and created again: its offsets mean something else now."""


_LOG_APPEND_TIME = 1


def latest_arrival(records: Mapping[int, list[Record]]) -> int | None:
    """Return the latest time, by Kafka's clock, at which one of the messages arrived; None where none carries it."""
    lasts = (messages[-1] for messages in records.values() if messages)
    return max((one.timestamp for one in lasts if one.timestamp_type == _LOG_APPEND_TIME), default=None)


class _Stand(NamedTuple):
    """Where a reader stands after a poll, by partition: the end of what is written, and the offset of what is next."""

    ends: dict[int, int | None]
    positions: dict[int, int]


class TopicReader:
    """Reads all partitions of a topic, or those of a shard, or some of them; where it is to, without duplicates.

    Methods raise Unavailable when Kafka does not answer, OffsetsExpired and TopicChanged. Not thread-safe.
    """

    def __init__(
        self,
        kafka: Kafka,
        topic: str,
        *,
        group: str | None = None,
        shard: Shard = WHOLE,
        without_duplicates: bool = False,
        **fetching: int,
    ) -> None:
        """Connect. `fetching` is what `port.Fetching` has, but for `refresh_ms`."""
        self._leaves_out = without_duplicates
        self._left_out = 0
        self._kafka = kafka
        self.shard = shard
        """Whose partitions it reads. It may be set to another one, before the next `seek`."""
        self.topic = topic
        how = Fetching(refresh_ms=REFRESH_MS, **fetching)
        self._consumer = client_of(kafka).open_consumer(kafka, topic, how, group)
        self.topic_id = self._consumer.state().topic_id
        self._wal_positions: dict[int, WalPosition] = {}
        self._stand: _Stand | None = None
        """Asked of the client once for each poll: it is a call for each partition."""

    @property
    def partitions(self) -> frozenset[int]:
        """The shard's partitions of the topic, at most `REFRESH_MS` ago. They only ever become more."""
        return self.shard.owned(self.all_partitions)

    @property
    def all_partitions(self) -> frozenset[int]:
        """The partitions that the topic has, whoever reads them."""
        return self._present().partitions

    @property
    def wal_positions(self) -> WalPositions:
        """Where the latest messages stand in their publisher's log; nothing of the relay's, which come once."""
        return dict(self._wal_positions)

    def duplicates(self) -> int:
        """Return how many messages were left out since this was asked, or another place sought, for the last time.

        Their publisher had published them before.
        """
        left_out, self._left_out = self._left_out, 0
        return left_out

    def seek(self, offsets: Mapping[int, int], wal_positions: WalPositions | None = None) -> None:
        """Read from these offsets on: partition -> offset. Other partitions are not read any more.

        `wal_positions` are those of the latest messages before these offsets. Without them what comes again of that is
        taken for new.
        """
        self._stand, self._left_out = None, 0
        self._wal_positions = dict(wal_positions or {})
        self._consumer.assign(offsets)

    def poll(self, timeout_ms: int, most: int | None = None) -> dict[int, list[Record]]:
        """Return messages, as soon as there are any; at most `max_records`, or `most` where that is less.

        Those that their publisher has published before are left out, where the reader is to. Kafka is asked by the
        topic's name, so a recreated topic is noticed up to `REFRESH_MS` late. Whoever makes something lasting of the
        messages calls `verify` between the poll and that.
        """
        self._stand = None
        try:
            polled = self._consumer.poll(timeout_ms, most)
        except OffsetsExpired:
            self._present()  # of another topic they are not expired: they never were
            raise
        self._present()
        return self._without_duplicates(polled) if self._leaves_out else polled

    def _without_duplicates(self, polled: dict[int, list[Record]]) -> dict[int, list[Record]]:
        chosen = {}
        for partition, records in polled.items():
            new, latest = without_duplicates(records, self._wal_positions.get(partition))
            if latest is not None:
                self._wal_positions[partition] = latest
            if new:
                chosen[partition] = new
            self._left_out += len(records) - len(new)
        return chosen

    def positions(self) -> dict[int, int]:
        """Return partition -> offset of the next message. Markers of transactions count as offsets, too."""
        return dict(self._standing().positions)

    def waiting(self) -> int:
        """Return how many offsets lie between the positions and the ends as the last answers told them."""
        return sum(self.lags().values())

    def lags(self) -> dict[int, int]:
        """Return partition -> how many offsets lie between the position and the end as the last answers told it."""
        ends, positions = self._standing()
        return {p: max(0, (ends[p] or 0) - position) for p, position in positions.items()}

    def is_at_end(self) -> bool:
        """Say whether everything was read up to the ends that Kafka told in answers to reads from these positions."""
        return self.at_end() == self._standing().ends.keys()

    def at_end(self) -> frozenset[int]:
        """Return the partitions of which everything was read, as the last answers told."""
        ends, positions = self._standing()
        return frozenset(p for p, end in ends.items() if end is not None and positions[p] >= end)

    def _standing(self) -> "_Stand":
        if self._stand is None:
            self._stand = _Stand(self._consumer.known_ends(), self._consumer.positions())
        return self._stand

    def end_offsets(self) -> dict[int, int]:
        """Return partition -> end of what is committed, for the shard's partitions."""
        return self._consumer.end_offsets(partitions) if (partitions := self.partitions) else {}

    def beginning_offsets(self) -> dict[int, int]:
        """Return partition -> oldest offset there is, for the shard's partitions."""
        return self._consumer.beginning_offsets(partitions) if (partitions := self.partitions) else {}

    def beginning_offsets_of_all(self) -> dict[int, int]:
        """Return partition -> oldest offset there is, for all partitions, whoever reads them."""
        return self._consumer.beginning_offsets(self.all_partitions)

    def offsets_at(self, arrived_ms: int) -> dict[int, int]:
        """Return partition -> offset of the first message that arrived at that time or later, for the shard's."""
        ends = self.end_offsets()  # first, so that nothing that arrives meanwhile is skipped
        if not ends:
            return {}
        offsets = self._consumer.offsets_at(ends.keys(), arrived_ms)
        return {p: end if (offset := offsets[p]) is None else offset for p, end in ends.items()}

    def verify(self) -> None:
        """Ask Kafka now whether the topic is the one that was met at first. Raises TopicChanged when it is not."""
        present = topic_id(self._kafka, self.topic)
        if present != self.topic_id:
            raise self._changed(present)

    def close(self) -> None:
        """Close the connections."""
        self._consumer.close()

    def _present(self) -> TopicState:
        state = self._consumer.state()
        if state.topic_id != self.topic_id:
            raise self._changed(state.topic_id)
        if time.monotonic() - state.at > 3 * REFRESH_MS / 1000:
            raise no_answer(self._kafka, "no answer to the last requests")
        return state

    def _changed(self, present: str) -> TopicChanged:
        return TopicChanged(f"The topic {self.topic} was created again: it was {self.topic_id}, now it is {present}.")
