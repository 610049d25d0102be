"""Writes transactions with librdkafka, which commits only when every message of the transaction was delivered."""

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from confluent_kafka import KafkaError, KafkaException

from engagement_platform.adapters.kafka import connection
from engagement_platform.adapters.kafka.librdkafka.errors import FENCED, error_of, said, unavailable
from engagement_platform.adapters.kafka.librdkafka.sender import Sender
from engagement_platform.adapters.kafka.port import Fenced, Message
from engagement_platform.adapters.kafka.refusals import no_answer
from engagement_platform.domain.errors import Refused, Unavailable
from engagement_platform.settings import Kafka

_FATAL_SECONDS = 5.0
"""How long it may take until the library tells what ended a producer."""


class LibrdkafkaFencedProducer:
    """What `port.FencedProducer` says."""

    def __init__(self, kafka: Kafka, transactional_id: str, topics: Collection[str], largest_message: int) -> None:
        self._kafka = kafka
        self._transactional_id = transactional_id
        self._sender = Sender(
            kafka,
            largest_message,
            {
                "transactional.id": transactional_id,
                "transaction.timeout.ms": kafka.transaction_timeout_ms,
                "socket.timeout.ms": min(connection.MAX_BLOCK_MS, kafka.transaction_timeout_ms - 100),
                "message.timeout.ms": min(2 * connection.MAX_BLOCK_MS, kafka.transaction_timeout_ms),
            },
        )
        try:
            self._sender.meet(topics)
        except BaseException:
            self.close()
            raise

    def fence(self) -> None:
        with self._translated():
            self._sender.producer.init_transactions(connection.MAX_BLOCK_MS / 1000)

    def commit(self, messages: Sequence[Message]) -> None:
        deadline = time.monotonic() + self._kafka.transaction_timeout_ms / 1000
        with self._translated():
            self._sender.producer.begin_transaction()
            for message in messages:
                while not self._sender.takes(message):  # as many as the library keeps: the first are on their way
                    self._sender.producer.poll(_left(deadline))
                    if not _left(deadline):
                        raise no_answer(self._kafka, "the messages were not delivered in time")
            self._sender.producer.commit_transaction(_left(deadline))

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except KafkaException as error:
            raise self._explain(error_of(error)) from error

    def _explain(self, error: KafkaError) -> Fenced | Unavailable:
        """Return what to raise: reasons are what became of a message, what ended the producer, and the error."""
        reasons = [*self._sender.failures(_FATAL_SECONDS if error.name() == "_FATAL" else 0.0), error]
        fenced = next((one for one in reasons if one.name() in FENCED), None)
        if fenced is not None:
            return Fenced(said(fenced))
        told = [unavailable(self._kafka, one, self._transactional_id) for one in reasons]
        return next((one for one in told if isinstance(one, Refused)), told[0])

    def close(self) -> None:
        self._sender.close()


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())
