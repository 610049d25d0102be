"""Asks PostgreSQL for the columns of a stream's `enriched.sql`. The statement is prepared, and no row is read."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import psycopg
from psycopg import generators, pq
from psycopg.rows import dict_row

from engagement_platform.adapters import sql, sqlstate
from engagement_platform.adapters.source import session
from engagement_platform.adapters.source.origin import Origin
from engagement_platform.adapters.sqlstate import Meaning
from engagement_platform.domain.columns import Column, Schema, faults_of
from engagement_platform.domain.errors import StreamStopped
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.source_types import SourceType, Uncarried, type_of

_SQL = sql.load(__package__, "describe.sql")
_BEFORE, _AFTER = "SELECT * FROM (", "\n) AS event"
"""How every reader writes the enrichment: within another statement."""


class Described(NamedTuple):
    """A column as PostgreSQL describes it."""

    name: str
    type: int
    modifier: int


def describe(origin: Origin, connection: psycopg.Connection[Any]) -> Schema:
    """Return the schema that `enriched.sql` has over this source now.

    Raises StreamStopped where the statement cannot be used, with the line at fault or with every column that cannot be
    carried; else what reading the source raises.
    """
    stream = origin.stream
    with session.reaching(origin):
        _prepared(origin, connection, "", "")
        described = _prepared(origin, connection, _BEFORE, _AFTER)
        catalog = _catalog(connection, [column.type for column in described])
    columns, refused = list[Column](), list[str]()
    for column in described:
        try:
            columns.append(Column(column.name, type_of(column.type, column.modifier, catalog, column.name)))
        except Uncarried as refusal:
            refused.append(f"its column {column.name} {refusal.why}: write {refusal.cast} AS {column.name}")
    schema = Schema(tuple(columns), stream.source.id, stream.source.time, stream.key)
    faults = refused or faults_of(schema)
    if faults:
        raise _unusable(stream, "; ".join(faults))
    return schema


def _unusable(stream: EventStream, what: str) -> StreamStopped:
    return StreamStopped(
        f"enriched.sql of the stream {stream.name} cannot be used: {what}.",
        "Mend it and start again; nothing was published meanwhile. docs/types.md says what columns may be.",
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
    return [
        Described((answer.fname(i) or b"").decode(), answer.ftype(i), answer.fmod(i)) for i in range(answer.nfields)
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


def _catalog(connection: psycopg.Connection[Any], oids: Sequence[int]) -> Mapping[int, SourceType]:
    with connection.cursor(row_factory=dict_row) as cursor:
        rows: list[dict[str, Any]] = cursor.execute(_SQL["types"], {"oids": list(oids)}).fetchall()
    return {row.pop("oid"): SourceType(**row) for row in rows}
