"""Reads a topic with librdkafka, which fetches ahead in threads of its own."""

import time
from collections.abc import Collection, Mapping
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import OffsetSpec

from engagement_platform.adapters.kafka import connection
from engagement_platform.adapters.kafka.librdkafka.admin import identity_of, offsets_of
from engagement_platform.adapters.kafka.librdkafka.connection import Reports, Requests, make
from engagement_platform.adapters.kafka.librdkafka.errors import error_of, refusal, said, unavailable
from engagement_platform.adapters.kafka.librdkafka.record import LibrdkafkaRecord
from engagement_platform.adapters.kafka.notes import ended, safe
from engagement_platform.adapters.kafka.port import Fetching, NoteTooLong, OffsetsExpired, TopicState
from engagement_platform.adapters.kafka.record import Record
from engagement_platform.adapters.kafka.refusals import missing_topic
from engagement_platform.settings import Kafka

_NO_GROUP = "engagement-platform"
"""The library wants a group of every consumer. Nobody joins this one, it stores nothing, and no right is needed."""
_PREFETCHED_KB = 32 << 10
_LEADER_SECONDS = 1.0
"""For how long it is waited to know who leads partitions: nothing is lost without, but a second."""
_PASSING = frozenset(
    {
        "_TRANSPORT",
        "_ALL_BROKERS_DOWN",
        "_TIMED_OUT",
        "_RESOLVE",
        "_UNKNOWN_PARTITION",
        "_UNKNOWN_TOPIC",
        "UNKNOWN_TOPIC_OR_PART",
        "UNKNOWN_TOPIC_ID",
        "INCONSISTENT_TOPIC_ID",
        "LEADER_NOT_AVAILABLE",
        "NOT_LEADER_FOR_PARTITION",
        "REPLICA_NOT_AVAILABLE",
        "BROKER_NOT_AVAILABLE",
        "KAFKA_STORAGE_ERROR",
        "OFFSET_NOT_AVAILABLE",
        "REQUEST_TIMED_OUT",
        "NETWORK_EXCEPTION",
        "COORDINATOR_NOT_AVAILABLE",
        "COORDINATOR_LOAD_IN_PROGRESS",
        "NOT_COORDINATOR",
    }
)
"""What the library gets over by itself. That it does not is seen by the looks at the topic, which then fail, too."""
_GONE = ("Offset out of range", "log truncation detected")
"""Why a position is lost. The code of the error says only that none is to be chosen instead."""


class LibrdkafkaConsumer:
    """What `port.Consumer` says.

    The library tells the position behind a message, and behind the markers that follow it once a message was read; at
    the end of a partition, which it reports, it tells what lies before. `_heard` has the partitions of which something
    was read since they were assigned: of others the library may still tell what was true before.
    """

    def __init__(self, kafka: Kafka, topic: str, fetching: Fetching, group: str | None = None) -> None:
        self._kafka = kafka
        self._topic = topic
        self._group = group
        self._fetching = fetching
        self._positions: dict[int, int] = {}
        self._heard: set[int] = set()
        self._holding = False
        self._failure: Exception | None = None
        self._requests = Requests(kafka)
        self._look: Future[Any] | None = None
        self._asked = 0.0
        try:
            self._state = self._meet_topic()
            self._consumer = self._connect()
            self._meet_leaders()
        except BaseException:
            self._requests.close()
            raise

    def _meet_topic(self) -> TopicState:
        self._requests.connect()
        try:
            return _state_of(self._requests.answer(self._describe()))
        except KafkaException as error:
            told = refusal(self._kafka, error_of(error))
            raise told or missing_topic(self._kafka, self._topic) from error

    def _connect(self) -> Consumer:
        return make(
            Consumer,
            self._kafka,
            Reports(self._kafka),
            {
                "group.id": self._group or _NO_GROUP,
                "isolation.level": "read_committed",
                "auto.offset.reset": "error",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "topic.metadata.refresh.interval.ms": self._fetching.refresh_ms,
                "fetch.min.bytes": self._fetching.min_bytes,
                "fetch.wait.max.ms": self._fetching.max_wait_ms,
                "fetch.message.max.bytes": self._fetching.max_partition_bytes,
                "fetch.error.backoff.ms": 50,
                "fetch.queue.backoff.ms": 10,
                "queued.max.messages.kbytes": _PREFETCHED_KB,
            },
        )

    def _meet_leaders(self) -> None:
        """Let the library know who leads the partitions before they are assigned: else it asks a second later.

        It looks for leaders that it misses once a second, and reads nothing before.
        """
        with suppress(KafkaException):  # whoever does not answer now is asked again then
            self._consumer.list_topics(self._topic, timeout=_LEADER_SECONDS)

    def _describe(self) -> "Future[Any]":
        self._asked = time.monotonic()
        seconds = connection.MAX_BLOCK_MS / 1000
        topics = TopicCollection([self._topic])
        return self._requests.client.describe_topics(topics, request_timeout=seconds)[self._topic]

    def state(self) -> TopicState:
        """Return what the topic was at the last look. Looks are made when this is asked, and not waited for.

        Where nobody has asked for long, the answer is waited for.
        """
        refresh = self._fetching.refresh_ms / 1000
        self._take_look(0)
        age = time.monotonic() - self._state.at
        if self._look is None and age > refresh and time.monotonic() - self._asked > min(refresh, 0.1):
            self._look = self._describe()
        if age > 3 * refresh:
            self._take_look(max(0.0, self._asked + refresh - time.monotonic()))
        return self._state

    def _take_look(self, seconds: float) -> None:
        """Take what a look has seen, if it comes within so many seconds. One that failed is made again."""
        look = self._look
        if look is None or not (look.done() or seconds):
            return
        try:
            self._state = _state_of(look.result(seconds))
        except TimeoutError:
            return
        except KafkaException:
            pass
        self._look = None

    def assign(self, offsets: Mapping[int, int]) -> None:
        self._consumer.assign([TopicPartition(self._topic, p, offset) for p, offset in offsets.items()])
        self._positions = dict(offsets)
        self._heard.clear()
        self._failure = None
        if self._holding:
            self.hold(holding=True)

    def hold(self, *, holding: bool) -> None:
        self._holding = holding
        act = self._consumer.pause if holding else self._consumer.resume
        act(self._at(self._positions))

    def poll(self, timeout_ms: int, most: int | None = None) -> dict[int, list[Record]]:
        """Return messages by partition, as soon as there are any. Raises OffsetsExpired.

        The library fills a batch or waits to the end: so one message is waited for, and others are taken as they are.
        """
        if self._failure is not None:
            raise self._failure
        fetched = self._fetching.max_records
        polled = self._consume(timeout_ms / 1000, min(most or fetched, fetched))
        records: dict[int, list[Record]] = {}
        for message in polled:
            error = message.error()
            if error is not None:
                self._note(message, error)
                continue
            partition: int = message.partition()  # type: ignore[assignment]
            if partition not in records:
                records[partition] = []
            records[partition].append(LibrdkafkaRecord(message, partition))
        for partition, read in records.items():
            self._heard.add(partition)
            self._positions[partition] = read[-1].offset + 1
        if self._failure is not None and not records:
            raise self._failure
        return records

    def _consume(self, seconds: float, most: int) -> list[Message]:
        try:
            polled = self._consumer.consume(1, seconds)
            if polled and most > 1:
                polled += self._consumer.consume(most - 1, 0)
        except KafkaException as error:
            raise unavailable(self._kafka, error_of(error)) from error
        return polled

    def _note(self, message: Message, error: KafkaError) -> None:
        """Note what is no message. An error is raised once all messages before it were returned."""
        name, partition = error.name(), message.partition()
        if name == "_PARTITION_EOF":
            if partition is not None and partition in self._positions:
                self._heard.add(partition)
                self._positions[partition] = max(self._positions[partition], message.offset() or 0)
        elif name in _PASSING or (self._group is None and name.startswith("GROUP_")):
            pass
        elif name == "_AUTO_OFFSET_RESET" and any(why in error.str() for why in _GONE):
            self._failure = OffsetsExpired(
                f"Kafka does not have the offsets to read from: {self._topic}, partition {partition}, offset"
                f" {message.offset()} ({said(error)})."
            )
        else:
            self._failure = self._failure or unavailable(self._kafka, error)

    def positions(self) -> dict[int, int]:
        behind = (
            {at.partition: at.offset for at in self._consumer.position(self._at(self._heard))} if self._heard else {}
        )
        return {p: max(position, behind.get(p, -1)) for p, position in self._positions.items()}

    def known_ends(self) -> dict[int, int | None]:
        return {p: self._known_end(p) if p in self._heard else None for p in self._positions}

    def _known_end(self, partition: int) -> int | None:
        _, end = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), cached=True)
        return end if end >= 0 else None

    def end_offsets(self, partitions: Collection[int]) -> dict[int, int]:
        answers = offsets_of(
            self._requests, self._topic, partitions, OffsetSpec.latest(), IsolationLevel.READ_COMMITTED
        )
        return {p: answer.offset for p, answer in answers.items()}

    def beginning_offsets(self, partitions: Collection[int]) -> dict[int, int]:
        answers = offsets_of(self._requests, self._topic, partitions, OffsetSpec.earliest())
        return {p: answer.offset for p, answer in answers.items()}

    def offsets_at(self, partitions: Collection[int], arrived_ms: int) -> dict[int, int | None]:
        answers = offsets_of(self._requests, self._topic, partitions, OffsetSpec.for_timestamp(arrived_ms))
        return {p: answer.offset if answer.offset >= 0 else None for p, answer in answers.items()}

    def stored(self, partitions: Collection[int]) -> dict[int, tuple[int, str]]:
        asked = [ConsumerGroupTopicPartitions(self._group or _NO_GROUP, self._at(partitions))]
        kept = self._answers(self._requests.client.list_consumer_group_offsets(asked))
        return {at.partition: (at.offset, _note_of(at)) for at in kept if at.offset >= 0}

    def store(self, offsets: Mapping[int, tuple[int, str]]) -> None:
        new = [TopicPartition(self._topic, p, offset, ended(note)) for p, (offset, note) in offsets.items()]
        if new:
            told = [ConsumerGroupTopicPartitions(self._group or _NO_GROUP, new)]
            self._answers(self._requests.client.alter_consumer_group_offsets(told))

    def _answers(self, futures: "dict[str, Future[Any]]") -> list[TopicPartition]:
        """Wait for what the group says of each partition."""
        try:
            kept: list[TopicPartition] = self._requests.answer(futures[self._group or _NO_GROUP]).topic_partitions
            for at in kept:
                if at.error is not None:
                    raise KafkaException(at.error)
        except KafkaException as error:
            if error_of(error).name() == "OFFSET_METADATA_TOO_LARGE":
                raise NoteTooLong(said(error_of(error))) from error
            raise unavailable(self._kafka, error_of(error)) from error
        return kept

    def _at(self, partitions: Collection[int]) -> list[TopicPartition]:
        return [TopicPartition(self._topic, partition) for partition in partitions]

    def close(self) -> None:
        self._look = None
        self._consumer.close()
        self._requests.close()


def _note_of(at: TopicPartition) -> str:
    try:
        return safe(at.metadata or "")
    except UnicodeDecodeError:  # of an older version, read beyond its end
        return ""


def _state_of(described: Any) -> TopicState:
    partitions = frozenset(partition.id for partition in described.partitions)
    return TopicState(identity_of(described), partitions, time.monotonic())
