"""The read of the relay: events by their ids, enriched, and with what tells that all of them are of one schema."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import psycopg
from psycopg.pq.abc import PGresult
from psycopg.rows import RowMaker

from engagement_platform.adapters import sql, sqlstate
from engagement_platform.adapters.source import session
from engagement_platform.adapters.source.describe import Described, Description, columns_of, usable
from engagement_platform.adapters.source.doubled import doubled
from engagement_platform.adapters.source.look import SQL, UNCHANGED, Look, look
from engagement_platform.adapters.source.origin import Origin
from engagement_platform.adapters.source.rows import BEYOND_JSON, Altered, Limits, Row, Rows
from engagement_platform.adapters.sqlstate import Meaning
from engagement_platform.domain.errors import StreamStopped
from engagement_platform.domain.ids import IdRange
from engagement_platform.domain.ledger import EVERYTHING

_SQL = sql.load(__package__, "relay.sql")
_READ = _SQL["read"].replace("{wanted}", _SQL["wanted"]).replace("{unchanged}", UNCHANGED)
_FIRST_WANTED = _SQL["first_wanted"].replace("{wanted}", _SQL["wanted"])

_STREAM_ROWS = 200


class EventRead:
    """Reads events over one connection; each read is one statement, and so one snapshot."""

    def __init__(self, origin: Origin, connection: psycopg.Connection[Any]) -> None:
        """Look at the tables. Raises StreamStopped, Refused where they are not as they must be, and Unavailable."""
        self._origin = origin
        self._connection = connection
        self._fit = session.fit(origin, connection)
        self._form: Description | None = None
        self._first_wanted = origin.statement(_FIRST_WANTED).encode()
        self._rows_of = origin.statement(SQL["rows_of"]).encode()
        self._filled_for, self._filled = "", b""

    @property
    def described(self) -> Description:
        """What PostgreSQL says of the columns. Raises StreamStopped where `enriched.sql` cannot be used."""
        if self._form is None:
            self._form = usable(self._origin, self._connection)
        return self._form

    def rows(self, hi: int, probes: Sequence[IdRange], limits: Limits, seen: Look) -> Rows:
        """Return the events above `hi` and those in `probes`, as the source was `seen`. Raises as `Source.read`."""
        form = self.described
        parameters = {
            "hi": hi,
            "firsts": [probe.first for probe in probes],
            "lasts": [probe.last for probe in probes],
            "rows": limits.rows,
            "max_bytes": limits.message_bytes,
            **seen.marks_of_change,
        }
        with session.reaching(self._origin), self._explained(seen):
            try:
                return self._stream(parameters, limits, form, seen)
            except (psycopg.errors.ProgramLimitExceeded, psycopg.errors.OutOfMemory):
                if limits.rows > 1:
                    return self.rows(hi, probes, replace(limits, rows=limits.rows // 2), seen)
                return self._too_large(parameters, seen)

    def _too_large(self, parameters: dict[str, Any], seen: Look) -> Rows:
        """Return the first event without its value: PostgreSQL cannot build that."""
        first = self._number(self._first_wanted, **parameters)
        row = Row(first, None, b"", BEYOND_JSON, has_timestamp=True)
        return Rows([row], True, self._number(f"SELECT {seen.last_given}".replace("%%", "%").encode()))

    def _number(self, statement: bytes, **parameters: object) -> Any:
        row = self._connection.execute(statement, parameters or None).fetchone()
        return None if row is None else row[0]

    def _statement(self, last_given: str) -> bytes:
        """Return the read; another one only where the sequence has another name, or may be seen or not any more."""
        if last_given != self._filled_for:
            read = _READ.replace("{form}", session.form(self._origin)).replace("{last_given}", last_given)
            self._filled_for, self._filled = last_given, self._origin.statement(read).encode()
        return self._filled

    @contextmanager
    def _explained(self, seen: Look) -> Iterator[None]:
        """Say why a read failed for which a table or a column is not what it was, with the line at fault.

        Raises StreamStopped, Refused, and Altered where it can be read again. Other failures it leaves as they are.
        """
        try:
            yield
        except psycopg.Error as error:
            if isinstance(error, psycopg.errors.InsufficientPrivilege | psycopg.errors.UndefinedTable):
                self._require_sequence(seen)
            if sqlstate.meaning(error.sqlstate) is not Meaning.MISMATCHED:
                raise
            self._form = None
            if (unfit := session.explained(self._origin)) is not None:
                raise unfit from error
            self.described  # noqa: B018 - it says what is wrong with the statement
            raise Altered from error

    def _require_sequence(self, seen: Look) -> None:
        """Raise Altered where the sequence has another name, or the right to see it was taken away."""
        if seen.sees_sequence and seen.last_given != look(self._origin, self._connection).last_given:
            raise Altered from None

    def _stream(self, parameters: dict[str, Any], limits: Limits, form: Description, seen: Look) -> Rows:
        rows: list[Row] = []
        total, last = 0, None
        is_cut, twice = False, None
        with self._connection.cursor(binary=form.has_binary_form, row_factory=_row) as cursor:
            for row in cursor.stream(self._statement(seen.last_given), parameters, size=_STREAM_ROWS):
                if row.form != self._fit:
                    raise session.changed()
                if not rows:
                    self._require(form, cursor.pgresult)
                if row.id == last:
                    twice = row
                    break
                if is_cut := total >= limits.bytes:
                    break
                rows.append(row)
                last = row.id
                total += len(row.value)
        if twice is not None:
            raise self._doubled(twice)
        if rows and not rows[0].unchanged:
            raise Altered
        given = None if not seen.sees_sequence else rows[0].last_given if rows else EVERYTHING
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
        if self._number(self._rows_of, id=row.id) > 1:
            return StreamStopped(
                f"{self._origin.stream.source.name} has several rows with id {row.id}: nobody can tell which of "
                "them is the event.",
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
