"""The days of the warehouse for the page and the API: read on request, and shared for some seconds.

Which days another formula has made is Dagster's to tell: it stands in the sample, and until it was read there it is not
known, and said to be so.
"""

import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from engagement_platform.domain.calendar import Day
from engagement_platform.domain.dagster_facts import DagsterFacts
from engagement_platform.domain.errors import EngagementError
from engagement_platform.history.calendar import Days, days_between
from engagement_platform.settings import Settings, about

SHARED_SECONDS = 3.0
_MOST_KEPT = 64


@dataclass(frozen=True, slots=True)
class Formulas:
    """Which days another formula than that of now has made."""

    days: frozenset[date] = frozenset()
    unknown: str = ""
    """Why it is not known; empty where it is."""


def formulas_of(dagster: DagsterFacts | EngagementError | None, stream: str) -> Formulas:
    """Return what Dagster knows of the tables of a stream."""
    if isinstance(dagster, EngagementError):
        return Formulas(unknown=str(dagster))
    tables = [] if dagster is None else [table for table in dagster.tables if table.stream == stream]
    if not tables:
        return Formulas(unknown="Dagster has not been asked: DAGSTER_HOME may not be set for this process.")
    return Formulas(frozenset(date.fromisoformat(day) for table in tables for day in table.stale))


@dataclass(frozen=True, slots=True)
class Read:
    """The days of a span, as they were read."""

    at: datetime
    days: tuple[Day, ...]
    rows_unknown: str
    """Why the warehouse could not say how many rows the days have; empty where it could."""
    formulas_unknown: str


@dataclass
class Calendars:
    """Reads days. Any number of threads may ask."""

    _reads: dict[tuple[str, date, date, Formulas], tuple[float, Read]] = field(default_factory=dict)
    _locks: dict[str, threading.Lock] = field(default_factory=dict)
    """Of each stream: one reading at a time."""

    def read(self, settings: Settings, first: date, last: date, formulas: Formulas) -> Read:
        """Return the days from `first` to `last`, some seconds old at most. Raises Unavailable.

        Of a span before the first day of the stream's history, or one that ends before it begins, there are none.
        Nothing is asked then: whoever may read could else let the warehouse look for any month that there ever was.
        """
        if last < max(first, settings.history.first_day):
            return Read(datetime.now(UTC), (), "", formulas.unknown)
        key = (settings.stream, first, last, formulas)
        with self._locks.setdefault(settings.stream, threading.Lock()):
            kept = self._reads.get(key)
            if kept is not None and time.monotonic() < kept[0]:
                return kept[1]
            read = _read(settings, first, last, formulas)
            self._reads[key] = (time.monotonic() + SHARED_SECONDS, read)
            while len(self._reads) > _MOST_KEPT:
                self._reads.pop(next(iter(self._reads)))
        return read


def _read(settings: Settings, first: date, last: date, formulas: Formulas) -> Read:
    with about(settings.stream):
        found: Days = days_between(settings, first, last, formulas.days)
    return Read(datetime.now(UTC), tuple(found.days), found.rows_unknown, formulas.unknown)
