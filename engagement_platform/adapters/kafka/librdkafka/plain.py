"""Sends messages without a transaction with librdkafka."""

import time
from collections.abc import Iterable

from confluent_kafka import KafkaException

from engagement_platform.adapters.kafka import connection
from engagement_platform.adapters.kafka.librdkafka.errors import error_of, unavailable
from engagement_platform.adapters.kafka.librdkafka.sender import Sender
from engagement_platform.adapters.kafka.port import Message
from engagement_platform.adapters.kafka.refusals import no_answer
from engagement_platform.settings import Kafka

_IN_FLIGHT = 5_000
_LISTEN_SECONDS = 0.1


class LibrdkafkaPlainProducer:
    """What `port.PlainProducer` says."""

    def __init__(self, kafka: Kafka, largest_message: int) -> None:
        self._kafka = kafka
        self._patience = 2 * connection.MAX_BLOCK_MS / 1000
        self._met: set[str] = set()
        self._sender = Sender(
            kafka,
            largest_message,
            {
                "enable.idempotence": True,
                "message.timeout.ms": 2 * connection.MAX_BLOCK_MS,
                "queue.buffering.max.messages": _IN_FLIGHT,
            },
        )

    def send_all(self, messages: Iterable[Message]) -> int:
        sent = 0
        try:
            for message in messages:
                self._meet(message.topic)
                self._send(message)
                sent += 1
            left = self._sender.producer.flush(self._patience)
        except KafkaException as error:
            raise unavailable(self._kafka, self._sender.failure or error_of(error)) from error
        self._require_delivered()
        if left:
            raise no_answer(self._kafka, f"{left} messages were not confirmed in time")
        return sent

    def _meet(self, topic: str) -> None:
        if topic not in self._met:
            self._sender.meet([topic])
            self._met.add(topic)

    def _send(self, message: Message) -> None:
        deadline = time.monotonic() + self._patience
        while not self._sender.takes(message):
            self._sender.producer.poll(_LISTEN_SECONDS)
            self._require_delivered()
            if time.monotonic() > deadline:
                raise no_answer(self._kafka, "messages were not confirmed in time")

    def _require_delivered(self) -> None:
        if self._sender.failure is not None:
            raise unavailable(self._kafka, self._sender.failure)

    def close(self) -> None:
        self._sender.close()
