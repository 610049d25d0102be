"""Reads what source, topic and views hold once the generator has stopped, and compares it.

Nothing here trusts a counter of the stream: the topic is read from its beginning, the source is recounted.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import psycopg
from psycopg import sql as compose

from engagement_platform.adapters import sql
from engagement_platform.adapters.kafka.consumer import TopicReader
from engagement_platform.adapters.kafka.dead_letters import dead_letter_of
from engagement_platform.adapters.kafka.record import Record
from engagement_platform.adapters.redis.views import Snapshot, Views
from engagement_platform.adapters.source import session
from engagement_platform.adapters.source.origin import origin_of
from engagement_platform.adapters.streams import stream_of
from engagement_platform.domain.errors import Unavailable
from engagement_platform.domain.event_stream import Dimension, EventStream
from engagement_platform.domain.records import IdReader
from engagement_platform.domain.windows import NONE, Adds, Window, nothing
from engagement_platform.local.demo import compare
from engagement_platform.settings import Settings
from engagement_platform.stream.topic_watch import window_of

PATIENCE_SECONDS = 30.0
_PAUSE_SECONDS = 0.3
_FIRST_RECORDS = 2_000
_ROWS = 50_000
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Source, topic and views side by side."""

    committed: int
    """Rows of the source."""
    in_kafka: int
    """Events in the topic."""
    topic: compare.TopicDifference
    first_id: int
    """The id from which on the topic could be compared; 0 when all of it is still there."""
    dead_letters: int
    in_window: int
    """Rows of the source that the views should count."""
    views: tuple[compare.KeyDifference, ...]
    snapshot: Snapshot


class Topic:
    """The ids in a topic, read from its beginning on."""

    def __init__(self, settings: Settings) -> None:
        self._reader = TopicReader(settings.kafka, settings.topics.events, min_bytes=64 << 10, max_wait_ms=100)
        self._id_of = IdReader(stream_of(settings).source.id).id_of
        begin = self._reader.beginning_offsets()
        self._reader.seek(begin)
        self._expired = {partition for partition, offset in begin.items() if offset > 0}
        self._oldest: dict[int, list[int]] = {partition: [] for partition in begin}
        self.ids: compare.Ids = np.empty(0, np.int64)

    @property
    def first_id(self) -> int:
        """From which id on everything must be here: events are a little out of order where the topic's rest begins."""
        return max((max(self._oldest[partition], default=0) + 1 for partition in self._expired), default=0)

    def read_to_end(self, deadline: float) -> dict[int, int]:
        """Count what has been added; return the ends. Raises Unavailable when they are not reached in time."""
        added: list[list[int]] = []
        ends = self._reader.end_offsets()
        for partition, records in _up_to(self._reader, ends, deadline, "The topic could not be read to its end"):
            ids = [number for record in records if (number := self._id_of(record.value or b"")) is not None]
            added.append(ids)
            oldest = self._oldest.setdefault(partition, [])
            oldest += ids[: _FIRST_RECORDS - len(oldest)]
        self.ids = np.concatenate([self.ids, *(np.array(ids, np.int64) for ids in added)])
        return ends

    def close(self) -> None:
        """Close the connections."""
        self._reader.close()


def _up_to(
    reader: TopicReader, ends: Mapping[int, int], deadline: float, too_late: str
) -> Iterator[tuple[int, list[Record]]]:
    """Yield the messages before the ends, by partition. Raises Unavailable when these are not reached in time."""
    while any(position < ends.get(partition, 0) for partition, position in reader.positions().items()):
        yield from reader.poll(200).items()
        if time.monotonic() > deadline:
            raise Unavailable(f"{too_late} in time.", "Compare again when Kafka is idle.")


def reconcile(settings: Settings, patience: float = PATIENCE_SECONDS) -> Reconciliation:
    """Wait until topic and views hold everything, but not longer than `patience` seconds; say what they hold then.

    Reading a long topic takes its own time. Raises Unavailable when a server does not answer.
    """
    began = time.monotonic()
    origin = origin_of(settings)
    with closing(session.connect(origin.dsn, "demo")) as source, session.reaching(origin):
        committed = _source_ids(source, origin.stream)
        reading = 30 + len(committed) / 10_000
        with closing(Topic(settings)) as topic:
            topic.read_to_end(time.monotonic() + reading)
            dead = dead_letters(settings)
            differences = _until(
                lambda: _compare_topic(committed, topic, dead, began + patience + reading),
                lambda difference: not difference[0].lost,
                patience,
            )
            views, snapshot, in_window = _until(
                lambda: _compare_redis(settings, source, origin.stream, differences[1], dead),
                lambda compared: not compared[0],
                began + patience - time.monotonic(),
            )
    return Reconciliation(
        committed=len(committed),
        in_kafka=len(topic.ids),
        topic=differences[0],
        first_id=topic.first_id,
        dead_letters=len(dead),
        in_window=in_window,
        views=tuple(views),
        snapshot=snapshot,
    )


def _until(look: Callable[[], _T], is_good: Callable[[_T], bool], seconds: float) -> _T:
    """Look until what is seen is good, or the time is over; return what was seen last."""
    deadline = time.monotonic() + seconds
    while not is_good(seen := look()) and time.monotonic() < deadline:
        time.sleep(_PAUSE_SECONDS)
    return seen


def _compare_topic(
    committed: compare.Ids, topic: Topic, dead: set[int], deadline: float
) -> tuple[compare.TopicDifference, dict[int, int]]:
    ends = topic.read_to_end(deadline)
    return compare.compare_ids(committed, topic.ids, dead, topic.first_id), ends


def _compare_redis(
    settings: Settings, source: psycopg.Connection[Any], stream: EventStream, ends: dict[int, int], dead: set[int]
) -> tuple[list[compare.KeyDifference], Snapshot, int]:
    snapshot = _settled_snapshot(settings, ends)
    expected = recount(source, stream, window_of(settings.views), snapshot, dead)
    return compare.compare_views(expected, snapshot.views), snapshot, compare.total(expected)


def _settled_snapshot(settings: Settings, ends: dict[int, int]) -> Snapshot:
    """Return the views once they have counted everything before `ends`; after ten seconds as they are."""
    with closing(Views.connect(settings)) as views:
        return _until(
            views.snapshot,
            lambda seen: all(seen.offsets.get(partition, 0) >= end for partition, end in ends.items()),
            10,
        )


def recount(
    source: psycopg.Connection[Any], stream: EventStream, window: Window, snapshot: Snapshot, dead: set[int]
) -> Adds:
    """Count in the source what the views should have held at the moment of the snapshot."""
    begin = window.start(snapshot.as_of_ms)
    last = snapshot.as_of_ms + window.max_future_ms
    end = last - last % window.bucket_ms + window.bucket_ms
    totals = nothing(stream.views)
    values = {"begin": begin, "end": end, "none": NONE, "dead": sorted(dead)}
    for dimension, member, *sums in source.execute(_recount_of(stream), values):
        totals[dimension][member] = [int(number) for number in sums]
    return totals


def _recount_of(stream: EventStream) -> compose.Composed:
    """Return the statement that counts the source by each dimension."""
    columns = compose.SQL(", ").join(map(compose.Identifier, stream.views.columns))
    enriched = compose.SQL(stream.enriched.replace("%", "%%"))
    counted = _statement("counted", stream, columns=columns, enriched=enriched)
    by = compose.SQL("\nUNION ALL\n").join(_by(dimension, stream) for dimension in stream.views.dimensions)
    return counted + compose.SQL("\n") + by


def _by(dimension: Dimension, stream: EventStream) -> compose.Composed:
    sums = [
        compose.SQL(", sum(coalesce({}, 0))").format(compose.Identifier(measure.column))
        for measure in stream.views.measures
        if measure.column is not None
    ]
    name, column = compose.Literal(dimension.name), compose.Identifier(dimension.column)
    return _statement("by", stream, dimension=name, column=column, sums=compose.Composed(sums))


def dead_letters(settings: Settings) -> set[int]:
    """Return the ids of all dead letters."""
    deadline = time.monotonic() + 30
    with closing(TopicReader(settings.kafka, settings.topics.dead_letters)) as reader:
        reader.seek(reader.beginning_offsets())
        letters = _up_to(reader, reader.end_offsets(), deadline, "The dead letters could not be read")
        ids = {dead_letter_of(record).content.event_id for _, records in letters for record in records}
    return {event_id for event_id in ids if event_id is not None}


def _source_ids(source: psycopg.Connection[Any], stream: EventStream) -> compare.Ids:
    with source.transaction(), source.cursor("ids") as cursor:
        cursor.itersize = _ROWS
        return np.fromiter((row[0] for row in cursor.execute(_statement("ids", stream))), np.int64)


def _statement(name: str, stream: EventStream, **others: compose.Composable) -> compose.Composed:
    template = sql.load("engagement_platform.local.demo", "reconcile.sql")[name]
    return compose.SQL(template).format(
        table=compose.SQL(stream.source.name),
        id=compose.Identifier(stream.source.id),
        time=compose.Identifier(stream.source.time),
        **others,
    )
