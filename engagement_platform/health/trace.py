"""Reads what there is of one event, place by place, and says where it is. Nothing here writes.

Each place is read by itself: one that does not answer is not known, and takes nothing from the others.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import msgspec

from engagement_platform.adapters.kafka import find
from engagement_platform.adapters.platform import forwarded, mirror, published
from engagement_platform.adapters.platform.brought import Brought
from engagement_platform.adapters.platform.deliveries import DeliveryTable, Filter
from engagement_platform.adapters.redis import looked_up
from engagement_platform.adapters.source import one
from engagement_platform.adapters.source.origin import origin_of
from engagement_platform.adapters.streams import stream_of
from engagement_platform.adapters.warehouse.connect import open_warehouse
from engagement_platform.adapters.warehouse.port import RowOfDay
from engagement_platform.dead_letters.list import dead_letters_of
from engagement_platform.domain.checkpoint import Checkpoint, missing_ranges
from engagement_platform.domain.coverage import Coverage
from engagement_platform.domain.days import bounds, day_of
from engagement_platform.domain.errors import EngagementError, Unavailable
from engagement_platform.domain.trace.facts import (
    AtPartner,
    Facts,
    InKafka,
    InSource,
    InWarehouse,
    Letters,
    Message,
    Relayed,
    Unread,
)
from engagement_platform.domain.trace.trace import Trace
from engagement_platform.domain.trace.verdicts import trace_of
from engagement_platform.domain.windows import attribute_of, member_of
from engagement_platform.settings import Settings
from engagement_platform.stream.readers import Readers

T = TypeVar("T")

_MOST_TRIES = 100
_LETTERS_SECONDS = 10.0
_BEFORE = timedelta(minutes=1)
"""By which clocks may differ."""


def trace(settings: Settings, event_id: int) -> Trace:
    """Return where an event is. Takes a second or two, and some more for an event of days ago."""
    return trace_of(facts_of(settings, event_id))


def facts_of(settings: Settings, event_id: int) -> Facts:
    """Read what there is of an event. What cannot be read is `Unread`."""
    at = datetime.now(UTC)
    source = _read(lambda: one.look_up(origin_of(settings), event_id))
    relay = _read(lambda: _relayed(settings))
    found = _read(lambda: _found(settings, event_id, source))
    kafka = found if isinstance(found, Unread) else found.in_kafka
    topic_id = None if isinstance(found, Unread) else found.topic_id
    message = None if isinstance(kafka, Unread) else kafka.message
    return Facts(
        settings.stream,
        event_id,
        at,
        source,
        relay,
        kafka,
        _read(lambda: looked_up.look_up(settings, topic_id, message)),
        _read(lambda: _in_warehouse(settings, event_id, topic_id, message, _time_of(source, message))),
        _read(lambda: _at_partner(settings, event_id, topic_id, message)),
        _read(lambda: _letters(settings, event_id, kafka)),
    )


def _read(read: Callable[[], T]) -> T | Unread:
    try:
        return read()
    except EngagementError as error:
        return Unread(str(error))


def _time_of(source: InSource | Unread, message: Message | None) -> datetime | None:
    if message is not None and message.time is not None:
        return message.time
    return source.row.time if isinstance(source, InSource) and source.row is not None else None


def _relayed(settings: Settings) -> Relayed:
    last = mirror.read(settings)
    if last is None:
        raise Unavailable("The relay has published nothing yet.")
    first = published.generations(settings)
    if not first:
        return Relayed(_coverage(last))
    began, noted_at = first[0]
    return Relayed(_coverage(last), _coverage(began), noted_at)


def _coverage(checkpoint: Checkpoint) -> Coverage:
    return Coverage(checkpoint.hi, tuple(missing_ranges(checkpoint)))


def _found(settings: Settings, event_id: int, source: InSource | Unread) -> find.Found:
    readers = Readers(settings)
    since, until = published.around(settings, event_id)
    row = source.row if isinstance(source, InSource) else None
    key = None if row is None or row.key is None else row.key.encode()
    wanted = find.Wanted(event_id, readers.reader.id_of, key, since, until)
    found = find.find(settings.kafka, settings.topics.events, wanted)
    message = found.in_kafka.message
    if message is None:
        return found
    return replace(found, in_kafka=replace(found.in_kafka, message=_counted(settings, readers, message)))


def _counted(settings: Settings, readers: Readers, message: Message) -> Message:
    """Return a message with what the views count of it; as it is where it is no event."""
    stream = stream_of(settings)
    try:
        event = readers.reader.decode(message.value)
        members = tuple(
            (dimension.name, member_of(getattr(event, attribute_of(dimension.column))))
            for dimension in stream.views.dimensions
        )
        return replace(message, time=readers.reader.id_and_time(event)[1].astimezone(UTC), members=members)
    except (msgspec.MsgspecError, ValueError, AttributeError, OverflowError):
        return message


def _in_warehouse(
    settings: Settings, event_id: int, topic_id: str | None, message: Message | None, moment: datetime | None
) -> InWarehouse:
    day = None if moment is None else day_of(moment)
    with Brought.opened(settings, "trace") as brought:
        load = next_offset = of_day = None
        if message is not None and topic_id is not None:
            load = brought.load_with(topic_id, message.partition, message.offset, message.arrived - _BEFORE)
            next_offset = brought.next_offset(topic_id, message.partition)
        if day is not None:
            of_day = brought.of_day(day, event_id)
    located = Unread("its day is not known") if moment is None else _read(lambda: _located(settings, event_id, moment))
    return InWarehouse(
        located if isinstance(located, Unread) else located is not None,
        next_offset,
        day,
        load,
        None if of_day is None else of_day.rebuilt,
        of_day is not None and of_day.is_open,
        located if isinstance(located, tuple) else (),
    )


def _located(settings: Settings, event_id: int, moment: datetime) -> tuple[str, ...] | None:
    stream = stream_of(settings)
    begin, end = bounds(day_of(moment))
    row = RowOfDay(stream.table, stream.source.id, event_id, stream.source.time, begin, end)
    return open_warehouse(settings).locate(row)


def _at_partner(settings: Settings, event_id: int, topic_id: str | None, message: Message | None) -> AtPartner:
    position = forwarded.read(settings, settings.topics.events)
    with DeliveryTable.opened(settings, "trace") as table:
        tries = tuple(reversed(table.newest(Filter(event_id=event_id), _MOST_TRIES)))
        kept_since = table.kept().since
    same_topic = position is None or position.topic_id == topic_id
    next_offset = None
    if message is not None and position is not None and same_topic:
        next_offset = position.offsets.get(message.partition, 0)
    has_partner = bool(settings.api.url.get_secret_value())
    return AtPartner(has_partner, next_offset, tries, settings.deliveries.kept == "on", kept_since, same_topic)


def _letters(settings: Settings, event_id: int, kafka: InKafka | Unread) -> Letters:
    since = None
    if isinstance(kafka, InKafka):
        since = kafka.since if kafka.message is None else kafka.message.arrived
    until = time.monotonic() + _LETTERS_SECONDS
    with dead_letters_of(settings) as letters:
        return letters.of_event(event_id, since, lambda: time.monotonic() < until)
