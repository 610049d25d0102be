"""What the tally needs to know of a message, and how it goes on from what it finds in Redis.

A message is decoded only as far as it is counted and shown; validating it in full is the business of stage.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Annotated, Final

import msgspec

from engagement_platform.domain.event import Integer
from engagement_platform.domain.nesting import decoded

CLOCK_TOLERANCE_MS: Final = 2_000
"""How far Redis' clock may fall behind as_of before the window is built anew; the same as in apply.lua."""


class Playback(msgspec.Struct, frozen=True, gc=False):
    """The fields of an enriched event that are counted or shown."""

    event_ts: Annotated[datetime, msgspec.Meta(tz=True)]
    content_id: str | None
    content_type: str | None
    device: str | None
    duration_ms: Integer | None
    slug: str | None
    title: str | None


class _Display(msgspec.Struct, frozen=True, gc=False):
    slug: str | None
    title: str | None
    content_type: str | None


_decode = msgspec.json.Decoder(Playback).decode


def read(value: bytes | None) -> Playback | None:
    """Return the event of a message, or None when it is none."""
    try:
        return None if value is None else decoded(_decode, value)[0]
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def display_of(events: Iterable[Playback]) -> dict[str, str]:
    """Return content_id -> JSON of what to show for it, by its last event."""
    last = {event.content_id: event for event in events if event.content_id is not None}
    return {
        content_id: msgspec.json.encode(_Display(event.slug, event.title, event.content_type)).decode()
        for content_id, event in last.items()
    }


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
