"""What kafka-python would do by itself: commit without a message, or call committed what it gave up."""

from collections.abc import Iterator
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.errors import TopicAuthorizationFailedError
from kafka.producer.future import FutureProduceResult, FutureRecordMetadata

from engagement_platform.adapters.kafka.kafka_python.producer import KafkaPythonFencedProducer
from engagement_platform.adapters.kafka.producer import Message, open_producer
from engagement_platform.adapters.kafka.topics import ensure_topics
from engagement_platform.domain.errors import Unavailable
from engagement_platform.settings import Settings
from engagement_platform_tests.adapters.kafka.transactions import batch, left

pytestmark = pytest.mark.servers


@pytest.fixture
def client() -> str:
    return "kafka-python"


@pytest.fixture
def producer(settings: Settings) -> Iterator[KafkaPythonFencedProducer]:
    ensure_topics(settings)
    with open_producer(settings, 1_000_000) as producer:
        assert isinstance(producer, KafkaPythonFencedProducer)
        producer.fence()
        yield producer


def test_a_message_that_was_refused_at_once_stops_the_commit(
    producer: KafkaPythonFencedProducer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client raises nothing when the topic of a message without a partition cannot be looked up."""
    send = producer._producer.send

    def refuse(topic: str, value: bytes, *rest: Any) -> Any:
        if value != b"1":
            return send(topic, value, *rest)
        record = FutureRecordMetadata(FutureProduceResult(TopicPartition(topic, None)), -1, None, None, -1, 1, -1)
        return record.failure(TopicAuthorizationFailedError(topic))

    monkeypatch.setattr(producer._producer, "send", refuse)
    with pytest.raises(Unavailable, match="TopicAuthorizationFailed"):
        producer.commit(batch(settings))
    assert left(settings) == []


def test_a_topic_that_cannot_be_looked_up_stops_the_commit(
    producer: KafkaPythonFencedProducer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(topic: str, max_wait_ms: float) -> set[int]:
        raise TopicAuthorizationFailedError(topic)

    monkeypatch.setattr(producer._producer, "_wait_on_metadata", refuse)
    monkeypatch.setattr(producer._producer._metadata, "partitions_for_topic", lambda topic: None)
    with pytest.raises(Unavailable, match="TopicAuthorizationFailed"):
        producer.commit([Message(settings.topics.dead_letters, None, b"0")])
    assert left(settings) == []


def test_messages_that_expire_are_not_left_out(producer: KafkaPythonFencedProducer, settings: Settings) -> None:
    """The client calls that retriable, and commits without them."""
    producer._producer._accumulator.config["delivery_timeout_ms"] = 0
    with pytest.raises(Unavailable, match="has passed since batch creation"):
        producer.commit(batch(settings))
    assert left(settings) == []


def test_a_transaction_that_the_client_gave_up_is_not_taken_for_committed(
    producer: KafkaPythonFencedProducer, settings: Settings
) -> None:
    """After an error in the sequence the client raises its epoch, by which Kafka aborts, and reports success."""
    only_one = [Message(settings.topics.checkpoint, b"relay", b"1")]
    producer.commit(only_one)
    producer._producer._transaction_manager.set_sequence_number(TopicPartition(settings.topics.checkpoint, 0), 7)
    with pytest.raises(Unavailable, match="OutOfOrderSequence"):
        producer.commit(only_one)
    assert left(settings) == [b"1"]


def test_partitions_that_the_topic_has_lost_are_an_outage(
    producer: KafkaPythonFencedProducer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producer._producer, "partitions_for", lambda topic: set(range(1_000)))
    with pytest.raises(Unavailable, match="Unrecognized partition"):
        producer.commit([Message(settings.topics.events, b"%d" % n, b"") for n in range(20)])
    assert left(settings) == []


def test_one_that_has_fenced_nobody_yet_looks_seldom_for_answers(settings: Settings) -> None:
    ensure_topics(settings)
    with open_producer(settings, 1_000_000) as producer:
        assert isinstance(producer, KafkaPythonFencedProducer)
        looks = producer._producer._sender.config
        assert looks["retry_backoff_ms"] == 100
        producer.fence()
        assert looks["retry_backoff_ms"] == 5
