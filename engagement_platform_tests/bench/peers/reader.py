"""The reader of committed records: it notes when it has each event. A thread of the measuring process, which sleeps.

It uses librdkafka, whatever it measures: kafka-python would take a tenth of a core for a thousand events a second that
come in some hundred transactions, librdkafka takes a fiftieth, and everything is on one machine.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from engagement_platform.settings import Settings

POLL_SECONDS = 0.1
"""The longest poll; a record is returned as soon as there is one."""


class _Row(msgspec.Struct):
    id: int


class _Envelope(msgspec.Struct):
    """A message of this platform, whose id is its own, or one of Debezium, which has the row as it is after."""

    id: int | None = None
    after: _Row | None = None


_decode = msgspec.json.Decoder(_Envelope).decode


def id_of(value: bytes) -> int:
    """Return the id of the event that a message is of. Raises ValueError for a message of another kind."""
    message = _decode(value)
    event_id = message.id if message.after is None else message.after.id
    if event_id is None:
        raise ValueError(f"no message of an event: {value[:200]!r}")
    return event_id


class Sightings:
    """What the reader has seen: (id, nanoseconds since 1970), in the order of reading."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []
        self.failure: BaseException | None = None

    def count(self) -> int:
        """Return how many records were read. Raises what ended the reader."""
        if self.failure is not None:
            raise self.failure
        return len(self.seen)

    def read(self, consumer: Consumer, stop: threading.Event) -> None:
        """Read until told to stop."""
        try:
            while not stop.is_set():
                self._take(consumer.poll(POLL_SECONDS))
        except BaseException as error:
            self.failure = error

    def _take(self, message: Message | None) -> None:
        at_ns = time.time_ns()
        if message is None:
            return
        if (error := message.error()) is not None:
            raise KafkaException(error)
        self.seen.append((id_of(message.value() or b""), at_ns))


@contextmanager
def reading(settings: Settings, topic: str) -> Iterator[Sightings]:
    """Read a topic from its beginning while the block runs. Raises what the reader raised."""
    consumer, sightings, stop = _consumer(settings, topic), Sightings(), threading.Event()
    thread = threading.Thread(target=sightings.read, args=(consumer, stop))
    thread.start()
    try:
        yield sightings
    finally:
        stop.set()
        thread.join()
        consumer.close()
    sightings.count()


def _consumer(settings: Settings, topic: str) -> Consumer:
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka.bootstrap_servers,
            "group.id": "none",  # has to be there; nothing is committed
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "error",
            "fetch.min.bytes": 1,
        }
    )
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    return consumer
