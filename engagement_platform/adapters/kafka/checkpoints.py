"""Reads the relay's checkpoint: the last committed record of its compacted topic."""

import time
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager

from engagement_platform.adapters.kafka import connection
from engagement_platform.adapters.kafka.client import client_of
from engagement_platform.adapters.kafka.port import Admin, Consumer, Fetching, Place
from engagement_platform.adapters.streams import stream_of
from engagement_platform.domain.checkpoint import Checkpoint, from_bytes
from engagement_platform.domain.errors import Unavailable
from engagement_platform.settings import Settings

_PARTITION = 0
_FIRST_LOOK_BACK = 32
_FETCHING = Fetching(max_wait_ms=100, max_records=500, max_partition_bytes=1 << 20, refresh_ms=300_000)


def key(settings: Settings) -> bytes:
    """Return the key of the relay's record. Relays of other topics may write to the same checkpoint topic."""
    return f"relay:{stream_of(settings).source.name}:{settings.topics.events}".encode()


class Checkpoints:
    """Two connected clients: one that sees where the topic ends, one that reads what is committed."""

    def __init__(self, settings: Settings, ends: Admin, records: Consumer) -> None:
        self._settings = settings
        self._ends = ends
        self._records = records
        self._key = key(settings)

    def last(self) -> Checkpoint | None:
        """Return the last committed checkpoint; None when there has never been one.

        To be called after the producer has fenced its predecessor. The end is that of all that is written: that of what
        is committed stands before a transaction that is still open elsewhere, and an old checkpoint would be taken for
        the last. Raises Unavailable.
        """
        return self.last_before(self._ends.written_ends(self._settings.topics.checkpoint, [_PARTITION])[_PARTITION])

    def last_before(self, end: int) -> Checkpoint | None:
        """Return the last checkpoint before an offset. Raises Unavailable, also while a transaction is open there."""
        begin = self._records.beginning_offsets([_PARTITION])[_PARTITION]
        back = _FIRST_LOOK_BACK
        while True:
            start = max(begin, end - back)
            value = self._last_value(start, end)
            if value is not None or start == begin:
                return None if value is None else from_bytes(value)
            back *= 8

    def left_open(self, topics: Collection[str]) -> dict[Place, int]:
        """Return where in topics a transaction is open -> the end of what is committed. Raises Unavailable."""
        return self._ends.left_open(topics)

    def _last_value(self, start: int, end: int) -> bytes | None:
        """Return the last committed value from `start` to before `end`. Markers and aborted records have none."""
        self._records.assign({_PARTITION: start})
        deadline = time.monotonic() + connection.MAX_BLOCK_MS / 1000
        value = None
        while self._records.positions()[_PARTITION] < end:
            for record in self._records.poll(timeout_ms=200).get(_PARTITION, ()):
                if record.key == self._key and record.offset < end:
                    value = record.value
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"The checkpoint topic {self._settings.topics.checkpoint} could not be read to its end {end}.",
                    "A transaction is open there, or the broker is overloaded.",
                )
        return value


@contextmanager
def open_checkpoints(settings: Settings) -> Iterator[Checkpoints]:
    """Connect the clients, so that reading costs one round trip later. Raises Unavailable."""
    client, topic = client_of(settings.kafka), settings.topics.checkpoint
    with (
        closing(client.open_consumer(settings.kafka, topic, _FETCHING)) as records,
        closing(client.open_admin(settings.kafka)) as ends,
    ):
        ends.written_ends(topic, [_PARTITION])
        yield Checkpoints(settings, ends, records)
