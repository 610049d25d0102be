"""The platform's topics: how they are created, and what is read of their configuration."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.errors import KafkaError, TopicAlreadyExistsError, TopicAuthorizationFailedError

from engagement_platform.adapters.kafka.connection import MAX_BLOCK_MS, connect, unavailable
from engagement_platform.domain.errors import StreamStopped
from engagement_platform.settings import Kafka, Settings, Topics

WEEK_MS = 7 * 24 * 3_600_000


def topics_to_make(topics: Topics) -> dict[str, dict[str, Any]]:
    """Return the topics as a first start creates them, by name.

    LogAppendTime: offsets are looked up by the time of arrival when Redis is rebuilt, and retention counts from it.
    """
    by_arrival = {"message.timestamp.type": "LogAppendTime"}
    # A whole segment at a time is removed, so one takes messages for a day at most.
    kept = {"retention.ms": str(WEEK_MS), "segment.ms": str(WEEK_MS // 7)}
    # Small segments, so that compaction keeps up with a checkpoint for every transaction.
    compacted = {"cleanup.policy": "compact", "segment.bytes": str(16 << 20), "delete.retention.ms": "60000"}
    return {
        topics.events: _topic(topics, topics.partitions, by_arrival | kept),
        topics.checkpoint: _topic(topics, 1, compacted),
        topics.dead_letters: _topic(topics, 1, by_arrival | {"retention.ms": "-1"}),
    }


def ensure_replay_topic(settings: Settings) -> None:
    """Create the topic of replayed events when it is missing; like the topic of events, but for its name."""
    with admin(settings.kafka) as client:
        if settings.topics.replays not in client.list_topics():
            _create(client, {settings.topics.replays: topics_to_make(settings.topics)[settings.topics.events]})


def _topic(topics: Topics, partitions: int, configs: dict[str, str]) -> dict[str, Any]:
    return {"num_partitions": partitions, "replication_factor": topics.replication_factor, "configs": configs}


@contextmanager
def admin(kafka: Kafka) -> Iterator[KafkaAdminClient]:
    """Open an admin client. Raises Unavailable when Kafka does not answer."""
    client = connect(KafkaAdminClient, kafka, request_timeout_ms=MAX_BLOCK_MS)
    try:
        yield client
    except KafkaError as error:
        raise unavailable(kafka, error) from error
    finally:
        client.close()


def ensure_topics(settings: Settings) -> None:
    """Create the topics that are missing; those that exist stay as they are.

    Raises Unavailable, and StreamStopped when the checkpoint topic is not compacted.
    """
    with admin(settings.kafka) as client:
        existing = set(client.list_topics())
        _create(
            client, {name: topic for name, topic in topics_to_make(settings.topics).items() if name not in existing}
        )
        _require_compacted(client, settings)


def _create(client: KafkaAdminClient, topics: dict[str, dict[str, Any]]) -> None:
    """Create topics, all in one request: each takes a moment until its metadata is everywhere."""
    if not topics:
        return
    try:
        client.create_topics(topics, wait_for_metadata=True)
    except TopicAlreadyExistsError:
        client.wait_for_topics(list(topics))  # another process was faster


def _require_compacted(client: KafkaAdminClient, settings: Settings) -> None:
    topic = settings.topics.checkpoint
    policy = _configuration(client, topic)["cleanup.policy"]
    if policy != "compact":
        raise StreamStopped(
            f"The checkpoint topic {topic} has cleanup.policy={policy}: Kafka would delete the relay's checkpoint.",
            f"Run kafka-configs.sh --bootstrap-server {settings.kafka.bootstrap_servers} --alter --entity-type topics"
            f" --entity-name {topic} --add-config cleanup.policy=compact.",
        )


def newest_arrival(kafka: Kafka, topic: str, partitions: Iterable[int]) -> int | None:
    """Return when the newest message of a topic arrived, by Kafka's clock; None for an empty one.

    Raises Unavailable.
    """
    newest_of = {TopicPartition(topic, partition): OffsetSpec.MAX_TIMESTAMP for partition in partitions}
    with admin(kafka) as client:
        newest = client.list_partition_offsets(newest_of)
    return max((at.timestamp for at in newest.values() if at.timestamp is not None and at.timestamp >= 0), default=None)


def written_ends(kafka: Kafka, topic: str, partitions: Iterable[int]) -> dict[int, int]:
    """Return partition -> end of all that is written, open transactions included: all that is committed lies before.

    The end of what is committed would not do: it stands before the first transaction that is open, whatever others have
    committed behind that. Whoever reads up to this end waits for those transactions, at most for their timeout.
    Raises Unavailable.
    """
    latest = {TopicPartition(topic, partition): OffsetSpec.LATEST for partition in partitions}
    with admin(kafka) as client:
        return {at.partition: end.offset for at, end in client.list_partition_offsets(latest).items()}


class TopicConfigurations:
    """Reads the configurations of some topics again and again, over one connection. Not for two threads at once."""

    def __init__(self, kafka: Kafka, topics: Sequence[str]) -> None:
        self._kafka = kafka
        self._topics = topics
        self._client: KafkaAdminClient | None = None

    def read(self) -> dict[str, dict[str, str]]:
        """Return topic -> its effective configuration; an empty one where Kafka shows none to this user.

        Raises Unavailable, and connects anew the next time.
        """
        try:
            self._client = self._client or connect(KafkaAdminClient, self._kafka, request_timeout_ms=MAX_BLOCK_MS)
            resources = [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in self._topics]
            shown = self._client.describe_configs(resources, config_filter="all")["topic"]
        except KafkaError as error:
            self.close()
            raise unavailable(self._kafka, error) from error
        return {topic: {name: entry["value"] for name, entry in shown.get(topic, {}).items()} for topic in self._topics}

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None


def topic_configuration(kafka: Kafka, topic: str) -> dict[str, str]:
    """Return a topic's effective configuration, defaults of the broker included. Raises Unavailable."""
    with admin(kafka) as client:
        return _configuration(client, topic)


def _configuration(client: KafkaAdminClient, topic: str) -> dict[str, str]:
    described = client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)], config_filter="all")
    # The client says nothing of a refusal: there are just no entries.
    if not described["topic"][topic]:
        if topic in client.list_topics():
            raise TopicAuthorizationFailedError(f"DescribeConfigs on topic {topic}")
        raise KafkaError(f"it shows no topic {topic} to this user")
    return {name: entry["value"] for name, entry in described["topic"][topic].items()}
