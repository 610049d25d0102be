"""The days of a stream's table in the warehouse: what is known of each, from the platform's database and the warehouse.

The warehouse is asked how many rows each day has; one that does not answer leaves the rows unknown. Nothing is created.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from engagement_platform.adapters.platform.calendar import Calendar
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.stream_table import table_now
from engagement_platform.adapters.streams import stream_of
from engagement_platform.adapters.warehouse.connect import open_warehouse
from engagement_platform.domain.calendar import Day, DayFacts, calendar
from engagement_platform.domain.days import bounds
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.reconciliation import Findings
from engagement_platform.history.table import statement
from engagement_platform.settings import Settings


@dataclass(frozen=True, slots=True)
class Days:
    """Consecutive days of a table, ascending."""

    days: Sequence[Day]
    rows_unknown: str = ""
    """Why the warehouse could not say how many rows the days have."""


def days_between(settings: Settings, first: date, last: date, by_old_formula: frozenset[date] = frozenset()) -> Days:
    """Return the days from `first` to `last`; `by_old_formula` are those that another formula has made.

    Raises Unavailable when the platform's database does not answer.
    """
    if last < first:
        return Days(())
    ensure_schema(settings)
    with Calendar.opened(settings, "days") as store:
        facts = store.facts(first, last)
    rows, unknown = _rows(settings, first, last)
    empty = DayFacts(rows=None if unknown else 0)
    every = {
        day: replace(
            facts.get(day, empty), rows=None if unknown else rows.get(day, 0), by_old_formula=day in by_old_formula
        )
        for day in {*facts, *rows, *by_old_formula}
    }
    return Days(calendar(every, first, last, empty), unknown)


def keep_comparison(settings: Settings, run_id: str, findings: Sequence[Findings]) -> None:
    """Keep what the comparison of days has found, for the calendar. Raises Unavailable."""
    with Calendar.opened(settings, "comparison") as store:
        store.keep(run_id, findings)


def rows_by_day(settings: Settings, first: date, last: date) -> Mapping[date, int]:
    """Return how many rows each day has in the warehouse, of the days with any. Raises EngagementError."""
    warehouse, table = open_warehouse(settings), table_now(settings)
    if not warehouse.has(table):
        return {}
    begin, end = bounds(first)[0], bounds(last)[1]
    answer = warehouse.query(statement(stream_of(settings), "rows_by_day"), {"begin": begin, "end": end})
    return {row["day"]: row["events"] for row in answer.to_pylist()}


def _rows(settings: Settings, first: date, last: date) -> tuple[Mapping[date, int], str]:
    try:
        return rows_by_day(settings, first, last), ""
    except EngagementError as error:
        return {}, str(error)
