"""Finds the message of one event in a topic without reading the topic: by the time of its arrival, then by its id.

Ids ascend along a partition, but for those that were committed late. So in a long time the place is narrowed down by a
few reads, and what is near it is read first. All is bounded in time and bytes.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

from kafka.partitioner import murmur2

from engagement_platform.adapters.kafka.consumer import TopicReader
from engagement_platform.adapters.kafka.record import Record
from engagement_platform.domain.messages import HEADER_SCHEMA_VERSION, HEADER_UNSEEN_AT
from engagement_platform.domain.trace.facts import InKafka, Message
from engagement_platform.settings import Kafka

_POLL_MS = 200
_NEAR = 10_000
"""Messages around the narrowed place that are read first."""
_CLOCKS_APART = timedelta(seconds=5)
"""By which the clocks of Kafka and of the platform's database rarely differ: so much around the time is read first."""
_CLOCKS_FAR_APART = timedelta(minutes=1)
"""By which they may differ: only what is not within that either counts as not there."""
_FETCH_BYTES = 1 << 20
_PROBED = 9
"""Messages at a place that are looked at, to tell on which side of it the event lies."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is read, at most."""

    seconds: float = 10.0
    bytes: int = 128 << 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for."""

    event_id: int
    id_of: Callable[[bytes], int | None]
    key: bytes | None = None
    """The key of its message, where that is known: it leads to one partition."""
    since: datetime | None = None
    until: datetime | None = None
    """Between which times it was published; None where that is not known."""


@dataclass(frozen=True, slots=True)
class Found:
    """What was found, and in which topic."""

    topic_id: str
    in_kafka: InKafka


def find(kafka: Kafka, topic: str, wanted: Wanted, bounds: Bounds | None = None) -> Found:
    """Look for the message of an event. Raises Unavailable, also when there is no such topic, and TopicChanged."""
    with closing(TopicReader(kafka, topic, max_partition_bytes=_FETCH_BYTES, max_wait_ms=100)) as reader:
        return Found(reader.topic_id, _Search(reader, wanted, bounds or Bounds()).run())


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition that every Kafka client gives a key."""
    return int(murmur2(key) & 0x7FFFFFFF) % partitions


class _EndOfPatience(Exception):
    """No more is read."""


class _Search:
    def __init__(self, reader: TopicReader, wanted: Wanted, bounds: Bounds) -> None:
        self._reader = reader
        self._wanted = wanted
        self._digits = b"%d" % wanted.event_id
        self._until = time.monotonic() + bounds.seconds
        self._bytes_left = bounds.bytes
        self._looked_at = 0
        self._oldest = reader.beginning_offsets()
        self._begins, self._ends = self._span(_CLOCKS_APART)

    def _span(self, apart: timedelta) -> tuple[Mapping[int, int], Mapping[int, int]]:
        """Return between which offsets of each partition the message lies, when clocks differ by so much at most."""
        since, until = self._wanted.since, self._wanted.until
        begins, ends = self._oldest, self._reader.end_offsets()
        if since is not None:
            begins = self._reader.offsets_at(_ms(since - apart))
        if until is not None:
            found = self._reader.offsets_at(_ms(until + apart))
            ends = {p: min(end, found.get(p, end)) for p, end in ends.items()}
        return begins, ends

    def run(self) -> InKafka:
        message, is_complete = None, True
        try:
            message = next(filter(None, map(self._in_partition, self._partitions())), None)
            message = message or self._beside()
        except _EndOfPatience:
            is_complete = False
        looked_at = self._looked_at
        return InKafka(
            message,
            self._wanted.since,
            self._wanted.until,
            self._oldest_time() if message is None else None,
            looked_at,
            is_complete,
            is_expired=message is None and self._is_expired(),
        )

    def _partitions(self) -> list[int]:
        """Return the partitions, that of the key first: when it was published, there may have been fewer."""
        partitions, key = sorted(self._ends), self._wanted.key
        first = None if key is None else partition_of(key, len(partitions))
        return sorted(partitions, key=lambda p: p != first)

    def _in_partition(self, partition: int) -> Message | None:
        begin, end = self._begins[partition], self._ends[partition]
        near = self._narrowed(partition, begin, end) if end - begin > 2 * _NEAR else begin
        parts = ((near, min(near + 2 * _NEAR, end)), (begin, near), (near + 2 * _NEAR, end))
        return next(filter(None, (self._between(partition, first, last) for first, last in parts)), None)

    def _beside(self) -> Message | None:
        """Look before and behind the time, for clocks that differ by more than they should."""
        begins, ends, partitions = self._begins, self._ends, self._partitions()
        self._begins, self._ends = self._span(_CLOCKS_FAR_APART)
        parts = ((p, *span) for p in partitions for span in ((self._begins[p], begins[p]), (ends[p], self._ends[p])))
        return next(filter(None, (self._between(*part) for part in parts)), None)

    def _narrowed(self, partition: int, begin: int, end: int) -> int:
        """Return the offset from which on the event should be near, if it was committed in its turn."""
        low, high = begin, end
        while high - low > _NEAR // 4:
            middle = (low + high) // 2
            number = self._usual_id(partition, middle, high)
            if number is None or number >= self._wanted.event_id:
                high = middle
            else:
                low = middle
        return max(begin, low - _NEAR)

    def _usual_id(self, partition: int, begin: int, end: int) -> int | None:
        """Return the middle one of a few ids from an offset on: one of them may be of a late commit."""
        records = islice(self._records(partition, begin, end), _PROBED)
        ids = sorted(
            number for one in records if one.value is not None if (number := self._wanted.id_of(one.value)) is not None
        )
        return ids[len(ids) // 2] if ids else None

    def _between(self, partition: int, begin: int, end: int) -> Message | None:
        for record in self._records(partition, begin, end):
            value = record.value
            if value is not None and self._digits in value and self._wanted.id_of(value) == self._wanted.event_id:
                return _message(record, value)
        return None

    def _records(self, partition: int, begin: int, end: int) -> Iterator[Record]:
        """Yield the messages from one offset to before another. Raises _EndOfPatience."""
        if begin >= end:
            return
        self._reader.seek({partition: begin})
        while self._reader.positions()[partition] < end:
            if time.monotonic() > self._until:
                raise _EndOfPatience
            for record in self._reader.poll(_POLL_MS).get(partition, ()):
                if record.offset >= end:
                    return
                if self._bytes_left <= 0:
                    raise _EndOfPatience
                self._looked_at += 1
                self._bytes_left -= len(record.value or b"")
                yield record

    def _is_expired(self) -> bool:
        """Say whether the topic may have lost a part of the time in which the event was published."""
        return any(0 < self._oldest[p] >= self._begins[p] for p in self._begins)

    def _oldest_time(self) -> datetime | None:
        """Return when the oldest message arrived that the topic has; None where it has none."""
        self._until, self._bytes_left = time.monotonic() + 1.0, _FETCH_BYTES
        times = []
        for partition, begin in self._oldest.items():
            try:
                record = next(self._records(partition, begin, self._reader.end_offsets()[partition]), None)
            except _EndOfPatience:
                continue
            if record is not None:
                times.append(_time(record.timestamp))
        return max(times, default=None)


def _message(record: Record, value: bytes) -> Message:
    headers = dict(record.headers)
    unseen, schema = headers.get(HEADER_UNSEEN_AT, b""), headers.get(HEADER_SCHEMA_VERSION, b"")
    return Message(
        record.partition,
        record.offset,
        _time(record.timestamp),
        datetime.fromtimestamp(int(unseen) / 1e6, UTC) if unseen.isdigit() else None,
        int(schema) if schema.isdigit() else None,
        len(value),
        value,
    )


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1_000, UTC)


def _ms(moment: datetime) -> int:
    return max(0, int(moment.timestamp() * 1_000))
