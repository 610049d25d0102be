"""The relay's producer: events, dead letters and checkpoint in one transaction that only one relay can commit."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any, NamedTuple

from kafka import KafkaProducer
from kafka.errors import InvalidProducerEpochError, KafkaError, KafkaTimeoutError, ProducerFencedError
from kafka.partitioner import murmur2

from engagement_platform.adapters.kafka.connection import MAX_BLOCK_MS, connect, unavailable
from engagement_platform.adapters.kafka.private import commit_within, failure_of_transaction, stop_sending
from engagement_platform.adapters.kafka.refusals import refusal
from engagement_platform.settings import Kafka, Settings

_FENCED = (ProducerFencedError, InvalidProducerEpochError)


class Fenced(Exception):
    """A later producer with the same transactional id has begun: this one can commit nothing any more."""


class Message(NamedTuple):
    """One record to send."""

    topic: str
    key: bytes | None
    value: bytes
    headers: Sequence[tuple[str, bytes]] = ()


@lru_cache(maxsize=65_536)
def _partition(key: bytes, partitions: int) -> int:
    """Return the partition that every Kafka client gives a key, remembered: the hash in Python is a sixth of a send."""
    return int(murmur2(key) & 0x7FFFFFFF) % partitions


class FencedProducer:
    """A transactional producer. After any exception it is of no more use: open another, and read the checkpoint."""

    def __init__(self, kafka: Kafka, producer: KafkaProducer, transactional_id: str) -> None:
        self._kafka = kafka
        self._transactional_id = transactional_id
        self._producer = producer

    def fence(self) -> None:
        """Shut out every earlier producer of this transactional id; what it left open is aborted.

        Raises Fenced when a later one is at it too, and Unavailable.
        """
        with self._translated():
            self._producer.init_transactions()

    def commit(self, messages: Sequence[Message]) -> None:
        """Write all messages or none: once this returns, each of them is in the committed transaction.

        Raises Fenced, and Unavailable when the outcome is not known: at the latest when the broker would abort the
        transaction, `transaction_timeout_ms` after its begin.
        """
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

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (KafkaError, ValueError) as error:  # ValueError: a partition that the topic does not have any more
            reason = failure_of_transaction(self._producer)
            if isinstance(error, _FENCED) or isinstance(reason, _FENCED):
                raise Fenced(str(error)) from error
            refusals = (refusal(self._kafka, one, self._transactional_id) for one in (reason, error) if one)
            raise next(filter(None, refusals), None) or unavailable(self._kafka, error) from error


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


@contextmanager
def open_producer(settings: Settings, largest_message: int) -> Iterator[FencedProducer]:
    """Connect, without fencing anybody yet; `largest_message` is the topic's limit in bytes. Raises Unavailable."""
    transactional_id = f"engagement-relay-{settings.topics.events}"
    producer = connect(
        KafkaProducer,
        settings.kafka,
        transactional_id=transactional_id,
        transaction_timeout_ms=settings.kafka.transaction_timeout_ms,
        acks="all",
        metrics_enabled=False,
        linger_ms=0,
        batch_size=262_144,
        max_request_size=largest_message + 262_144,
        max_block_ms=MAX_BLOCK_MS,
        retry_backoff_ms=5,  # 100, the default, makes the 95th percentile of a transaction 120 ms
        request_timeout_ms=MAX_BLOCK_MS,
        delivery_timeout_ms=2 * MAX_BLOCK_MS,
    )
    try:
        for topic in (settings.topics.events, settings.topics.checkpoint):
            producer.partitions_for(topic)  # looked up now, so that the first transaction does not wait for it
        yield FencedProducer(settings.kafka, producer, transactional_id)
    except KafkaError as error:
        raise unavailable(settings.kafka, error) from error
    finally:
        _discard(producer)


def _discard(producer: KafkaProducer) -> None:
    """Close a producer and drop what it has not sent."""
    stop_sending(producer)
    with suppress(KafkaError):
        producer.close(timeout=1)
