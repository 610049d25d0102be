"""The assets and their checks, materialized by Dagster in this process over the real servers."""

import time
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

import dagster as dg
import psycopg
import pytest

from engagement_platform.adapters.source.history import History
from engagement_platform.adapters.warehouse.connect import connect
from engagement_platform.definitions import definitions
from engagement_platform.domain.marts import DAILY_DEVICE
from engagement_platform.domain.reconciliation import Findings, named
from engagement_platform.history.reconcile import reconcile_days
from engagement_platform.orchestration.warehouse import checks
from engagement_platform.orchestration.warehouse.checks import PROPERTIES, result
from engagement_platform.orchestration.warehouse.events import engagement_events
from engagement_platform.settings import Settings
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.warehouse import DAY, NEXT, oracle_rows, table_rows, write

EVENTS = engagement_events.key


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def settle(instance: dg.DagsterInstance, days: Sequence[Any], **changes: Any) -> dg.ExecuteInProcessResult:
    job = definitions.resolve_job_def("settle_day")
    tags = {"dagster/asset_partition_range_start": str(days[0]), "dagster/asset_partition_range_end": str(days[-1])}
    return job.execute_in_process(instance=instance, tags=tags, raise_on_error=False)


def outcomes(run: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {each.check_name: each.passed for each in run.get_asset_check_evaluations()}


@pytest.mark.usefixtures("in_environment")
def test_days_are_rebuilt_checked_and_summed_up(
    settings: Settings, source_db: SourceDatabase, instance: dg.DagsterInstance
) -> None:
    with psycopg.connect(source_db.writer_dsn) as writer:
        write(writer, 5)
        write(writer, 3, NEXT)
    run = settle(instance, [DAY, NEXT])
    assert run.success
    assert outcomes(run) == dict.fromkeys([*(each.name for each in PROPERTIES), "days_known"], True)
    assert table_rows(settings) == oracle_rows(source_db)
    done = instance.get_materialized_partitions(EVENTS)
    assert done == {str(DAY), str(NEXT)}
    warehouse = connect(settings)
    warehouse.ensure(DAILY_DEVICE)
    events = warehouse.query("SELECT SUM(events) AS n FROM daily_device_engagement WHERE day >= '2026-01-01'")
    assert events.to_pylist() == [{"n": 8}]


@pytest.mark.usefixtures("in_environment")
def test_a_day_that_differs_fails_its_check_and_keeps_what_depends_on_it_as_it_was(
    source_db: SourceDatabase, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rebuild reads all but the first row: what a faulty reader would do."""
    with psycopg.connect(source_db.writer_dsn) as writer:
        write(writer, 5)
    rows = History.rows

    def loses_one(self: History, *arguments: Any) -> Any:
        by_day = rows(self, *arguments)
        batches = by_day._batches
        by_day._batches = (batch.slice(1) for batch in batches)
        return by_day

    monkeypatch.setattr(History, "rows", loses_one)
    monkeypatch.setattr(checks, "reconcile_days", lambda settings, days: reconcile_days(settings, days, 0.2))
    run = settle(instance, [DAY])
    assert not run.success
    assert {name for name, passed in outcomes(run).items() if not passed} == {"same_rows_as_source"}
    (failed,) = [each for each in run.get_asset_check_evaluations() if not each.passed]
    assert failed.description == f"{DAY}: 1 missing: 1"
    assert failed.metadata["repair"].value == f"engagement-platform backfill --since {DAY} --until {DAY}T23:59:59"
    assert instance.get_materialized_partitions(dg.AssetKey(["warehouse", "hourly_engagement"])) == set()


@pytest.mark.usefixtures("in_environment")
def test_days_for_which_the_stream_is_behind_are_waited_for_once_and_no_error(
    source_db: SourceDatabase, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events that come after the rebuild while the stream stands still: nobody can say yet that they are missing."""
    days = [DAY, NEXT]
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as writer:
        write(writer, 5)

        def later(settings: Settings, days: Sequence[date]) -> list[Findings]:
            for day in days:
                write(writer, 2, day)
            began = time.monotonic()
            found = reconcile_days(settings, days, 2.0)
            waited.append(time.monotonic() - began)
            return found

        waited: list[float] = []
        monkeypatch.setattr(checks, "reconcile_days", later)
        run = settle(instance, days)
    assert run.success, "the daily tables were made"
    assert {name for name, passed in outcomes(run).items() if not passed} == {"same_rows_as_source"}
    (behind,) = [each for each in run.get_asset_check_evaluations() if not each.passed]
    assert behind.severity is dg.AssetCheckSeverity.WARN
    assert behind.description is not None
    assert f"{DAY}: 2 are on their way" in behind.description
    assert 2.0 <= waited[0] < 2.0 * len(days)


def test_a_result_names_days_ids_and_the_command() -> None:
    good = Findings(DAY, 3, 3, 5, 5)
    bad = Findings(NEXT, 3, 4, 5, 6, doubled=named([7, 8]))
    unique = next(each for each in PROPERTIES if each.name == "unique_ids")
    found = result(unique, [good, bad])
    assert not found.passed
    assert found.description == f"{NEXT}: 2 doubled: 7, 8"
    assert found.metadata["rows in the warehouse"].value == 7
    assert str(DAY) not in str(found.metadata["repair"].value)
    assert result(unique, [good]).passed
