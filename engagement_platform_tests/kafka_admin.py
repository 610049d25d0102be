"""What tests do to Kafka as its operator does: by a client of their own, whichever the platform uses."""

from collections.abc import Iterator
from contextlib import contextmanager

from kafka import KafkaAdminClient

from engagement_platform.adapters.kafka.kafka_python.connection import connect
from engagement_platform.settings import Kafka


@contextmanager
def admin(kafka: Kafka) -> Iterator[KafkaAdminClient]:
    """Open an admin client of kafka-python."""
    client = connect(KafkaAdminClient, kafka)
    try:
        yield client
    finally:
        client.close()
