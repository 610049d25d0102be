"""What keeps a backfill waiting, in words: a daemon that is away, runs of others, runs without a sign of life."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg

from engagement_platform.adapters.platform.run_beats import RunBeats
from engagement_platform.domain.errors import EngagementError
from engagement_platform.orchestration.dead_runs import end_dead_runs
from engagement_platform.orchestration.living import subject_of
from engagement_platform.orchestration.private import is_off, limit_of_tag, signs_of_daemons
from engagement_platform.orchestration.runs import ACTIVE, runs_of
from engagement_platform.settings import Settings

BACKFILL = "dagster/backfill"
DAEMON_SILENT_SECONDS = 60.0
RUN_SILENT_SECONDS = 20.0
_DAEMONS = ("BACKFILL", "QUEUED_RUN_COORDINATOR")


@dataclass(frozen=True, slots=True)
class Holder:
    """A run of a backfill that is at work, or seems to be."""

    run_id: str
    backfill_id: str
    days: str
    silent_seconds: float | None
    """Since its last heartbeat; None for a run whose process has not begun."""


def obstacles(instance: dg.DagsterInstance, settings: Settings, backfill_id: str) -> list[str]:
    """Return what keeps a backfill waiting, a sentence each; nothing when it goes on as it should."""
    holders = holders_of(instance, settings)
    limit = limit_of_tag(instance, BACKFILL)
    said = [
        *_daemon(silence_of_daemon(instance)),
        *queue_in_words(holders, limit, backfill_id),
        *(_silent(one) for one in holders if _is_silent(one)),
    ]
    if any(_is_silent(one) for one in holders) and is_off(instance, end_dead_runs.name):
        said.append(
            f"The sensor {end_dead_runs.name} is off, so nobody ends dead runs. Turn it on: in Dagster, Automation."
        )
    return said


def silence_of_daemon(instance: dg.DagsterInstance) -> float:
    """Return for how many seconds the daemon that starts runs has been silent."""
    signs = signs_of_daemons(instance)
    return time.time() - min(signs.get(name, 0.0) for name in _DAEMONS)


def holders_of(instance: dg.DagsterInstance, settings: Settings) -> list[Holder]:
    """Return the runs of backfills that Dagster takes for at work, in the order of their launch."""
    active = runs_of(instance, dg.RunsFilter(statuses=list(ACTIVE)), limit=200)
    runs = [run for run in reversed(active) if BACKFILL in run.tags]
    silent: dict[str, float | None] = {}
    try:
        with RunBeats.opened(settings, "backfill") as beats:
            now, signs = beats.look([run.run_id for run in runs])
        silent = {run_id: beat and (now - beat).total_seconds() for run_id, beat in signs.items()}  # type: ignore[misc]
    except EngagementError:  # what the database cannot say is left out
        silent = {}
    return [Holder(run.run_id, run.tags[BACKFILL], subject_of(run.tags), silent.get(run.run_id)) for run in runs]


def queue_in_words(holders: Sequence[Holder], limit: int | None, backfill_id: str) -> list[str]:
    """Say which runs of other backfills go first, where these are all that may go on at a time."""
    others = [one for one in holders if one.backfill_id != backfill_id]
    if limit is None or len(holders) < limit or len(others) < len(holders):
        return []
    names = ", ".join(f"run {one.run_id} of backfill {one.backfill_id} ({one.days or 'no day'})" for one in others)
    return [f"{limit} runs of backfills go on at a time. Before this one: {names}."]


def _is_silent(holder: Holder) -> bool:
    return holder.silent_seconds is not None and holder.silent_seconds > RUN_SILENT_SECONDS


def _silent(holder: Holder) -> str:
    return (
        f"Run {holder.run_id} ({holder.days or 'no day'}) has given no sign of life for {holder.silent_seconds:.0f} s. "
        "When its process is dead, it is ended and launched again within two minutes."
    )


def _daemon(silent_seconds: float) -> list[str]:
    if silent_seconds <= DAEMON_SILENT_SECONDS:
        return []
    return [
        "Dagster's daemon gives no sign of life, so no run is started. It goes on when the daemon runs again: "
        "dagster dev (or dagster-daemon run), with the same DAGSTER_HOME."
    ]
