"""What the tally needs to know of a message, and how it goes on from what it finds in Redis.

A message is decoded only as far as it is counted and shown; validating it in full is the business of stage.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum, auto
from itertools import starmap
from operator import attrgetter
from typing import Annotated, Any, Final

import msgspec

from engagement_platform.domain.event_stream import Dimension, EventStream
from engagement_platform.domain.nesting import decoded
from engagement_platform.domain.records import Integer
from engagement_platform.domain.windows import attribute_of, members_of

CLOCK_TOLERANCE_MS: Final = 2_000
"""How far Redis' clock may fall behind as_of before the window is built anew; the same as in apply.lua."""

_Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class Playbacks:
    """Reads the messages of a stream, as far as they are counted and shown.

    A column that is missing is null: so are those that messages from before a change of `enriched.sql` lack. A sum
    takes whole numbers of 64 bits, a dimension a text, a number, a boolean or null, and what is shown is any JSON.
    """

    def __init__(self, stream: EventStream) -> None:
        time, views = stream.source.time, stream.views
        shown: dict[str, Any] = {time: _Moment} | dict.fromkeys(views.columns, Any)
        usual = dict.fromkeys([dimension.column for dimension in views.dimensions], str | int | bool | None)
        firm: dict[str, Any] = dict.fromkeys([m.column for m in views.measures if m.column is not None], Integer | None)
        firm[time] = _Moment
        self.event = _struct("Playback", shown | usual | firm, required=(time,))
        """The type of an event: an attribute for its time, and one for each other column of the views."""
        self._decode = msgspec.json.Decoder(self.event, float_hook=Decimal).decode
        unusual = _struct("Playback", shown | firm, required=(time,))
        self._decode_unusual = msgspec.json.Decoder(unusual, float_hook=Decimal).decode
        self._counted = [attrgetter(attribute_of(dimension.column)) for dimension in views.dimensions]
        self._shown = [_Shown(dimension) for dimension in views.dimensions if dimension.shown]

    def read(self, value: bytes | None) -> Any | None:
        """Return the event of a message, or None when it is none."""
        try:
            return None if value is None else self._decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._read_unusual(value or b"")

    def _read_unusual(self, value: bytes) -> Any | None:
        """Read a message with JSON that is nested deeply, or with a decimal number in a dimension."""
        try:
            event = decoded(self._decode_unusual, value)[0]
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        return None if any(isinstance(member(event), dict | list) for member in self._counted) else event

    def display_of(self, events: Sequence[Any]) -> dict[str, dict[str, str]]:
        """Return, for each dimension with columns to show, member -> JSON of them, by the member's last event."""
        return {shown.dimension: shown.of(events) for shown in self._shown}


class _Shown:
    """What is shown for the members of one dimension."""

    def __init__(self, dimension: Dimension) -> None:
        self.dimension = dimension.name
        self._column = dimension.column
        self._value = attrgetter(attribute_of(dimension.column))
        self._shown = [attrgetter(attribute_of(column)) for column in dimension.shown]
        self._text = _struct("Display", dict.fromkeys(dimension.shown, Any), required=dimension.shown)
        self._encode = msgspec.json.Encoder(decimal_format="number").encode

    def of(self, events: Sequence[Any]) -> dict[str, str]:
        named = events
        if None in list(map(self._value, events)):
            named = [event for event in events if self._value(event) is not None]
        last = dict(zip(members_of(named, self._column), named, strict=True))
        rows = zip(*(map(shown, last.values()) for shown in self._shown), strict=True)
        texts = map(bytes.decode, map(self._encode, starmap(self._text, rows)))
        return dict(zip(last, texts, strict=True))


def _struct(name: str, columns: Mapping[str, Any], required: Sequence[str]) -> Any:
    return msgspec.defstruct(
        name,
        [
            (attribute_of(column), of) if column in required else (attribute_of(column), of, None)
            for column, of in columns.items()
        ],
        rename={attribute_of(column): column for column in columns},
        frozen=True,
        gc=False,
    )


class Resume(Enum):
    """How a tally goes on."""

    CONTINUE = auto()
    """From the offsets in Redis."""
    BUILD = auto()
    """With new views, built from Kafka."""
    STOP = auto()
    """Not at all, until a person decides."""


def resume(
    *,
    generation: str | None,
    same_topic: bool,
    same_window: bool,
    has_offsets: bool,
    ahead_ms: int,
    may_lack: bool = False,
) -> Resume:
    """Decide from what is in Redis. `ahead_ms` is how far as_of lies ahead of Redis' clock.

    `same_window`: the views count what they should count, in the window of the settings.
    `may_lack`: a part of the views may have been evicted.
    """
    if generation is None or not has_offsets:
        return Resume.BUILD
    if not same_topic:
        return Resume.STOP
    if not same_window or ahead_ms > CLOCK_TOLERANCE_MS or may_lack:
        return Resume.BUILD
    return Resume.CONTINUE


@dataclass(frozen=True, slots=True)
class Evictions:
    """How many keys a server has evicted since it started."""

    run_id: str
    """Of the server; another one after each start."""
    keys: int


def may_lack(kept: Evictions | None, present: Evictions) -> bool:
    """Say whether a key of the views may have been evicted since `kept` was noted, before they were built.

    A server that was started again counts from 0.
    """
    if kept is not None and kept.run_id == present.run_id:
        return kept.keys != present.keys
    return present.keys > 0
