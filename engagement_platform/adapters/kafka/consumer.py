"""A read_committed reader of the topic of events: it goes where it is told, and never jumps by itself.

Offsets are the caller's business, and one that does not exist is an error. A group only stores them: see `group`.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, LogTruncationError, NoOffsetForPartitionError, OffsetOutOfRangeError

from engagement_platform.adapters.kafka.connection import MAX_BLOCK_MS, connect, unavailable
from engagement_platform.adapters.kafka.identity import missing_topic, topic_id
from engagement_platform.adapters.kafka.private import Cluster, cluster_of
from engagement_platform.adapters.kafka.record import Record
from engagement_platform.domain.errors import EngagementError
from engagement_platform.settings import Kafka

REFRESH_MS = 2_000
"""How often topic and partitions are looked up; three misses in a row mean that Kafka does not answer."""


class OffsetsExpired(EngagementError):
    """Offsets to read from are not there (any more): the data has expired, or the log was cut."""


class TopicChanged(EngagementError):
    """The topic was deleted and created again: its offsets mean something else now."""


@dataclass(frozen=True, slots=True)
class _Metadata:
    topic_id: str
    partitions: frozenset[int]
    at: float


_LOG_APPEND_TIME = 1


def latest_arrival(records: Mapping[int, list[Record]]) -> int | None:
    """Return the latest time, by Kafka's clock, at which one of the messages arrived; None where none carries it."""
    lasts = (messages[-1] for messages in records.values() if messages)
    return max((one.timestamp for one in lasts if one.timestamp_type == _LOG_APPEND_TIME), default=None)


class TopicReader:
    """Reads all partitions of a topic, or some of them.

    Methods raise Unavailable when Kafka does not answer, OffsetsExpired and TopicChanged. Not thread-safe.
    """

    def __init__(
        self,
        kafka: Kafka,
        topic: str,
        *,
        min_bytes: int = 1,
        max_wait_ms: int = 500,
        max_records: int = 5_000,
        max_partition_bytes: int = 4 << 20,
        group: str | None = None,
    ) -> None:
        self._kafka = kafka
        self.topic = topic
        self._consumer = connect(
            KafkaConsumer,
            kafka,
            group_id=group,
            isolation_level="read_committed",
            auto_offset_reset="none",
            enable_auto_commit=False,
            metrics_enabled=False,
            request_timeout_ms=MAX_BLOCK_MS,
            metadata_max_age_ms=REFRESH_MS,
            fetch_min_bytes=min_bytes,
            fetch_max_wait_ms=max_wait_ms,
            max_partition_fetch_bytes=max_partition_bytes,
            max_poll_records=max_records,
        )
        try:
            self._metadata = self._meet_topic()
        except BaseException:
            self.close()
            raise
        self.topic_id = self._metadata.topic_id

    def _meet_topic(self) -> _Metadata:
        cluster = cluster_of(self._consumer)
        with self._reaching():
            self._consumer.partitions_for_topic(self.topic)
        metadata = self._read_metadata(cluster)
        if metadata is None:
            raise missing_topic(self._kafka, self.topic)
        cluster.add_listener(self._note_metadata)
        # From here on the topic is looked up regularly.
        self._consumer.assign([self._at(partition) for partition in metadata.partitions])
        return metadata

    def _read_metadata(self, cluster: Cluster) -> _Metadata | None:
        topic_id, partitions = cluster.topic_id(self.topic), cluster.partitions_for_topic(self.topic)
        return _Metadata(str(topic_id), frozenset(partitions), time.monotonic()) if topic_id and partitions else None

    def _note_metadata(self, cluster: Cluster) -> None:
        self._metadata = self._read_metadata(cluster) or self._metadata

    @property
    def partitions(self) -> frozenset[int]:
        """The partitions that the topic has, at most `REFRESH_MS` ago. They only ever become more."""
        return self._present().partitions

    def seek(self, offsets: Mapping[int, int]) -> None:
        """Read from these offsets on: partition -> offset. Other partitions are not read any more."""
        self._consumer.assign([self._at(partition) for partition in offsets])
        for partition, offset in offsets.items():
            self._consumer.seek(self._at(partition), offset)

    def poll(self, timeout_ms: int) -> dict[int, list[Record]]:
        """Return messages, as soon as there are any; at most `max_records`.

        Kafka is asked by the topic's name, so a recreated topic is noticed up to `REFRESH_MS` late. Whoever makes
        something lasting of the messages calls `verify` between the poll and that.
        """
        with self._reaching():
            polled = self._consumer.poll(timeout_ms)
        self._present()
        return {at.partition: records for at, records in polled.items()}

    def positions(self) -> dict[int, int]:
        """Return partition -> offset of the next message. Markers of transactions count as offsets, too."""
        with self._reaching():
            return {at.partition: self._consumer.position(at, timeout_ms=0) for at in self._consumer.assignment()}

    def waiting(self) -> int:
        """Return how many offsets lie between the positions and the ends as the last answers told them."""
        with self._reaching():
            return sum(
                max(0, (self._consumer.highwater(at) or 0) - self._consumer.position(at, timeout_ms=0))
                for at in self._consumer.assignment()
            )

    def is_at_end(self) -> bool:
        """Say whether everything was read up to the ends that Kafka told in answers to reads from these positions."""
        ends = {at: self._consumer.highwater(at) for at in self._consumer.assignment()}
        with self._reaching():
            return all(end is not None and self._consumer.position(at, timeout_ms=0) >= end for at, end in ends.items())

    def end_offsets(self) -> dict[int, int]:
        """Return partition -> end of what is committed, for all partitions."""
        with self._reaching():
            ends = self._consumer.end_offsets([self._at(p) for p in self.partitions], MAX_BLOCK_MS)
        return {at.partition: offset for at, offset in ends.items()}

    def beginning_offsets(self) -> dict[int, int]:
        """Return partition -> oldest offset there is, for all partitions."""
        with self._reaching():
            first = self._consumer.beginning_offsets([self._at(p) for p in self.partitions], MAX_BLOCK_MS)
        return {at.partition: offset for at, offset in first.items()}

    def offsets_at(self, arrived_ms: int) -> dict[int, int]:
        """Return partition -> offset of the first message that arrived at that time or later, for all partitions."""
        ends = self.end_offsets()  # first, so that nothing that arrives meanwhile is skipped
        with self._reaching():
            times = dict.fromkeys((self._at(p) for p in ends), arrived_ms)
            offsets = self._consumer.offsets_for_times(times, MAX_BLOCK_MS)
        return {p: ends[p] if offsets[self._at(p)] is None else offsets[self._at(p)].offset for p in ends}

    def verify(self) -> None:
        """Ask Kafka now whether the topic is the one that was met at first. Raises TopicChanged when it is not."""
        present = topic_id(self._kafka, self.topic)
        if present != self.topic_id:
            raise self._changed(present)

    def close(self) -> None:
        """Close the connections."""
        self._consumer.close(autocommit=False, timeout_ms=1_000)

    def _at(self, partition: int) -> TopicPartition:
        return TopicPartition(self.topic, partition)

    def _present(self) -> _Metadata:
        metadata = self._metadata
        if metadata.topic_id != self.topic_id:
            raise self._changed(metadata.topic_id)
        if time.monotonic() - metadata.at > 3 * REFRESH_MS / 1000:
            raise unavailable(self._kafka, KafkaError("no answer to the last requests"))
        return metadata

    def _changed(self, present: str) -> TopicChanged:
        return TopicChanged(f"The topic {self.topic} was created again: it was {self.topic_id}, now it is {present}.")

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except (OffsetOutOfRangeError, LogTruncationError, NoOffsetForPartitionError) as error:
            raise OffsetsExpired(f"Kafka does not have the offsets to read from: {error}.") from error
        except KafkaError as error:
            raise unavailable(self._kafka, error) from error
