"""Starts a partition backfill as the UI does, and tells how far it is. Dagster's daemon does the work."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import Enum
from types import MappingProxyType

import dagster as dg

from engagement_platform.domain.errors import EngagementError
from engagement_platform.orchestration.graphql import literal, mutate
from engagement_platform.orchestration.private import AssetGraph, Backfill, Parts, backfill_of, latest_backfills
from engagement_platform.orchestration.warehouse.queue import DAEMON_SILENT_SECONDS, silence_of_daemon

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


def states(assets: Iterable[Parts]) -> dict[date, DayState]:
    """Return the state of each day over all assets: failed when one has failed, done when all are done."""
    every = list(assets)
    days = sorted({day for parts in every for day in parts.targeted})
    return {date.fromisoformat(day): _state([parts for parts in every if day in parts.targeted], day) for day in days}


def _state(every: Sequence[Parts], day: str) -> DayState:
    if any(day in parts.failed and day not in parts.done for parts in every):
        return DayState.FAILED
    if all(day in parts.done for parts in every):
        return DayState.DONE
    return DayState.RUNS if any(day in parts.requested for parts in every) else DayState.WAITS


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


def progress(instance: dg.DagsterInstance, graph: AssetGraph, backfill_id: str) -> Progress:
    """Return how far a backfill is. Raises EngagementError when there is none of that id."""
    backfill = _get(instance, backfill_id, graph)
    return Progress(
        backfill_id, backfill.status, backfill.ended, states(backfill.assets), backfill.error, backfill.keys
    )


def cancel(instance: dg.DagsterInstance, backfill_id: str) -> None:
    """Ask the daemon to end a backfill; the runs in hand are ended, days that are done stay done."""
    if not _get(instance, backfill_id).ended:
        mutate(f"cancelPartitionBackfill(backfillId: {literal(backfill_id)})", "CancelBackfillSuccess { backfillId }")


def _get(instance: dg.DagsterInstance, backfill_id: str, graph: AssetGraph | None = None) -> Backfill:
    backfill = backfill_of(instance, backfill_id, graph)
    if backfill is None:
        latest = ", ".join(other.backfill_id for other in latest_backfills(instance, 5))
        raise EngagementError(f"There is no backfill {backfill_id}.", f"The latest are: {latest or 'none'}.")
    return backfill
