"""Reads days of the source as Arrow, batch by batch, by way of ADBC; everything in one snapshot."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, LiteralString
from uuid import UUID

import psycopg

from engagement_platform.adapters import sql
from engagement_platform.adapters.source import session
from engagement_platform.adapters.source.by_day import ByDay
from engagement_platform.adapters.source.reader import BEYOND_JSON, ENRICHED
from engagement_platform.domain.coverage import Coverage, Published, advanced
from engagement_platform.domain.days import bounds
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.redrive import SourceEvent

if TYPE_CHECKING:
    import pyarrow as pa

_SQL = sql.load(__package__, "history.sql")
DOUBLED_CONTENT = _SQL["doubled_content"]
_HIGHEST_ID = (1 << 63) - 1


class History:
    """One snapshot of the source. Methods raise Unavailable when the source does not answer any more."""

    def __init__(self, dsn: str, cursor: Any) -> None:
        self._dsn = dsn
        self._cursor = cursor

    def coverage(self, covered: Coverage) -> Coverage:
        """Return which ids the snapshot sees, from what the relay had seen before it was taken."""
        visible: list[int] = []
        if covered.missing:
            firsts = ",".join(str(r.first) for r in covered.missing)
            lasts = ",".join(str(r.last) for r in covered.missing)
            visible = list(self._ids("visible_among", firsts=firsts, lasts=lasts))
        return advanced(covered, visible, self._ids("visible_above", hi=covered.hi))

    def _ids(self, name: str, **values: object) -> Iterator[int]:
        """Yield ids batch by batch: there may be as many as the source has rows."""
        with session.reaching_arrow(self._dsn):
            self._cursor.execute(_SQL[name].format(**values))
        for batch in self._batches(self._cursor.fetch_record_batch()):
            yield from batch.column(0).to_pylist()

    def rows(self, days: Sequence[date], schema: "pa.Schema") -> "ByDay":
        """Return the enriched events of consecutive days, day by day, in the types of `schema`.

        Raises EngagementError where the enrichment would return events more than once.
        """
        begin, end = bounds(days[0])[0], bounds(days[-1])[1]
        order = "ORDER BY (event.event_ts AT TIME ZONE 'UTC')::date" if len(days) > 1 else ""
        text = _SQL["rows"].format(enriched=ENRICHED, begin=begin.isoformat(), end=end.isoformat(), order=order)
        with session.reaching_arrow(self._dsn):
            self._cursor.execute(DOUBLED_CONTENT)
            _require_single(row[0] for row in self._cursor.fetchall())
            self._cursor.execute(text)
            return ByDay(self._batches(self._cursor.fetch_record_batch()), schema)

    def figures(self, day: date) -> "pa.Table":
        """Return what a day is compared by: `id`, ascending, and `ms`, both int64."""
        begin, end = bounds(day)
        with session.reaching_arrow(self._dsn):
            self._cursor.execute(_SQL["reconcile"].format(begin=begin.isoformat(), end=end.isoformat()))
            return self._cursor.fetch_arrow_table()

    def _batches(self, reader: "pa.RecordBatchReader") -> "Iterator[pa.RecordBatch]":
        with session.reaching_arrow(self._dsn):
            yield from reader


@contextmanager
def open_history(dsn: str) -> Iterator[History]:
    """Connect, with a transaction that sees one moment: that of the first read.

    Raises Unavailable, Refused, and StreamStopped where tables, columns or types are not as they must be.
    """
    form = session.require_fit(dsn)
    with session.connect_arrow(dsn, "history", _SQL["begin"]) as cursor:
        with session.reaching_arrow(dsn):
            cursor.execute("SET LOCAL lock_timeout = '10s'")
            cursor.execute(session.FORM)
            seen = cursor.fetchone()[0]
        if not isinstance(seen, int):
            raise EngagementError(
                "The source's database or role sets quote_all_identifiers=on, so that columns cannot be read as Arrow.",
                "Ask its administrator to run: ALTER ROLE … SET quote_all_identifiers = off, for the role of"
                " ENGAGEMENT_SOURCE_DSN.",
            )
        if seen != form:
            raise session.changed()
        yield History(dsn, cursor)


def days_published_since(dsn: str, since: Coverage) -> list[date]:
    """Return the days of the events that a coverage of the past does not have. Raises Unavailable."""
    chosen = _chosen(Published(since, Coverage(_HIGHEST_ID)))
    with _connected(dsn) as connection:
        return [row[0] for row in connection.execute(chosen.within("days_published"), chosen.parameters).fetchall()]


def days_of(dsn: str, ids: Sequence[int]) -> dict[int, date]:
    """Return in which days certain events lie now; those that are gone are left out. Raises Unavailable."""
    return dict(_psycopg(dsn, "days_of", ids=list(ids)))


def events_of_user(dsn: str, user_id: UUID) -> int:
    """Return how many events of a user the source has; a scan of the table. Raises Unavailable."""
    return int(_psycopg(dsn, "events_of_user", user_id=user_id)[0][0])


def has_index(dsn: str) -> bool:
    """Say whether a day can be read without a scan of the table. Raises Unavailable."""
    return bool(_psycopg(dsn, "has_index")[0][0])


@dataclass(frozen=True, slots=True)
class Happened:
    """The events from `begin` to before `end`, by their own time."""

    begin: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Either:
    """The events of both, each once."""

    happened: Happened
    published: Published


Chosen = Happened | Published | Either | Sequence[int]
"""Events by when they happened, by when they were published, by either, or by their ids."""


@dataclass(frozen=True, slots=True)
class _Choice:
    """The condition by which a statement chooses events."""

    name: str
    parameters: dict[str, object]

    def within(self, statement: str) -> LiteralString:
        condition = _SQL[self.name].replace("{happened}", _SQL["happened"]).replace("{published}", _SQL["published"])
        return _SQL[statement].replace("{enriched}", ENRICHED).replace("{chosen}", f"({condition})")


def _chosen(chosen: Chosen) -> _Choice:
    if isinstance(chosen, Happened):
        return _Choice("happened", {"begin": chosen.begin, "end": chosen.end})
    if isinstance(chosen, Either):
        parts = _chosen(chosen.happened), _chosen(chosen.published)
        return _Choice("either", parts[0].parameters | parts[1].parameters)
    if not isinstance(chosen, Published):
        return _Choice("numbered", {"ids": list(chosen)})
    missing = chosen.since.missing
    ranges = {"firsts": [ids.first for ids in missing], "lasts": [ids.last for ids in missing]}
    return _Choice("published", {"hi": chosen.since.hi, "top": chosen.until.hi, **ranges})


def messages(dsn: str, chosen: Chosen, max_bytes: int) -> Iterator[tuple[bytes | None, bytes]]:
    """Yield key and value of the messages of certain events, by id, from one snapshot.

    Nothing is held in memory but what is on its way. Raises Unavailable.
    """
    choice = _chosen(chosen)
    parameters = choice.parameters | {"max_bytes": max_bytes}
    with _connected(dsn, fit=True) as connection, connection.cursor(name="replay", binary=True) as cursor:
        _require_single(row[0] for row in connection.execute(DOUBLED_CONTENT))
        cursor.itersize = 1_000
        for event_id, key, value in cursor.execute(choice.within("replay"), parameters):
            if not isinstance(chosen, Published) or chosen.has(event_id):
                yield key, value


def messages_of(dsn: str, ids: Sequence[int], max_bytes: int) -> dict[int, SourceEvent]:
    """Return certain events as they are now, those that are gone left out. Raises Unavailable."""
    with _connected(dsn, fit=True) as connection, connection.cursor(binary=True) as cursor:
        return dict(_found(cursor, ids, max_bytes))


def _found(cursor: "psycopg.Cursor[Any]", ids: Sequence[int], max_bytes: int) -> Iterator[tuple[int, SourceEvent]]:
    """Read events together or, where PostgreSQL cannot build the JSON of one (1 GB), in halves."""
    statement = _SQL["messages_of"].replace("{enriched}", ENRICHED)
    try:
        with cursor.connection.transaction():
            rows = cursor.execute(statement, {"ids": list(ids), "max_bytes": max_bytes}).fetchall()
        yield from ((number, SourceEvent(*parts)) for number, *parts in rows)
    except (psycopg.errors.ProgramLimitExceeded, psycopg.errors.OutOfMemory):
        if len(ids) > 1:
            yield from _found(cursor, ids[: len(ids) // 2], max_bytes)
            yield from _found(cursor, ids[len(ids) // 2 :], max_bytes)
        else:
            day = cursor.execute(_SQL["days_of"], {"ids": list(ids)}).fetchone()
            yield ids[0], SourceEvent(None, None, BEYOND_JSON, day[1] if day else None)


def _require_single(doubled: Iterable[str]) -> None:
    for content in doubled:
        raise EngagementError(
            f"content has several rows with id {content}: each of its events would be there more than once.",
            "Ask the owner to make content.id unique.",
        )


def _psycopg(dsn: str, name: str, **parameters: object) -> list[Any]:
    with _connected(dsn) as connection:
        return connection.execute(_SQL[name], parameters or None).fetchall()


@contextmanager
def _connected(dsn: str, *, fit: bool = False) -> "Iterator[psycopg.Connection[Any]]":
    """Connect for one transaction. With `fit` the tables are as the enrichment needs them, until its end."""
    with (
        closing(session.connect(dsn, "history", prepare="SET lock_timeout = '10s'")) as connection,
        session.reaching(dsn),
        connection.transaction(),
    ):
        if fit:
            session.fit(dsn, connection)
        yield connection
