"""Reads the relay's checkpoint: the last committed record of its compacted topic."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from engagement_platform.adapters.kafka.connection import MAX_BLOCK_MS, connect, unavailable
from engagement_platform.adapters.streams import stream_of
from engagement_platform.domain.checkpoint import Checkpoint, from_bytes
from engagement_platform.domain.errors import Unavailable
from engagement_platform.settings import Settings

_FIRST_LOOK_BACK = 32


def key(settings: Settings) -> bytes:
    """Return the key of the relay's record. Relays of other topics may write to the same checkpoint topic."""
    return f"relay:{stream_of(settings).source.name}:{settings.topics.events}".encode()


class Checkpoints:
    """Two connected consumers: one that sees where the topic ends, one that sees what is committed."""

    def __init__(self, settings: Settings, ends: KafkaConsumer, records: KafkaConsumer) -> None:
        self._settings = settings
        self._ends = ends
        self._records = records
        self._partition = TopicPartition(settings.topics.checkpoint, 0)
        self._key = key(settings)

    def last(self) -> Checkpoint | None:
        """Return the last committed checkpoint; None when there has never been one.

        To be called after the producer has fenced its predecessor. The end is that of a read_uncommitted consumer:
        the other kind's stops before a transaction that is still open elsewhere, and an old checkpoint would be taken
        for the last. Raises Unavailable.
        """
        try:
            end = self._ends.end_offsets([self._partition])[self._partition]
            begin = self._records.beginning_offsets([self._partition])[self._partition]
            back = _FIRST_LOOK_BACK
            while True:
                start = max(begin, end - back)
                value = self._last_value(start, end)
                if value is not None or start == begin:
                    return None if value is None else from_bytes(value)
                back *= 8
        except KafkaError as error:
            raise unavailable(self._settings.kafka, error) from error

    def _last_value(self, start: int, end: int) -> bytes | None:
        """Return the last committed value from `start` to before `end`. Markers and aborted records have none."""
        self._records.seek(self._partition, start)
        deadline = time.monotonic() + MAX_BLOCK_MS / 1000
        value = None
        while self._records.position(self._partition) < end:
            for record in self._records.poll(timeout_ms=200).get(self._partition, ()):
                if record.key == self._key and record.offset < end:
                    value = record.value
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"The checkpoint topic {self._settings.topics.checkpoint} could not be read to its end {end}.",
                    "A transaction of another program holds it open, or the broker is overloaded.",
                )
        return value


@contextmanager
def open_checkpoints(settings: Settings) -> Iterator[Checkpoints]:
    """Connect the consumers, so that reading costs one round trip later. Raises Unavailable."""
    opened: list[KafkaConsumer] = []
    partition = TopicPartition(settings.topics.checkpoint, 0)
    try:
        for isolation in ("read_uncommitted", "read_committed"):
            consumer = connect(
                KafkaConsumer,
                settings.kafka,
                group_id=None,
                metrics_enabled=False,
                enable_auto_commit=False,
                auto_offset_reset="none",
                isolation_level=isolation,
                fetch_max_wait_ms=100,
                request_timeout_ms=MAX_BLOCK_MS,
            )
            opened.append(consumer)
            consumer.assign([partition])
            consumer.end_offsets([partition])
        yield Checkpoints(settings, opened[0], opened[1])
    except KafkaError as error:
        raise unavailable(settings.kafka, error) from error
    finally:
        for consumer in opened:
            consumer.close()
