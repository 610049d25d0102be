"""What the platform's database knows of each day."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest

from engagement_platform.adapters.platform.calendar import Calendar
from engagement_platform.adapters.platform.loads import LoadRow, Loads
from engagement_platform.adapters.platform.rebuilds import DueDays, Rebuilds
from engagement_platform.domain.calendar import Compared, DayFacts
from engagement_platform.domain.reconciliation import Findings, named
from engagement_platform.settings import Settings

FIRST = date(2026, 3, 1)
DAYS = [FIRST + timedelta(days=n) for n in range(5)]
TABLE = "delta:one"


@pytest.fixture
def calendar(settings: Settings) -> Iterator[Calendar]:
    with Calendar.opened(settings, "test") as opened:
        yield opened


def load(calendar: Calendar, version: int, *days: date, rows: int = 1, close: bool = True, table: str = TABLE) -> None:
    loads = Loads(calendar.session)
    row = LoadRow(
        table, "stage", version, f"load-{version}", "topic", {0: (version, version + 1)}, {0: version + 1}, days, rows
    )
    with loads.admission(table, days) as admission:
        assert admission.open(row)
    if close:
        loads.close_load(row)


def rebuild(calendar: Calendar, day: date, run_id: str, rows: int | None, table: str = TABLE) -> None:
    """Rebuild a day; without rows it stays open."""
    rebuilds = Rebuilds(calendar.session)
    begun = rebuilds.begin(table, day, run_id)
    assert begun is not None
    if rows is not None:
        assert rebuilds.finish(begun.number, rows)


def facts(calendar: Calendar) -> dict[date, DayFacts]:
    return calendar.facts(DAYS[0], DAYS[-1])


def test_a_database_without_days_knows_none(calendar: Calendar) -> None:
    assert facts(calendar) == {}


def test_the_latest_rebuild_and_the_one_under_way(calendar: Calendar) -> None:
    rebuild(calendar, DAYS[0], "first", 3)
    rebuild(calendar, DAYS[0], "second", 4)
    rebuild(calendar, DAYS[0], "third", None)
    known = facts(calendar)[DAYS[0]]
    assert known.rebuilt is not None
    assert (known.rebuilt.run_id, known.rebuilt.rows) == ("second", 4)
    assert abs(datetime.now(UTC) - known.rebuilt.at) < timedelta(minutes=5)
    assert known.under_way is not None
    assert (known.under_way.run_id, known.under_way.rows) == ("third", None)


def test_an_abandoned_rebuild_is_none(calendar: Calendar) -> None:
    rebuilds = Rebuilds(calendar.session)
    begun = rebuilds.begin(TABLE, DAYS[0], "run")
    assert begun is not None
    rebuilds.abandon(begun.number)
    assert facts(calendar) == {}


def test_a_table_made_anew_has_nothing_of_the_one_before_it(calendar: Calendar) -> None:
    calendar.keep("before", [Findings(DAYS[4], 1, 1)])
    rebuild(calendar, DAYS[0], "before", 3, table="delta:before")
    load(calendar, 1, DAYS[3], table="delta:before")
    load(calendar, 1, DAYS[1])
    known = facts(calendar)
    assert known.keys() == {DAYS[1]}
    rebuild(calendar, DAYS[2], "after", 3)
    assert facts(calendar).keys() == {DAYS[1], DAYS[2]}
    calendar.keep("after", [Findings(DAYS[4], 1, 1)])
    compared = facts(calendar)[DAYS[4]].compared
    assert compared is not None
    assert compared.run_id == "after"


def test_loads_that_brought_rows_are_counted_and_the_latest_is_named(calendar: Calendar) -> None:
    load(calendar, 1, DAYS[0], DAYS[1])
    load(calendar, 2, DAYS[1])
    load(calendar, 3, DAYS[2], rows=0)
    load(calendar, 4, DAYS[3], close=False)
    loaded = {day: one.loaded and (one.loaded.load_id, one.loaded.loads) for day, one in facts(calendar).items()}
    assert loaded == {DAYS[0]: ("load-1", 1), DAYS[1]: ("load-2", 2)}


def test_the_last_comparison_is_kept(calendar: Calendar) -> None:
    calendar.keep("before", [Findings(DAYS[0], 5, 3, missing=named([1, 2])), Findings(DAYS[1], 5, 5)])
    calendar.keep("after", [Findings(DAYS[0], 6, 6, unfit=named([7]))])
    known = facts(calendar)
    one, other = known[DAYS[0]].compared, known[DAYS[1]].compared
    assert one is not None
    assert one == Compared("after", one.at, 6, 6, {}, {"unfit": 1})
    assert other is not None
    assert (other.run_id, other.faults) == ("before", {})


def test_days_that_are_due(calendar: Calendar) -> None:
    DueDays(calendar.session).note(TABLE, [DAYS[0]], "the source was restored")
    assert {day: one.due for day, one in facts(calendar).items()} == {DAYS[0]: "the source was restored"}


def test_days_beside_the_span_are_left_out(calendar: Calendar) -> None:
    beside = [DAYS[0] - timedelta(days=1), DAYS[-1] + timedelta(days=1)]
    for number, day in enumerate(beside):
        rebuild(calendar, day, "run", 1)
        load(calendar, number, day)
        DueDays(calendar.session).note(TABLE, [day], "x")
    calendar.keep("run", [Findings(day, 1, 1) for day in beside])
    assert facts(calendar) == {}
