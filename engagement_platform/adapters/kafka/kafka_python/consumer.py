"""Reads a topic with kafka-python."""

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress

from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.errors import (
    KafkaError,
    LeaderNotAvailableError,
    LogTruncationError,
    NoOffsetForPartitionError,
    OffsetMetadataTooLargeError,
    OffsetOutOfRangeError,
    UnknownTopicOrPartitionError,
)

from engagement_platform.adapters.kafka import connection
from engagement_platform.adapters.kafka.kafka_python.connection import connect
from engagement_platform.adapters.kafka.kafka_python.errors import unavailable
from engagement_platform.adapters.kafka.kafka_python.private import (
    Cluster,
    cluster_of,
    look_up_within,
    read_records_by,
)
from engagement_platform.adapters.kafka.kafka_python.records import PartitionRecords
from engagement_platform.adapters.kafka.notes import ended_by_zero, whole
from engagement_platform.adapters.kafka.port import Fetching, NoteTooLong, OffsetsExpired, TopicState
from engagement_platform.adapters.kafka.record import Record
from engagement_platform.adapters.kafka.refusals import missing_topic
from engagement_platform.settings import Kafka


class KafkaPythonConsumer:
    """What `port.Consumer` says. The client's own thread looks the topic up."""

    def __init__(self, kafka: Kafka, topic: str, fetching: Fetching, group: str | None = None) -> None:
        self._kafka = kafka
        self._topic = topic
        self._most = fetching.max_records
        self._consumer = connect(
            KafkaConsumer,
            kafka,
            group_id=group,
            isolation_level="read_committed",
            auto_offset_reset="none",
            enable_auto_commit=False,
            metrics_enabled=False,
            request_timeout_ms=connection.MAX_BLOCK_MS,
            metadata_max_age_ms=fetching.refresh_ms,
            fetch_min_bytes=fetching.min_bytes,
            fetch_max_wait_ms=fetching.max_wait_ms,
            max_partition_fetch_bytes=fetching.max_partition_bytes,
            max_poll_records=fetching.max_records,
        )
        read_records_by(self._consumer, PartitionRecords)
        try:
            self._state = self._meet_topic()
        except BaseException:
            self.close()
            raise

    def _meet_topic(self) -> TopicState:
        cluster = cluster_of(self._consumer)
        with self._reaching(), suppress(UnknownTopicOrPartitionError, LeaderNotAvailableError):
            look_up_within(self._consumer, self._topic, connection.MAX_BLOCK_MS / 1000)
        state = self._read_state(cluster)
        if state is None:
            raise missing_topic(self._kafka, self._topic)
        cluster.add_listener(self._note_state)
        # From here on the topic is looked up regularly.
        self._consumer.assign([self._at(partition) for partition in state.partitions])
        return state

    def _read_state(self, cluster: Cluster) -> TopicState | None:
        topic_id, partitions = cluster.topic_id(self._topic), cluster.partitions_for_topic(self._topic)
        return TopicState(str(topic_id), frozenset(partitions), time.monotonic()) if topic_id and partitions else None

    def _note_state(self, cluster: Cluster) -> None:
        self._state = self._read_state(cluster) or self._state

    def state(self) -> TopicState:
        return self._state

    def assign(self, offsets: Mapping[int, int]) -> None:
        self._consumer.assign([self._at(partition) for partition in offsets])
        for partition, offset in offsets.items():
            self._consumer.seek(self._at(partition), offset)

    def hold(self, *, holding: bool) -> None:
        act = self._consumer.pause if holding else self._consumer.resume
        act(*self._consumer.assignment())

    def poll(self, timeout_ms: int, most: int | None = None) -> dict[int, list[Record]]:
        with self._reaching():
            polled = self._consumer.poll(timeout_ms, min(most or self._most, self._most))
        return {at.partition: records for at, records in polled.items()}

    def positions(self) -> dict[int, int]:
        with self._reaching():
            return {at.partition: self._consumer.position(at, timeout_ms=0) for at in self._consumer.assignment()}

    def known_ends(self) -> dict[int, int | None]:
        return {at.partition: self._consumer.highwater(at) for at in self._consumer.assignment()}

    def end_offsets(self, partitions: Collection[int]) -> dict[int, int]:
        with self._reaching():
            ends = self._consumer.end_offsets([self._at(p) for p in partitions], connection.MAX_BLOCK_MS)
        return {at.partition: offset for at, offset in ends.items()}

    def beginning_offsets(self, partitions: Collection[int]) -> dict[int, int]:
        with self._reaching():
            first = self._consumer.beginning_offsets([self._at(p) for p in partitions], connection.MAX_BLOCK_MS)
        return {at.partition: offset for at, offset in first.items()}

    def offsets_at(self, partitions: Collection[int], arrived_ms: int) -> dict[int, int | None]:
        times = {self._at(p): arrived_ms for p in partitions}
        with self._reaching():
            offsets = self._consumer.offsets_for_times(times, connection.MAX_BLOCK_MS)
        return {at.partition: None if offset is None else offset.offset for at, offset in offsets.items()}

    def stored(self, partitions: Collection[int]) -> dict[int, tuple[int, str]]:
        with self._reaching():
            committed = {
                p: self._consumer.committed(self._at(p), metadata=True, timeout_ms=connection.MAX_BLOCK_MS)
                for p in partitions
            }
        return {p: (one.offset, whole(one.metadata or "")) for p, one in committed.items() if one is not None}

    def store(self, offsets: Mapping[int, tuple[int, str]]) -> None:
        records = {
            self._at(p): OffsetAndMetadata(offset, ended_by_zero(note), -1) for p, (offset, note) in offsets.items()
        }
        with self._reaching():
            try:
                self._consumer.commit(records, timeout_ms=connection.MAX_BLOCK_MS)
            except OffsetMetadataTooLargeError as error:
                raise NoteTooLong(str(error)) from error

    def close(self) -> None:
        self._consumer.close(autocommit=False, timeout_ms=1_000)

    def _at(self, partition: int) -> TopicPartition:
        return TopicPartition(self._topic, partition)

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except (OffsetOutOfRangeError, LogTruncationError, NoOffsetForPartitionError) as error:
            raise OffsetsExpired(f"Kafka does not have the offsets to read from: {error}.") from error
        except KafkaError as error:
            raise unavailable(self._kafka, error) from error
