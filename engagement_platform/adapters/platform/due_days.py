"""The days that have to be rebuilt, and why, until they are."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

from engagement_platform.adapters import sql
from engagement_platform.adapters.platform.connection import Store

_SQL = sql.load(__package__, "due_days.sql")


@dataclass(frozen=True, slots=True)
class Due:
    """A day that has to be rebuilt."""

    day: date
    reason: str
    since: datetime


class DueDays(Store):
    """The table of days that have to be rebuilt."""

    def note(self, table_id: str, days: Iterable[date], reason: str) -> None:
        """Note that days have to be rebuilt."""
        self.session.execute(_SQL["note"], table_id=table_id, days=list(days), reason=reason)

    def forget(self, table_id: str, day: date, noted_before: datetime | None = None) -> None:
        """Forget that a day has to be rebuilt, unless that was noted later than a time."""
        before = "infinity" if noted_before is None else noted_before
        self.session.execute(_SQL["forget"], table_id=table_id, day=day, before=before)

    def all(self) -> list[Due]:
        """Return the days that have to be rebuilt, ascending."""
        return self.session.objects(Due, _SQL["all"])
