"""What a day had before its rebuild: how much of it would go, and what the stream should have brought and has not.

Both are found while the rebuild is entered and before it takes effect: no load of the day starts meanwhile, so what the
stream has published is in the table, among the messages that the stage has yet to load, or missing. Once the day is
rebuilt nobody could tell any more what Redis and the partner never got.
"""

from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import date
from typing import TYPE_CHECKING, Any

from engagement_platform.adapters.kafka.consumer import OffsetsExpired, TopicReader
from engagement_platform.adapters.kafka.dead_letters import dead_letter_of
from engagement_platform.adapters.kafka.record import Record
from engagement_platform.adapters.streams import stream_of
from engagement_platform.adapters.warehouse.port import Warehouse
from engagement_platform.domain.coverage import Coverage
from engagement_platform.domain.days import bounds
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.reconciliation import Ids, named
from engagement_platform.domain.records import IdReader
from engagement_platform.domain.redrive import Sink
from engagement_platform.domain.removal import Removal
from engagement_platform.history.open_days import OpenDays
from engagement_platform.history.table import statement
from engagement_platform.settings import Settings
from engagement_platform.stream import registry

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_LOOKED_UP = 10_000
_EXCUSED_BY = frozenset(source for source, lacking in registry.lacking().items() if Sink.WAREHOUSE in lacking)
"""Whose dead letters the warehouse need not have; what the partner refused it has."""


def ids_of_day(stream: EventStream, warehouse: Warehouse, day: date) -> "Array":
    """Return the ids that the table has on a day, ascending, each once."""
    import numpy as np  # noqa: PLC0415

    begin, end = bounds(day)
    return np.unique(
        warehouse.query(statement(stream, "ids_of_day"), {"begin": begin, "end": end}).column("id").to_numpy()
    )


def removal_of(day: date, before: "Array", source: "Array") -> Removal:
    """Return what a rebuild would take away from a day."""
    return Removal(day, len(before), len(without(before, source)), len(source))


def without(ids: "Array", others: "Array") -> "Array":
    """Return the ids that are not among others, all ascending. Quick where there are no others or the same ones."""
    import numpy as np  # noqa: PLC0415

    if not len(others):
        return ids
    return ids[:0] if np.array_equal(ids, others) else np.setdiff1d(ids, others, assume_unique=True)


def covered(coverage: Coverage, ids: "Array") -> "Array":
    """Return for each id whether a coverage has it."""
    import numpy as np  # noqa: PLC0415

    inside = ids <= coverage.hi
    if coverage.missing:
        firsts, lasts = np.array(coverage.missing, dtype=np.int64).T
        at = np.searchsorted(firsts, ids, side="right") - 1
        inside &= (at < 0) | (ids > lasts[at])
    return inside


def missed_by_stream(days: OpenDays, at_start: Coverage, published: Coverage, *, lacking: "Array") -> Ids:
    """Return which of the ids that the table lacks the stream should have brought, while the days are held.

    `at_start` is what was covered when the stream began here, `published` what the relay has published. Not missed is
    what waits in Kafka for the stage, what is a dead letter, and what the source had on another day when it was
    published.
    """
    candidates = set(lacking[covered(published, lacking) & ~covered(at_start, lacking)].tolist())
    if candidates:
        candidates -= _waiting(days, candidates)
    if candidates:
        candidates -= dead_letters(days.settings, candidates)
    if candidates and len(candidates) <= _LOOKED_UP:
        candidates -= _on_any_day(stream_of(days.settings), days.warehouse, candidates)
    return named(candidates)


def _on_any_day(stream: EventStream, warehouse: Warehouse, ids: set[int]) -> set[int]:
    """Return which of the ids the table has, on whatever day; a scan of its ids."""
    listed = ", ".join(map(str, sorted(ids)))
    return set(warehouse.query(statement(stream, "ids_anywhere", ids=listed)).column("id").to_pylist())


def _waiting(days: OpenDays, among: set[int]) -> set[int]:
    """Return which of the ids are in messages that the stage has not loaded yet."""
    settings = days.settings
    last = days.loads.last_load(days.table_id)
    id_of = IdReader(stream_of(settings).source.id).id_of
    with closing(TopicReader(settings.kafka, settings.topics.events)) as reader:
        begins = reader.beginning_offsets()
        if last is not None and last.topic_id == reader.topic_id:
            begins = {p: max(begin, last.next_offsets.get(p, 0)) for p, begin in begins.items()}
        return {number for record in _records(reader, begins) if (number := id_of(record.value or b"")) in among}


def _records(reader: TopicReader, begins: Mapping[int, int]) -> Iterator[Record]:
    """Yield the messages from these offsets to the ends of now. What expires meanwhile is passed over."""
    ends = reader.end_offsets()
    reader.seek(begins)
    while any(reader.positions()[partition] < ends.get(partition, 0) for partition in begins):
        try:
            for records in reader.poll(200).values():
                yield from records
        except OffsetsExpired:
            oldest = reader.beginning_offsets()
            reader.seek({p: max(at, oldest[p]) for p, at in reader.positions().items()})


def dead_letters(settings: Settings, among: set[int]) -> set[int]:
    """Return which of the ids are dead letters on their way to the warehouse; reads the topic to its end."""
    with closing(TopicReader(settings.kafka, settings.topics.dead_letters)) as reader:
        letters = (dead_letter_of(record).content for record in _records(reader, reader.beginning_offsets()))
        ids = {letter.event_id for letter in letters if letter.source in _EXCUSED_BY}
    return {number for number in ids if number is not None and number in among}
