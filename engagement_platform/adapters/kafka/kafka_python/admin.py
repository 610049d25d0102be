"""Looks at topics, and creates them, with kafka-python."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from kafka import IsolationLevel, KafkaAdminClient, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.errors import (
    KafkaError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)

from engagement_platform.adapters.kafka import connection
from engagement_platform.adapters.kafka.kafka_python.connection import connect
from engagement_platform.adapters.kafka.kafka_python.errors import unavailable
from engagement_platform.adapters.kafka.port import NewTopic, Place
from engagement_platform.settings import Kafka

_NOT_SHOWN = {TopicAuthorizationFailedError.errno, UnknownTopicOrPartitionError.errno}


class KafkaPythonAdmin:
    """What `port.Admin` says."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._client = connect(KafkaAdminClient, kafka, request_timeout_ms=connection.MAX_BLOCK_MS)

    def shown(self, topics: Collection[str]) -> frozenset[str]:
        with self._reaching():
            described = self._client.describe_topics(list(topics))
        return frozenset(one["name"] for one in described if one["error_code"] not in _NOT_SHOWN)

    def create(self, topics: Mapping[str, NewTopic]) -> None:
        wanted = {
            name: {
                "num_partitions": topic.partitions,
                "replication_factor": topic.replication_factor,
                "configs": dict(topic.configs),
            }
            for name, topic in topics.items()
        }
        with self._reaching():
            try:
                self._client.create_topics(wanted, wait_for_metadata=True)
            except TopicAlreadyExistsError:
                self._client.wait_for_topics(list(topics))  # another process was faster

    def topic_id(self, topic: str) -> str | None:
        with self._reaching():
            described = self._client.describe_topics([topic])
        identity = described[0]["topic_id"] if described else None
        return str(identity) if identity else None

    def configurations(self, topics: Sequence[str]) -> dict[str, dict[str, str]]:
        """Return topic -> its effective configuration; an empty one where Kafka shows none to this user.

        The client says nothing of a refusal: there are just no entries.
        """
        resources = [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in topics]
        with self._reaching():
            shown = self._client.describe_configs(resources, config_filter="all")["topic"]
        return {topic: {name: entry["value"] for name, entry in shown.get(topic, {}).items()} for topic in topics}

    def written_ends(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        latest = {TopicPartition(topic, partition): OffsetSpec.LATEST for partition in partitions}
        with self._reaching():
            return {at.partition: end.offset for at, end in self._client.list_partition_offsets(latest).items()}

    def left_open(self, topics: Collection[str]) -> dict[Place, int]:
        with self._reaching():
            described = self._client.describe_topics(list(topics))
            for topic in described:
                if topic["error_code"]:
                    raise for_code(topic["error_code"])(topic["name"])
            latest = {
                TopicPartition(topic["name"], partition["partition_index"]): OffsetSpec.LATEST
                for topic in described
                for partition in topic["partitions"]
            }
            written = self._client.list_partition_offsets(latest)
            committed = self._client.list_partition_offsets(latest, IsolationLevel.READ_COMMITTED)
        return {Place(*at): end.offset for at, end in committed.items() if end.offset < written[at].offset}

    def newest_timestamps(self, topic: str, partitions: Iterable[int]) -> dict[int, int | None]:
        newest = {TopicPartition(topic, partition): OffsetSpec.MAX_TIMESTAMP for partition in partitions}
        with self._reaching():
            offsets = self._client.list_partition_offsets(newest)
        return {
            at.partition: one.timestamp if one.timestamp is not None and one.timestamp >= 0 else None
            for at, one in offsets.items()
        }

    def close(self) -> None:
        self._client.close()

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except KafkaError as error:
            raise unavailable(self._kafka, error) from error
