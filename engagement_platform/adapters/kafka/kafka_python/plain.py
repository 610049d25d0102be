"""Sends messages without a transaction with kafka-python."""

from collections import deque
from collections.abc import Iterable
from typing import Any

from kafka.errors import KafkaError

from engagement_platform.adapters.kafka import connection
from engagement_platform.adapters.kafka.kafka_python.connection import connect_producer
from engagement_platform.adapters.kafka.kafka_python.errors import unavailable
from engagement_platform.adapters.kafka.port import Message
from engagement_platform.settings import Kafka

_IN_FLIGHT = 5_000


class KafkaPythonPlainProducer:
    """What `port.PlainProducer` says."""

    def __init__(self, kafka: Kafka, largest_message: int) -> None:
        self._kafka = kafka
        self._patience = 2 * connection.MAX_BLOCK_MS / 1000
        self._producer = connect_producer(kafka, largest_message, linger_ms=5)

    def send_all(self, messages: Iterable[Message]) -> int:
        unconfirmed: deque[Any] = deque()
        confirmed = 0
        try:
            for topic, key, value, headers in messages:
                unconfirmed.append(self._producer.send(topic, value, key, list(headers)))
                while len(unconfirmed) > _IN_FLIGHT:
                    unconfirmed.popleft().get(self._patience)
                    confirmed += 1
            for sent in unconfirmed:
                sent.get(self._patience)
            return confirmed + len(unconfirmed)
        except KafkaError as error:
            raise unavailable(self._kafka, error) from error

    def close(self) -> None:
        self._producer.close(timeout=1)
