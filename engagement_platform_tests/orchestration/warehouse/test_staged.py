"""Days that the stream fills are materialized in Dagster."""

from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.adapters.platform.loads import LoadRow, Loads
from engagement_platform.definitions import definitions
from engagement_platform.orchestration.warehouse.events import events_key
from engagement_platform.orchestration.warehouse.staged import EVERY, Told, due, remembered
from engagement_platform.settings import Settings
from engagement_platform_tests.streaming import wait_for
from engagement_platform_tests.streams import PACKAGED

NOW = datetime(2026, 3, 2, tzinfo=UTC)
DAY = date(2026, 3, 1)
report_staged_days = definitions.resolve_sensor_def("report_staged_days")


@given(looks=st.lists(st.tuples(st.integers(1, 400), st.dictionaries(st.dates(DAY, date(2026, 3, 3)), st.just(1)))))
def test_every_load_is_told_once_and_no_day_too_often(looks: list[tuple[int, dict[date, int]]]) -> None:
    told, now, reported = Told(), NOW, 0
    last: dict[date, datetime] = {}
    for seconds, brought in [*looks, (int(EVERY.total_seconds()), {})]:
        now += timedelta(seconds=seconds)
        chosen, told = due(told, now, brought)
        reported += sum(chosen.values())
        assert all(now - last[day] >= EVERY for day in chosen if day in last)
        last |= dict.fromkeys(chosen, now)
    assert reported == sum(len(brought) for _, brought in looks)


def test_a_cursor_of_another_version_is_no_obstacle() -> None:
    assert remembered(None) == remembered("2026-03-01") == Told()


def loaded(loads: Loads, version: int, days: tuple[date, ...], rows: int) -> None:
    load = LoadRow("delta:1", "stage", version, f"load {version}", "topic", {}, {}, days, rows=rows, rejected=0)
    with loads.admission("delta:1", ()) as admission:
        assert admission.open(load)
    loads.close_load(load)


@pytest.mark.servers
def test_a_day_that_only_the_stream_fills_is_materialized(platform: Settings) -> None:
    today = datetime.now(UTC).date()
    yesterday = today - timedelta(days=1)
    cursor: str | None = None
    with dg.DagsterInstance.ephemeral() as instance, Loads.opened(platform, "test") as loads:

        def look() -> str:
            nonlocal cursor
            context = dg.build_sensor_context(instance=instance, cursor=cursor)
            result = report_staged_days(context)
            assert isinstance(result, dg.SkipReason)
            cursor = context.cursor
            return result.skip_message or ""

        assert "nothing new" in look()
        loaded(loads, 1, (date(1999, 1, 1), yesterday, today), rows=3)
        loaded(loads, 2, (today - timedelta(days=2),), rows=0)  # all of it was covered by a rebuild
        wait_for(lambda: str(today) in look(), "the report of today", 10)
        assert instance.get_materialized_partitions(events_key(PACKAGED)) == {str(yesterday), str(today)}
        loaded(loads, 3, (today,), rows=3)
        _, brought = wait_for(lambda: (seen := loads.brought(remembered(cursor).until))[1] and seen, "the load", 10)
        assert brought == {today: 1}
        assert "nothing new" in look(), "it was reported a moment ago"
        assert instance.get_runs() == []
