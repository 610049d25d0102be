"""The assets and their checks, materialized by Dagster in this process over the real servers."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import dagster as dg
import psycopg
import pytest

from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.source.history import History
from engagement_platform.adapters.warehouse.connect import open_warehouse
from engagement_platform.definitions import definitions
from engagement_platform.domain.calendar import DayState
from engagement_platform.domain.reconciliation import Findings, Sums, named
from engagement_platform.domain.removal import TAG
from engagement_platform.history import reconcile
from engagement_platform.history.calendar import days_between
from engagement_platform.history.marts import table_of_mart
from engagement_platform.history.reconcile import reconcile_days, wait_for_stream
from engagement_platform.orchestration.warehouse import checks
from engagement_platform.orchestration.warehouse.checks import properties_of, result
from engagement_platform.orchestration.warehouse.events import BROUGHT_BY_STREAM, events_key
from engagement_platform.settings import Settings
from engagement_platform.stream.relay import loop as relay
from engagement_platform.stream.stage import loop as stage
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.streaming import drain
from engagement_platform_tests.streams import ENGAGEMENT_EVENTS, PACKAGED
from engagement_platform_tests.warehouse import DAY, NEXT, oracle_rows, table_rows, write

EVENTS = events_key(PACKAGED)
PROPERTIES = properties_of(PACKAGED)


def settle(instance: dg.DagsterInstance, days: Sequence[Any], **changes: Any) -> dg.ExecuteInProcessResult:
    job = definitions.resolve_job_def("settle_day")
    tags = {"dagster/asset_partition_range_start": str(days[0]), "dagster/asset_partition_range_end": str(days[-1])}
    return job.execute_in_process(instance=instance, tags=tags | changes, raise_on_error=False)


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
    assert outcomes(run) == dict.fromkeys(
        [*(each.name for each in PROPERTIES), "days_known", "values_known", BROUGHT_BY_STREAM], True
    )
    assert table_rows(settings) == oracle_rows(source_db)
    done = instance.get_materialized_partitions(EVENTS)
    assert done == {str(DAY), str(NEXT)}
    days = days_between(settings, DAY, NEXT).days
    assert [(one.state, one.facts.rows, one.difference) for one in days] == [
        (DayState.REBUILT, 5, 0), (DayState.REBUILT, 3, 0),
    ]  # fmt: skip
    assert {one.facts.compared and one.facts.compared.run_id for one in days} == {run.run_id}
    warehouse = open_warehouse(settings)
    warehouse.ensure(table_of_mart(PACKAGED, PACKAGED.marts["daily_device_engagement"], ENGAGEMENT_EVENTS))
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
            waits.append(0)
            return reconcile_days(settings, days, 2.0)

        def wait(*arguments: Any) -> bool:
            waits[-1] += 1
            return wait_for_stream(*arguments)

        waits: list[int] = []
        monkeypatch.setattr(checks, "reconcile_days", later)
        monkeypatch.setattr(reconcile, "wait_for_stream", wait)
        run = settle(instance, days)
    assert run.success, "the daily tables were made"
    assert {name for name, passed in outcomes(run).items() if not passed} == {"same_rows_as_source"}
    (behind,) = [each for each in run.get_asset_check_evaluations() if not each.passed]
    assert behind.severity is dg.AssetCheckSeverity.WARN
    assert behind.description is not None
    assert f"{DAY}: 2 are on their way" in behind.description
    assert waits[0] == 1, "for both days"


@pytest.mark.usefixtures("in_environment")
def test_what_the_stream_missed_is_a_failed_check_although_the_night_made_the_day_whole(
    settings: Settings, source_db: SourceDatabase, instance: dg.DagsterInstance
) -> None:
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as owner:
        with psycopg.connect(source_db.writer_dsn) as other:
            (number,) = write(other)
            other.rollback()
        write(owner, 3)
        ensure_schema(settings)
        for loop in (relay.run, relay.run, stage.run):
            drain(loop, settings)
        owner.execute(
            "INSERT INTO engagement_events (id, event_type, event_ts) VALUES (%s, 'play', %s)",
            [number, f"{DAY} 12:00+00"],
        )
    run = settle(instance, [DAY])
    assert run.success
    assert {name for name, passed in outcomes(run).items() if not passed} == {BROUGHT_BY_STREAM}
    assert table_rows(settings) == oracle_rows(source_db)
    (failed,) = [each for each in run.get_asset_check_evaluations() if not each.passed]
    assert failed.description == f"{DAY}: 1 events that the stream had not brought: {number}"
    assert failed.metadata["partner"].value == f"engagement-platform backfill --to api --ids {number}"
    assert failed.metadata["events not brought"].value == 1
    assert instance.get_materialized_partitions(dg.AssetKey(["warehouse", "hourly_engagement"])) == {str(DAY)}


@pytest.mark.usefixtures("in_environment")
def test_a_new_value_is_carried_and_said(
    source_db: SourceDatabase, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    today = datetime.now(UTC).date()
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as owner:
        owner.execute("ALTER TABLE engagement_events DROP CONSTRAINT engagement_events_event_type_check")
        write(owner, 3, today, event_type="sneeze\x07")
        write(owner, 2, today, event_type=None)
    run = settle(instance, [today])
    assert run.success
    (failed,) = [each for each in run.get_asset_check_evaluations() if not each.passed]
    assert (failed.check_name, failed.severity) == ("values_known", dg.AssetCheckSeverity.WARN)
    assert f'event_type "sneeze\\u0007": 3 events since {today} 00:00:01 UTC' in str(failed.description)
    monkeypatch.setenv("ENGAGEMENT_EVENT_TYPES", "play, sneeze\x07")
    assert all(outcomes(settle(instance, [today])).values())


@pytest.mark.usefixtures("in_environment")
def test_a_day_that_would_be_emptied_fails_its_run_unless_the_run_is_told(
    settings: Settings, source_db: SourceDatabase, instance: dg.DagsterInstance
) -> None:
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as owner:
        write(owner, 12)
        drain(relay.run, settings)
        drain(stage.run, settings)
        owner.execute("DELETE FROM engagement_events")
    assert not settle(instance, [DAY]).success
    assert len(table_rows(settings)) == 12
    assert settle(instance, [DAY], **{TAG: "true"}).success
    assert table_rows(settings) == []


def test_a_result_names_days_ids_and_the_command() -> None:
    good = Findings(DAY, 3, 3, {"duration_ms": Sums(5, 5)})
    bad = Findings(NEXT, 3, 4, {"duration_ms": Sums(5, 6)}, doubled=named([7, 8]))
    unique = next(each for each in PROPERTIES if each.name == "unique_ids")
    found = result(PACKAGED, unique, [good, bad])
    assert not found.passed
    assert found.description == f"{NEXT}: 2 doubled: 7, 8"
    assert found.metadata["rows in the warehouse"].value == 7
    assert str(DAY) not in str(found.metadata["repair"].value)
    assert result(PACKAGED, unique, [good]).passed
