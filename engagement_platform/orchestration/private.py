"""What the platform takes from inside Dagster: names that its documentation does not offer.

Only this file touches them, and a new version may move any: a test names those that are gone. What the public interface
lacks is said at each function.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster import DagsterEventType
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES, PartitionBackfill

_AT_ONCE = 500

AssetJob = UnresolvedAssetJobDefinition
"""A job over assets that are known by their keys only: what `define_asset_job` returns."""

AssetGraph = BaseAssetGraph[Any]
"""All assets of a code location, with what depends on what: a backfill's state is read against it."""


@dataclass(frozen=True, slots=True)
class Parts:
    """For one asset of a backfill the days that it is for, that are done, failed, and given to a run."""

    targeted: frozenset[str]
    done: frozenset[str]
    failed: frozenset[str]
    requested: frozenset[str]


@dataclass(frozen=True, slots=True)
class Backfill:
    """A partition backfill, as Dagster keeps it."""

    backfill_id: str
    status: str
    ended: bool
    error: str | None
    assets: Mapping[dg.AssetKey, Parts]
    """Empty when nobody has asked for them."""


def asset_graph(definitions: dg.Definitions) -> AssetGraph:
    """Return the graph of all assets."""
    return definitions.resolve_asset_graph()


def backfill_of(instance: dg.DagsterInstance, backfill_id: str, graph: AssetGraph | None = None) -> Backfill | None:
    """Return a backfill, with its days where a graph is given; None when there is none of that id.

    The public interface, GraphQL, tells how many partitions of an asset are done, and not which.
    """
    backfill = instance.get_backfill(backfill_id)
    return None if backfill is None else _as_value(backfill, {} if graph is None else _parts(backfill, graph))


def latest_backfills(instance: dg.DagsterInstance, limit: int) -> list[Backfill]:
    """Return the latest backfills without their days, the newest first. GraphQL would take seconds to begin with."""
    return [_as_value(backfill, {}) for backfill in instance.get_backfills(limit=limit)]


def _as_value(backfill: PartitionBackfill, assets: Mapping[dg.AssetKey, Parts]) -> Backfill:
    error = backfill.error.message.strip() if backfill.error else None
    ended = backfill.status in BULK_ACTION_TERMINAL_STATUSES
    return Backfill(backfill.backfill_id, backfill.status.value, ended, error, assets)


def _parts(backfill: PartitionBackfill, graph: AssetGraph) -> dict[dg.AssetKey, Parts]:
    data = backfill.get_asset_backfill_data(graph)
    subsets = (
        data.target_subset,
        data.materialized_subset,
        data.failed_and_downstream_subset,
        data.requested_subset,
    )
    return {key: Parts(*(_days(subset, key) for subset in subsets)) for key in data.target_subset.asset_keys}


def _days(subset: Any, key: dg.AssetKey) -> frozenset[str]:
    if key not in subset.asset_keys:
        return frozenset()
    return frozenset(subset.get_partitions_subset(key).get_partition_keys())


def latest_tags(
    instance: dg.DagsterInstance, key: dg.AssetKey, partitions: Collection[str] | None = None
) -> Mapping[str, Mapping[str, str]]:
    """Return the tags of the latest materialization of each partition of an asset, of all or of certain ones.

    The public interface tells all materializations, one after another, and not which are the latest.
    """
    latest = instance.event_log_storage.get_latest_storage_id_by_partition(
        key, DagsterEventType.ASSET_MATERIALIZATION, None if partitions is None else set(partitions)
    )
    tags: dict[str, Mapping[str, str]] = {}
    ids = sorted(latest.values())
    for at in range(0, len(ids), _AT_ONCE):
        some = ids[at : at + _AT_ONCE]
        records = instance.fetch_materializations(dg.AssetRecordsFilter(key, storage_ids=some), limit=len(some)).records
        tags |= {str(record.partition_key): dict(record.event_log_entry.tags or {}) for record in records}
    return tags


def signs_of_daemons(instance: dg.DagsterInstance) -> Mapping[str, float]:
    """Return when each of the daemon's parts last gave a sign of life: name -> seconds since 1970."""
    return {str(kind): sign.timestamp for kind, sign in instance.get_daemon_heartbeats().items()}


def limit_of_tag(instance: dg.DagsterInstance, key: str) -> int | None:
    """Return how many runs with a tag may go on at a time, as dagster.yaml says; None without a limit."""
    queue = instance.get_concurrency_config().run_queue_config
    limits = [] if queue is None else queue.tag_concurrency_limits
    return next((int(limit["limit"]) for limit in limits if limit.get("key") == key), None)


def is_off(instance: dg.DagsterInstance, automation: str) -> bool:
    """Say whether somebody has turned off a sensor or schedule."""
    return any(
        state.instigator_name == automation and not state.is_running for state in instance.all_instigator_state()
    )


def report_failed(instance: dg.DagsterInstance, run: dg.DagsterRun, why: str) -> None:
    """End a run in Dagster, as failed: of a run whose process is gone nobody else does."""
    instance.report_run_failed(run, why)


def report_canceled(instance: dg.DagsterInstance, run: dg.DagsterRun, why: str) -> None:
    """End a run in Dagster, as canceled: of a run whose process is gone nobody else does."""
    instance.report_run_canceled(run, why)


def cancel_run(instance: dg.DagsterInstance, run_id: str) -> None:
    """Ask for a run's end, also where it is queued. In GraphQL it is `terminateRun`, which needs a webserver."""
    instance.run_coordinator.cancel_run(run_id)


def location_of_run(run: dg.DagsterRun) -> str | None:
    """Return the name of the code location of a run; None where none is noted."""
    origin = run.remote_job_origin
    return None if origin is None else origin.location_name


def location_of_sensor(context: dg.SensorEvaluationContext) -> str | None:
    """Return the name of the code location in which a sensor is evaluated; None in a test."""
    origin = context.code_location_origin
    return None if origin is None else origin.location_name
