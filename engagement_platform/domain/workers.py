"""Which runs that look at work have no living process. Life is judged by heartbeats, never by Dagster's status.

A run's process writes a heartbeat every few seconds. An observer looks again and again, and remembers since when the
heartbeat of a run has not moved; a run whose heartbeat stands still for longer than its patience is dead. Only changes
count, so no clock of another machine matters. A memory that is older than `RECENT` is void: while the observer could
not look, the run could not beat, for both need the same database.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

BEAT_SECONDS = 5.0
"""How often a run's process writes a heartbeat."""

SILENT = timedelta(seconds=45)
"""A heartbeat that has not moved for this long belongs to a dead process: nine are missing."""

BOOT = timedelta(seconds=150)
"""How long a run that was launched may take until it starts: 100 s were seen on a starved machine."""

BEGIN = timedelta(seconds=75)
"""How long a run that has started may take until its first heartbeat, which is the first thing that it does."""

RECENT = timedelta(seconds=40)
"""A look longer ago than this proves nothing about the time since."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The heartbeat of a run, and since when the observer has seen it unchanged."""

    beat_at: datetime | None
    """None before the first heartbeat."""
    since: datetime
    started: bool = False
    """Whether its process had said that it starts."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What an observer knows of the runs at its last look."""

    looked_at: datetime
    runs: Mapping[str, Seen]


@dataclass(frozen=True, slots=True)
class Observation:
    """What a look has brought."""

    memory: Memory
    dead: Mapping[str, Seen]
    """The runs without a living process, with their last heartbeat."""


def judge(
    beats: Mapping[str, datetime | None], memory: Memory | None, now: datetime, started: Container[str] = ()
) -> Observation:
    """Compare the heartbeats of the runs that look at work with those of the last look.

    `started` are the runs whose process has said that it starts.
    """
    recent = memory is not None and timedelta(0) <= now - memory.looked_at <= RECENT
    seen_runs = memory.runs if memory is not None and recent else {}
    runs = {
        run_id: _seen(seen_runs.get(run_id), Seen(beat_at, now, run_id in started)) for run_id, beat_at in beats.items()
    }
    dead = {run_id: seen for run_id, seen in runs.items() if now - seen.since >= _patience(seen)}
    return Observation(Memory(now, runs), dead)


def _seen(before: Seen | None, present: Seen) -> Seen:
    """Return what was seen before where nothing has changed, so that `since` stays."""
    unchanged = before is not None and (before.beat_at, before.started) == (present.beat_at, present.started)
    return before if before is not None and unchanged else present


def _patience(seen: Seen) -> timedelta:
    if seen.beat_at is not None:
        return SILENT
    return BEGIN if seen.started else BOOT
