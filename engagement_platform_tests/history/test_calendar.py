"""The days of the warehouse, from the platform's database and the warehouse, over the real servers."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from deltalake import DeltaTable

from engagement_platform.domain.calendar import DayState
from engagement_platform.history.calendar import Days, days_between, keep_comparison, rows_by_day
from engagement_platform.history.rebuild import rebuild_days
from engagement_platform.history.reconcile import reconcile_days
from engagement_platform.settings import Settings
from engagement_platform.stream.relay import loop as relay
from engagement_platform.stream.stage import loop as stage
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.streaming import drain
from engagement_platform_tests.warehouse import DAY, NEXT, write

LAST = NEXT + timedelta(days=1)


@pytest.fixture
def writer(source_db: SourceDatabase) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as connection:
        yield connection


def read(settings: Settings) -> Days:
    return days_between(settings, DAY, LAST)


def states(settings: Settings) -> list[tuple[DayState, int | None]]:
    return [(one.state, one.facts.rows) for one in read(settings).days]


def test_days_go_from_never_over_live_to_rebuilt_and_fail_where_they_differ(
    settings: Settings, writer: psycopg.Connection[Any]
) -> None:
    assert states(settings) == [(DayState.NEVER, 0)] * 3
    assert not (Path(settings.effective_warehouse_uri) / "engagement_events").exists(), "reading creates nothing"
    write(writer, 5)
    write(writer, 2, NEXT)
    drain(relay.run, settings)
    drain(stage.run, settings)
    assert states(settings) == [(DayState.LIVE, 5), (DayState.LIVE, 2), (DayState.NEVER, 0)]
    rebuild_days(settings, [DAY], "run-1")
    DeltaTable(Path(settings.effective_warehouse_uri) / "engagement_events").delete(f"event_date = '{NEXT}'")
    keep_comparison(settings, "run-2", reconcile_days(settings, [DAY, NEXT], 0))
    assert states(settings) == [(DayState.REBUILT, 5), (DayState.FAILED, 0), (DayState.NEVER, 0)]
    failed = read(settings).days[1]
    assert failed.difference == -2
    assert failed.facts.compared is not None
    assert failed.facts.compared.faults == {"missing": 2}
    rebuild_days(settings, [NEXT], "run-3")
    assert states(settings)[1] == (DayState.REBUILT, 2)


def test_days_of_another_formula_are_stale(settings: Settings) -> None:
    days = days_between(settings, DAY, LAST, frozenset({NEXT}))
    assert [one.state for one in days.days] == [DayState.NEVER, DayState.STALE, DayState.NEVER]


def test_a_warehouse_that_cannot_be_read_leaves_the_rows_unknown(settings: Settings, tmp_path: Path) -> None:
    broken = tmp_path / "engagement_events" / "_delta_log"
    broken.mkdir(parents=True)
    (broken / f"{0:020}.json").write_text("no log")
    days = days_between(settings.replace(warehouse_uri=str(tmp_path)), DAY, LAST)
    assert days.rows_unknown
    assert [(one.state, one.facts.rows) for one in days.days] == [(DayState.UNKNOWN, None)] * 3


def test_only_days_of_the_span_are_counted(settings: Settings, writer: psycopg.Connection[Any]) -> None:
    for day in (DAY - timedelta(days=1), DAY, LAST, LAST + timedelta(days=1)):
        write(writer, 1, day)
    drain(relay.run, settings)
    drain(stage.run, settings)
    assert rows_by_day(settings, DAY, LAST) == {DAY: 1, LAST: 1}
    assert rows_by_day(settings, date(9999, 12, 1), date.max) == {}
