"""Looks at topics, and creates them, with librdkafka."""

import time
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from confluent_kafka import IsolationLevel, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import ConfigResource, NewTopic, OffsetSpec, ResourceType

from engagement_platform.adapters.kafka import connection, port
from engagement_platform.adapters.kafka.librdkafka.connection import Requests
from engagement_platform.adapters.kafka.librdkafka.errors import error_of, unavailable
from engagement_platform.adapters.kafka.refusals import no_answer
from engagement_platform.settings import Kafka

_LOOK_SECONDS = 0.02
_NOT_SHOWN = ("TOPIC_AUTHORIZATION_FAILED", "UNKNOWN_TOPIC_OR_PART")


def identity_of(described: Any) -> str:
    """Return the UUID of a described topic, as text: as others write it, not as this library does."""
    number = described.topic_id
    high, low = number.get_most_significant_bits(), number.get_least_significant_bits()
    return str(uuid.UUID(int=(high % (1 << 64)) << 64 | low % (1 << 64)))


def offsets_of(
    requests: Requests,
    topic: str,
    partitions: Iterable[int],
    spec: Any,
    isolation: IsolationLevel = IsolationLevel.READ_UNCOMMITTED,
) -> dict[int, Any]:
    """Return partition -> offset and timestamp that a topic has for a specification. Raises Unavailable."""
    asked = {TopicPartition(topic, partition): spec for partition in partitions}
    if not asked:
        return {}
    seconds = connection.MAX_BLOCK_MS / 1000
    futures = requests.client.list_offsets(asked, isolation_level=isolation, request_timeout=seconds)
    return {at.partition: requests.demand(future) for at, future in futures.items()}


class LibrdkafkaAdmin:
    """What `port.Admin` says."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._requests = Requests(kafka)
        try:
            self._requests.connect()
        except BaseException:
            self.close()
            raise

    def shown(self, topics: Collection[str]) -> frozenset[str]:
        futures = self._requests.client.describe_topics(TopicCollection(list(topics)))
        return frozenset(topic for topic, future in futures.items() if self._described(future) is not None)

    def create(self, topics: Mapping[str, port.NewTopic]) -> None:
        new = [
            NewTopic(name, topic.partitions, topic.replication_factor, config=dict(topic.configs))
            for name, topic in topics.items()
        ]
        for future in self._requests.client.create_topics(new).values():
            try:
                self._requests.answer(future)
            except KafkaException as error:
                if error_of(error).name() != "TOPIC_ALREADY_EXISTS":  # else another process was faster
                    raise unavailable(self._kafka, error_of(error)) from error
        self._await(topics)

    def _await(self, topics: Collection[str]) -> None:
        """Wait until every partition has a leader."""
        deadline = time.monotonic() + connection.MAX_BLOCK_MS / 1000
        while not all(self._can_be_used(topic) for topic in topics):
            if time.monotonic() > deadline:
                raise no_answer(self._kafka, f"no leaders for the new topics {', '.join(topics)}")
            time.sleep(_LOOK_SECONDS)

    def _can_be_used(self, topic: str) -> bool:
        described = self._describe(topic)
        return described is not None and all(
            partition.leader is not None and partition.leader.id >= 0 for partition in described.partitions
        )

    def topic_id(self, topic: str) -> str | None:
        described = self._describe(topic)
        return None if described is None else identity_of(described)

    def _describe(self, topic: str) -> Any:
        return self._described(self._requests.client.describe_topics(TopicCollection([topic]))[topic])

    def _described(self, future: Any) -> Any:
        try:
            return self._requests.answer(future)
        except KafkaException as error:
            if error_of(error).name() in _NOT_SHOWN:
                return None
            raise unavailable(self._kafka, error_of(error)) from error

    def configurations(self, topics: Sequence[str]) -> dict[str, dict[str, str]]:
        resources = [ConfigResource(ResourceType.TOPIC, topic) for topic in topics]
        return {
            resource.name: self._shown(future)
            for resource, future in self._requests.client.describe_configs(resources).items()
        }

    def _shown(self, future: Any) -> dict[str, str]:
        try:
            entries = self._requests.answer(future)
        except KafkaException as error:
            if error_of(error).name() in _NOT_SHOWN:
                return {}
            raise unavailable(self._kafka, error_of(error)) from error
        return {name: entry.value for name, entry in entries.items()}

    def written_ends(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        answers = offsets_of(self._requests, topic, partitions, OffsetSpec.latest())
        return {partition: answer.offset for partition, answer in answers.items()}

    def left_open(self, topics: Collection[str]) -> dict[port.Place, int]:
        described = self._requests.client.describe_topics(TopicCollection(list(topics)))
        partitions = {
            topic: [one.id for one in self._requests.demand(future).partitions] for topic, future in described.items()
        }
        written = {topic: self.written_ends(topic, numbers) for topic, numbers in partitions.items()}
        return {
            port.Place(topic, partition): committed
            for topic, ends in written.items()
            for partition, committed in self._committed_ends(topic, ends).items()
            if committed < ends[partition]
        }

    def _committed_ends(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        answers = offsets_of(self._requests, topic, partitions, OffsetSpec.latest(), IsolationLevel.READ_COMMITTED)
        return {partition: answer.offset for partition, answer in answers.items()}

    def newest_timestamps(self, topic: str, partitions: Iterable[int]) -> dict[int, int | None]:
        answers = offsets_of(self._requests, topic, partitions, OffsetSpec.max_timestamp())
        return {p: answer.timestamp if answer.timestamp >= 0 else None for p, answer in answers.items()}

    def close(self) -> None:
        self._requests.close()
