"""Days for the page and the API: read once for all who ask, and what Dagster alone knows of them."""

import threading
from collections.abc import Sequence
from datetime import date

import pytest

from engagement_platform.console.serve import calendars
from engagement_platform.console.serve.calendars import Calendars, Formulas, formulas_of
from engagement_platform.domain.dagster_facts import DagsterFacts, Day, DayStatus, Table
from engagement_platform.domain.days import ONE_DAY
from engagement_platform.domain.errors import Unavailable
from engagement_platform.history.calendar import Days
from engagement_platform.settings import Settings
from engagement_platform_tests.console.serve.conftest import HTML, NOWHERE, Still

FIRST, LAST = date(2026, 3, 1), date(2026, 3, 31)


class Reads:
    """Stands for the servers, and counts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[Sequence[object]] = []
        monkeypatch.setattr(calendars, "days_between", self)

    def __call__(self, settings: Settings, *what: object) -> Days:
        self.asked.append(what)
        return Days((), "")


def table(stream: str, *stale: date) -> Table:
    made = Day(DayStatus.MATERIALIZED)
    days = {"2026-03-01": made} | {str(day): Day(DayStatus.MATERIALIZED, is_stale=True) for day in stale}
    return Table("engagement_events", stream, f"warehouse/{stream}_events", days)


def test_days_are_read_once_for_all_who_ask_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reads, shared = Reads(monkeypatch), Calendars()
    threads = [threading.Thread(target=shared.read, args=(NOWHERE, FIRST, LAST, Formulas())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert reads.asked == [(FIRST, LAST, frozenset())]


def test_other_days_and_other_formulas_are_read_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    reads, shared = Reads(monkeypatch), Calendars()
    shared.read(NOWHERE, FIRST, FIRST, Formulas())
    shared.read(NOWHERE, FIRST, LAST, Formulas())
    shared.read(NOWHERE, FIRST, LAST, Formulas(frozenset({FIRST})))
    assert len(reads.asked) == 3


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (date(1900, 1, 1), date(1900, 1, 31)), (NOWHERE.history.first_day - ONE_DAY,) * 2,
        (date(9999, 12, 1), date(2026, 3, 1)),
    ],
)  # fmt: skip
def test_of_days_that_no_history_has_nobody_is_asked(first: date, last: date, monkeypatch: pytest.MonkeyPatch) -> None:
    reads, shared = Reads(monkeypatch), Calendars()
    assert shared.read(NOWHERE, first, last, Formulas(unknown="x")).days == ()
    assert (reads.asked, shared._reads) == ([], {})
    shared.read(NOWHERE, first, max(first, NOWHERE.history.first_day), Formulas())
    assert len(reads.asked) == 1


def test_a_month_before_all_history_is_shown_though_no_server_answers(still: Still) -> None:
    page = still().get("/days?month=1950-01", headers=HTML)
    assert (page.status_code, page.text.count('<td class="to-come">')) == (200, 31)
    told = still().get("/api/v1/days?month=1950-01")
    assert (told.status_code, told.json()["days"]) == (200, [])


def test_days_are_read_again_after_some_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    reads, shared = Reads(monkeypatch), Calendars()
    monkeypatch.setattr(calendars, "SHARED_SECONDS", 0.0)
    for _ in range(3):
        shared.read(NOWHERE, FIRST, LAST, Formulas())
    assert len(reads.asked) == 3


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    Reads(monkeypatch)
    shared = Calendars()
    for month in range(1, 13):
        for day in range(1, 28):
            shared.read(NOWHERE, date(2026, month, day), LAST, Formulas())
    assert len(shared._reads) == calendars._MOST_KEPT


def test_days_of_another_formula_are_those_of_any_table_of_the_stream() -> None:
    second, third = date(2026, 3, 2), date(2026, 3, 3)
    facts = DagsterFacts(0.0, tables=[table("engagement", second), table("engagement", third), table("orders", LAST)])
    assert formulas_of(facts, "engagement") == Formulas(frozenset({second, third}))
    assert formulas_of(facts, "orders").days == {LAST}


@pytest.mark.parametrize("dagster", [None, DagsterFacts(0.0), Unavailable("Dagster's storage does not answer.")])
def test_what_dagster_does_not_tell_is_not_known(dagster: DagsterFacts | Unavailable | None) -> None:
    told = formulas_of(dagster, "engagement")
    assert not told.days
    assert "Dagster" in told.unknown
