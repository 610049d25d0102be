from datetime import UTC, date, datetime, timedelta

import dagster as dg
import psycopg
import pytest

from engagement_platform.adapters.platform.loads import LoadRow, Loads
from engagement_platform.adapters.platform.rebuilds import DueDays, Rebuilds
from engagement_platform.definitions import definitions
from engagement_platform.orchestration.warehouse.days import is_known
from engagement_platform.orchestration.warehouse.schedules import request
from engagement_platform.settings import Settings, first_day

settle_yesterday, refresh_today, refresh_late_days = map(
    definitions.resolve_schedule_def, ("settle_yesterday", "refresh_today", "refresh_late_days")
)
rebuild_days_that_are_due = definitions.resolve_sensor_def("rebuild_days_that_are_due")

MIDNIGHT = datetime(2026, 3, 2, 0, 30, tzinfo=UTC)


def test_yesterday_is_settled() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        asked = settle_yesterday(dg.build_schedule_context(instance, MIDNIGHT))
    assert isinstance(asked, dg.RunRequest)
    assert asked.partition_key == "2026-03-01"


def test_today_is_refreshed_unless_a_refresh_is_at_work() -> None:
    with dg.instance_for_test() as instance:
        asked = refresh_today(dg.build_schedule_context(instance, MIDNIGHT))
        assert isinstance(asked, dg.RunRequest)
        assert asked.partition_key == "2026-03-02"
        run = instance.create_run_for_job(
            definitions.resolve_job_def("refresh_marts"), status=dg.DagsterRunStatus.STARTED
        )
        skipped = refresh_today(dg.build_schedule_context(instance, MIDNIGHT))
        assert isinstance(skipped, dg.SkipReason)
        assert run.run_id in str(skipped.skip_message)


def test_a_refresh_makes_the_daily_tables_and_rebuilds_nothing() -> None:
    job = definitions.resolve_job_def("refresh_marts")
    keys = {key.to_user_string() for key in job.asset_layer.executable_asset_keys}
    assert keys == {
        "warehouse/daily_content_engagement",
        "warehouse/daily_device_engagement",
        "warehouse/hourly_engagement",
    }


def look(instance: dg.DagsterInstance) -> list[dg.RunRequest] | dg.SkipReason:
    asked = rebuild_days_that_are_due(dg.build_sensor_context(instance=instance))
    assert isinstance(asked, list | dg.SkipReason)
    return asked


def due(instance: dg.DagsterInstance) -> list[dg.RunRequest]:
    asked = look(instance)
    assert isinstance(asked, list)
    return asked


@pytest.mark.servers
def test_a_day_that_is_due_is_asked_for_once_for_each_time(platform: Settings) -> None:
    today = datetime.now(UTC).date()
    with dg.DagsterInstance.ephemeral() as instance, Loads.opened(platform, "test") as loads:
        assert isinstance(look(instance), dg.SkipReason)
        DueDays(loads.session).note("delta:1", [today, date(1999, 1, 1)], "expired")
        (first,) = due(instance)
        (again,) = due(instance)
        assert first.partition_key == again.partition_key == str(today)
        assert first.run_key == again.run_key
        (due_day,) = (each for each in DueDays(loads.session).all() if each.day == today)
        now = datetime.now(UTC)
        assert (
            request("engagement", due_day, now).run_key
            != request("engagement", due_day, now + timedelta(hours=1)).run_key
        )
        row = Rebuilds(loads.session).begin("delta:1", today, "run")
        assert row is not None
        Rebuilds(loads.session).finish(row.number, 0)
        DueDays(loads.session).note("delta:1", [today], "expired again")
        (later,) = due(instance)
    assert later.run_key != first.run_key


@pytest.mark.servers
def test_a_day_that_the_nightly_schedule_missed_is_settled_later_unless_a_run_is_at_it(platform: Settings) -> None:
    today = datetime.now(UTC).date()
    with dg.DagsterInstance.ephemeral() as instance, Loads.opened(platform, "test") as loads:
        with loads.admission("delta:1", ()) as admission:
            assert admission.open(LoadRow("delta:1", "stage", 1, "load", "topic", {}, {}, (today,), rows=3, rejected=0))
        assert isinstance(look(instance), dg.SkipReason), "it began to load today"
        began(platform, days_ago=5)
        missed = {str(today - timedelta(days=n)) for n in (5, 4, 3)}
        asked = {each.partition_key: each for each in due(instance)}
        assert missed <= asked.keys()
        assert {each.tags["engagement/reason"] for each in asked.values()} == {"not settled since it ended"}
        assert {each.tags["engagement/queue"] for each in asked.values()} == {"days"}

        settled, running = sorted(missed)[:2]
        row = Rebuilds(loads.session).begin("delta:1", date.fromisoformat(settled), "run")
        assert row is not None
        Rebuilds(loads.session).finish(row.number, 3)
        job = definitions.resolve_job_def("settle_day")
        instance.create_run_for_job(job, tags={"dagster/partition": running}, status=dg.DagsterRunStatus.STARTED)
        assert asked.keys() - {each.partition_key for each in due(instance)} == {settled, running}


def began(platform: Settings, days_ago: int) -> None:
    """Let the first load have been so many days ago."""
    with psycopg.connect(platform.platform.dsn.get_secret_value()) as connection:
        connection.execute(
            "UPDATE engagement_platform.warehouse_load SET opened_at = now() - make_interval(days => %s)", [days_ago]
        )


@pytest.mark.servers
def test_days_to_which_late_events_came_are_summed_up_again(platform: Settings) -> None:
    today = datetime.now(UTC).date()
    yesterday = today - timedelta(days=1)
    context = dg.build_schedule_context(scheduled_execution_time=datetime.now(UTC))
    assert isinstance(refresh_late_days(context), dg.SkipReason)
    with Loads.opened(platform, "test") as loads, loads.admission("delta:1", ()) as admission:
        days = (date(1999, 1, 1), yesterday, today)
        load = LoadRow("delta:1", "stage", 1, "load", "topic", {}, {}, days, rows=3, rejected=0)
        assert admission.open(load)
    with Loads.opened(platform, "test") as loads:
        loads.close_load(load)
    asked = refresh_late_days(context)
    assert isinstance(asked, list)
    assert [each.partition_key for each in asked] == [str(yesterday)]


def test_days_have_a_partition_from_the_first_to_today() -> None:
    today = date(2026, 3, 2)
    assert is_known("engagement", first_day(), today)
    assert not is_known("engagement", first_day() - timedelta(days=1), today)
    assert is_known("engagement", today, today)
    assert not is_known("engagement", today + timedelta(days=1), today)
