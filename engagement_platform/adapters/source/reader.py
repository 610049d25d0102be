"""Reads the source as the relay needs it: by id, with the locks that tell which ids are still to come.

Only SELECTs, on two tables and on system catalogs that every role can see.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, cast

import psycopg
from psycopg.pq.abc import PGresult
from psycopg.rows import RowMaker, namedtuple_row

from engagement_platform.adapters import sql, sqlstate
from engagement_platform.adapters.source import session
from engagement_platform.adapters.source.describe import Described, Description, columns_of, usable
from engagement_platform.adapters.source.doubled import doubled
from engagement_platform.adapters.source.look import SQL, UNCHANGED, look
from engagement_platform.adapters.source.origin import Origin
from engagement_platform.adapters.sqlstate import Meaning
from engagement_platform.domain.checkpoint import SourceIdentity
from engagement_platform.domain.columns import Schema
from engagement_platform.domain.errors import StreamStopped, Unavailable
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.ids import IdRange, gaps_between
from engagement_platform.domain.ledger import EVERYTHING, Holders

_SQL = sql.load(__package__, "relay.sql")
_READ = _SQL["read"].replace("{wanted}", _SQL["wanted"]).replace("{unchanged}", UNCHANGED)
_HOLDERS = _SQL["holders"].replace("{unchanged}", UNCHANGED)
_FIRST_WANTED = _SQL["first_wanted"].replace("{wanted}", _SQL["wanted"])

_PATIENCE_SECONDS = 25.0
"""Beyond the session's statement_timeout: for a server that is frozen and cannot enforce it."""
_STREAM_ROWS = 200
BEYOND_JSON = 1 << 30
"""Bytes of text that PostgreSQL cannot build, so that nobody knows how many there would be."""


class Row(NamedTuple):
    """One event as the read returns it."""

    id: int
    key: bytes | None
    """The content id as text."""
    value: bytes
    """The message, or its beginning when `bytes` is over the limit of the read."""
    bytes: int
    has_timestamp: bool | None
    """Whether RFC 3339 can carry event_ts."""
    form: int = 0
    """The tables and types that the read was planned for."""
    last_given: int | None = None
    unchanged: bool = True


@dataclass(frozen=True, slots=True)
class Rows:
    """What one read returned: ascending by id; `cut` when a limit ended it."""

    rows: Sequence[Row]
    cut: bool
    last_given: int | None = EVERYTHING
    """The id that the sequence had given last, after the snapshot was taken; None where the role may not see it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Where a read ends: events, bytes of all messages (the last may exceed it), bytes of one message."""

    rows: int
    bytes: int
    message_bytes: int


class Altered(Unavailable):
    """Table, sequence or columns are not those of the last look: nothing may be concluded from what was read."""

    def __init__(self) -> None:
        super().__init__("The source was altered at this moment.", "It is looked at anew.")


class Source:
    """One connection to the source. Raises Unavailable when it breaks; then a new one is needed.

    Raises StreamStopped, or Refused for a right, when a table, column or type is not as the enrichment needs it.
    """

    def __init__(self, origin: Origin, connection: psycopg.Connection[Any]) -> None:
        """Look at the source. Raises StreamStopped when polling it cannot be exact."""
        self._origin = origin
        self._connection = connection
        self._fit = session.fit(origin, connection)
        self._form: Description | None = None
        self._statements = {name: origin.statement(text).encode() for name, text in (SQL | _SQL).items()}
        self._holders = origin.statement(_HOLDERS).encode()
        self.look()

    def look(self) -> SourceIdentity:
        """Look anew at what the ids come from. Raises StreamStopped when polling this source cannot be exact."""
        with session.reaching(self._origin):
            self._look = look(self._origin, self._connection)
        read = _READ.replace("{form}", session.form(self._origin)).replace("{last_given}", self._look.last_given)
        self._read = self._origin.statement(read).encode()
        return self.identity

    @property
    def identity(self) -> SourceIdentity:
        """What the last look saw."""
        return self._look.identity

    @property
    def stream(self) -> EventStream:
        """The stream that is read."""
        return self._origin.stream

    @property
    def schema(self) -> Schema:
        """The schema of what reads return: as long as it is the same object, nothing has changed.

        Raises StreamStopped where `enriched.sql` cannot be used over the source as it is.
        """
        return self._described().schema

    def _described(self) -> Description:
        if self._form is None:
            self._form = usable(self._origin, self._connection)
        return self._form

    @property
    def table(self) -> str:
        """The table's name, for people."""
        return self._origin.stream.source.name

    @property
    def sees_sequence(self) -> bool:
        """Whether the role may ask the sequence which id it gave last."""
        return self._look.sees_sequence

    @property
    def sequence_name(self) -> str:
        """The sequence as SQL names it in the session of the role."""
        return self._look.sequence_name

    def _one(self, statement: bytes, **parameters: object) -> Any:
        with self._connection.cursor(row_factory=namedtuple_row) as cursor:
            return cursor.execute(statement, parameters or None).fetchone()

    def holders(self) -> Holders:
        """Return the transactions that could still commit an id, now. Raises Altered."""
        with session.reaching(self._origin):
            rows = self._connection.execute(self._holders, self._look.marks_of_change, prepare=True).fetchall()
        if not rows[0][0]:
            raise Altered
        return Holders(
            frozenset(virtual for _, virtual, _ in rows if virtual),
            frozenset(virtual for _, virtual, prepared in rows if virtual and prepared),
        )

    def highest_id(self) -> int:
        """Return the highest visible id; 0 in an empty table."""
        with session.reaching(self._origin):
            return self._one(self._statements["highest_id"]).id or 0

    def before_all(self) -> int:
        """Return an id below every one that is visible, and that the sequence will give: 0, or a lower one."""
        with session.reaching(self._origin):
            lowest = self._one(self._statements["lowest_id"]).id
        return max(-EVERYTHING, min(0, self.last_given() or 0, 0 if lowest is None else lowest - 1))

    def last_given(self) -> int | None:
        """Return the id given out last, 0 where there is none yet; None where the role may not see the sequence."""
        with session.reaching(self._origin):
            statement = f"SELECT {self._look.last_given} AS id".replace("%%", "%")
            return cast("int | None", self._one(statement.encode()).id)

    def highest_given(self) -> int:
        """Return the highest id given out, as far as the role may see it: else the highest visible one."""
        last = self.last_given()
        return self.highest_id() if last is None else last

    def newest_ids(self, hi: int, rows: int) -> list[int]:
        """Return the highest visible ids up to `hi`, descending."""
        with session.reaching(self._origin):
            return [
                row[0] for row in self._connection.execute(self._statements["newest_ids"], {"hi": hi, "rows": rows})
            ]

    def holes_between(self, low: int, high: int, most: int) -> tuple[IdRange, ...]:
        """Return the ids above `low` and below the visible `high` that are not visible.

        Reads `most` ids at most: where there are more, what lies above them is one range.
        """
        with session.reaching(self._origin):
            rows = self._connection.execute(
                self._statements["ids_between"], {"low": low, "high": high, "rows": most}
            ).fetchall()
        ids = [row[0] for row in rows]
        return gaps_between(low, ids if ids and ids[-1] == high else [*ids, high])

    def missing_below(self, hi: int, ids: int) -> tuple[IdRange, ...]:
        """Return the ids that are not visible among the last `ids` up to `hi`."""
        with session.reaching(self._origin):
            rows = self._connection.execute(self._statements["visible_ids"], {"hi": hi, "ids": ids}).fetchall()
        return gaps_between(max(hi - ids, 0), [row[0] for row in rows])

    def read(self, hi: int, probes: Sequence[IdRange], limits: Limits) -> Rows:
        """Return the events above `hi` and those in `probes`, from one snapshot, all of them of `schema`.

        Raises Altered, also Unavailable where a column or type was changed since the source was looked at, and
        StreamStopped when an id comes more than once, or `enriched.sql` cannot be used any more: none of it is
        returned. An event whose JSON is beyond what PostgreSQL can build (1 GB) comes alone, without its value.
        """
        form = self._described()
        parameters = {
            "hi": hi,
            "firsts": [probe.first for probe in probes],
            "lasts": [probe.last for probe in probes],
            "rows": limits.rows,
            "max_bytes": limits.message_bytes,
            **self._look.marks_of_change,
        }
        with session.reaching(self._origin):
            try:
                return self._stream(parameters, limits, form)
            except (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedTable) as error:
                if self.sees_sequence and self._look.last_given != look(self._origin, self._connection).last_given:
                    raise Altered from None  # the sequence has another name, or the right to see it was taken away
                self._explain(error)
                raise
            except (psycopg.errors.ProgramLimitExceeded, psycopg.errors.OutOfMemory):
                if limits.rows > 1:
                    return self.read(hi, probes, replace(limits, rows=limits.rows // 2))
                first = self._one(self._origin.statement(_FIRST_WANTED).encode(), **parameters).id
                return Rows([Row(first, None, b"", BEYOND_JSON, has_timestamp=True)], True, self.last_given())
            except psycopg.Error as error:
                self._explain(error)
                raise

    def _explain(self, error: psycopg.Error) -> None:
        """Say why a read failed for which a table or a column is not what it was, with the line at fault.

        Raises StreamStopped, Refused, and Altered where it can be read again. Other failures it leaves as they are.
        """
        if sqlstate.meaning(error.sqlstate) is not Meaning.MISMATCHED:
            return
        self._form = None
        if (unfit := session.explained(self._origin)) is not None:
            raise unfit from error
        self._described()
        raise Altered from error

    def _stream(self, parameters: dict[str, Any], limits: Limits, form: Description) -> Rows:
        rows: list[Row] = []
        total, last = 0, None
        is_cut, doubled = False, None
        with self._connection.cursor(binary=form.has_binary_form, row_factory=_row) as cursor:
            for row in cursor.stream(self._read, parameters, size=_STREAM_ROWS):
                if row.form != self._fit:
                    raise session.changed()
                if not rows:
                    self._require(form, cursor.pgresult)
                if row.id == last:
                    doubled = row
                    break
                if is_cut := total >= limits.bytes:
                    break
                rows.append(row)
                last = row.id
                total += len(row.value)
        if doubled is not None:
            raise self._doubled(doubled)
        if rows and not rows[0].unchanged:
            raise Altered
        given = None if not self.sees_sequence else rows[0].last_given if rows else EVERYTHING
        return Rows(rows, is_cut or len(rows) == limits.rows, given)

    def _require(self, form: Description, answer: PGresult | None) -> None:
        """Raise Altered where a read has other columns than were described; they are described again when asked for.

        PostgreSQL tells the columns with each answer, for the moment for which it has planned the read.
        """
        if answer is None or _types(columns_of(answer, len(Row._fields))) != _types(form.columns):
            self._form = None
            raise Altered

    def _doubled(self, row: Row) -> StreamStopped:
        """Return what to say when a read brings an event more than once, which would publish it more than once."""
        if self._one(self._statements["rows_of"], id=row.id).rows > 1:
            return StreamStopped(
                f"{self.table} has several rows with id {row.id}: nobody can tell which of them is the event.",
                "Ask the owner to give all but one of them another id, from the sequence. The stream then goes on.",
            )
        with suppress(psycopg.errors.QueryCanceled):  # the cause is a help, and the error is certain
            for cause in doubled(self._origin, lambda statement: self._connection.execute(statement.encode())):
                return StreamStopped(
                    f"A read of the source brings event {row.id} more than once: {cause}.",
                    f"{cause.remedy} The stream then goes on.",
                )
        return StreamStopped(
            f"A read of the source brings event {row.id} more than once: a join of enriched.sql has several rows.",
            "Join by what is unique, or ask the owner to make it so. The stream then goes on.",
        )


def _types(columns: Sequence[Described]) -> list[tuple[str, int, int]]:
    return [(column.name, column.type, column.modifier) for column in columns]


def _row(_: psycopg.Cursor[Any]) -> RowMaker[Row]:
    return _made


def _made(values: Sequence[Any]) -> Row:
    """Make a row of what is read of it; the nulls behind that are there for their columns' types."""
    return Row._make(values[: len(Row._fields)])


@contextmanager
def open_source(origin: Origin) -> Iterator[Source]:
    """Connect to the source. Raises Unavailable, or StreamStopped when polling it cannot be exact."""
    connection = session.connect(origin.dsn, "relay", patience=_PATIENCE_SECONDS, prepare=_SQL["prepare_session"])
    try:
        yield Source(origin, connection)
    finally:
        connection.close()
