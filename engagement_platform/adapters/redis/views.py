"""What readers of the views need: a ranking, totals, how fresh they are, and a full copy for a comparison.

Nothing here writes. Each method reads one moment, never half of a batch. Raises Unavailable when Redis does not answer.
"""

from dataclasses import dataclass
from typing import Any, cast

import msgspec
import redis

from engagement_platform.adapters.redis.connection import connect_redis, reaching
from engagement_platform.adapters.redis.keys import Keys
from engagement_platform.domain.windows import DIMENSIONS, MEASURES, Adds
from engagement_platform.settings import Settings


@dataclass(frozen=True, slots=True)
class Shown:
    """What to show for a content."""

    slug: str | None
    title: str | None
    content_type: str | None


@dataclass(frozen=True, slots=True)
class Ranked:
    """One member of a ranking."""

    member: str
    value: int
    """Events, or milliseconds; the measure that was asked for."""
    shown: Shown | None = None
    """Of a content; None for `(none)` and in the other dimensions."""


@dataclass(frozen=True, slots=True)
class Totals:
    """All engagement in the window."""

    count: int
    ms: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything readers can see, at one moment."""

    meta: dict[str, str]
    offsets: dict[int, int]
    views: Adds
    """dimension -> member -> [count, ms], comparable with `domain.windows.recount`."""
    display: dict[str, Shown]

    @property
    def as_of_ms(self) -> int:
        """The time up to which the window has slid, by Redis' clock; 0 when there are no views."""
        return int(self.meta.get("as_of", 0))


class Views:
    """Reads the live views of one namespace."""

    def __init__(self, client: redis.Redis, namespace: str) -> None:
        self._client = client
        self._keys = Keys.live(namespace)

    @classmethod
    def connect(cls, settings: Settings) -> "Views":
        """Return the views of the settings."""
        return cls(connect_redis(settings), settings.redis_namespace)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def top(self, dimension: str, measure: str, n: int) -> list[Ranked]:
        """Return the `n` members with the most engagement, the greatest first."""
        with reaching(self._client):
            best = self._client.zrevrange(self._keys.view(dimension, measure), 0, n - 1, withscores=True)
            ranked = cast("list[tuple[str, float]]", best)
            shown: list[str | None] = [None] * len(ranked)
            if dimension == "content" and ranked:
                shown = cast("list[str | None]", self._client.hmget(self._keys.display, [m for m, _ in ranked]))
        return [Ranked(member, int(score), _shown(text)) for (member, score), text in zip(ranked, shown, strict=True)]

    def totals(self) -> Totals:
        """Return the events in the window and the sum of their durations. Every event has one device, or `(none)`."""
        with reaching(self._client), self._client.pipeline(transaction=True) as pipe:
            for measure in MEASURES:
                pipe.zrange(self._keys.view("device", measure), 0, -1, withscores=True)
            count, ms = (sum(int(score) for _, score in rows) for rows in pipe.execute())
        return Totals(count, ms)

    def as_of(self) -> int | None:
        """Return the time, in ms since 1970, for which the views hold; None when there are none."""
        with reaching(self._client):
            value = cast("str | None", self._client.hget(self._keys.meta, "as_of"))
        return None if value is None else int(value)

    def offsets(self) -> dict[int, int]:
        """Return partition -> offset of the next message to count."""
        with reaching(self._client):
            return _ints(cast("dict[str, str]", self._client.hgetall(self._keys.offsets)))

    def now_ms(self) -> int:
        """Return Redis' clock, to compare `as_of` with."""
        with reaching(self._client):
            seconds, micros = self._client.time()
        return seconds * 1000 + micros // 1000

    def snapshot(self) -> Snapshot:
        """Return everything, as of one moment."""
        names = [(dimension, measure) for dimension in DIMENSIONS for measure in MEASURES]
        with reaching(self._client), self._client.pipeline(transaction=True) as pipe:
            pipe.hgetall(self._keys.meta)
            pipe.hgetall(self._keys.offsets)
            pipe.hgetall(self._keys.display)
            for dimension, measure in names:
                pipe.zrange(self._keys.view(dimension, measure), 0, -1, withscores=True)
            meta, offsets, display, *rows = pipe.execute()
        views: Adds = {dimension: {} for dimension in DIMENSIONS}
        for (dimension, measure), scores in zip(names, rows, strict=True):
            for member, score in scores:
                views[dimension].setdefault(member, [0, 0])[MEASURES.index(measure)] = int(score)
        shown = {member: _read(text) for member, text in display.items()}
        return Snapshot(meta, _ints(offsets), views, shown)


def _ints(pairs: dict[str, Any]) -> dict[int, int]:
    return {int(name): int(value) for name, value in pairs.items()}


def _shown(text: str | None) -> Shown | None:
    return None if text is None else _read(text)


def _read(text: str) -> Shown:
    return msgspec.json.decode(text, type=Shown)
