"""Runs whose days later ones have made anew are deleted, and no day looks missing for it."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from engagement_platform.orchestration import superseded
from engagement_platform.orchestration.private import report_check
from engagement_platform.orchestration.runs import each_run_of
from engagement_platform.orchestration.superseded import delete_superseded_runs

SOON, LONG_AGO = (datetime.now(UTC) + timedelta(days=days) for days in (1, -1))
KEY = dg.AssetKey(["warehouse", "daily"])
JOB = "refresh"


@dg.asset(key=KEY, partitions_def=dg.DailyPartitionsDefinition("2026-01-01"))
def daily(context: dg.AssetExecutionContext) -> None:
    if context.run.tags.get("fails"):
        raise dg.Failure("on purpose", allow_retries=False)


REFRESH = dg.Definitions(assets=[daily], jobs=[dg.define_asset_job(JOB, [daily])]).resolve_job_def(JOB)


def refresh(instance: dg.DagsterInstance, day: str, **tags: str) -> str:
    done = REFRESH.execute_in_process(partition_key=day, instance=instance, tags=tags, raise_on_error=False)
    return done.run_id


def test_only_the_latest_run_of_each_day_is_left(instance: dg.DagsterInstance) -> None:
    refresh(instance, "2026-01-01")
    first = refresh(instance, "2026-01-01")
    refresh(instance, "2026-01-02")
    second = refresh(instance, "2026-01-02")
    refresh(instance, "2026-01-02", fails="1")
    assert delete_superseded_runs(instance, [JOB], [KEY], SOON) == 3
    assert {run.run_id for run in instance.get_runs()} == {first, second}
    assert instance.get_materialized_partitions(KEY) == {"2026-01-01", "2026-01-02"}
    assert delete_superseded_runs(instance, [JOB], [KEY], SOON) == 0


def test_of_many_only_some_are_deleted_at_a_time(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(superseded, "MOST_DELETED", 2)
    runs = [refresh(instance, "2026-01-01") for _ in range(4)]
    assert delete_superseded_runs(instance, [JOB], [KEY], SOON) == 2
    assert {run.run_id for run in instance.get_runs()} == {runs[0], runs[3]}
    assert delete_superseded_runs(instance, [JOB], [KEY], SOON) == 1
    assert [run.run_id for run in instance.get_runs()] == [runs[3]]


def test_each_run_is_read_whatever_the_page(instance: dg.DagsterInstance) -> None:
    runs = [refresh(instance, "2026-01-01") for _ in range(5)]
    for at_once in (1, 2, 5, 6):
        read = [run.run_id for run in each_run_of(instance, dg.RunsFilter(job_name=JOB), at_once)]
        assert read == runs[::-1], at_once


def test_young_runs_and_those_of_other_jobs_and_of_unknown_assets_stay(instance: dg.DagsterInstance) -> None:
    refresh(instance, "2026-01-01")
    refresh(instance, "2026-01-01")
    assert delete_superseded_runs(instance, [JOB], [KEY], LONG_AGO) == 0
    assert delete_superseded_runs(instance, ["another"], [KEY], SOON) == 0
    assert delete_superseded_runs(instance, [JOB], [], SOON) == 0


def test_what_checks_leave_behind_is_forgotten_with_the_asset_that_they_are_of(instance: dg.DagsterInstance) -> None:
    """Outcomes outlive the run that told them; `wipe_assets` is what Dagster offers to be rid of them."""
    key, run = dg.AssetKey(["redis", "views"]), dg.DagsterRun(job_name="engagement_stream")
    instance.add_run(run)
    report_check(instance, run, dg.AssetCheckEvaluation(key, "keeps_up", passed=True))
    check = dg.AssetCheckKey(key, "keeps_up")
    instance.delete_run(run.run_id)
    assert instance.event_log_storage.get_asset_check_execution_history(check, limit=10)
    instance.wipe_assets([key])
    assert not instance.event_log_storage.get_asset_check_execution_history(check, limit=10)
    again = dg.DagsterRun(job_name="engagement_stream")
    instance.add_run(again)
    report_check(instance, again, dg.AssetCheckEvaluation(key, "keeps_up", passed=True))
    assert len(instance.event_log_storage.get_asset_check_execution_history(check, limit=10)) == 1
