"""Reads the topic of dead letters."""

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime

import msgspec

from engagement_platform.adapters.kafka.consumer import TopicReader
from engagement_platform.adapters.kafka.record import Record
from engagement_platform.domain.dead_letters import EXCERPT_CHARACTERS, Address, DeadLetter, Letter, decode_dead_letter
from engagement_platform.settings import Kafka

UNREADABLE = "unknown"
"""The source of messages in the topic that are no letters."""

_ID = re.compile(rb"-?[0-9]{1,19}")
_POLL_MS = 200
_AROUND_MS = 3_600_000
"""A letter arrives in Kafka a moment after the time that it carries, by another clock."""


class DeadLetterReader:
    """The letters of a topic, which is that of `topic_id`. Methods raise Unavailable and TopicChanged."""

    def __init__(self, reader: TopicReader) -> None:
        self._reader = reader
        self.topic_id = reader.topic_id

    def extent(self) -> tuple[tuple[int, int, int], ...]:
        """Return partition, first and next offset of each: as long as that stays, so do the letters."""
        ends = self._reader.end_offsets()
        return tuple((p, begin, ends[p]) for p, begin in sorted(self._reader.beginning_offsets().items()))

    def between(self, since: datetime | None = None, until: datetime | None = None) -> Iterator[Letter]:
        """Yield the letters that are there now, by address; at least those of a time."""
        begins = self._reader.beginning_offsets() if since is None else self._offsets_at(since, -_AROUND_MS)
        ends = self._reader.end_offsets() if until is None else self._offsets_at(until, _AROUND_MS)
        return self._within({partition: (begin, ends[partition]) for partition, begin in begins.items()})

    def at(self, addresses: Collection[Address]) -> Iterator[Letter]:
        """Yield the letters at these addresses, by address; nothing for one where no letter lies."""
        chosen, ranges = frozenset(addresses), {}
        first, ends = self._reader.beginning_offsets(), self._reader.end_offsets()
        for partition in {address.partition for address in chosen} & ends.keys():
            offsets = [address.offset for address in chosen if address.partition == partition]
            ranges[partition] = max(min(offsets), first[partition]), min(max(offsets) + 1, ends[partition])
        return (letter for letter in self._within(ranges) if letter.address in chosen)

    def _offsets_at(self, moment: datetime, later_ms: int) -> dict[int, int]:
        return self._reader.offsets_at(max(0, int(moment.timestamp() * 1000) + later_ms))

    def _within(self, ranges: Mapping[int, tuple[int, int]]) -> Iterator[Letter]:
        """Yield letters partition by partition, so that one comes behind the other."""
        for partition, (begin, end) in sorted(ranges.items()):
            if begin < end:
                yield from self._read(partition, begin, end)

    def _read(self, partition: int, begin: int, end: int) -> Iterator[Letter]:
        self._reader.seek({partition: begin})
        while True:
            for record in self._reader.poll(_POLL_MS).get(partition, ()):
                if record.offset >= end:
                    return
                yield dead_letter_of(record)
            if self._reader.positions()[partition] >= end:
                return


def dead_letter_of(record: Record) -> Letter:
    """Return the letter in a record; a message that is none stands in for one."""
    address = Address(record.partition, record.offset)
    try:
        return Letter(address, decode_dead_letter(record.value or b""))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # not UTF-8, nested too deep
        return Letter(address, _stand_in(record, f"not a dead letter: {error}"))


def _stand_in(record: Record, reason: str) -> DeadLetter:
    key = record.key or b""
    return DeadLetter(
        source=UNREADABLE,
        event_id=int(key) if _ID.fullmatch(key) else None,
        reason=reason,
        excerpt=(record.value or b"").decode("utf-8", "replace")[:EXCERPT_CHARACTERS],
        at=datetime.fromtimestamp(record.timestamp / 1000, UTC),
    )


@contextmanager
def open_dead_letters(kafka: Kafka, topic: str) -> Iterator[DeadLetterReader]:
    """Connect to the topic of letters. Raises Unavailable, also when there is no such topic."""
    with closing(TopicReader(kafka, topic)) as reader:
        yield DeadLetterReader(reader)
