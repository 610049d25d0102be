"""Compares an hour of the running stream: the source against the topic, and the topic against each sink.

The hour is that in which the messages arrived in Kafka: by then the time of an event may be long past. What the source
has of the hour is what the relay's checkpoints say was published in it, so each side knows the hour by itself. Reads
one hour of the topic and ids of the source and of the table; Redis is compared as it is now, for it has no past.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import msgspec

from engagement_platform.adapters.kafka.consumer import OffsetsExpired, TopicReader
from engagement_platform.adapters.kafka.dead_letters import dead_letter_of
from engagement_platform.adapters.kafka.record import Record
from engagement_platform.adapters.platform import forwarded
from engagement_platform.adapters.platform.loads import Loads
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.redis.views import Snapshot, Views
from engagement_platform.adapters.source.history import Either, Happened, ids_published
from engagement_platform.adapters.source.origin import origin_of
from engagement_platform.adapters.stream_table import table_now
from engagement_platform.adapters.streams import stream_of
from engagement_platform.adapters.warehouse.connect import open_warehouse
from engagement_platform.domain import evidence
from engagement_platform.domain.days import bounds, consecutive
from engagement_platform.domain.errors import Unavailable
from engagement_platform.domain.evidence import Evidence, Hour
from engagement_platform.domain.records import IdReader
from engagement_platform.domain.redrive import Sink
from engagement_platform.domain.windows import Adds, aggregate, nothing
from engagement_platform.history.published import between
from engagement_platform.history.table import statement
from engagement_platform.settings import Settings
from engagement_platform.stream import registry
from engagement_platform.stream.readers import Readers
from engagement_platform.stream.topic_watch import window_of

ONE_HOUR = timedelta(hours=1)
PATIENCE_SECONDS = 60.0
_POLL_SECONDS = 0.5
_MARGIN = timedelta(minutes=5)
"""How far from the hour a message may have arrived whose checkpoint was kept within it, by another clock."""
_ELSEWHERE = timedelta(days=1)
"""So far back an event is looked for that did not arrive in its hour: the platform's database may have been away."""
_FUTURE_MS = 3_600_000
"""For so long the tally keeps an event that lies ahead of its time; what came before is not in its views."""
_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class Compared:
    """What was found of an hour."""

    begin: datetime
    sinks: tuple[Evidence, ...]


def evidence_of_hour(settings: Settings, begin: datetime, patience: float = PATIENCE_SECONDS) -> Compared:
    """Compare the hour that begins at a time, in UTC, with each sink. Raises EngagementError.

    Waits up to `patience` seconds for stage and forward to pass the hour's last message.
    """
    ensure_schema(settings)
    with closing(_reader(settings)) as reader:
        try:
            return Compared(begin, tuple(_Look(settings, reader, begin).sinks(patience)))
        except OffsetsExpired:
            expired = "Messages of this hour have expired in Kafka, so that nothing can be held against them."
            return Compared(begin, tuple(evidence.unknown(sink, expired) for sink in _sinks(settings)))


def _sinks(settings: Settings) -> list[str]:
    return ["kafka", "redis", "warehouse", *(["partner"] if _has_partner(settings) else [])]


def _has_partner(settings: Settings) -> bool:
    return bool(settings.api.url.get_secret_value())


def _reader(settings: Settings, *, without_duplicates: bool = False) -> TopicReader:
    return TopicReader(
        settings.kafka,
        settings.topics.events,
        without_duplicates=without_duplicates,
        min_bytes=64 << 10,
        max_wait_ms=100,
    )


def _ms(moment: datetime) -> int:
    return max(0, int(moment.timestamp() * 1_000))


class _Look:
    """One comparison of one hour."""

    def __init__(self, settings: Settings, reader: TopicReader, begin: datetime) -> None:
        self._settings, self._reader, self._begin, self._end = settings, reader, begin, begin + ONE_HOUR
        self._id_of = IdReader(stream_of(settings).source.id).id_of
        self._letters: dict[str, set[int]] | None = None

    def sinks(self, patience: float) -> Iterator[Evidence]:
        """Yield what each sink has."""
        deadline = time.monotonic() + patience
        source = self._published()
        hour, around = self._arrived()
        yield self._topic(source, around)
        yield _views(self._settings, self._reader.topic_id, self._end)
        yield self._table(hour, source or {}, deadline)
        if _has_partner(self._settings):
            yield self._partner(hour, deadline)

    def _published(self) -> Mapping[int, date | None] | None:
        """Return the rows of the source that were published in the hour, with their days; None where nobody knows."""
        chosen = between(self._settings, self._begin, min(self._end, datetime.now(UTC)))
        if isinstance(chosen, Happened):
            return None
        published = chosen.published if isinstance(chosen, Either) else chosen
        return ids_published(origin_of(self._settings), published)

    def _arrived(self) -> tuple[Hour, list[int]]:
        """Return the messages of the hour, and the ids of those of some minutes more."""
        first, last = (self._reader.offsets_at(_ms(moment)) for moment in (self._begin, self._end))
        begins = self._reader.offsets_at(_ms(self._begin - _MARGIN))
        ends = self._reader.offsets_at(_ms(self._end + _MARGIN))
        ids, partitions, offsets, around = list[int](), list[int](), list[int](), list[int]()
        for record in _records(self._reader, begins, ends):
            number = self._id_of(record.value or b"")
            if number is None:  # another program wrote it
                continue
            around.append(number)
            if first.get(record.partition, 0) <= record.offset < last.get(record.partition, 0):
                ids.append(number)
                partitions.append(record.partition)
                offsets.append(record.offset)
        return Hour(ids, partitions, offsets), around

    def _topic(self, source: Mapping[int, date | None] | None, around: list[int]) -> Evidence:
        if source is None:
            return evidence.unknown("kafka", "The relay has not noted yet what it publishes.")
        lacking = source.keys() - set(around)
        if not lacking:
            return evidence.of_topic(source.keys(), around, ())
        begins = self._reader.offsets_at(_ms(self._begin - _ELSEWHERE))
        late = [number for record in _records(self._reader, begins, self._reader.end_offsets())
                if (number := self._id_of(record.value or b"")) in lacking]  # fmt: skip
        return evidence.of_topic(source.keys(), [*around, *late], self._dead("relay"))

    def _table(self, hour: Hour, source: Mapping[int, date | None], deadline: float) -> Evidence:
        stream, warehouse = stream_of(self._settings), open_warehouse(self._settings)
        table_id = warehouse.ensure(table_now(self._settings))
        with Loads.opened(self._settings, "evidence") as loads:
            loaded = _awaited(lambda: _loaded(loads, table_id, self._reader.topic_id), hour, deadline)
        if loaded is None:
            return evidence.unknown("warehouse", "The stage has loaded nothing of this topic yet.")
        rows = list[int]()
        days = {day for number in hour.ids if (day := source.get(number)) is not None}
        for run in consecutive(days):
            begin, end = bounds(run[0])[0], bounds(run[-1])[1]
            asked = statement(stream, "ids_between", lowest=min(hour.ids), highest=max(hour.ids))
            rows += warehouse.query(asked, {"begin": begin, "end": end}).column("id").to_pylist()
        found = evidence.of_table(hour, source.keys(), loaded, rows, ())
        if not found.missing.count:
            return found
        return evidence.of_table(hour, source.keys(), loaded, rows, self._dead(*_excused(Sink.WAREHOUSE)))

    def _partner(self, hour: Hour, deadline: float) -> Evidence:
        settled = _awaited(self._settled, hour, deadline)
        if settled is None:
            return evidence.unknown("partner", "Forward has not noted where it stands in this topic.")
        return evidence.of_partner(hour, settled)

    def _settled(self) -> Mapping[int, int] | None:
        position = forwarded.read(self._settings, self._settings.topics.events)
        return position.offsets if position and position.topic_id == self._reader.topic_id else None

    def _dead(self, *sources: str) -> set[int]:
        """Return the ids of the dead letters of some loops; all letters are read, once, and only where events lack."""
        if self._letters is None:
            self._letters = {}
            with closing(TopicReader(self._settings.kafka, self._settings.topics.dead_letters)) as reader:
                for record in _records(reader, reader.beginning_offsets(), reader.end_offsets()):
                    letter = dead_letter_of(record).content
                    if letter.event_id is not None:
                        self._letters.setdefault(letter.source, set()).add(letter.event_id)
        return set[int]().union(*(self._letters.get(source, ()) for source in sources))


def _excused(sink: Sink) -> list[str]:
    """Return whose dead letters a sink need not have."""
    return [source for source, lacking in registry.lacking().items() if sink in lacking]


def _records(reader: TopicReader, begins: Mapping[int, int], ends: Mapping[int, int]) -> Iterator[Record]:
    """Yield the messages between these offsets. Raises OffsetsExpired where they are not there any more."""
    begins = {partition: begin for partition, begin in begins.items() if begin < ends.get(partition, 0)}
    if not begins:
        return
    reader.seek(begins)
    while any(reader.positions()[partition] < ends[partition] for partition in begins):
        for partition, records in reader.poll(200).items():
            yield from (record for record in records if record.offset < ends[partition])


def _awaited(read: Callable[[], Mapping[int, int] | None], hour: Hour, deadline: float) -> Mapping[int, int] | None:
    """Return up to where a loop has come, as soon as that is behind the hour, or at the deadline."""
    goal: dict[int, int] = {}
    for partition, offset in zip(hour.partitions, hour.offsets, strict=True):
        goal[partition] = max(goal.get(partition, 0), offset + 1)
    while True:
        try:
            found = read()
        except Unavailable:
            if time.monotonic() >= deadline:
                raise
            found = None
        if found is not None and all(found.get(partition, 0) >= offset for partition, offset in goal.items()):
            return found
        if time.monotonic() >= deadline:
            return found
        time.sleep(_POLL_SECONDS)


def _loaded(loads: Loads, table_id: str, topic_id: str) -> Mapping[int, int] | None:
    """Return the offsets up to which the table has everything; None where nothing of this topic was loaded.

    Each of several shards may have a load that is open: what begins after the latest was read lies behind it.
    """
    last = loads.last_load(table_id)
    if last is None or last.topic_id != topic_id:
        return None
    offsets = dict(last.next_offsets)
    for load in (one for one in loads.open_loads(table_id) if one.topic_id == topic_id):
        offsets |= {
            partition: min(offsets.get(partition, begin), begin) for partition, (begin, _) in load.ranges.items()
        }
    return offsets


def _views(settings: Settings, topic_id: str, end: datetime) -> Evidence:
    """Hold the views of now against the topic up to the offsets that they have counted."""
    if datetime.now(UTC) - end > ONE_HOUR:
        return evidence.unknown("redis", "The window has left this hour: Redis has no past to compare.")
    with closing(Views.connect(settings)) as views:
        seen = views.snapshot()
    if seen.meta.get("topic_id") != topic_id:
        return evidence.unknown("redis", "There are no views of this topic yet.")
    with closing(_reader(settings, without_duplicates=True)) as reader:  # as the tally counts
        return _compared(settings, reader, seen)


def _compared(settings: Settings, reader: TopicReader, seen: Snapshot) -> Evidence:
    window = window_of(settings.views)
    found = evidence.unknown("redis", "")
    as_of = datetime.fromtimestamp(seen.as_of_ms / 1_000, UTC)
    for before_ms in (0, _FUTURE_MS):  # the second time with events that came long before their time
        since_ms = window.replay_from(seen.as_of_ms) - before_ms
        recounted = _recounted(settings, reader, since_ms, seen.offsets, seen.as_of_ms)
        found = evidence.of_views(seen.views, recounted, f"{as_of:%Y-%m-%d %H:%M:%S} UTC")
        if not found.missing.count:
            break
    return found


def _recounted(settings: Settings, reader: TopicReader, since_ms: int, ends: Mapping[int, int], as_of_ms: int) -> Adds:
    stream, window, readers = stream_of(settings), window_of(settings.views), Readers(settings)
    totals, events = nothing(stream.views), []
    for record in _records(reader, reader.offsets_at(max(0, since_ms)), ends):
        with suppress(msgspec.MsgspecError, ValueError):  # no event, which the tally leaves out, too
            events.append(readers.read(record))
        if len(events) >= _AT_ONCE:
            evidence.live_sums(totals, aggregate(stream, events, window.bucket_ms), window, as_of_ms)
            events = []
    evidence.live_sums(totals, aggregate(stream, events, window.bucket_ms), window, as_of_ms)
    return totals
