"""The read of the relay: events by their ids, enriched, and with what tells that all of them are of one schema."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from typing import Any, NamedTuple

import psycopg
from psycopg.pq.abc import PGresult

from engagement_platform.adapters import sql, sqlstate
from engagement_platform.adapters.source import session
from engagement_platform.adapters.source.describe import Described, Description, columns_of, usable
from engagement_platform.adapters.source.doubled import doubled
from engagement_platform.adapters.source.look import SQL, UNCHANGED, Look, look
from engagement_platform.adapters.source.origin import Origin
from engagement_platform.adapters.source.planned import Planned
from engagement_platform.adapters.source.rows import BEYOND_JSON, Altered, Limits, Row, Rows
from engagement_platform.adapters.sqlstate import Meaning
from engagement_platform.domain.errors import StreamStopped
from engagement_platform.domain.ids import IdRange
from engagement_platform.domain.ledger import EVERYTHING

_SQL = sql.load(__package__, "relay.sql")
_READ = _SQL["read"].replace("{wanted}", _SQL["wanted"]).replace("{unchanged}", UNCHANGED)
_FIRST_WANTED = _SQL["first_wanted"].replace("{wanted}", _SQL["wanted"])

_PART_ROWS = 200
_PLANS = 3
"""Of one read, where the columns of the result are others each time that the plan before is used."""
_COLUMNS = ("id", "key", "value", "bytes", "has_timestamp", "form", "last_given", "unchanged")
"""What a read has before the event's columns."""


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
        self._planned = Planned(connection)
        self._filled: tuple[tuple[str, int], bytes] = ("", 0), b""

    @property
    def described(self) -> Description:
        """What PostgreSQL says of the columns. Raises StreamStopped where `enriched.sql` cannot be used."""
        if self._form is None:
            self._form = usable(self._origin, self._connection)
        return self._form

    def expire(self) -> None:
        """Have PostgreSQL plan the next read anew."""
        self._planned.expire()

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
                for _ in range(_PLANS - 1):
                    with suppress(psycopg.errors.FeatureNotSupported):  # "cached plan must not change result type"
                        return self._read(parameters, limits, form, seen)
                    self._planned.expire()  # a plan of now tells what has changed
                return self._read(parameters, limits, form, seen)
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

    def _statement(self, last_given: str, rows: int) -> bytes:
        """Return the read; another one only where the sequence has another name, or may be seen or not any more.

        How many rows it may return stands in it: a plan that does not know would be made for a tenth of the table.
        """
        filled_for, statement = self._filled
        if filled_for != (last_given, rows):
            read = _READ.replace("{form}", session.form(self._origin)).replace("{last_given}", last_given)
            statement = self._origin.statement(read.replace("%(rows)s", str(rows))).encode()
            self._filled = (last_given, rows), statement
        return statement

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

    def _read(self, parameters: dict[str, Any], limits: Limits, form: Description, seen: Look) -> Rows:
        statement = self._statement(seen.last_given, limits.rows)
        parts = self._planned.parts(statement, parameters, _PART_ROWS, binary=form.has_binary_form)
        rows, given = _Rows(limits.bytes), EVERYTHING if seen.sees_sequence else None
        with closing(parts):
            for part in parts:
                if not rows.rows and part.ntuples:
                    given = self._judged(form, part)
                if not rows.take(part, _VALUES[form.has_binary_form]):
                    break
        if rows.twice is not None:
            raise self._doubled(rows.twice)
        return Rows(rows.rows, rows.is_cut or len(rows.rows) == limits.rows, given if seen.sees_sequence else None)

    def _judged(self, form: Description, part: PGresult) -> int | None:
        """Return the id that the sequence gave last. Raises Unavailable and Altered where the source was changed."""
        value = _VALUES[form.has_binary_form]
        fit, given, unchanged = (part.get_value(0, at) for at in range(5, 8))
        if value.number(fit) != self._fit:
            raise session.changed()
        self._require(form, part)
        if not value.truth(unchanged):
            raise Altered
        return value.number(given)

    def _require(self, form: Description, answer: PGresult) -> None:
        """Raise Altered where a read has other columns than were described; they are described again when asked for.

        PostgreSQL tells the columns with each answer, for the moment for which it has planned the read.
        """
        if _types(columns_of(answer, len(_COLUMNS))) != _types(form.columns):
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


class _Values(NamedTuple):
    """How the values of an answer are read."""

    number: Callable[[bytes | None], int | None]
    raw: Callable[[bytes | None], bytes | None]
    truth: Callable[[bytes | None], bool | None]


_VALUES = {
    True: _Values(
        lambda value: None if value is None else int.from_bytes(value, "big", signed=True),
        lambda value: value,
        lambda value: None if value is None else value == b"\x01",
    ),
    False: _Values(
        lambda value: None if value is None else int(value),
        lambda value: None if value is None else bytes.fromhex(value[2:].decode()),
        lambda value: None if value is None else value == b"t",
    ),
}
"""Whether they have a binary form -> how."""


class _Rows:
    """The rows of an answer, until there are enough bytes of them, or one comes twice."""

    def __init__(self, most_bytes: int) -> None:
        self.rows: list[Row] = []
        self.is_cut = False
        self.twice: Row | None = None
        self._left = most_bytes

    def take(self, part: PGresult, value: _Values) -> bool:
        """Take rows; say whether there may be more."""
        number, raw, truth = value
        rows, get = self.rows, part.get_value
        last = rows[-1].id if rows else None
        for at in range(part.ntuples):
            values = number(get(at, 0)), raw(get(at, 1)), raw(get(at, 2)), number(get(at, 3)), truth(get(at, 4))
            row = Row._make(values)
            if row.id == last:
                self.twice = row
                return False
            if self._left <= 0:
                self.is_cut = True
                return False
            rows.append(row)
            last = row.id
            self._left -= len(row.value)
        return True
