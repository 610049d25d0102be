"""Writes transactions with kafka-python."""

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import lru_cache
from typing import Any

from kafka import KafkaProducer
from kafka.errors import InvalidProducerEpochError, KafkaError, KafkaTimeoutError, ProducerFencedError
from kafka.partitioner import murmur2

from engagement_platform.adapters.kafka.kafka_python.connection import connect_producer
from engagement_platform.adapters.kafka.kafka_python.errors import refusal, unavailable
from engagement_platform.adapters.kafka.kafka_python.private import (
    commit_within,
    failure_of_transaction,
    look_for_work,
    stop_sending,
)
from engagement_platform.adapters.kafka.port import Fenced, Message
from engagement_platform.settings import Kafka

_FENCED = (ProducerFencedError, InvalidProducerEpochError)

_LOOK_MS = 5
"""How often the client looks for an answer. 100, its default, makes the 95th percentile of a transaction 120 ms."""
_RESTING_LOOK_MS = 100
"""The same of a producer that has fenced nobody yet: the relay of a run that waits has one for ten minutes."""


@lru_cache(maxsize=65_536)
def _partition(key: bytes, partitions: int) -> int:
    """Return the partition that every Kafka client gives a key, remembered: the hash in Python is a sixth of a send."""
    return int(murmur2(key) & 0x7FFFFFFF) % partitions


class KafkaPythonFencedProducer:
    """What `port.FencedProducer` says."""

    def __init__(self, kafka: Kafka, transactional_id: str, topics: Collection[str], largest_message: int) -> None:
        self._kafka = kafka
        self._transactional_id = transactional_id
        self._producer = connect_producer(
            kafka,
            largest_message,
            transactional_id=transactional_id,
            transaction_timeout_ms=kafka.transaction_timeout_ms,
            linger_ms=0,
            retry_backoff_ms=_LOOK_MS,
        )
        look_for_work(self._producer, _RESTING_LOOK_MS)
        try:
            for topic in topics:
                self._producer.partitions_for(topic)  # looked up now, so that the first transaction does not wait
        except KafkaError as error:
            self.close()
            raise unavailable(kafka, error) from error

    def fence(self) -> None:
        look_for_work(self._producer, _LOOK_MS)
        with self._translated():
            self._producer.init_transactions()

    def commit(self, messages: Sequence[Message]) -> None:
        with self._translated():
            partitions = {topic: len(self._producer.partitions_for(topic)) for topic in {m.topic for m in messages}}
            deadline = time.monotonic() + self._kafka.transaction_timeout_ms / 1000
            self._producer.begin_transaction()
            sent = [self._send(message, partitions[message.topic]) for message in messages]
            _await_delivery(sent, deadline)
            if not commit_within(self._producer, _left(deadline)):
                raise KafkaTimeoutError("the transaction was not confirmed in time")

    def _send(self, message: Message, partitions: int) -> Any:
        topic, key, value, headers = message
        partition = None if key is None else _partition(key, partitions)
        return self._producer.send(topic, value, key, list(headers), partition)

    def _translated(self) -> AbstractContextManager[None]:
        return translated(self._kafka, self._producer, self._transactional_id)

    def close(self) -> None:
        stop_sending(self._producer)
        with suppress(KafkaError):
            self._producer.close(timeout=1)


@contextmanager
def translated(kafka: Kafka, producer: KafkaProducer, transactional_id: str) -> Iterator[None]:
    """Raise what `port.FencedProducer` says in place of what the client does."""
    try:
        yield
    except (KafkaError, ValueError) as error:  # ValueError: a partition that the topic does not have any more
        reason = failure_of_transaction(producer)
        if isinstance(error, _FENCED) or isinstance(reason, _FENCED):
            raise Fenced(str(error)) from error
        refusals = (refusal(kafka, one, transactional_id) for one in (reason, error) if one)
        raise next(filter(None, refusals), None) or unavailable(kafka, error) from error


def _await_delivery(sent: Sequence[Any], deadline: float) -> None:
    """Wait until Kafka has every record. Raises what happened to the first that it does not have.

    Without this the client commits although a record has expired, or was never sent because its topic could not be
    looked up; and after an error that makes it raise its epoch, it calls a transaction committed that was aborted.
    """
    for record in sent:
        if not record.succeeded():
            record.get(_left(deadline))


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())
