"""How a dead letter is redriven: what is sent, which day is rebuilt, or why neither can be."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from enum import Enum, auto
from typing import TypeVar

import msgspec

from engagement_platform.domain.dead_letters import NO_EVENT, DeadLetter
from engagement_platform.domain.records import Reader

_Item = TypeVar("_Item")


class Sink(Enum):
    """Where an event can be missing that is a dead letter, and can be brought again."""

    API = auto()
    WAREHOUSE = auto()


@dataclass(frozen=True, slots=True)
class SourceEvent:
    """An event as the source has it now."""

    key: bytes | None
    value: bytes | None
    """The message; None where it is too large for its topic."""
    size: int
    """Bytes that the message has, or would have."""
    day: date | None
    """None where event_ts is infinite or beyond the years 1 to 9999."""
    schema: int = 0
    """The number of the message's schema."""


@dataclass(frozen=True, slots=True)
class Targets:
    """Where redrives can go."""

    api: bool
    """Whether there is a partner."""
    api_variable: str
    """The environment variable that names the partner."""
    largest_value: int
    """Bytes of the largest value that the topic of replays takes."""
    first_day: date
    last_day: date
    """The days that can be rebuilt."""
    reader: Reader
    """What reads an event that a letter has."""
    lacking: Mapping[str, frozenset[Sink]]
    """Source of letters -> where their events are missing; nowhere that can be mended, where it has no entry."""

    def knows(self, day: date | None) -> bool:
        """Say whether a day can be rebuilt."""
        return day is not None and self.first_day <= day <= self.last_day

    def lack(self, content: DeadLetter) -> frozenset[Sink]:
        """Return where the event of a letter is missing."""
        return self.lacking.get(content.source, frozenset())


@dataclass(frozen=True, slots=True)
class Plan:
    """How one letter is redriven. With a fault it stays open, whatever is done beside."""

    key: bytes | None = None
    value: bytes | None = None
    """What is sent to the API by the topic of replays."""
    schema: int = 0
    """The number of its schema; 0 where the letter's event is sent, which does not say it."""
    day: date | None = None
    """What is rebuilt in the warehouse."""
    fault: str = ""
    """Why it cannot be redriven."""


def needs_source(content: DeadLetter, targets: Targets) -> bool:
    """Say whether the event has to be read from the source again."""
    lacking = targets.lack(content)
    return Sink.WAREHOUSE in lacking or (bool(lacking) and _kept(content, targets) is None)


def plan(content: DeadLetter, event: SourceEvent | None, targets: Targets) -> Plan:
    """Return how a letter is redriven; `found` is the event as the source has it, where that was asked."""
    lacking = targets.lack(content)
    if not lacking:
        return Plan(fault=f"there is no redrive for letters of {content.source}")
    if Sink.WAREHOUSE not in lacking:
        if not targets.api:
            return Plan(fault=f"there is no partner: {targets.api_variable} is not set")
        if (message := _kept(content, targets)) is not None:
            return Plan(key=message[0], value=message[1])
    return _again(content, event, targets)


def _again(content: DeadLetter, event: SourceEvent | None, targets: Targets) -> Plan:
    """Return how a letter is redriven whose event has to come from the source."""
    if content.event_id is None:
        return Plan(fault="the letter does not say which event it was")
    if event is None:
        return Plan(fault=f"the source has no event {content.event_id}")
    if event.day is None:
        time = targets.reader.schema.time
        return Plan(fault=f"{time} is outside the years 1 to 9999, or infinite; its owner has to put it right")
    return _from_source(targets.lack(content), event, targets)


def _from_source(lacking: frozenset[Sink], event: SourceEvent, targets: Targets) -> Plan:
    is_day = targets.knows(event.day)
    day = event.day if Sink.WAREHOUSE in lacking and is_day else None
    if Sink.API not in lacking or not targets.api:
        return Plan(day=day, fault="" if is_day else f"{event.day} is no day that can be rebuilt")
    if event.value is None:
        size, limit = event.size, targets.largest_value
        return Plan(
            day=day, fault=f"too large: the message would have {size} bytes, the topic of replays takes {limit}"
        )
    return Plan(key=event.key, value=event.value, schema=event.schema, day=day)


def _kept(content: DeadLetter, targets: Targets) -> tuple[bytes | None, bytes] | None:
    """Return key and value of the event in a letter; None where there is none that could be delivered."""
    value = bytes(content.event)
    if value == bytes(NO_EVENT) or not targets.reader.writes_keys:
        return None
    try:
        targets.reader.decode(value)
    except (msgspec.MsgspecError, ValueError):
        return None
    return targets.reader.message_key(value), value


def weight(content: DeadLetter, targets: Targets) -> int:
    """Return how many bytes a redrive of the letter holds in memory, at most."""
    return len(bytes(content.event)) + (targets.largest_value if needs_source(content, targets) else 0)


def chunks(weighed: Iterable[tuple[_Item, int]], most: int, heaviest: int) -> Iterator[list[_Item]]:
    """Split items into chunks of at most `most`, none heavier than `heaviest` unless it has one item only."""
    chunk: list[_Item] = []
    total = 0
    for item, heavy in weighed:
        if chunk and (len(chunk) == most or total + heavy > heaviest):
            yield chunk
            chunk, total = [], 0
        chunk.append(item)
        total += heavy
    if chunk:
        yield chunk
