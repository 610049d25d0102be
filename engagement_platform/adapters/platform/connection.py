"""How the platform's own database is connected to."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self, TypeVar

import psycopg
from psycopg.rows import RowFactory, class_row, dict_row

from engagement_platform.adapters import bounded, sql
from engagement_platform.domain.errors import Unavailable
from engagement_platform.domain.stream_names import COMMON, schema_of
from engagement_platform.settings import Settings

T = TypeVar("T")

CONNECT_SECONDS = 3
_STATEMENT_MS = 5_000
_PATIENCE_SECONDS = 7.0
_VARIABLE = "ENGAGEMENT_PLATFORM_DSN"
_SERVER = "The platform database"
# Under another isolation level a statement would not see what was committed while it waited for a lock.
_SESSION = "SET timezone = 'UTC'; SET default_transaction_isolation = 'read committed'; SET statement_timeout = {ms}"


def connect_platform(settings: Settings, purpose: str) -> psycopg.Connection[Any]:
    """Connect, each statement being its own transaction. Raises Refused, Unavailable and SettingsError.

    A server that does not answer any more, be it frozen, is noticed within seconds.
    """
    return bounded.connect(
        settings.platform.dsn.get_secret_value(),
        _VARIABLE,
        server=_SERVER,
        patience=_PATIENCE_SECONDS,
        prepare=_SESSION.format(ms=_STATEMENT_MS),
        connect_timeout=CONNECT_SECONDS,
        application_name=f"engagement-{purpose}",
        tcp_user_timeout=_STATEMENT_MS,
    )


def schemas_used(settings: Settings) -> tuple[str, ...]:
    """Return the schemas that the stream's processes use: that of all streams, and its own."""
    return tuple(dict.fromkeys((COMMON, schema_of(settings.stream))))


@contextmanager
def translated() -> Iterator[None]:
    """Raise Unavailable, or Refused, for what psycopg raises; NoTable for a table that is missing."""
    with bounded.translated(_SERVER, _VARIABLE):
        try:
            yield
        except psycopg.errors.UndefinedTable as error:
            told = bounded.failed(_SERVER, _VARIABLE, error)
            raise NoTable(told.what, told.todo, server=told.server) from error


class NoTable(Unavailable):
    """A table is missing: the schema is made when the platform first starts."""


class Session:
    """A connection that is made when it is first needed, and anew after an error. For one thread at a time.

    Operations raise Unavailable, or Refused, when the database does not answer or refuses, and NoTable without the
    schema. Within `transaction` they are part of it; else each statement is a transaction of its own. In a statement
    `{schema}` stands for the schema of the settings' stream. `prepare` is called over each new connection, as to take a
    lock that lasts as long as it.
    """

    def __init__(
        self, settings: Settings, purpose: str, prepare: Callable[["Session"], object] = lambda _: None
    ) -> None:
        self._settings = settings
        self._purpose = purpose
        self._prepare = prepare
        self._schema = {"schema": schema_of(settings.stream)}
        self._connection: psycopg.Connection[Any] | None = None
        self.connections = 0
        """How often it has connected."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection."""
        return self._connection is not None

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def connected(self) -> Iterator[psycopg.Connection[Any]]:
        """Lend the connection to the block; it is closed when the block raises."""
        try:
            with translated():
                yield self._connection or self._connect()
        except BaseException:
            self.close()
            raise

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do what the block does in one transaction."""
        with self.connected() as connection, connection.transaction():
            yield

    def execute(self, statement: str, **parameters: object) -> None:
        """Execute a statement that returns nothing."""
        with self.connected() as connection:
            connection.execute(self.filled(statement), parameters or None)

    def one(self, statement: str, **parameters: object) -> dict[str, Any] | None:
        """Return the first row, by the names of its columns; None when there is none."""
        with self._rows(dict_row, statement, parameters) as rows:
            return rows.fetchone()

    def all(self, statement: str, **parameters: object) -> list[dict[str, Any]]:
        """Return the rows, by the names of their columns."""
        with self._rows(dict_row, statement, parameters) as rows:
            return rows.fetchall()

    def objects(self, kind: type[T], statement: str, **parameters: object) -> list[T]:
        """Return the rows as objects whose fields have the names of the columns."""
        with self._rows(class_row(kind), statement, parameters) as rows:
            return rows.fetchall()

    @contextmanager
    def _rows(
        self, factory: RowFactory[T], statement: str, parameters: dict[str, object]
    ) -> Iterator[psycopg.Cursor[T]]:
        with self.connected() as connection, connection.cursor(row_factory=factory) as cursor:
            yield cursor.execute(self.filled(statement), parameters or None)

    def filled(self, statement: str) -> str:
        """Return a statement over the tables of the settings' stream."""
        return sql.filled(statement, self._schema)

    def _connect(self) -> psycopg.Connection[Any]:
        connection = connect_platform(self._settings, self._purpose)
        self.connections += 1
        self._connection = connection
        self._prepare(self)
        return connection


class Store:
    """What is kept in some tables, over a session that several stores may share.

    Every operation raises Unavailable when the database does not answer, and connects anew the next time. Every time in
    it is the database's.
    """

    def __init__(self, session: Session) -> None:
        self.session = session

    @classmethod
    @contextmanager
    def opened(cls, settings: Settings, purpose: str) -> Iterator[Self]:
        """Make the store over a session of its own while the block runs."""
        with Session(settings, purpose) as session:
            yield cls(session)

    def close(self) -> None:
        """Close the session, for all that share it."""
        self.session.close()
