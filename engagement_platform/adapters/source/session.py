"""How the source is connected to, by whatever client: with all that its DSN says, and with what exactness needs.

Nothing else in the package connects to the source. What fails there is told apart here, too.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

import psycopg
from psycopg.rows import dict_row

from engagement_platform.adapters import bounded, sql, sqlstate
from engagement_platform.adapters.source.origin import Origin
from engagement_platform.adapters.sqlstate import Meaning
from engagement_platform.domain.errors import EngagementError, Refused, StreamStopped, Unavailable
from engagement_platform.domain.source_tables import (
    SERVER_NAME,
    Column,
    Elsewhere,
    Sight,
    Table,
    error_of,
    faults,
)

VARIABLE = "ENGAGEMENT_SOURCE_DSN"
CONNECT_SECONDS = 5
_SERVER = "The source"
_SQL = sql.load(__package__, "session.sql")
_SETTINGS = _SQL["settings"]
LOOKUP_SECONDS = 12.0
"""Longer than the statement_timeout of a look, so that a server that lives says why it took so long."""
_IMPATIENT = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3, "tcp_user_timeout": 10_000}
"""How soon a connection breaks whose other end is gone without a word."""


def form(origin: Origin) -> str:
    """Return a statement that gives one number: the tables and types it was planned for. The relay's reads carry it."""
    tables = origin.stream.tables
    parts = [f"to_regclass('{table}')::oid" for table in tables]  # asked with each use: a plan may keep a constant
    joins = []
    for number, (table, columns) in enumerate(tables.items()):
        names = ", ".join(sql.identifier(column.name) for column in columns)
        joins.append(_SQL["form_of_table"].format(table=table, columns=names, alias=f"table{number}"))
        parts += [f"pg_typeof(table{number}.{sql.identifier(column.name)})::oid" for column in columns]
    return _SQL["form"].format(parts=", ".join(parts), joins="\n  ".join(joins))


def connect(
    dsn: str, purpose: str, *, patience: float = math.inf, prepare: str = ""
) -> bounded.BoundedConnection[tuple[Any, ...]]:
    """Connect, each statement being its own transaction; `prepare` has further settings of the session.

    `patience` is how many seconds the server may be silent. Raises Refused, Unavailable, SettingsError.
    """
    return bounded.connect(
        dsn,
        VARIABLE,
        server=_SERVER,
        patience=patience,
        prepare=f"{_SETTINGS};\n{prepare}",
        **_defaults(purpose),
    )


@contextmanager
def connect_arrow(origin: Origin, purpose: str) -> Iterator[Any]:
    """Open a cursor that reads Arrow, in a transaction that sees one snapshot. Raises what `connect` does."""
    from adbc_driver_postgresql import dbapi  # noqa: PLC0415

    parameters = bounded.conninfo(origin.dsn, VARIABLE, **_defaults(purpose))
    try:
        connection = dbapi.connect(parameters)
    except dbapi.Error as error:
        raise bounded.failed_to_connect(parameters, _SERVER, VARIABLE, error) from error
    try:
        with connection.cursor() as cursor:
            with reaching_arrow(origin):
                for statement in (_SQL["snapshot"], *_SETTINGS.split(";\n")):
                    cursor.execute(statement)
            yield cursor
    finally:
        connection.close()


def _defaults(purpose: str) -> dict[str, Any]:
    return {"connect_timeout": CONNECT_SECONDS, "application_name": f"engagement-{purpose}", **_IMPATIENT}


@contextmanager
def reaching(origin: Origin) -> Iterator[None]:
    """Turn what psycopg raises into Unavailable, Refused or StreamStopped."""
    try:
        yield
    except psycopg.Error as error:
        raise failure(origin, error) from error


@contextmanager
def reaching_arrow(origin: Origin) -> Iterator[None]:
    """Turn what the Arrow client raises into the same."""
    from adbc_driver_manager import dbapi  # noqa: PLC0415

    try:
        yield
    except dbapi.Error as error:
        raise failure(origin, error) from error


def failure(origin: Origin, error: Any) -> EngagementError:
    """Return what to tell of a statement on the source that failed; looks at the source where that can explain it."""
    said = sqlstate.one_line(error)
    match sqlstate.meaning(error.sqlstate):
        case Meaning.AWAY:
            return sqlstate.away(_SERVER, VARIABLE, error)
        case Meaning.BUSY:
            return Unavailable(
                f"A read of the source had to wait too long: {said}.",
                f"Somebody holds a lock on {_names(origin, ' or ')}, the server is overloaded (see"
                " pg_stat_activity), or the role has a short statement_timeout.",
                server=SERVER_NAME,
            )
        case Meaning.REFUSED:
            return explained(origin) or Refused(
                f"The source refuses a read: {said}.",
                f"Grant SELECT on {_names(origin, ' and ')}, and what lies behind them where they are views, to the"
                f" role of {VARIABLE}; where row level security is on, the role needs BYPASSRLS.",
                server=SERVER_NAME,
            )
        case Meaning.MISMATCHED:
            return explained(origin) or StreamStopped(
                f"The source is not as the platform needs it: {said}.",
                "Look at what the owner has changed: engagement-platform doctor compares tables, columns and types.",
            )
        case Meaning.DATA:
            return explained(origin) or StreamStopped(
                f"The source has a value that cannot be read: {said}.",
                "Ask the owner to correct the row; the next start goes on from there.",
            )
        case Meaning.ERROR:
            return sqlstate.in_error(_SERVER, error)


def explained(origin: Origin) -> EngagementError | None:
    """Look at the source's tables, and return what is not as it must be; None where that explains nothing."""
    try:
        return error_of(faults(look(origin), origin.stream.tables))
    except Unavailable:
        return None


def _names(origin: Origin, between: str) -> str:
    return between.join(origin.stream.tables)


def require_fit(origin: Origin) -> int:
    """Return the form of the source's tables. Raises Refused or StreamStopped where they are not as they must be."""
    with closing(connect_for_lookups(origin.dsn)) as connection:
        return fit(origin, connection)


def fit(origin: Origin, connection: psycopg.Connection[Any]) -> int:
    """Do the same over a connection. What changes after it was asked has another form."""
    with reaching(origin):
        row = connection.execute(form(origin).encode()).fetchone()
        unfit = error_of(faults(_sight(origin, connection), origin.stream.tables))
    if unfit is not None:
        raise unfit
    assert row is not None, "it always returns one row"  # noqa: S101
    return int(row[0])


def changed() -> Unavailable:
    """Return what to tell when the tables have another form than when they were looked at."""
    return Unavailable("The source's tables were changed.", "They are looked at again.", server=SERVER_NAME)


def look(origin: Origin) -> Sight:
    """Return what a session sees of the source. Raises Unavailable and Refused."""
    with closing(connect_for_lookups(origin.dsn)) as connection, bounded.translated(_SERVER, VARIABLE):
        return _sight(origin, connection)


def connect_for_lookups(dsn: str, purpose: str = "lookup") -> bounded.BoundedConnection[tuple[Any, ...]]:
    """Connect as `connect` does, for statements none of which may take long."""
    return connect(dsn, purpose, patience=LOOKUP_SECONDS, prepare=_SQL["patience_of_lookups"])


def _sight(origin: Origin, connection: psycopg.Connection[Any]) -> Sight:
    names = list(origin.stream.tables)

    def rows(name: str, **parameters: object) -> list[dict[str, Any]]:
        with connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(_SQL[name], parameters or None).fetchall()

    (session,) = rows("sight")
    columns = rows("columns", names=names)
    tables = {
        row["name"]: Table(row["written"], row["filtered"], row["owned"], _columns(columns, row["name"]))
        for row in rows("tables", names=names)
    }
    elsewhere = rows("elsewhere", names=names)
    return Sight(
        session["role"],
        session["search_path"],
        tables,
        {name: tuple(Elsewhere(r["schema"], r["usable"]) for r in elsewhere if r["name"] == name) for name in names},
    )


def _columns(rows: list[dict[str, Any]], table: str) -> Mapping[str, Column]:
    return {
        row["column"]: Column(row["type_name"], row["category"], row["readable"])
        for row in rows
        if row["table"] == table
    }
