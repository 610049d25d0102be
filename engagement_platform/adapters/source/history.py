"""Reads days of the source as Arrow, batch by batch, by way of ADBC; everything in one snapshot."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import psycopg

from engagement_platform.adapters import sql
from engagement_platform.adapters.source import compared, look, session
from engagement_platform.adapters.source.by_day import ByDay
from engagement_platform.adapters.source.describe import describe
from engagement_platform.adapters.source.doubled import brought_twice, require_single
from engagement_platform.adapters.source.origin import Origin
from engagement_platform.adapters.source.rows import BEYOND_JSON
from engagement_platform.adapters.source.selected import is_one, rows_between, unfit, without_nan
from engagement_platform.domain.columns import Column, Schema
from engagement_platform.domain.coverage import Coverage, Published, advanced
from engagement_platform.domain.days import bounds
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.reconciliation import Comparison
from engagement_platform.domain.redrive import SourceEvent

if TYPE_CHECKING:
    import pyarrow as pa

_SQL = sql.load(__package__, "history.sql")
_HIGHEST_ID = (1 << 63) - 1
_ASKED_AT_ONCE = 10_000


class History:
    """One snapshot of the source. Methods raise Unavailable when the source does not answer any more."""

    def __init__(self, origin: Origin, cursor: Any, schema: Schema) -> None:
        self.schema = schema
        """The columns that its rows have."""
        self._origin = origin
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
        with session.reaching_arrow(self._origin):
            self._cursor.execute(self._statement(name, **values))
        for batch in self._batches(self._cursor.fetch_record_batch()):
            yield from batch.column(0).to_pylist()

    def rows(self, days: Sequence[date], schema: "pa.Schema") -> "ByDay":
        """Return the enriched events of consecutive days, day by day, in the types of `schema`.

        That has the columns of the history's own. Raises EngagementError where the enrichment would return events more
        than once.
        """
        columns = self.schema
        begin, end = bounds(days[0])[0], bounds(days[-1])[1]
        order = "ORDER BY (event.{time} AT TIME ZONE 'UTC')::date" if len(days) > 1 else ""
        text = self._origin.plain(rows_between(columns, begin, end, order))
        with session.reaching_arrow(self._origin):
            require_single(self._origin, self._fetched)
            self._cursor.execute(text)
            rows = without_nan(columns, self._batches(self._cursor.fetch_record_batch()))
        stream = self._origin.stream
        return ByDay(
            rows, schema, number=columns.id, time=columns.time, twice=lambda number: brought_twice(stream, number)
        )

    def figures(self, day: date, comparison: Comparison) -> "Iterator[pa.RecordBatch]":
        """Yield what a day is compared by, ascending by `id`.

        Columns beside it: measures m0, m1, …, `digest`, and plain values p0, p1, … A NUMERIC is its text. Where nothing
        is hashed, the digest is an empty text.
        """
        begin, end = bounds(day)
        figures = compared.figures(comparison)
        text = self._statement("figures", figures=figures, begin=begin.isoformat(), end=end.isoformat())
        with session.reaching_arrow(self._origin):
            self._cursor.execute(text)
        yield from self._batches(self._cursor.fetch_record_batch())

    def _fetched(self, statement: str) -> list[tuple[Any, ...]]:
        self._cursor.execute(statement)
        rows: list[tuple[Any, ...]] = self._cursor.fetchall()
        return rows

    def _statement(self, name: str, **values: object) -> str:
        return self._origin.plain(sql.filled(_SQL[name], values))

    def _batches(self, reader: "pa.RecordBatchReader") -> "Iterator[pa.RecordBatch]":
        with session.reaching_arrow(self._origin):
            yield from reader


@contextmanager
def open_history(origin: Origin) -> Iterator[History]:
    """Connect, with a transaction that sees one moment: that of the first read.

    Raises Unavailable, Refused, and StreamStopped where tables, columns or types are not as they must be.
    """
    form = session.require_fit(origin)
    with session.connect_arrow(origin, "history") as cursor:
        with session.reaching_arrow(origin):
            cursor.execute("SET LOCAL lock_timeout = '10s'")
            cursor.execute(session.form(origin))
            seen = cursor.fetchone()[0]
        if not isinstance(seen, int):
            raise EngagementError(
                "The source's database or role sets quote_all_identifiers=on, so that columns cannot be read as Arrow.",
                "Ask its administrator to run: ALTER ROLE … SET quote_all_identifiers = off, for the role of"
                " ENGAGEMENT_SOURCE_DSN.",
            )
        if seen != form:
            raise session.changed()
        yield History(origin, cursor, _schema(origin, cursor))


def _schema(origin: Origin, cursor: Any) -> Schema:
    """Return the schema that every read of the cursor's transaction has: what it names is locked until its end."""
    with session.reaching_arrow(origin):
        cursor.execute(origin.plain(_SQL["lock"]))
        cursor.fetchall()
    with closing(session.connect(origin.dsn, "history", prepare="SET lock_timeout = '10s'")) as connection:
        return describe(origin, connection)


def days_published_since(origin: Origin, since: Coverage) -> list[date]:
    """Return the days of the events that a coverage of the past does not have. Raises Unavailable."""
    condition, parameters = _chosen(Published(since, Coverage(_HIGHEST_ID)))
    with _connected(origin) as connection:
        rows = connection.execute(_choosing(origin, "days_published", condition), parameters).fetchall()
    return [row[0] for row in rows]


def ids_published(origin: Origin, published: Published) -> dict[int, date | None]:
    """Return the events that were published within a time, with the days in which they lie now. Raises Unavailable."""
    condition, parameters = _chosen(published)
    with _connected(origin) as connection:
        rows = connection.execute(_choosing(origin, "ids_published", condition), parameters).fetchall()
    return {number: day for number, day in rows if published.has(number)}


def days_of(origin: Origin, ids: Sequence[int]) -> dict[int, date]:
    """Return in which days certain events lie now; those that are gone are left out. Raises Unavailable."""
    with _connected(origin) as connection:
        return dict(connection.execute(origin.statement(_SQL["days_of"]).encode(), {"ids": list(ids)}).fetchall())


def own_columns(origin: Origin) -> frozenset[str]:
    """Return the columns of the enrichment that are those of the stream's own table, unchanged. Raises Unavailable."""
    with _connected(origin, fit=True) as connection:
        return compared.own_columns(origin, connection)


def unfit_among(origin: Origin, schema: Schema, ids: Sequence[int]) -> set[int]:
    """Return which of these events have a value that no line, and no row of the warehouse, can hold.

    Where the schema has no type with such values, the source is not asked. Raises Unavailable.
    """
    conditions = unfit(schema)
    if not conditions:
        return set()
    statement = origin.statement(sql.filled(_SQL["unfit_among"], {"unfit": " OR ".join(conditions)})).encode()
    with _connected(origin, fit=True) as connection:
        parts = (ids[at : at + _ASKED_AT_ONCE] for at in range(0, len(ids), _ASKED_AT_ONCE))
        return {row[0] for part in parts for row in connection.execute(statement, {"ids": list(part)})}


def events_of_user(origin: Origin, column: Column, user_id: str | int) -> int:
    """Return how many events of a user the source has; a scan of the table. Raises Unavailable."""
    statement = origin.statement(sql.filled(_SQL["events_of_user"], {"of_user": is_one(column, "%(user_id)s")}))
    with _connected(origin, fit=True) as connection:
        row = connection.execute(statement.encode(), {"user_id": user_id}).fetchone()
    assert row is not None, "a count is one row"  # noqa: S101
    return int(row[0])


def has_index(origin: Origin) -> bool:
    """Say whether a day can be read without a scan of the table. Raises Unavailable."""
    with _connected(origin) as connection:
        return look.has_index(origin, connection)


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


def _choosing(origin: Origin, statement: str, condition: str) -> bytes:
    """Return a statement that chooses events by a condition."""
    filled = sql.filled(_SQL[condition], {"happened": _SQL["happened"], "published": _SQL["published"]})
    return origin.statement(_SQL[statement].replace("{chosen}", f"({filled})")).encode()


def _chosen(chosen: Chosen) -> tuple[str, dict[str, object]]:
    """Return the condition by which events are chosen, and its parameters."""
    if isinstance(chosen, Happened):
        return "happened", {"begin": chosen.begin, "end": chosen.end}
    if isinstance(chosen, Either):
        return "either", _chosen(chosen.happened)[1] | _chosen(chosen.published)[1]
    if not isinstance(chosen, Published):
        return "numbered", {"ids": list(chosen)}
    missing = chosen.since.missing
    ranges = {"firsts": [ids.first for ids in missing], "lasts": [ids.last for ids in missing]}
    return "published", {"hi": chosen.since.hi, "top": chosen.until.hi, **ranges}


Numbering = Callable[[Schema], int]
"""Returns the number of a schema, under which its messages may be published."""


def messages(
    origin: Origin, chosen: Chosen, max_bytes: int, number_as: Numbering
) -> Iterator[tuple[int, bytes | None, bytes]]:
    """Yield the schema's number, key and value of the messages of certain events, by id, from one snapshot.

    Nothing is held in memory but what is on its way. Raises Unavailable, and what `number_as` does.
    """
    condition, parameters = _chosen(chosen)
    statement = _choosing(origin, "replay", condition)
    with _connected(origin, fit=True) as connection, connection.cursor(name="replay", binary=True) as cursor:
        number = number_as(describe(origin, connection))  # to the transaction's end the tables keep their form
        require_single(origin, lambda statement: connection.execute(statement.encode()))
        cursor.itersize = 1_000
        last = None
        for event_id, key, value in cursor.execute(statement, parameters | {"max_bytes": max_bytes}):
            if event_id == last:
                raise brought_twice(origin.stream, event_id)
            last = event_id
            if not isinstance(chosen, Published) or chosen.has(event_id):
                yield number, key, value


def messages_of(origin: Origin, ids: Sequence[int], max_bytes: int, number_as: Numbering) -> dict[int, SourceEvent]:
    """Return certain events as they are now, those that are gone left out. Raises Unavailable, and as `number_as`."""
    with _connected(origin, fit=True) as connection, connection.cursor(binary=True) as cursor:
        number = number_as(describe(origin, connection))
        return {id_: replace(event, schema=number) for id_, event in _found(origin, cursor, ids, max_bytes)}


def _found(
    origin: Origin, cursor: "psycopg.Cursor[Any]", ids: Sequence[int], max_bytes: int
) -> Iterator[tuple[int, SourceEvent]]:
    """Read events together or, where PostgreSQL cannot build the JSON of one (1 GB), in halves."""
    statement = origin.statement(_SQL["messages_of"]).encode()
    try:
        with cursor.connection.transaction():
            rows = cursor.execute(statement, {"ids": list(ids), "max_bytes": max_bytes}).fetchall()
        yield from ((number, SourceEvent(*parts)) for number, *parts in rows)
    except (psycopg.errors.ProgramLimitExceeded, psycopg.errors.OutOfMemory):
        if len(ids) > 1:
            yield from _found(origin, cursor, ids[: len(ids) // 2], max_bytes)
            yield from _found(origin, cursor, ids[len(ids) // 2 :], max_bytes)
        else:
            day = cursor.execute(origin.statement(_SQL["days_of"]).encode(), {"ids": list(ids)}).fetchone()
            yield ids[0], SourceEvent(None, None, BEYOND_JSON, day[1] if day else None)


@contextmanager
def _connected(origin: Origin, *, fit: bool = False) -> "Iterator[psycopg.Connection[Any]]":
    """Connect for one transaction. With `fit` the tables are as the enrichment needs them, until its end."""
    with (
        closing(session.connect(origin.dsn, "history", prepare="SET lock_timeout = '10s'")) as connection,
        session.reaching(origin),
        connection.transaction(),
    ):
        if fit:
            session.fit(origin, connection)
        yield connection
