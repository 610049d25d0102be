"""The relay's producer: events, dead letters and checkpoint in one transaction that only one relay can commit."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import NamedTuple

from kafka import KafkaProducer
from kafka.errors import InvalidProducerEpochError, KafkaError, KafkaTimeoutError, ProducerFencedError
from kafka.partitioner.default import murmur2

from engagement_platform.adapters.kafka.connection import MAX_BLOCK_MS, options, unavailable
from engagement_platform.domain.errors import Unavailable
from engagement_platform.settings import Settings


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

    def __init__(self, settings: Settings, producer: KafkaProducer) -> None:
        self._settings = settings
        self._producer = producer

    def fence(self) -> None:
        """Shut out every earlier producer of this transactional id; what it left open is aborted.

        Raises Fenced when a later one is at it too, and Unavailable.
        """
        with self._translated():
            self._producer.init_transactions()

    def commit(self, messages: Sequence[Message]) -> None:
        """Write all messages or none. Raises Fenced, and Unavailable when the outcome is not known.

        The client would wait for ever for a broker that froze, so the wait is bounded here.
        """
        with self._translated():
            self._producer.begin_transaction()
            for topic, key, value, headers in messages:
                partition = None if key is None else _partition(key, len(self._producer.partitions_for(topic)))
                self._producer.send(topic, value, key, list(headers), partition)
            _bounded(self._producer.commit_transaction, self._settings.transaction_timeout_ms / 1000)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (ProducerFencedError, InvalidProducerEpochError) as error:
            raise Fenced(str(error)) from error
        except TimeoutError as error:  # of the bounded wait
            raise unavailable(self._settings, KafkaTimeoutError("the transaction was not confirmed in time")) from error
        except KafkaError as error:
            if isinstance(error.__cause__, ProducerFencedError | InvalidProducerEpochError):
                raise Fenced(str(error)) from error
            raise unavailable(self._settings, error) from error


@contextmanager
def open_producer(settings: Settings, largest_message: int) -> Iterator[FencedProducer]:
    """Connect, without fencing anybody yet; `largest_message` is the topic's limit in bytes. Raises Unavailable."""
    try:
        producer = KafkaProducer(
            **options(settings),
            transactional_id=f"engagement-relay-{settings.topic}",
            transaction_timeout_ms=settings.transaction_timeout_ms,
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
    except KafkaError as error:
        raise unavailable(settings, error) from error
    try:
        if producer.partitions_for(settings.topic) is None:
            raise Unavailable(f"Kafka has no topic {settings.topic}.", "It is created at the next attempt.")
        yield FencedProducer(settings, producer)
    except KafkaError as error:
        raise unavailable(settings, error) from error
    finally:
        _discard(producer)


def _bounded(action: Callable[[], None], seconds: float) -> None:
    """Do an action that may never return, in a thread. Raises TimeoutError when it takes longer than `seconds`."""
    outcome: Future[None] = Future()

    def do() -> None:
        try:
            action()
            outcome.set_result(None)
        except BaseException as error:  # handed to the caller
            outcome.set_exception(error)

    threading.Thread(target=do, name="commit", daemon=True).start()
    outcome.result(seconds)


def _discard(producer: KafkaProducer) -> None:
    """Close a producer and drop what it has not sent.

    Its `close` first waits for what is under way and gives up closing when that takes too long; the sender would then
    go on sending. Only the sender itself can be told to stop at once.
    """
    producer._sender.force_close()
    with suppress(KafkaError):
        producer.close(timeout=1)
