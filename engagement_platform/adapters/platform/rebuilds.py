"""The days that have to be rebuilt, the rebuilds, and what they cover: by which a live load knows what is in the table.

A rebuild enters its row while it owns the lock of its day, a load while it shares the locks of its days (`loads`). The
locks only order the rows; what is promised stands in the rows, which outlive every session.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from psycopg.types.json import Jsonb

from engagement_platform.adapters import sql
from engagement_platform.adapters.platform.connection import Store
from engagement_platform.domain.coverage import Coverage
from engagement_platform.domain.ids import decode, encode
from engagement_platform.domain.reconciliation import Ids

_SQL = sql.load(__package__, "rebuilds.sql")

_LOCKS_OF_A_TABLE = 256
"""Days share locks, so that a batch of events with wild times does not use up the server's room for locks."""


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
        self.session.execute(_SQL["due_note"], table_id=table_id, days=list(days), reason=reason)

    def forget(self, table_id: str, day: date, noted_before: datetime | None = None) -> None:
        """Forget that a day has to be rebuilt, unless that was noted later than a time."""
        before = "infinity" if noted_before is None else noted_before
        self.session.execute(_SQL["due_forget"], table_id=table_id, day=day, before=before)

    def all(self) -> list[Due]:
        """Return the days that have to be rebuilt, ascending."""
        return self.session.objects(Due, _SQL["due_all"])


@dataclass(frozen=True, slots=True)
class RebuildRow:
    """One rebuild of a day."""

    number: int
    day: date
    run_id: str
    state: str
    """open, done or abandoned."""
    silent_seconds: float
    """Since its last sign of life, by the database's clock."""
    beat_at: datetime
    """The last sign of life."""
    coverage: Coverage | None
    """What its snapshot has seen; None before it was taken."""
    rows: int | None


class Rebuilds(Store):
    """The table of rebuilds."""

    def begin(self, table_id: str, day: date, run_id: str) -> RebuildRow | None:
        """Enter a rebuild, after which no load of the day starts. None when one is open already."""
        with self.session.transaction():
            self.session.execute(_SQL["own_day"], table_id=table_id, lock=_lock(day))
            row = self.session.one(_SQL["open"], table_id=table_id, day=day, run_id=run_id)
        return None if row is None else self.get(row["number"])

    def keep_from_beginning(self, table_id: str, days: Sequence[date]) -> None:
        """Keep rebuilds of these days from being entered until the transaction in hand ends."""
        self.session.execute(_SQL["share_days"], table_id=table_id, locks=sorted({_lock(day) for day in days}))

    def all_open(self, table_id: str, days: Sequence[date] | None = None) -> list[RebuildRow]:
        """Return the open rebuilds of a table, or of certain days of it."""
        chosen = {"number": None, "table_id": table_id, "days": None if days is None else list(days)}
        return [_rebuild(row) for row in self.session.all(_SQL["rebuilds"], **chosen)]

    def get(self, number: int) -> RebuildRow:
        """Return a rebuild as it stands now. Rows of rebuilds stay for weeks."""
        (row,) = self.session.all(_SQL["rebuilds"], number=number, table_id=None, days=None)
        return _rebuild(row)

    def beat(self, numbers: Iterable[int]) -> None:
        """Give a sign of life for open rebuilds."""
        self.session.execute(_SQL["beat"], numbers=list(numbers))

    def cover(self, number: int, coverage: Coverage) -> bool:
        """Keep the coverage of an open rebuild; return False when it is not open any more."""
        missing = Jsonb(encode(coverage.missing))
        return self.session.one(_SQL["cover"], number=number, hi=coverage.hi, missing=missing) is not None

    def coverages(self, table_id: str, days: Sequence[date]) -> dict[date, Coverage]:
        """Return what the latest rebuild of each of these days covers."""
        rows = self.session.all(_SQL["coverages"], table_id=table_id, days=list(days))
        return {row["day"]: _coverage(row) or Coverage(-1) for row in rows}

    def uncover(self, highest: int) -> None:
        """Forget that rebuilds have seen ids above `highest`, which will be given out again."""
        self.session.execute(_SQL["uncover"], highest=highest)

    def note_missed(self, number: int, missed: Ids) -> bool:
        """Keep what the stream had not brought before an open rebuild. Return False when it is not open any more."""
        row = self.session.one(_SQL["note_missed"], number=number, missed=missed.count, first=list(missed.first))
        return row is not None

    def missed_before(self, run_id: str, days: Sequence[date]) -> dict[date, Ids]:
        """Return for each day what the stream had not brought before a run first rebuilt it."""
        rows = self.session.all(_SQL["missed_before"], run_id=run_id, days=list(days))
        return {row["day"]: Ids(row["missed"], tuple(row["missed_ids"])) for row in rows}

    def finish(self, number: int, rows: int) -> bool:
        """Close an open rebuild as done: its coverage is in force. Return False when it is not open any more."""
        with self.session.transaction():
            closed = self._close(number, "done", rows)
            if closed is not None:
                DueDays(self.session).forget(closed["table_id"], closed["day"], closed["opened_at"])
        return closed is not None

    def abandon(self, number: int) -> bool:
        """Close an open rebuild that has not taken effect and never will. Return False when it is not open any more."""
        return self._close(number, "abandoned", None) is not None

    def next_number(self) -> int:
        """Return the number of a replacement that begins now."""
        (row,) = self.session.all(_SQL["next_number"])
        return int(row["nextval"])

    def days_settled(self, since: date) -> list[date]:
        """Return the days from one on that were rebuilt after they had ended, whatever the table."""
        return [row["day"] for row in self.session.all(_SQL["days_settled"], since=since)]

    def prune(self, hours: int) -> None:
        """Forget what is closed, older than `hours` and whose coverage is not in force."""
        self.session.execute(_SQL["prune"], hours=hours)

    def _close(self, number: int, state: str, rows: int | None) -> dict[str, Any] | None:
        return self.session.one(_SQL["close"], number=number, state=state, rows=rows)


def _lock(day: date) -> int:
    return day.toordinal() % _LOCKS_OF_A_TABLE


def _rebuild(row: dict[str, Any]) -> RebuildRow:
    plain = {name: value for name, value in row.items() if not name.startswith(("covered_", "missed"))}
    return RebuildRow(**plain, coverage=_coverage(row))


def _coverage(row: Mapping[str, Any]) -> Coverage | None:
    return None if row["covered_hi"] is None else Coverage(row["covered_hi"], decode(row["covered_missing"]))
