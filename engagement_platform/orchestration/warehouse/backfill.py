"""Starts a partition backfill as the UI does, and tells how far it is. Dagster's daemon does the work."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import Enum
from types import MappingProxyType
from typing import Any

import dagster as dg
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.utils import make_new_backfill_id

from engagement_platform.domain.errors import EngagementError
from engagement_platform.orchestration.warehouse.queue import DAEMON_SILENT_SECONDS, silence_of_daemon

STARTED_BY = {"engagement/started_by": "engagement-platform backfill"}
_ENDED = {
    BulkActionStatus.COMPLETED,
    BulkActionStatus.COMPLETED_SUCCESS,
    BulkActionStatus.COMPLETED_FAILED,
    BulkActionStatus.FAILED,
    BulkActionStatus.CANCELED,
}


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

    def in_state(self, state: DayState) -> list[date]:
        """Return the days in a state, ascending."""
        return [day for day, day_state in self.days.items() if day_state is state]


@dataclass(frozen=True, slots=True)
class Parts:
    """For one asset the days that are wanted, done, failed, and given to a run."""

    wanted: frozenset[str]
    done: frozenset[str]
    failed: frozenset[str]
    requested: frozenset[str]


def states(assets: Iterable[Parts]) -> dict[date, DayState]:
    """Return the state of each day over all assets: failed when one has failed, done when all are done."""
    every = list(assets)
    days = sorted({day for parts in every for day in parts.wanted})
    return {date.fromisoformat(day): _state([parts for parts in every if day in parts.wanted], day) for day in days}


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
    instance: dg.DagsterInstance,
    graph: BaseAssetGraph[Any],
    assets: Sequence[dg.AssetKey],
    days: Sequence[date],
    why: str,
    *,
    tags: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Start a backfill of days of assets, whose runs have the tags; return its id."""
    backfill = PartitionBackfill.from_asset_partitions(
        backfill_id=make_new_backfill_id(),
        asset_graph=graph,
        partition_names=[day.isoformat() for day in sorted(days)],
        asset_selection=list(assets),
        backfill_timestamp=time.time(),
        tags=STARTED_BY | dict(tags),
        dynamic_partitions_store=instance,
        all_partitions=False,
        title=why[:100],
        description=None,
        run_config=None,
    )
    instance.add_backfill(backfill)
    return backfill.backfill_id


def progress(instance: dg.DagsterInstance, graph: BaseAssetGraph[Any], backfill_id: str) -> Progress:
    """Return how far a backfill is. Raises EngagementError when there is none of that id."""
    backfill = _get(instance, backfill_id)
    data = backfill.get_asset_backfill_data(graph)
    parts = [
        Parts(*(_days(subset, key) for subset in subsets))
        for key in data.target_subset.asset_keys
        for subsets in [
            (data.target_subset, data.materialized_subset, data.failed_and_downstream_subset, data.requested_subset)
        ]
    ]
    error = backfill.error.message.strip() if backfill.error else None
    return Progress(backfill_id, backfill.status.value, backfill.status in _ENDED, states(parts), error)


def _days(subset: object, key: dg.AssetKey) -> frozenset[str]:
    if key not in subset.asset_keys:  # type: ignore[attr-defined]
        return frozenset()
    return frozenset(subset.get_partitions_subset(key).get_partition_keys())  # type: ignore[attr-defined]


def cancel(instance: dg.DagsterInstance, backfill_id: str) -> None:
    """Ask the daemon to end a backfill; the runs in hand are ended, days that are done stay done."""
    backfill = _get(instance, backfill_id)
    if backfill.status not in _ENDED:
        instance.update_backfill(backfill.with_status(BulkActionStatus.CANCELING))  # type: ignore[no-untyped-call]


def unfinished(instance: dg.DagsterInstance) -> list[str]:
    """Return the ids of the backfills that have not ended, the newest first."""
    return [backfill.backfill_id for backfill in instance.get_backfills(limit=50) if backfill.status not in _ENDED]


def _get(instance: dg.DagsterInstance, backfill_id: str) -> PartitionBackfill:
    backfill = instance.get_backfill(backfill_id)
    if backfill is None:
        latest = [recent.backfill_id for recent in instance.get_backfills(limit=5)]
        raise EngagementError(f"There is no backfill {backfill_id}.", f"The latest are: {', '.join(latest) or 'none'}.")
    return backfill
