"""What was loaded into the warehouse: the durable rows from which a writer goes on, and by which rebuilds know it.

A load enters its row while it shares the locks of its days, a rebuild while it owns the lock of its day (`rebuilds`).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime
from typing import Any

from psycopg.types.json import Jsonb

from engagement_platform.adapters import sql
from engagement_platform.adapters.platform.connection import Session, Store
from engagement_platform.adapters.platform.rebuilds import Rebuilds
from engagement_platform.domain.batches import Ranges
from engagement_platform.domain.duplicates import WalPositions, of_numbers
from engagement_platform.settings import Settings

_SQL = sql.load(__package__, "loads.sql")


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
    """partition -> offset with which the next batch begins, for all partitions that were loaded from."""
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
    wal_begins: WalPositions = field(default_factory=dict)
    """Partition -> WAL position of the last message before the batch, of a publisher that may publish twice."""
    wal_ends: WalPositions = field(default_factory=dict)
    """Partition -> that of the last message behind the batch, for all partitions that were loaded from."""
    attempt: int = 0
    opened_at: datetime | None = None
    closed_at: datetime | None = None


_FIELDS = tuple(one.name for one in fields(LoadRow))


@dataclass(frozen=True, slots=True)
class Begins:
    """Where a shard believes that partitions stand, as was entered last."""

    entered: Mapping[int, int | None]
    """Partition of the shard -> offset of the next message; None where none of it was loaded yet."""
    at_first: Mapping[int, int]
    """Where each partition of the topic begins, of whichever shard: for the first load of all."""


class Admission:
    """The days of a batch, held against rebuilds that would begin. Made by `Loads.admission`."""

    def __init__(self, session: Session, table_id: str, days: Sequence[date]) -> None:
        self._session = session
        self._table_id = table_id
        rebuilds = Rebuilds(session)
        rebuilds.keep_from_beginning(table_id, days)
        self.rebuilds = rebuilds.all_open(table_id, days)
        """Open rebuilds of the days: while there is one, the batch has to wait."""
        self.coverages = rebuilds.coverages(table_id, days)

    def open(self, load: LoadRow) -> bool:
        """Enter a load; return whether that was done. It was not when another process entered that version."""
        parameters = {name: getattr(load, name) for name in _FIELDS}
        for name in ("ranges", "next_offsets", "unseen_at"):
            parameters[name] = _by_partition(parameters[name])
        if self._session.one(_SQL["open"], **parameters | {"days": list(load.days)}) is None:
            return False
        if load.wal_begins or load.wal_ends:
            positions = {"begins": _by_partition(load.wal_begins), "ends": _by_partition(load.wal_ends)}
            self._session.execute(_SQL["note_wal"], table_id=load.table_id, version=load.version, **positions)
        return True

    def open_in_turn(self, load: LoadRow, begins: Begins) -> LoadRow | None:
        """Enter the load of one of several shards behind the latest load of all; return it with its version.

        None where a partition of the shard does not stand any more where the shard believes: another one has it, or has
        had it. What is entered says of all partitions where they stand, so that whoever has them next goes on there.
        """
        self._session.execute(_SQL["in_turn"], table_id=self._table_id)
        row = self._session.one(_SQL["last"], table_id=self._table_id)
        last = None if row is None else _load(row)
        if last is not None and last.topic_id != load.topic_id:
            return None
        stand = begins.at_first if last is None else last.next_offsets
        if any(stand.get(partition) != at for partition, at in begins.entered.items()):
            return None
        entered = replace(
            load,
            version=1 if last is None else last.version + 1,
            next_offsets={**stand, **load.next_offsets},
            unseen_at={**({} if last is None else last.unseen_at), **load.unseen_at},
            wal_ends={**({} if last is None else last.wal_ends), **load.wal_ends},
        )
        return entered if self.open(entered) else None


class Loads(Store):
    """The table of loads."""

    @contextmanager
    def admission(self, table_id: str, days: Sequence[date]) -> Iterator[Admission]:
        """Hold the days while the block runs, in one transaction that ends with it."""
        with self.session.transaction():
            yield Admission(self.session, table_id, days)

    def last_load(self, table_id: str) -> LoadRow | None:
        """Return the latest load of a table; None when there was none."""
        row = self.session.one(_SQL["last"], table_id=table_id)
        return None if row is None else _load(row)

    def open_loads(self, table_id: str, days: Sequence[date] | None = None) -> list[LoadRow]:
        """Return the open loads of a table, or of certain days of it, in the order of their writers' versions."""
        chosen = None if days is None else list(days)
        return [_load(row) for row in self.session.all(_SQL["all_open"], table_id=table_id, days=chosen)]

    def close_load(self, load: LoadRow) -> None:
        """Note that the warehouse has a load."""
        self.session.execute(_SQL["close"], table_id=load.table_id, writer=load.writer, version=load.version)

    def raise_attempt(self, load: LoadRow) -> None:
        """Use up the attempt of a load that the warehouse has refused."""
        key = {"table_id": load.table_id, "writer": load.writer, "version": load.version}
        self.session.execute(_SQL["raise_attempt"], **key, attempt=load.attempt)

    def first_load_at(self) -> datetime | None:
        """Return when the oldest load that is still noted was entered; None before the first."""
        (row,) = self.session.all(_SQL["first"])
        opened_at: datetime | None = row["opened_at"]
        return opened_at

    def days_loaded(self, hours: int, before: date) -> list[date]:
        """Return the days before one for which loads of the last hours brought rows, whatever the table."""
        return [row["day"] for row in self.session.all(_SQL["days"], hours=hours, before=before)]

    def brought(self, since: datetime) -> tuple[datetime, dict[date, int]]:
        """Return a time of a moment ago, and for each day how many loads brought rows to it from `since` to then."""
        rows = self.session.all(_SQL["brought"], since=since)
        return rows[0]["until"], {row["day"]: row["loads"] for row in rows if row["day"] is not None}

    def prune(self, hours: int) -> None:
        """Forget what is closed and older than `hours`, but not from where a writer goes on."""
        self.session.execute(_SQL["prune"], hours=hours)


def _load(row: dict[str, Any]) -> LoadRow:
    ranges = {int(partition): (begin, end) for partition, (begin, end) in row["ranges"].items()}
    next_offsets = {int(partition): offset for partition, offset in row["next_offsets"].items()}
    unseen_at = {int(partition): moment for partition, moment in row["unseen_at"].items()}
    made = {"ranges": ranges, "next_offsets": next_offsets, "unseen_at": unseen_at, "days": tuple(row["days"])}
    positions = {name: _wal_positions(row[name]) for name in ("wal_begins", "wal_ends")}
    known = {name: row[name] for name in _FIELDS}  # a later version may have added others
    return LoadRow(**(known | made | positions))


def _by_partition(values: Mapping[int, object]) -> Jsonb:
    return Jsonb(dict(values))  # JSON has texts for the numbers


def _wal_positions(stored: dict[str, list[int]]) -> WalPositions:
    return {int(partition): of_numbers(position) for partition, position in stored.items()}


def present_table(session: Session) -> str | None:
    """Return the id of the table that the latest load or rebuild was for; None before the first. Raises Unavailable."""
    row = session.one(_SQL["present_table"])
    return None if row is None else str(row["table_id"])


def offsets_of_stage(settings: Settings, topic_id: str) -> dict[int, int]:
    """Return partition -> offset with which the stage's next batch begins; nothing before its first batch."""
    with Session(settings, "status") as session:
        row = session.one(_SQL["offsets_of_stage"], topic_id=topic_id, table_id=present_table(session))
    return {} if row is None else {int(partition): offset for partition, offset in row["next_offsets"].items()}
