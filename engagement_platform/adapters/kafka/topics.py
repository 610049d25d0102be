"""The platform's topics: how they are created, and what is read of their configuration."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager

from engagement_platform.adapters.kafka.client import client_of
from engagement_platform.adapters.kafka.port import Admin, NewTopic
from engagement_platform.adapters.kafka.refusals import missing_topic, no_answer, right_refused
from engagement_platform.domain.errors import StreamStopped, Unavailable
from engagement_platform.settings import Kafka, Settings, Topics

WEEK_MS = 7 * 24 * 3_600_000


def topics_to_make(topics: Topics) -> dict[str, NewTopic]:
    """Return the topics as a first start creates them, by name.

    LogAppendTime: offsets are looked up by the time of arrival when Redis is rebuilt, and retention counts from it.
    """
    by_arrival = {"message.timestamp.type": "LogAppendTime"}
    # A whole segment at a time is removed, so one takes messages for a day at most.
    kept = {"retention.ms": str(WEEK_MS), "segment.ms": str(WEEK_MS // 7)}
    # Small segments, so that compaction keeps up with a checkpoint for every transaction.
    compacted = {"cleanup.policy": "compact", "segment.bytes": str(16 << 20), "delete.retention.ms": "60000"}
    replicas = topics.replication_factor
    return {
        topics.events: NewTopic(topics.partitions, replicas, by_arrival | kept),
        topics.checkpoint: NewTopic(1, replicas, compacted),
        topics.dead_letters: NewTopic(1, replicas, by_arrival | {"retention.ms": "-1"}),
    }


def ensure_replay_topic(settings: Settings) -> None:
    """Create the topic of replayed events when it is missing; like the topic of events, but for its name."""
    with admin(settings.kafka) as client:
        if not client.shown([settings.topics.replays]):
            client.create({settings.topics.replays: topics_to_make(settings.topics)[settings.topics.events]})


@contextmanager
def admin(kafka: Kafka) -> Iterator[Admin]:
    """Open an admin client. Raises Unavailable when Kafka does not answer."""
    with closing(client_of(kafka).open_admin(kafka)) as client:
        yield client


def shown_topics(kafka: Kafka, *topics: str) -> frozenset[str]:
    """Return those of some topics that Kafka shows to this user. Raises Unavailable."""
    with admin(kafka) as client:
        return client.shown(topics)


def topic_id(kafka: Kafka, topic: str) -> str:
    """Return the UUID of a topic, as text: a recreated topic has the same name and offsets, but another one.

    Raises Unavailable when Kafka or the topic is not there.
    """
    with admin(kafka) as client:
        identity = client.topic_id(topic)
    if identity is None:
        raise missing_topic(kafka, topic)
    return identity


def ensure_topics(settings: Settings) -> None:
    """Create the topics that are missing; those that exist stay as they are.

    Raises Unavailable, and StreamStopped when the checkpoint topic is not compacted.
    """
    with admin(settings.kafka) as client:
        wanted = topics_to_make(settings.topics)
        shown = client.shown(wanted)
        missing = {name: topic for name, topic in wanted.items() if name not in shown}
        if missing:
            client.create(missing)
        _require_compacted(client, settings)


def _require_compacted(client: Admin, settings: Settings) -> None:
    topic = settings.topics.checkpoint
    policy = _configuration(client, settings.kafka, topic)["cleanup.policy"]
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
    with admin(kafka) as client:
        newest = client.newest_timestamps(topic, partitions)
    return max((at for at in newest.values() if at is not None), default=None)


def written_ends(kafka: Kafka, topic: str, partitions: Iterable[int]) -> dict[int, int]:
    """Return partition -> end of all that is written, open transactions included: all that is committed lies before.

    The end of what is committed would not do: it stands before the first transaction that is open, whatever others have
    committed behind that. Whoever reads up to this end waits for those transactions, at most for their timeout.
    Raises Unavailable.
    """
    with admin(kafka) as client:
        return client.written_ends(topic, partitions)


class TopicConfigurations:
    """Reads the configurations of some topics again and again, over one connection. Not for two threads at once."""

    def __init__(self, kafka: Kafka, topics: Sequence[str]) -> None:
        self._kafka = kafka
        self._topics = topics
        self._client: Admin | None = None

    def read(self) -> dict[str, dict[str, str]]:
        """Return topic -> its effective configuration; an empty one where Kafka shows none to this user.

        Raises Unavailable, and connects anew the next time.
        """
        try:
            self._client = self._client or client_of(self._kafka).open_admin(self._kafka)
            return self._client.configurations(self._topics)
        except Unavailable:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None


def topic_configuration(kafka: Kafka, topic: str) -> dict[str, str]:
    """Return a topic's effective configuration, defaults of the broker included. Raises Unavailable."""
    with admin(kafka) as client:
        return _configuration(client, kafka, topic)


def _configuration(client: Admin, kafka: Kafka, topic: str) -> dict[str, str]:
    shown = client.configurations([topic])[topic]
    if shown:
        return shown
    if client.shown([topic]):
        raise right_refused(kafka, f"TopicAuthorizationFailedError: DescribeConfigs on topic {topic}")
    raise no_answer(kafka, f"it shows no topic {topic} to this user")
