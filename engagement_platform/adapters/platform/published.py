"""What the relay had published at times of the past: its checkpoints, kept about once a minute (`mirror`).

The time of an event says nothing of when it was published: its transaction may have been open for long. So what was
published since a time is what the checkpoint covers now and did not cover then.
"""

from bisect import bisect_left
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from engagement_platform.adapters import sql
from engagement_platform.adapters.platform.connection import NoTable, Session
from engagement_platform.domain.checkpoint import Checkpoint, from_bytes, missing_ranges
from engagement_platform.domain.coverage import Coverage
from engagement_platform.settings import Settings

_WRITTEN_WITHIN = timedelta(seconds=10)
"""A checkpoint is noted a moment after it was committed."""

_SQL = sql.load(__package__, "mirror.sql")


def before(settings: Settings, moment: datetime) -> Checkpoint | None:
    """Return a checkpoint from before a time, the last that was kept. Raises Unavailable."""
    return _one(settings, "kept_before", moment=moment, unseen_at=None)


def after(settings: Settings, moment: datetime) -> Checkpoint | None:
    """Return a checkpoint from that time or after it, the first that was kept. Raises Unavailable."""
    return _one(settings, "kept_after", moment=moment + _WRITTEN_WITHIN)


def before_unseen(settings: Settings, unseen_at: int) -> Checkpoint | None:
    """Return a checkpoint from before the first message whose header `unseen-at` is this one or later.

    `unseen_at` is in microseconds since 1970. Raises Unavailable.
    """
    return _one(settings, "kept_before", moment=None, unseen_at=unseen_at)


def around(settings: Settings, event_id: int) -> tuple[datetime | None, datetime | None]:
    """Return between which times an event was published, as far as the kept checkpoints tell.

    The first is None where no checkpoint without it is kept, the second where none with it is. Raises Unavailable.
    """
    times = [row["recorded_at"] for row in _rows(settings, "kept_since_hi", hi=event_id)]

    def covers(at: int) -> bool:
        kept = _one(settings, "kept_before", moment=times[at], unseen_at=None)
        return kept is not None and Coverage(kept.hi, tuple(missing_ranges(kept))).covers(event_id)

    # What is once covered stays so: a handful of checkpoints is read in place of thousands.
    first = bisect_left(range(len(times)), True, key=covers)
    until = times[first] if first < len(times) else None
    earlier = _rows(settings, "time_before", moment=until)
    since = earlier[0]["recorded_at"] if earlier else None
    return None if since is None else since - _WRITTEN_WITHIN, until


def generations(settings: Settings) -> Sequence[tuple[Checkpoint, datetime]]:
    """Return the first checkpoint of each generation that is kept. Raises Unavailable."""
    rows = _rows(settings, "generations")
    return [(from_bytes(row["checkpoint"]), row["recorded_at"]) for row in rows]


def thin(settings: Settings, hours: int) -> None:
    """Forget what is older than `hours`, but the first of each generation, and most of what is older than two days."""
    with Session(settings, "published") as session:
        session.execute(_SQL["thin"], hours=hours)


def _one(settings: Settings, name: str, **parameters: object) -> Checkpoint | None:
    rows = _rows(settings, name, **parameters)
    return from_bytes(rows[0]["checkpoint"]) if rows else None


def _rows(settings: Settings, name: str, **parameters: object) -> list[dict[str, Any]]:
    with Session(settings, "published") as session, suppress(NoTable):
        return session.all(_SQL[name], topic=settings.topics.events, **parameters)
    return []
