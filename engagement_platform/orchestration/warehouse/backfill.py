"""Starts a partition backfill as the UI does, and tells how far it is. Dagster's daemon does the work."""

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import Enum
from types import MappingProxyType

import dagster as dg

from engagement_platform.adapters.platform.run_beats import RunBeats
from engagement_platform.domain.errors import EngagementError
from engagement_platform.orchestration import private
from engagement_platform.orchestration.dead_runs import end_dead_runs
from engagement_platform.orchestration.graphql import literal, mutate
from engagement_platform.orchestration.living import span_of, subject_of
from engagement_platform.orchestration.runs import ACTIVE, UNFINISHED, WILL_RETRY, each_run_of, runs_of
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
    limit = private.limit_of_tag(instance, BACKFILL)
    said = [
        *_daemon(silence_of_daemon(instance)),
        *queue_in_words(holders, limit, backfill_id),
        *(_silent(one) for one in holders if _is_silent(one)),
    ]
    if any(_is_silent(one) for one in holders) and private.is_off(instance, end_dead_runs.name):
        said.append(
            f"The sensor {end_dead_runs.name} is off, so nobody ends dead runs. Turn it on: in Dagster, Automation."
        )
    return said


def silence_of_daemon(instance: dg.DagsterInstance) -> float:
    """Return for how many seconds the daemon that starts runs has been silent."""
    signs = private.signs_of_daemons(instance)
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


STARTED_BY = {"engagement/started_by": "engagement-platform backfill"}

_NO_TITLE = re.compile('[%*"]')
"""What Dagster takes in no title."""


class DayState(Enum):
    """How far one day is."""

    WAITS = "waits"
    RUNS = "runs"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a backfill is."""

    backfill_id: str
    status: str
    ended: bool
    days: Mapping[date, DayState]
    error: str | None
    assets: tuple[dg.AssetKey, ...] = ()

    def in_state(self, state: DayState) -> list[date]:
        """Return the days in a state, ascending."""
        return [day for day, day_state in self.days.items() if day_state is state]


def states(assets: Iterable[private.Parts]) -> dict[date, DayState]:
    """Return the state of each day over all assets: failed when one has failed, done when all are done."""
    every = list(assets)
    days = sorted({day for parts in every for day in parts.targeted})
    return {date.fromisoformat(day): _state([parts for parts in every if day in parts.targeted], day) for day in days}


def _state(every: Sequence[private.Parts], day: str) -> DayState:
    if any(day in parts.failed and day not in parts.done for parts in every):
        return DayState.FAILED
    if all(day in parts.done for parts in every):
        return DayState.DONE
    return DayState.RUNS if any(day in parts.requested for parts in every) else DayState.WAITS


def as_the_runs_ended(
    assets: Mapping[dg.AssetKey, private.Parts], runs: Iterable[dg.DagsterRun], *, ended: bool
) -> dict[dg.AssetKey, private.Parts]:
    """Return the parts of a backfill as its runs have them, where Dagster says that days have failed.

    Dagster counts the days of a killed run as failed while they wait to be launched again and while they are at work
    again. And it looks at the days first and at the runs then: a run that ends in between is missed, its days stay
    failed, and the backfill ends as failed, though all is done.
    """
    seen = dict(assets)
    for run in runs:
        first, last = span_of(run.tags)
        for key in seen.keys() if run.asset_selection is None else seen.keys() & run.asset_selection:
            parts = seen[key]
            its_days = {day for day in parts.targeted if first <= day <= last}  # names are in the order of time
            if run.status is dg.DagsterRunStatus.SUCCESS:
                seen[key] = replace(parts, done=parts.done | its_days)
            elif not ended and (run.status in UNFINISHED or _is_launched_again(run)):
                seen[key] = replace(parts, failed=parts.failed - its_days)
    return seen


def _is_launched_again(run: dg.DagsterRun) -> bool:
    """Return whether a run failed and Dagster will launch it again, or has not yet noted whether it will."""
    failed = run.status is dg.DagsterRunStatus.FAILURE
    return failed and run.tags.get(WILL_RETRY) != "false" and _RETRIED_AS not in run.tags


_RETRIED_AS = "dagster/auto_retry_run_id"


def to_retry(seen: Progress) -> list[date]:
    """Return the days that a retry is for: those that failed, and those that a backfill has left undone at its end."""
    undone = (DayState.FAILED, *((DayState.WAITS, DayState.RUNS) if seen.ended else ()))
    return [day for day, state in seen.days.items() if state in undone]


def require_daemon(instance: dg.DagsterInstance) -> None:
    """Raise EngagementError when no daemon would take up a backfill."""
    if silence_of_daemon(instance) > DAEMON_SILENT_SECONDS:
        raise EngagementError(
            "Dagster's daemon does not run, so nobody would take up a backfill.",
            "Start it: dagster dev (or dagster-daemon run), with the same DAGSTER_HOME.",
        )


def start(
    assets: Sequence[dg.AssetKey], days: Sequence[date], why: str, *, tags: Mapping[str, str] = MappingProxyType({})
) -> str:
    """Start a backfill of days of assets, whose runs have the tags; return its id. Raises EngagementError.

    It begins in the instance of DAGSTER_HOME.
    """
    selection = ", ".join(f"{{path: {literal(list(key.path))}}}" for key in assets)
    labels = ", ".join(
        f"{{key: {literal(key)}, value: {literal(value)}}}" for key, value in (STARTED_BY | dict(tags)).items()
    )
    title = _NO_TITLE.sub("'", why)[:100]
    parameters = (
        f"{{assetSelection: [{selection}], partitionNames: {literal([day.isoformat() for day in sorted(days)])}, "
        f"tags: [{labels}], title: {literal(title)}}}"
    )
    answer = mutate(f"launchPartitionBackfill(backfillParams: {parameters})", "LaunchBackfillSuccess { backfillId }")
    return str(answer["backfillId"])


def progress(instance: dg.DagsterInstance, graph: private.AssetGraph, backfill_id: str) -> Progress:
    """Return how far a backfill is. Raises EngagementError when there is none of that id."""
    backfill = _get(instance, backfill_id, graph)
    assets = _as_it_stands(instance, backfill)
    days, status = states(assets.values()), backfill.status
    if status == _SOME_FAILED and _is_done(assets):
        status = _DONE
    return Progress(backfill_id, status, backfill.ended, days, backfill.error, tuple(assets))


def is_done(instance: dg.DagsterInstance, graph: private.AssetGraph, backfill_id: str) -> bool:
    """Return whether all that a backfill is for is done, whatever its status says. Raises EngagementError for none."""
    return _is_done(_as_it_stands(instance, _get(instance, backfill_id, graph)))


def _is_done(assets: Mapping[dg.AssetKey, private.Parts]) -> bool:
    return all(parts.targeted <= parts.done for parts in assets.values())


def _as_it_stands(instance: dg.DagsterInstance, backfill: private.Backfill) -> Mapping[dg.AssetKey, private.Parts]:
    if all(parts.failed <= parts.done for parts in backfill.assets.values()):
        return backfill.assets
    its_runs = each_run_of(instance, dg.RunsFilter(tags={BACKFILL: backfill.backfill_id}))
    return as_the_runs_ended(backfill.assets, its_runs, ended=backfill.ended)


_SOME_FAILED, _DONE = "COMPLETED_FAILED", "COMPLETED_SUCCESS"


def cancel(instance: dg.DagsterInstance, backfill_id: str) -> None:
    """Ask the daemon to end a backfill; the runs in hand are ended, days that are done stay done."""
    if not _get(instance, backfill_id).ended:
        mutate(f"cancelPartitionBackfill(backfillId: {literal(backfill_id)})", "CancelBackfillSuccess { backfillId }")


def _get(instance: dg.DagsterInstance, backfill_id: str, graph: private.AssetGraph | None = None) -> private.Backfill:
    backfill = private.backfill_of(instance, backfill_id, graph)
    if backfill is None:
        latest = ", ".join(other.backfill_id for other in private.latest_backfills(instance, 5))
        raise EngagementError(f"There is no backfill {backfill_id}.", f"The latest are: {latest or 'none'}.")
    return backfill
