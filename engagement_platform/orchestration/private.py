"""What the platform takes from inside Dagster: names that its documentation does not offer.

Only this file touches them, and a new version may move any: a test names those that are gone. What the public interface
lacks is said at each function.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import dagster as dg
from dagster import DagsterEventType
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph
from dagster._core.definitions.assets.job.asset_job import IMPLICIT_ASSET_JOB_NAME
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES, PartitionBackfill
from dagster._core.log_manager import DagsterLogHandler
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster_shared.check import CheckError

from engagement_platform.domain.errors import EngagementError, SettingsError

_AT_ONCE = 500

OF_ASSETS = IMPLICIT_ASSET_JOB_NAME
"""The job of runs that somebody has launched for assets, and of backfills: no definition names it."""

REPEATS = "engagement/repeats"
"""The tag of a backfill that does again what another one has left."""
_PARENT = "dagster/parent_backfill_id"
"""The same, where the web UI's Re-execute has launched it."""

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
    begun_at: float = 0.0
    """Seconds since 1970."""
    ended_at: float | None = None
    title: str = ""
    repeats: str = ""
    """The backfill that it does again, by the web UI's Re-execute or by `REPEATS`."""


def asset_graph(definitions: dg.Definitions) -> AssetGraph:
    """Return the graph of all assets."""
    return definitions.resolve_asset_graph()


def backfill_of(instance: dg.DagsterInstance, backfill_id: str, graph: AssetGraph | None = None) -> Backfill | None:
    """Return a backfill, with its days where a graph is given; None when there is none of that id.

    The public interface, GraphQL, tells how many partitions of an asset are done, and not which. Raises EngagementError
    for one that is of no assets, or of other assets or days than the graph has.
    """
    backfill = instance.get_backfill(backfill_id)
    return None if backfill is None else _as_value(backfill, {} if graph is None else _parts(backfill, graph))


def latest_backfills(instance: dg.DagsterInstance, limit: int) -> list[Backfill]:
    """Return the latest backfills without their days, the newest first. GraphQL would take seconds to begin with."""
    return [_as_value(backfill, {}) for backfill in instance.get_backfills(limit=limit)]


def _as_value(backfill: PartitionBackfill, assets: Mapping[dg.AssetKey, Parts]) -> Backfill:
    error = backfill.error.message.strip() if backfill.error else None
    ended = backfill.status in BULK_ACTION_TERMINAL_STATUSES
    return Backfill(
        backfill.backfill_id,
        backfill.status.value,
        ended,
        error,
        assets,
        backfill.backfill_timestamp,
        backfill.backfill_end_timestamp,
        backfill.title or "",
        backfill.tags.get(_PARENT) or backfill.tags.get(REPEATS, ""),
    )


def _parts(backfill: PartitionBackfill, graph: AssetGraph) -> dict[dg.AssetKey, Parts]:
    try:
        data = backfill.get_asset_backfill_data(graph)
    except (CheckError, dg.DagsterError, LookupError, ValueError) as error:
        raise EngagementError(
            f"Backfill {backfill.backfill_id} is of no tables and days that are there now.",
            "Look at it in Dagster's UI; what is left of it starts as a new one.",
        ) from error
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
    return dict(tags_of(instance, key, latest_ids(instance, key, partitions).values()).values())


def latest_ids(
    instance: dg.DagsterInstance, key: dg.AssetKey, partitions: Collection[str] | None = None
) -> Mapping[str, int]:
    """Return partition -> the number, in Dagster's storage, of its latest materialization."""
    return instance.event_log_storage.get_latest_storage_id_by_partition(
        key, DagsterEventType.ASSET_MATERIALIZATION, None if partitions is None else set(partitions)
    )


def tags_of(
    instance: dg.DagsterInstance, key: dg.AssetKey, ids: Iterable[int]
) -> Mapping[int, tuple[str, Mapping[str, str]]]:
    """Return number -> partition and tags of these materializations of an asset."""
    tags: dict[int, tuple[str, Mapping[str, str]]] = {}
    ascending = sorted(ids)
    for at in range(0, len(ascending), _AT_ONCE):
        some = ascending[at : at + _AT_ONCE]
        records = instance.fetch_materializations(dg.AssetRecordsFilter(key, storage_ids=some), limit=len(some)).records
        tags |= {
            record.storage_id: (str(record.partition_key), dict(record.event_log_entry.tags or {}))
            for record in records
        }
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


def report_check(instance: dg.DagsterInstance, run: dg.DagsterRun, evaluation: dg.AssetCheckEvaluation) -> None:
    """Report the outcome of a check as one of a run that is at work. The public interface reports it as one of none."""
    kind = DagsterEventType.ASSET_CHECK_EVALUATION
    event = dg.DagsterEvent(event_type_value=kind.value, job_name=run.job_name, event_specific_data=evaluation)
    instance.report_dagster_event(event, run_id=run.run_id)


def asset_events(instance: dg.DagsterInstance, run_id: str) -> list[dg.DagsterEvent]:
    """Return the assets that a run planned to materialize, and those that it has. In public one asks by the asset."""
    kinds = (DagsterEventType.ASSET_MATERIALIZATION_PLANNED, DagsterEventType.ASSET_MATERIALIZATION)
    records = [one for kind in kinds for one in instance.get_records_for_run(run_id, of_type=kind).records]
    return [event for one in records if (event := one.event_log_entry.dagster_event) is not None]


def latest_materializations(instance: dg.DagsterInstance, key: dg.AssetKey) -> set[int]:
    """Return the storage ids of the latest materialization of each partition of an asset: see `latest_tags`."""
    latest = instance.event_log_storage.get_latest_storage_id_by_partition(key, DagsterEventType.ASSET_MATERIALIZATION)
    return set(latest.values())


def materializations_of(instance: dg.DagsterInstance, run_id: str) -> dict[dg.AssetKey, set[int]]:
    """Return asset -> storage ids of what a run has materialized. In public one asks by the asset."""
    made: dict[dg.AssetKey, set[int]] = {}
    for record in instance.get_records_for_run(run_id, of_type=DagsterEventType.ASSET_MATERIALIZATION).records:
        event = record.event_log_entry.dagster_event
        if event is not None and event.asset_key is not None:
            made.setdefault(event.asset_key, set()).add(record.storage_id)
    return made


def consoles(log: logging.Logger) -> list[logging.Handler]:
    """Return the handlers that print the lines of a run's log. What a logger is made of is public, but this one's."""
    inner = [one for handler in log.handlers if isinstance(handler, DagsterLogHandler) for one in handler._loggers]
    return [console for logger in inner for console in logger.handlers]


def cancel_run(instance: dg.DagsterInstance, run_id: str) -> None:
    """Ask for a run's end, also where it is queued. In GraphQL it is `terminateRun`, which needs a webserver."""
    instance.run_coordinator.cancel_run(run_id)


def migrate(instance: dg.DagsterInstance, say: Callable[[str], None]) -> None:
    """Bring Dagster's tables up to date. In public it is `dagster instance migrate`, a program of its own."""
    instance.upgrade(say)


_QUERY_MS = 10_000
"""For so long a query may take."""
_RECYCLED_SECONDS = 3_600
"""After so long a connection that is kept is made anew."""


def keep_connections(instance: dg.DagsterInstance) -> None:
    """Let an instance keep its connections, as the webserver's does.

    Without that each query logs in by itself, which takes more of both sides than the query does.
    """
    instance.optimize_for_webserver(_QUERY_MS, pool_recycle=_RECYCLED_SECONDS, max_overflow=1)


def in_pods(name: str, config: Mapping[str, Any], look_seconds: int) -> dg.ExecutorDefinition:
    """Return dagster-k8s' executor, each step a pod, which looks every so often whether the steps' pods live.

    Its configuration offers no interval: it is 20 s. Raises SettingsError where dagster-k8s is not installed.
    """
    try:
        from dagster_k8s import k8s_job_executor  # noqa: PLC0415 - an extra, which takes a second to import
    except ImportError:
        raise SettingsError(
            "dagster-k8s is not installed, so the loops cannot be pods.",
            "Install engagement-platform[kubernetes], or set ENGAGEMENT_STREAM_EXECUTOR to processes.",
        ) from None
    whole: Any = k8s_job_executor.configured(config, name=name)

    def make(context: dg.InitExecutorContext) -> dg.Executor:
        made: Any = whole.executor_creation_fn(context)
        made._check_step_health_interval_seconds = look_seconds
        return cast("dg.Executor", made)

    return dg.ExecutorDefinition(name=name, config_schema=whole.config_schema, executor_creation_fn=make)


def location_of_run(run: dg.DagsterRun) -> str | None:
    """Return the name of the code location of a run; None where none is noted."""
    origin = run.remote_job_origin
    return None if origin is None else origin.location_name


def location_of_sensor(context: dg.SensorEvaluationContext) -> str | None:
    """Return the name of the code location in which a sensor is evaluated; None in a test."""
    origin = context.code_location_origin
    return None if origin is None else origin.location_name


@dataclass(frozen=True, slots=True)
class LastTick:
    """A sensor or schedule that the daemon has met, and its last tick."""

    name: str
    kind: str
    is_on: bool
    at: float | None
    outcome: str | None
    error: str = ""


def last_ticks(instance: dg.DagsterInstance, names: Collection[str]) -> list[LastTick]:
    """Return the last tick of each sensor and schedule with one of these names: a small query for each."""
    met = [state for state in instance.all_instigator_state() if state.instigator_name in names]
    return [_last_tick(instance, state) for state in met]


def _last_tick(instance: dg.DagsterInstance, state: Any) -> LastTick:
    which = state.instigator_origin_id, state.selector_id
    tick = LastTick(state.instigator_name, state.instigator_type.value, state.is_running, None, None)
    for last in instance.get_tick_summaries(*which, limit=1):
        tick = replace(tick, at=last.timestamp, outcome=last.status.value)
        if last.status.value == "FAILURE":  # only now: a whole tick is larger
            said = (one.error.message.strip() for one in instance.get_ticks(*which, limit=1) if one.error)
            tick = replace(tick, error=next(said, ""))
    return tick


def daemons(instance: dg.DagsterInstance) -> Mapping[str, tuple[float | None, bool]]:
    """Return each part of the daemon that the instance needs -> its last sign of life, and whether that is recent."""
    return {
        name: (None if sign.last_heartbeat is None else sign.last_heartbeat.timestamp, bool(sign.healthy))
        for name, sign in instance.get_daemon_statuses().items()
    }


def note(instance: dg.DagsterInstance, key: str, value: str) -> None:
    """Keep a short text in Dagster's storage, where its daemons keep their cursors."""
    instance.daemon_cursor_storage.set_cursor_values({key: value})


def noted(instance: dg.DagsterInstance, key: str) -> str:
    """Return what is kept under a key; nothing where nothing is."""
    return instance.daemon_cursor_storage.get_cursor_values({key}).get(key, "")


def count_runs(instance: dg.DagsterInstance, chosen: dg.RunsFilter) -> int:
    """Return how many runs a filter lets through."""
    return instance.get_runs_count(chosen)


@dataclass(frozen=True, slots=True)
class CheckRecord:
    """The last that Dagster has of an asset check: planned, or evaluated."""

    key: dg.AssetCheckKey
    status: str
    at: float | None
    partition: str
    run_id: str
    is_error: bool
    description: str
    number: int = 0
    """In Dagster's storage; a later one was planned later."""
    texts: Mapping[str, str] = field(default_factory=dict, hash=False)
    """What its metadata says in words."""

    @property
    def is_planned(self) -> bool:
        """Whether it is to come, or its run has ended without it."""
        return self.status == AssetCheckExecutionRecordStatus.PLANNED.value


def latest_checks(instance: dg.DagsterInstance, keys: Collection[dg.AssetCheckKey]) -> list[CheckRecord]:
    """Return the latest record of each asset check that has one, of whichever partition, in one query."""
    latest = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(keys))
    return [_as_check(record) for record in latest.values()]


def outcomes(
    instance: dg.DagsterInstance,
    key: dg.AssetCheckKey,
    limit: int,
    *,
    only_failed: bool = False,
    day: str | None = None,
) -> list[CheckRecord]:
    """Return the latest outcomes of a check, by the order in which they were planned; what is only planned is none.

    With a day, of that day alone; with an empty one, of runs over many days.
    """
    failed = AssetCheckExecutionRecordStatus.FAILED
    records = instance.event_log_storage.get_asset_check_execution_history(
        key,
        limit,
        status={failed} if only_failed else {failed, AssetCheckExecutionRecordStatus.SUCCEEDED},
        partition_filter=None if day is None else PartitionKeyFilter(key=day or None),
    )
    return [_as_check(record) for record in records]


def _as_check(record: Any) -> CheckRecord:
    evaluated = getattr(record.evaluation, "severity", None) is not None
    metadata = record.evaluation.metadata if evaluated else {}
    return CheckRecord(
        key=record.key,
        status=record.status.value,
        at=None if record.event is None else record.event.timestamp,
        partition=record.partition or "",
        run_id=record.run_id,
        is_error=evaluated and record.evaluation.severity is dg.AssetCheckSeverity.ERROR,
        description=(record.evaluation.description or "") if evaluated else "",
        number=record.id,
        texts={name: one.text or "" for name, one in metadata.items() if isinstance(one, dg.TextMetadataValue)},
    )


def checks_by_partition(
    instance: dg.DagsterInstance, keys: Collection[dg.AssetCheckKey]
) -> list[tuple[dg.AssetCheckKey, str, str]]:
    """Return check, partition and status of the latest execution for each partition of these checks."""
    infos = instance.event_log_storage.get_asset_check_partition_info(list(keys))
    return [(one.check_key, one.partition_key or "", one.latest_execution_status.value) for one in infos]


def status_by_partition(instance: dg.DagsterInstance, spec: dg.AssetSpec, partitions: Sequence[str]) -> dict[str, str]:
    """Return partition -> materialized, failed or in_progress; nothing for one that was never materialized.

    `get_status_by_partition` is documented, and the names of what it returns are not.
    """
    assert spec.partitions_def is not None, "days have partitions"  # noqa: S101
    told = instance.get_status_by_partition(spec.key, partitions, spec.partitions_def) or {}
    return {partition: status.value.lower() for partition, status in told.items() if status is not None}
