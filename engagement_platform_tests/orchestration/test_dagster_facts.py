"""What only Dagster knows, read from an instance that has it."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.assets.graph.asset_graph_subset import AssetGraphSubset
from dagster._core.definitions.events import AssetKeyPartitionKey
from dagster._core.execution.asset_backfill import AssetBackfillData
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.types import DaemonHeartbeat
from dagster_shared.error import SerializableErrorInfo

from engagement_platform.definitions import definitions, shared
from engagement_platform.domain import dagster_facts as facts_of_dagster
from engagement_platform.domain.dagster_facts import (
    Automation,
    BackfillStatus,
    CheckStatus,
    DayStatus,
    RunStatus,
    Tick,
)
from engagement_platform.domain.errors import Unavailable
from engagement_platform.orchestration import dagster_facts
from engagement_platform.orchestration.dagster_facts import FactsReader, Watched, watched_of
from engagement_platform.orchestration.keeps_up import OF_LOOPS
from engagement_platform.orchestration.private import REPEATS
from engagement_platform.orchestration.runs import UNFINISHED
from engagement_platform.orchestration.stream_job import job_name
from engagement_platform.orchestration.warehouse.events import events_key
from engagement_platform_tests.streams import ORDERS, PACKAGED

STREAM_JOB = definitions.resolve_job_def(job_name(PACKAGED.name))
SETTLE_DAY = definitions.resolve_job_def("settle_day")
EVENTS = events_key(PACKAGED)
YESTERDAY = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()


@pytest.fixture(scope="module")
def watched() -> Watched:
    return watched_of([PACKAGED], shared([PACKAGED]))


@pytest.fixture
def instance(kept_instance: dg.DagsterInstance) -> dg.DagsterInstance:
    return kept_instance


@pytest.fixture
def reader(instance: dg.DagsterInstance, watched: Watched) -> FactsReader:
    return FactsReader(instance, watched)


def test_everything_that_the_location_defines_is_watched_with_its_stream(watched: Watched) -> None:
    repository = definitions.get_repository_def()
    defined = [sensor.name for sensor in repository.sensor_defs] + [one.name for one in repository.schedule_defs]
    assert set(watched.automations) == set(defined)
    assert watched.automations["keep_engagement_stream_alive"] == PACKAGED.name
    assert watched.automations["end_dead_runs"] == ""
    keys = definitions.resolve_asset_graph().asset_check_keys
    assert set(watched.checks) == {key for key in keys if key.name not in OF_LOOPS}
    assert {stream for stream, _ in watched.tables} == {PACKAGED.name}
    both = watched_of([PACKAGED, ORDERS], shared([PACKAGED, ORDERS]))
    assert both.jobs["orders_settle_day"] == "orders"
    assert both.jobs["settle_day"] == PACKAGED.name


def test_there_is_nothing_to_tell_of_an_instance_that_has_done_nothing(reader: FactsReader) -> None:
    facts = reader.read()
    assert {runs.status: (runs.number, runs.oldest_seconds) for runs in facts.runs} == dict.fromkeys(
        RunStatus, (0, None)
    )
    assert not any((facts.failed_runs, facts.ticks, facts.checks, facts.backfills, facts.queue))
    assert {daemon.name for daemon in facts.silent_daemons} >= {"SENSOR", "SCHEDULER", "BACKFILL"}
    assert {day.status for table in facts.tables for day in table.days.values()} == {DayStatus.MISSING}


def test_every_status_that_a_run_can_have_before_its_end_is_told() -> None:
    never = {"MANAGED", "SUSPENDED"}  # no run of ours is managed elsewhere, and nothing of Dagster writes the other yet
    assert {status.name for status in RunStatus} == {status.name for status in UNFINISHED} - never


def test_runs_are_counted_by_status_with_the_age_of_the_oldest(
    instance: dg.DagsterInstance, reader: FactsReader
) -> None:
    for _ in range(3):
        instance.create_run_for_job(STREAM_JOB, status=dg.DagsterRunStatus.NOT_STARTED)
    instance.create_run_for_job(STREAM_JOB, status=dg.DagsterRunStatus.STARTED)
    instance.create_run_for_job(STREAM_JOB, status=dg.DagsterRunStatus.SUCCESS)
    runs = {one.status: one for one in reader.read(time.time() + 100.0, days=False).runs}
    assert runs[RunStatus.NOT_STARTED].number == 3
    assert runs[RunStatus.STARTED].number == 1
    assert runs[RunStatus.QUEUED].number == 0
    assert runs[RunStatus.NOT_STARTED].oldest_seconds == pytest.approx(100.0, abs=30.0)


def test_more_runs_than_are_read_are_counted(
    instance: dg.DagsterInstance, reader: FactsReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dagster_facts, "_MOST_RUNS", 2)
    for _ in range(3):
        instance.create_run_for_job(STREAM_JOB, status=dg.DagsterRunStatus.STARTED)
    runs = {one.status: one.number for one in reader.read(days=False).runs}
    assert (runs[RunStatus.STARTED], runs[RunStatus.STARTING]) == (3, 0)


def fail(instance: dg.DagsterInstance, day: str, **tags: str) -> str:
    run = instance.create_run_for_job(
        SETTLE_DAY, status=dg.DagsterRunStatus.STARTED, tags={"dagster/partition": day, **tags}
    )
    instance.report_run_failed(run, "its process was killed")
    return run.run_id


def succeed(instance: dg.DagsterInstance, day: str) -> None:
    run = instance.create_run_for_job(SETTLE_DAY, status=dg.DagsterRunStatus.STARTED, tags={"dagster/partition": day})
    instance.report_dagster_event(
        dg.DagsterEvent(dg.DagsterEventType.RUN_SUCCESS.value, job_name=SETTLE_DAY.name), run.run_id
    )


def test_a_run_that_failed_is_told_until_one_of_the_same_days_succeeds(
    instance: dg.DagsterInstance, reader: FactsReader
) -> None:
    fail(instance, "2026-01-01")
    other = fail(instance, "2026-01-02", **{"dagster/will_retry": "true"})
    facts = reader.read(days=False)
    assert {(run.stream, run.job, run.subject) for run in facts.failed_runs} == {
        (PACKAGED.name, "settle_day", "2026-01-01"),
        (PACKAGED.name, "settle_day", "2026-01-02"),
    }
    succeed(instance, "2026-01-01")
    assert [(run.run_id, run.will_retry) for run in reader.read(days=False).failed_runs] == [(other, True)]
    assert not reader.read(time.time() + 25 * 3600, days=False).failed_runs, "a day later it is no news"


def test_of_many_failed_runs_the_latest_are_told(
    instance: dg.DagsterInstance, reader: FactsReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts_of_dagster, "MOST_FAILED", 2)
    for day in ("2026-02-01", "2026-02-02", "2026-02-03"):
        fail(instance, day)
    assert [run.subject for run in reader.read(days=False).failed_runs] == ["2026-02-03", "2026-02-02"]


def test_a_stream_whose_runs_fail_again_and_again_hides_no_other_run_that_failed(
    instance: dg.DagsterInstance, reader: FactsReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts_of_dagster, "MOST_FAILED", 3)
    day = fail(instance, "2026-03-01")
    by_hand = instance.create_run_for_job(
        definitions.resolve_implicit_global_asset_job_def(), status=dg.DagsterRunStatus.STARTED
    )
    instance.report_run_failed(by_hand, "it was killed")
    for _ in range(4):
        run = instance.create_run_for_job(STREAM_JOB, status=dg.DagsterRunStatus.STARTED)
        instance.report_run_failed(run, "it was killed")
    assert [run.run_id for run in reader.read(days=False).failed_runs] == [by_hand.run_id, day]


def test_runs_that_were_made_good_hide_no_other_job_that_failed(
    instance: dg.DagsterInstance, reader: FactsReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts_of_dagster, "MOST_FAILED", 2)
    refresh = instance.create_run_for_job(
        definitions.resolve_job_def("refresh_marts"), status=dg.DagsterRunStatus.STARTED
    )
    instance.report_run_failed(refresh, "it was killed")
    for _ in range(3):
        fail(instance, "2026-03-02")
    succeed(instance, "2026-03-02")
    assert [run.run_id for run in reader.read(days=False).failed_runs] == [refresh.run_id]


def origin(name: str) -> RemoteInstigatorOrigin:
    location = ManagedGrpcPythonEnvCodeLocationOrigin(
        LoadableTargetOrigin(module_name="engagement_platform.definitions"), "engagement_platform"
    )
    return RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), name)


def tick(instance: dg.DagsterInstance, name: str, at: float, status: TickStatus, error: str = "") -> None:
    state = InstigatorState(
        origin(name), InstigatorType.SENSOR, InstigatorStatus.DECLARED_IN_CODE, SensorInstigatorData()
    )
    if instance.get_instigator_state(state.instigator_origin_id, state.selector_id) is None:
        instance.add_instigator_state(state)
    instance.create_tick(
        TickData(
            state.instigator_origin_id,
            name,
            InstigatorType.SENSOR,
            status,
            at,
            selector_id=state.selector_id,
            run_ids=[],
            run_keys=[],
            error=SerializableErrorInfo(error, [], "EngagementError") if error else None,
        )
    )


def test_the_last_tick_of_each_sensor_is_told(instance: dg.DagsterInstance, reader: FactsReader) -> None:
    tick(instance, "end_dead_runs", 1_000.0, TickStatus.SKIPPED)
    tick(instance, "end_dead_runs", 2_000.0, TickStatus.FAILURE, "the database\nis away")
    tick(instance, "keep_engagement_stream_alive", 3_000.0, TickStatus.SUCCESS)
    tick(instance, "of_another_location", 4_000.0, TickStatus.SUCCESS)
    ticks = {one.name: one for one in reader.read(days=False).ticks}
    assert set(ticks) == {"end_dead_runs", "keep_engagement_stream_alive"}
    dead, alive = ticks["end_dead_runs"], ticks["keep_engagement_stream_alive"]
    assert (dead.kind, dead.stream, dead.is_on, dead.at) == (Automation.SENSOR, "", True, 2_000.0)
    assert (dead.outcome, dead.reason) == (Tick.FAILURE, "the database is away")
    assert (alive.stream, alive.outcome, alive.reason) == (PACKAGED.name, Tick.SUCCESS, "")


def test_a_daemon_that_beats_is_healthy(instance: dg.DagsterInstance, reader: FactsReader) -> None:
    now = time.time()
    instance.add_daemon_heartbeat(DaemonHeartbeat(now, "SENSOR", "a"))
    instance.add_daemon_heartbeat(DaemonHeartbeat(now - 125, "BACKFILL", "a"))
    daemons = {daemon.name: daemon for daemon in reader.read(days=False).daemons}
    assert daemons["SENSOR"].is_healthy
    assert daemons["SENSOR"].at == pytest.approx(now)
    assert not daemons["BACKFILL"].is_healthy
    assert not daemons["SCHEDULER"].is_healthy
    assert daemons["SCHEDULER"].at is None


def evaluate(instance: dg.DagsterInstance, name: str, day: str | None, *, passed: bool, **more: Any) -> None:
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(asset_key=EVENTS, check_name=name, passed=passed, metadata={}, partition=day, **more)
    )


def test_a_check_is_told_by_its_last_outcome(instance: dg.DagsterInstance, reader: FactsReader) -> None:
    evaluate(instance, "days_known", None, passed=True)
    evaluate(instance, "values_known", None, passed=True)
    evaluate(
        instance, "values_known", None, passed=False, severity=dg.AssetCheckSeverity.WARN, description="New:\n event"
    )
    facts = reader.read(days=False)
    assert {check.name: check.status for check in facts.checks} == {
        "days_known": CheckStatus.SUCCEEDED,
        "values_known": CheckStatus.FAILED,
    }
    (failed,) = facts.failed_checks
    assert (failed.asset, failed.stream, failed.is_error) == ("warehouse/engagement_events", PACKAGED.name, False)
    assert failed.description == "New: event"
    assert failed.at == pytest.approx(time.time(), abs=60.0)
    evaluate(instance, "values_known", None, passed=True)
    assert not reader.read(days=False).failed_checks


def backfill(
    instance: dg.DagsterInstance,
    name: str,
    status: BulkActionStatus,
    ended_at: float | None,
    kept: str = "{}",
    **tags: str,
) -> None:
    instance.add_backfill(
        PartitionBackfill(
            backfill_id=name,
            status=status,
            from_failure=False,
            tags=tags,
            backfill_timestamp=1_000.0,
            backfill_end_timestamp=ended_at,
            title="a month",
            asset_selection=[EVENTS],
            serialized_asset_backfill_data=kept,
        )
    )


def test_backfills_are_told_with_those_that_failed_lately(instance: dg.DagsterInstance, reader: FactsReader) -> None:
    now = time.time()
    backfill(instance, "old", BulkActionStatus.COMPLETED_FAILED, now - 25 * 3600)
    backfill(instance, "failed", BulkActionStatus.COMPLETED_FAILED, now - 60)
    backfill(instance, "done", BulkActionStatus.COMPLETED_SUCCESS, now - 50)
    backfill(instance, "going", BulkActionStatus.REQUESTED, None)
    facts = reader.read(now, days=False)
    assert [(one.backfill_id, one.status) for one in facts.backfills] == [
        ("going", BackfillStatus.REQUESTED),
        ("done", BackfillStatus.COMPLETED),
        ("failed", BackfillStatus.FAILED),
        ("old", BackfillStatus.FAILED),
    ]
    assert [one.backfill_id for one in facts.failed_backfills(now)] == ["failed"]
    assert [one.has_ended for one in facts.backfills] == [False, True, True, True]


def test_a_backfill_whose_days_were_all_done_has_not_failed(
    instance: dg.DagsterInstance, reader: FactsReader, watched: Watched
) -> None:
    now = time.time()
    days = AssetGraphSubset.from_asset_partition_set({AssetKeyPartitionKey(EVENTS, YESTERDAY)}, watched.graph)
    failed = AssetBackfillData.empty(days, 1_000.0, dynamic_partitions_store=instance)
    failed = failed.with_failed_and_downstream_subset(days)
    kept = failed.serialize(dynamic_partitions_store=instance, asset_graph=watched.graph)
    for name in ("undone", "made good"):
        backfill(instance, name, BulkActionStatus.COMPLETED_FAILED, now - 60, kept=kept)
    tags = {"dagster/backfill": "made good", "dagster/partition": YESTERDAY}
    instance.add_run(dg.DagsterRun("job", status=dg.DagsterRunStatus.SUCCESS, tags=tags))
    assert [one.backfill_id for one in reader.read(now, days=False).failed_backfills(now)] == ["undone"]


@pytest.mark.parametrize("tag", [REPEATS, "dagster/parent_backfill_id"])
def test_a_backfill_tells_which_one_it_repeats(instance: dg.DagsterInstance, reader: FactsReader, tag: str) -> None:
    now = time.time()
    backfill(instance, "failed", BulkActionStatus.COMPLETED_FAILED, now - 60)
    backfill(instance, "again", BulkActionStatus.COMPLETED_SUCCESS, now - 50, **{tag: "failed"})
    facts = reader.read(now, days=False)
    assert [one.repeats for one in facts.backfills] == ["failed", ""]
    assert facts.failed_backfills(now) == []


def test_every_status_of_a_backfill_is_known() -> None:
    assert set(dagster_facts._BACKFILLS) == {status.value for status in BulkActionStatus}


def materialize(instance: dg.DagsterInstance, day: str, version: str) -> None:
    tags = {"dagster/code_version": version}
    instance.report_runless_asset_event(dg.AssetMaterialization(EVENTS, partition=day, tags=tags))


def test_days_are_missing_materialized_stale_or_have_a_failed_check(
    instance: dg.DagsterInstance, watched: Watched
) -> None:
    spec = next(spec for _, spec in watched.tables if spec.key == EVENTS)
    assert spec.code_version is not None
    first, second = spec.partitions_def.get_partition_keys()[:2] if spec.partitions_def else ("", "")
    materialize(instance, YESTERDAY, spec.code_version)
    materialize(instance, first, "another formula")
    evaluate(instance, "same_rows_as_source", first, passed=False)
    evaluate(instance, "same_rows_as_source", YESTERDAY, passed=True)
    reader = FactsReader(instance, watched)
    table = next(table for table in reader.read().tables if table.asset == "warehouse/engagement_events")
    assert (table.name, table.stream) == ("engagement_events", PACKAGED.name)
    assert table.in_status(DayStatus.MATERIALIZED) == [first, YESTERDAY]
    assert second in table.in_status(DayStatus.MISSING)
    assert table.stale == [first]
    assert table.failed_checks == [first]
    assert table.days[first].failed_checks == ("same_rows_as_source",)
    materialize(instance, first, spec.code_version)
    again = reader.read(reader.read().at + 61.0)
    assert not next(table for table in again.tables if table.asset == "warehouse/engagement_events").stale


def test_the_days_are_read_once_a_minute(instance: dg.DagsterInstance, reader: FactsReader) -> None:
    now = time.time()
    before = reader.read(now).tables
    assert reader.read(now + 59.0).tables is before
    assert reader.read(now + 60.0).tables is not before
    assert not reader.read(now + 60.0, days=False).tables


def test_a_storage_that_does_not_answer_is_unavailable(instance: dg.DagsterInstance, watched: Watched) -> None:
    class Away:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("connection\nrefused")

    with pytest.raises(Unavailable, match="Dagster's storage does not answer: RuntimeError: connection refused"):
        FactsReader(Away(), watched).read()  # type: ignore[arg-type]
