"""What was loaded into the warehouse and which days were rebuilt: the durable rows that loads and rebuilds agree on.

A load enters its row while it shares the locks of its days, a rebuild while it owns the lock of its day. The locks
only order the rows; what is promised stands in the rows, which outlive every session. Every operation raises
Unavailable when the database does not answer, and connects anew the next time.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from engagement_platform.adapters import sql
from engagement_platform.adapters.platform.connection import Session
from engagement_platform.domain.batches import Ranges
from engagement_platform.domain.coverage import Coverage
from engagement_platform.domain.ids import decode, encode
from engagement_platform.domain.reconciliation import Ids
from engagement_platform.settings import Settings

_SQL = sql.load(__package__, "loads.sql")

_LOCKS_OF_A_TABLE = 256
"""Days share locks, so that a batch of events with wild times does not use up the server's room for locks."""


@dataclass(frozen=True, slots=True)
class LoadRow:
    """One batch of a writer, in the order of `version`; open until the warehouse is known to have it."""

    table_id: str
    writer: str
    version: int
    load_id: str
    topic_id: str
    ranges: Ranges
    next_offsets: Mapping[int, int]
    """partition -> offset with which the writer's next batch begins, for all its partitions."""
    days: tuple[date, ...]
    """The days of all its events, those left out included."""
    rows: int
    covered: int = 0
    """Events left out because a rebuilt day has them."""
    rejected: int = 0
    """Messages that are no events."""
    lowest_id: int | None = None
    highest_id: int | None = None
    unseen_at: Mapping[int, int] = field(default_factory=dict)
    """partition -> no message that was not read yet has an earlier header `unseen-at`, in microseconds since 1970."""
    attempt: int = 0
    opened_at: datetime | None = None
    closed_at: datetime | None = None


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


@dataclass(frozen=True, slots=True)
class Due:
    """A day that has to be rebuilt."""

    day: date
    reason: str
    since: datetime


class Admission:
    """The days of a batch, held against rebuilds that would begin. Made by `Loads.admission`."""

    def __init__(self, connection: psycopg.Connection[Any], table_id: str, days: Sequence[date]) -> None:
        self._connection = connection
        parameters = {"table_id": table_id, "days": list(days), "locks": sorted({_lock(day) for day in days})}
        connection.execute(_SQL["share_days"], parameters)
        with connection.cursor(row_factory=dict_row) as rows:
            self.rebuilds = [_rebuild(row) for row in rows.execute(_SQL["open_rebuilds"], parameters).fetchall()]
            """Open rebuilds of the days: while there is one, the batch has to wait."""
            found = rows.execute(_SQL["coverages"], parameters).fetchall()
            self.coverages = {row["day"]: _coverage(row) or Coverage(-1) for row in found}

    def open(self, load: LoadRow) -> bool:
        """Enter a load; return whether that was done. It was not when another process entered that version."""
        parameters = {
            "table_id": load.table_id,
            "writer": load.writer,
            "version": load.version,
            "load_id": load.load_id,
            "topic_id": load.topic_id,
            "ranges": Jsonb({str(partition): list(span) for partition, span in load.ranges.items()}),
            "next_offsets": Jsonb({str(partition): offset for partition, offset in load.next_offsets.items()}),
            "days": list(load.days),
            "rows": load.rows,
            "covered": load.covered,
            "rejected": load.rejected,
            "unseen_at": Jsonb({str(partition): moment for partition, moment in load.unseen_at.items()}),
            "lowest_id": load.lowest_id,
            "highest_id": load.highest_id,
        }
        return self._connection.execute(_SQL["open_load"], parameters).fetchone() is not None


class Loads(Session):
    """A connection to the tables of loads and rebuilds, made when it is first needed. For one thread at a time."""

    def __init__(self, settings: Settings, purpose: str) -> None:
        super().__init__(settings, purpose)

    # Loads

    @contextmanager
    def admission(self, table_id: str, days: Sequence[date]) -> Iterator[Admission]:
        """Hold the days while the block runs, in one transaction that ends with it."""
        with self._connected() as connection, connection.transaction():
            yield Admission(connection, table_id, days)

    def last_load(self, table_id: str, writer: str) -> LoadRow | None:
        """Return the latest load of a writer; None when there was none."""
        row = self._one("last_load", table_id=table_id, writer=writer)
        return None if row is None else _load(row)

    def open_loads(self, table_id: str, days: Sequence[date] | None = None) -> list[LoadRow]:
        """Return the open loads of a table, or of certain days of it, in the order of their writers' versions."""
        wanted = None if days is None else list(days)
        return [_load(row) for row in self._all("open_loads", table_id=table_id, days=wanted)]

    def close_load(self, load: LoadRow) -> None:
        """Note that the warehouse has a load."""
        self._execute("close_load", table_id=load.table_id, writer=load.writer, version=load.version)

    def raise_attempt(self, load: LoadRow) -> None:
        """Use up the attempt of a load that the warehouse has refused."""
        key = {"table_id": load.table_id, "writer": load.writer, "version": load.version}
        self._execute("raise_load_attempt", **key, attempt=load.attempt)

    def coverages(self, table_id: str, days: Sequence[date]) -> dict[date, Coverage]:
        """Return what the latest rebuild of each of these days covers."""
        found = self._all("coverages", table_id=table_id, days=list(days))
        return {row["day"]: _coverage(row) or Coverage(-1) for row in found}

    # Rebuilds

    def open_rebuild(self, table_id: str, day: date, run_id: str) -> RebuildRow | None:
        """Enter a rebuild, after which no load of the day starts. None when one is open already."""
        with self._connected() as connection, connection.transaction():
            connection.execute(_SQL["own_day"], {"table_id": table_id, "lock": _lock(day)})
            row = connection.execute(
                _SQL["open_rebuild"], {"table_id": table_id, "day": day, "run_id": run_id}
            ).fetchone()
        return None if row is None else self.rebuild(row[0])

    def open_rebuilds(self, table_id: str, days: Sequence[date] | None = None) -> list[RebuildRow]:
        """Return the open rebuilds of a table, or of certain days of it."""
        wanted = None if days is None else list(days)
        return [_rebuild(row) for row in self._all("open_rebuilds", table_id=table_id, days=wanted)]

    def rebuild(self, number: int) -> RebuildRow:
        """Return a rebuild as it stands now."""
        row = self._one("rebuild", number=number)
        assert row is not None, "rows of rebuilds stay for weeks"  # noqa: S101
        return _rebuild(row)

    def beat(self, numbers: Iterable[int]) -> None:
        """Give a sign of life for open rebuilds."""
        self._execute("beat_rebuilds", numbers=list(numbers))

    def cover(self, number: int, coverage: Coverage) -> bool:
        """Keep the coverage of an open rebuild; return False when it is not open any more."""
        missing = Jsonb(encode(coverage.missing))
        return self._one("cover", number=number, hi=coverage.hi, missing=missing) is not None

    def note_missed(self, number: int, missed: Ids) -> bool:
        """Keep what the stream had not brought before an open rebuild. Return False when it is not open any more."""
        return self._one("note_missed", number=number, missed=missed.count, first=list(missed.first)) is not None

    def missed_before(self, run_id: str, days: Sequence[date]) -> dict[date, Ids]:
        """Return for each day what the stream had not brought before a run first rebuilt it."""
        rows = self._all("missed_before", run_id=run_id, days=list(days))
        return {row["day"]: Ids(row["missed"], tuple(row["missed_ids"])) for row in rows}

    def uncover(self, highest: int) -> None:
        """Forget that rebuilds have seen ids above `highest`, which will be given out again."""
        self._execute("uncover", highest=highest)

    def finish_rebuild(self, number: int, rows: int) -> bool:
        """Close an open rebuild as done: its coverage is in force. Return False when it is not open any more."""
        return self._close_rebuild(number, "done", rows)

    def abandon_rebuild(self, number: int) -> bool:
        """Close an open rebuild that has not taken effect and never will. Return False when it is not open any more."""
        return self._close_rebuild(number, "abandoned", None)

    def _close_rebuild(self, number: int, state: str, rows: int | None) -> bool:
        with self._connected() as connection, connection.transaction():
            closed = connection.execute(
                _SQL["close_rebuild"], {"number": number, "state": state, "rows": rows}
            ).fetchone()
            if closed is not None and state == "done":
                table_id, day, opened_at = closed
                connection.execute(_SQL["not_due"], {"table_id": table_id, "day": day, "opened_at": opened_at})
        return closed is not None

    def next_number(self) -> int:
        """Return the number of a replacement that begins now."""
        row = self._one("next_number")
        assert row is not None, "SELECT nextval returns a row"  # noqa: S101
        return int(row["nextval"])

    # Days that wait for a rebuild

    def note_due(self, table_id: str, days: Iterable[date], reason: str) -> None:
        """Note that days have to be rebuilt."""
        self._execute("due", table_id=table_id, days=list(days), reason=reason)

    def forget_due(self, table_id: str, day: date) -> None:
        """Forget that a day has to be rebuilt."""
        self._execute("not_due", table_id=table_id, day=day, opened_at="infinity")

    def days_loaded(self, hours: int, before: date) -> list[date]:
        """Return the days before one for which loads of the last hours brought rows, whatever the table."""
        return [row["day"] for row in self._all("days_loaded", hours=hours, before=before)]

    def days_due(self) -> list[Due]:
        """Return the days that have to be rebuilt, ascending."""
        return [Due(**row) for row in self._all("days_due")]

    def first_load_at(self) -> datetime | None:
        """Return when the oldest load that is still noted was entered; None before the first."""
        row = self._one("first_load")
        return None if row is None else row["opened_at"]

    def days_settled(self, since: date) -> list[date]:
        """Return the days from one on that were rebuilt after they had ended, whatever the table."""
        return [row["day"] for row in self._all("days_settled", since=since)]

    def brought(self, since: datetime) -> tuple[datetime, dict[date, int]]:
        """Return a time of a moment ago, and for each day how many loads brought rows to it from `since` to then."""
        rows = self._all("brought", since=since)
        return rows[0]["until"], {row["day"]: row["loads"] for row in rows if row["day"] is not None}

    def prune(self, hours: int) -> None:
        """Forget what is closed, older than `hours` and not needed to go on."""
        self._execute("prune_loads", hours=hours)
        self._execute("prune_rebuilds", hours=hours)

    def _execute(self, name: str, **parameters: object) -> None:
        with self._connected() as connection:
            connection.execute(_SQL[name], parameters or None)

    def _one(self, name: str, **parameters: object) -> dict[str, Any] | None:
        with self._connected() as connection, connection.cursor(row_factory=dict_row) as rows:
            return rows.execute(_SQL[name], parameters or None).fetchone()

    def _all(self, name: str, **parameters: object) -> list[dict[str, Any]]:
        with self._connected() as connection, connection.cursor(row_factory=dict_row) as rows:
            return rows.execute(_SQL[name], parameters or None).fetchall()


def _lock(day: date) -> int:
    return day.toordinal() % _LOCKS_OF_A_TABLE


def _load(row: dict[str, Any]) -> LoadRow:
    ranges = {int(partition): (begin, end) for partition, (begin, end) in row["ranges"].items()}
    next_offsets = {int(partition): offset for partition, offset in row["next_offsets"].items()}
    unseen_at = {int(partition): moment for partition, moment in row["unseen_at"].items()}
    made = {"ranges": ranges, "next_offsets": next_offsets, "unseen_at": unseen_at, "days": tuple(row["days"])}
    return LoadRow(**(row | made))


def _rebuild(row: dict[str, Any]) -> RebuildRow:
    plain = {name: value for name, value in row.items() if not name.startswith(("covered_", "missed"))}
    return RebuildRow(**plain, coverage=_coverage(row))


def _coverage(row: Mapping[str, Any]) -> Coverage | None:
    return None if row["covered_hi"] is None else Coverage(row["covered_hi"], decode(row["covered_missing"]))
