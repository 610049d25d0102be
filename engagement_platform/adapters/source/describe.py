"""Asks PostgreSQL for the columns of a stream's `enriched.sql`. The statement is prepared, and no row is read."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, NamedTuple

import psycopg
from psycopg import generators, pq
from psycopg.rows import dict_row

from engagement_platform.adapters import sql, sqlstate
from engagement_platform.adapters.source import session
from engagement_platform.adapters.source.origin import Origin
from engagement_platform.adapters.sqlstate import Meaning
from engagement_platform.domain.columns import Base, Column, Schema, Type, faults_of
from engagement_platform.domain.errors import StreamStopped
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.source_types import SourceType, Uncarried, type_of
from engagement_platform.domain.stream_form import Flaw
from engagement_platform.domain.stream_rules import flaws_of_columns

_SQL = sql.load(__package__, "describe.sql")
_BEFORE, _AFTER = "SELECT * FROM (", "\n) AS event"
"""How every reader writes the enrichment: within another statement."""


class Described(NamedTuple):
    """A column as PostgreSQL describes it."""

    name: str
    type: int
    modifier: int
    table: int
    """Of which table it is a column as it is; 0 for what is computed."""
    number: int
    """Its number there."""


@dataclass(frozen=True, slots=True)
class Description:
    """What PostgreSQL says of a statement's columns, and what of it no stream can have."""

    columns: Sequence[Described]
    schema: Schema
    """A column that cannot be carried stands in it as one that can, so that nothing else is said of it."""
    faults: Sequence[str]
    """Each with its remedy in enriched.sql."""
    flaws: Sequence[Flaw]
    """What stream.toml asks of the columns and they do not give."""
    has_binary_form: bool
    """Whether an answer with these columns can come in PostgreSQL's binary form."""


def schema_now(origin: Origin) -> Schema:
    """Return what `describe` does, by a connection of its own: a silent server is given up within seconds."""
    with closing(session.connect_for_lookups(origin.dsn, "describe")) as connection:
        return describe(origin, connection)


def describe(origin: Origin, connection: psycopg.Connection[Any]) -> Schema:
    """Return the schema that `enriched.sql` has over this source now.

    Raises StreamStopped where the statement cannot be used, with the line at fault or with every column that cannot be
    carried; else what reading the source raises.
    """
    return usable(origin, connection).schema


def usable(origin: Origin, connection: psycopg.Connection[Any]) -> Description:
    """Return the same with PostgreSQL's own description of it.

    Several of these make one schema: a text of another length, a whole number of another width.
    """
    description = described(origin, connection)
    if description.faults:
        raise _unusable(origin.stream, "; ".join(description.faults))
    if description.flaws:
        raise StreamStopped(
            f"stream.toml of the stream {origin.stream.name} does not fit the columns of its enriched.sql: "
            f"{'; '.join(map(str, description.flaws))}.",
            "Mend it, or ask the source's owner to undo what was changed there; nothing was published meanwhile, and"
            " the stream then goes on by itself. The command `stream check` names the lines.",
        )
    return description


def described(origin: Origin, connection: psycopg.Connection[Any]) -> Description:
    """Return the same with all that is wrong with it. Raises StreamStopped where it is no statement."""
    stream = origin.stream
    with session.reaching(origin):
        _prepared(origin, connection, "", "")
        seen = _prepared(origin, connection, _BEFORE, _AFTER)
        oids = [column.type for column in seen]
        catalog = catalog_of(connection, oids)
        has_binary_form = _have_binary_form(connection, oids)
    columns, refused = list[Column](), list[str]()
    for column in seen:
        try:
            columns.append(Column(column.name, type_of(column.type, column.modifier, catalog, column.name)))
        except Uncarried as refusal:
            refused.append(f"its column {column.name} {refusal.why}: write {refusal.cast} AS {column.name}")
            carried = Base.TIMESTAMP if column.name == stream.source.time else Base.INTEGER
            columns.append(Column(column.name, Type(carried)))
    schema = Schema(tuple(columns), stream.source.id, stream.source.time, stream.key)
    faults = [*refused, *faults_of(schema)]
    return Description(seen, schema, faults, flaws_of_columns(stream, schema), has_binary_form)


def _unusable(stream: EventStream, what: str) -> StreamStopped:
    return StreamStopped(
        f"enriched.sql of the stream {stream.name} cannot be used: {what}.",
        "Mend it, or ask the source's owner to undo what was changed there: a column that has another name now is"
        " written with AS and its name of before. Nothing was published meanwhile, and the stream then goes on by"
        " itself from where it was. docs/types.md says what columns may be.",
    )


def _prepared(origin: Origin, connection: psycopg.Connection[Any], before: str, after: str) -> list[Described]:
    """Return the columns of the statement, of which there may be only one. Raises StreamStopped and psycopg.Error."""
    with connection.transaction():  # behind a pooler both commands reach one server
        connection.pgconn.send_prepare(b"", (before + origin.stream.enriched + after).encode())
        answer = _answer(origin, connection, len(before))
        connection.pgconn.send_describe_prepared(b"")
        answer = _answer(origin, connection, len(before))
    if not answer.nfields:
        raise _unusable(origin.stream, "it is no SELECT that returns columns")
    return columns_of(answer)


def columns_of(answer: pq.abc.PGresult, first: int = 0) -> list[Described]:
    """Return the columns that an answer has, from one on."""
    return [
        Described(
            (answer.fname(i) or b"").decode(), answer.ftype(i), answer.fmod(i), answer.ftable(i), answer.ftablecol(i)
        )
        for i in range(first, answer.nfields)
    ]


def _answer(origin: Origin, connection: psycopg.Connection[Any], before: int) -> pq.abc.PGresult:
    """Wait for the answer to a command, within the connection's patience."""
    answer: pq.abc.PGresult
    [answer] = connection.wait(generators.execute(connection.pgconn))
    if answer.status != pq.ExecStatus.COMMAND_OK:
        raise _failure(origin, answer, before)
    return answer


def _failure(origin: Origin, answer: pq.abc.PGresult, before: int) -> Exception:
    """Return what to tell of a statement that cannot be prepared: the line, where it is the statement's fault."""
    state = (answer.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
    said = (answer.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"").decode("utf-8", "replace")
    if sqlstate.meaning(state) in (Meaning.MISMATCHED, Meaning.DATA):
        hint = (answer.error_field(pq.DiagnosticField.MESSAGE_HINT) or b"").decode("utf-8", "replace")
        position = int(answer.error_field(pq.DiagnosticField.STATEMENT_POSITION) or 0)
        where = _line(origin.stream.enriched, position - before) if position else ""
        return _unusable(origin.stream, f"{where}{said}" + (f" ({hint.rstrip('.')})" if hint else ""))
    error = psycopg.DatabaseError(said)
    error.sqlstate = state
    return session.failure(origin, error)


def _line(text: str, position: int) -> str:
    """Return in which line of a text a character is, counted from 1, and that line; of what lies behind, the last."""
    begun = text[: max(position - 1, 0)].count("\n")
    line = text.split("\n")[begun].strip()
    return f"line {begun + 1} ({line[:80]}): "


def catalog_of(connection: psycopg.Connection[Any], oids: Sequence[int]) -> Mapping[int, SourceType]:
    """Return what the catalog says of types, and of those that they are made of."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows: list[dict[str, Any]] = cursor.execute(_SQL["types"], {"oids": list(oids)}).fetchall()
    return {row.pop("oid"): SourceType(**row) for row in rows}


def _have_binary_form(connection: psycopg.Connection[Any], oids: Sequence[int]) -> bool:
    row = connection.execute(_SQL["have_binary_form"], {"oids": list(oids)}).fetchone()
    return row is not None and bool(row[0])
