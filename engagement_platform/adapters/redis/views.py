"""What readers of the views need: a ranking, totals, and a full copy for a comparison.

Nothing here writes. Each method reads one moment, never half of a batch. Raises Unavailable when Redis does not answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import redis

from engagement_platform.adapters.redis import scripts
from engagement_platform.adapters.redis.connection import connect_redis, reaching
from engagement_platform.adapters.redis.keys import Keys
from engagement_platform.adapters.redis.ranking_script import SCRIPT, Ranking, Shown, arguments, ranking_of, read_shown
from engagement_platform.adapters.streams import stream_of
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.windows import Adds, nothing
from engagement_platform.settings import Settings


@dataclass(frozen=True, slots=True)
class Totals:
    """All that is in the window."""

    count: int
    sums: Mapping[str, int]
    """Measure -> sum, the count left out."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything readers can see, at one moment."""

    meta: dict[str, str]
    offsets: dict[int, int]
    views: Adds
    """dimension -> member -> sums, in the form of `domain.windows.Adds`."""
    display: dict[str, dict[str, Shown]]
    """dimension -> member -> what to show for it, for the dimensions with columns to show."""

    @property
    def as_of_ms(self) -> int:
        """The time up to which the window has slid, by Redis' clock; 0 when there are no views."""
        return int(self.meta.get("as_of", 0))


class Views:
    """Reads the live views of a stream."""

    def __init__(self, client: redis.Redis, namespace: str, stream: EventStream) -> None:
        self._client = client
        self._keys = Keys.live(namespace)
        self._views = stream.views
        self._measures = [measure.name for measure in stream.views.measures]
        self._displays = self._keys.displays(stream.views)

    @classmethod
    def connect(cls, settings: Settings) -> "Views":
        """Return the views of the stream whose settings these are. Raises SettingsError."""
        return cls(connect_redis(settings.redis), settings.redis.namespace, stream_of(settings))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def top(self, dimension: str, measure: str, n: int) -> Ranking:
        """Return the `n` members with the highest sum of a measure, the highest first, and how fresh that is."""
        with reaching(self._client):
            return ranking_of(scripts.run(self._client, SCRIPT, [self._keys.meta], *arguments(dimension, measure, n)))

    def totals(self) -> Totals:
        """Return the events in the window and their sums. Every event has one member of a dimension, or `(none)`."""
        dimension = self._views.dimensions[-1].name
        with reaching(self._client), self._client.pipeline(transaction=True) as pipe:
            for measure in self._measures:
                pipe.zrange(self._keys.view(dimension, measure), 0, -1, withscores=True)
            count, *sums = (sum(int(score) for _, score in rows) for rows in pipe.execute())
        return Totals(count, dict(zip(self._measures[1:], sums, strict=True)))

    def as_of(self) -> int | None:
        """Return the time, in ms since 1970, for which the views hold; None when there are none."""
        with reaching(self._client):
            value = cast("str | None", self._client.hget(self._keys.meta, "as_of"))
        return None if value is None else int(value)

    def offsets(self) -> dict[int, int]:
        """Return partition -> offset of the next message to count."""
        with reaching(self._client):
            return _ints(cast("dict[str, str]", self._client.hgetall(self._keys.offsets)))

    def snapshot(self) -> Snapshot:
        """Return everything, as of one moment."""
        names = [(dimension.name, measure) for dimension in self._views.dimensions for measure in self._measures]
        with reaching(self._client), self._client.pipeline(transaction=True) as pipe:
            pipe.hgetall(self._keys.meta)
            pipe.hgetall(self._keys.offsets)
            for key in self._displays.values():
                pipe.hgetall(key)
            for dimension, measure in names:
                pipe.zrange(self._keys.view(dimension, measure), 0, -1, withscores=True)
            meta, offsets, *rest = pipe.execute()
        texts, rows = rest[: len(self._displays)], rest[len(self._displays) :]
        views = nothing(self._views)
        for (dimension, measure), scores in zip(names, rows, strict=True):
            for member, score in scores:
                sums = views[dimension].setdefault(member, [0] * len(self._measures))
                sums[self._measures.index(measure)] = int(score)
        display = {
            dimension: {member: read_shown(text) for member, text in shown.items()}
            for dimension, shown in zip(self._displays, texts, strict=True)
        }
        return Snapshot(meta, _ints(offsets), views, display)


def _ints(pairs: dict[str, Any]) -> dict[int, int]:
    return {int(name): int(value) for name, value in pairs.items()}
