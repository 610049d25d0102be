"""Leaves transactions open that Kafka's coordinator knows nothing of: as one does that lost the marks of their end."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager

from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from kafka import TopicPartition

from engagement_platform.adapters.kafka.kafka_python.connection import connect_producer
from engagement_platform.adapters.kafka.kafka_python.private import commit_within, stop_sending
from engagement_platform.adapters.kafka.port import Message, Place
from engagement_platform.settings import Kafka

_VERIFICATION = "transaction.partition.verification.enable"


def leave_open(
    kafka: Kafka, transactional_id: str, messages: Sequence[tuple[int, Message]], ends_in: Collection[Place] = ()
) -> None:
    """Write a transaction of messages, each with its partition, and commit it in some places alone; fences others."""
    with _unverified(kafka), closing(connect_producer(kafka, 1 << 20, transactional_id=transactional_id)) as producer:
        producer.init_transactions()
        producer.begin_transaction()
        for partition, message in messages:
            if Place(message.topic, partition) not in ends_in:
                at = TopicPartition(message.topic, partition)
                producer._transaction_manager._partitions_in_transaction.add(at)
        sent = [
            producer.send(one.topic, one.value, one.key, list(one.headers), partition) for partition, one in messages
        ]
        for record in sent:
            record.get(10)
        if ends_in:
            assert commit_within(producer, 10)
        stop_sending(producer)


@contextmanager
def _unverified(kafka: Kafka) -> Iterator[None]:
    """Have the brokers take what belongs to no transaction that their coordinator knows."""
    _set(kafka, "false")
    try:
        yield
    finally:
        _set(kafka, "true")


def _set(kafka: Kafka, value: str) -> None:
    entry = ConfigEntry(_VERIFICATION, value, incremental_operation=AlterConfigOpType.SET)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    brokers = [str(one) for one in admin.list_topics(timeout=10).brokers]
    wanted = [ConfigResource(ResourceType.BROKER, one, incremental_configs=[entry]) for one in brokers]
    for future in admin.incremental_alter_configs(wanted).values():
        future.result(10)
