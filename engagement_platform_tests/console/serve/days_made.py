"""Days of the warehouse that a test made, and a stand-in for Dagster, which starts their backfills."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from engagement_platform.adapters.platform.audit import Outcome
from engagement_platform.console.serve.calendars import Calendars, Formulas, Read
from engagement_platform.domain.calendar import Compared, DayFacts, LoadedBy, RebuiltBy, calendar
from engagement_platform.settings import Settings

AT = datetime(2026, 3, 20, 1, tzinfo=UTC)
FACTS = {
    date(2026, 3, 1): DayFacts(
        rows=7, rebuilt=RebuiltBy("run-rebuilt", AT, AT, 7), compared=Compared("run-c", AT, 7, 7)
    ),
    date(2026, 3, 2): DayFacts(rows=5, compared=Compared("run-failed", AT, 9, 5, {"missing": 4}, {"unfit": 1})),
    date(2026, 3, 3): DayFacts(rows=3, due="the source was restored"),
    date(2026, 3, 4): DayFacts(rows=2, loaded=LoadedBy("load-7", AT, 12)),
    date(2026, 3, 5): DayFacts(rows=2, under_way=RebuiltBy("run-works", AT, AT)),
    date(2026, 3, 6): DayFacts(rows=1, by_old_formula=True),
}


@dataclass
class Fixed(Calendars):
    """Knows the days of March 2026."""

    facts: dict[date, DayFacts] = field(default_factory=lambda: dict(FACTS))
    rows_unknown: str = ""

    def read(self, settings: Settings, first: date, last: date, formulas: Formulas) -> Read:
        days = calendar(self.facts, first, last, DayFacts(rows=0))
        return Read(AT, tuple(days), self.rows_unknown, "")


@dataclass
class Launches:
    """Stands for Dagster."""

    asked: list[tuple[Sequence[date], str, bool]] = field(default_factory=list)
    refusal: Exception | None = None
    may_answer: threading.Event = field(default_factory=threading.Event)

    def __call__(self, settings: Settings, days: Sequence[date], who: str, allow_removal: bool) -> str:
        assert self.may_answer.wait(30)
        if self.refusal is not None:
            raise self.refusal
        self.asked.append((days, who, allow_removal))
        return "bmyxgkqp"


@contextmanager
def recorded(*_: object) -> Iterator[tuple[Outcome, datetime]]:
    """Note nothing: that has a test over a real database."""
    yield Outcome(), datetime.now(UTC)
