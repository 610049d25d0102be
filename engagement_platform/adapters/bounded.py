"""Connections to PostgreSQL that keep all of their DSN and wait for a bounded time, also behind a frozen server.

Such a server enforces no timeout of its own, and TCP's do not help: the kernel goes on acknowledging for a process
that is stopped. So it is the waiting itself that ends here.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import pq
from psycopg.abc import RV, PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import Row

from engagement_platform.adapters import sqlstate
from engagement_platform.adapters.sqlstate import Meaning
from engagement_platform.domain.errors import Refused, SettingsError, Unavailable


class BoundedConnection(psycopg.Connection[Row]):
    """A connection that breaks with an OperationalError when the server is silent for `patience` seconds.

    Silent means that nothing was sent or received while a command waits, so a long result is not cut off. `patience`
    should exceed the session's statement_timeout: a server that lives then speaks first, and says why.
    """

    patience = 10.0

    def wait(self, gen: PQGen[RV], *args: Any, **kwargs: Any) -> RV:
        """Wait as psycopg does, within `patience`. Every command of the connection passes through here."""
        return super().wait(self._impatient(gen), *args, **kwargs)

    @contextmanager
    def waiting(self, seconds: float) -> Iterator[None]:
        """Let the server be silent for no longer than so many seconds while the block runs."""
        usual, self.patience = self.patience, seconds
        try:
            yield
        finally:
            self.patience = usual

    def _impatient(self, gen: PQGen[RV]) -> PQGen[RV]:
        """Stand between psycopg's protocol and its waiting, which reports silence ten times a second."""
        heard = time.monotonic()
        try:
            event = next(gen)
            while True:
                ready = yield event
                now = time.monotonic()
                if ready:
                    heard = now
                elif now - heard > self.patience:
                    self.close()  # so that no later command waits for the answer to this one
                    raise psycopg.OperationalError(f"the server was silent for {self.patience:.0f} s")
                event = gen.send(ready)
        except StopIteration as end:
            result: RV = end.value
            return result


def conninfo(dsn: str, variable: str, **defaults: Any) -> str:
    """Return the DSN with `defaults` for what neither it nor the environment (PGOPTIONS and the like) says.

    Raises SettingsError, which names the `variable` but not its value, for a DSN that libpq does not understand.
    """
    try:
        given = conninfo_to_dict(dsn)
    except (psycopg.ProgrammingError, UnicodeError):  # they quote what they stumbled over, perhaps the password
        raise SettingsError(
            f"{variable} is not a DSN that PostgreSQL's client understands.",
            "It must be a URL with special characters percent-encoded, or key=value pairs with known keys.",
        ) from None
    environment = {option.keyword.decode() for option in pq.Conninfo.get_defaults() if option.val is not None}
    return make_conninfo(dsn, **{key: defaults[key] for key in defaults.keys() - given.keys() - environment})


def connect(
    dsn: str, variable: str, *, server: str, patience: float, prepare: str, **defaults: Any
) -> BoundedConnection[tuple[Any, ...]]:
    """Connect, each statement being its own transaction, and prepare the session by the statements of `prepare`.

    They are sent as statements, not as `options` of the connection: those belong to the DSN, and poolers refuse them.
    Raises Refused and Unavailable; `server` begins their sentences. Raises SettingsError for a bad DSN.
    """
    parameters = conninfo(dsn, variable, **defaults)
    try:
        connection: BoundedConnection[tuple[Any, ...]] = BoundedConnection.connect(parameters, autocommit=True)
    except psycopg.Error as error:
        raise failed_to_connect(parameters, server, variable, error) from error
    connection.patience = patience
    try:
        with translated(server, variable):
            connection.execute(prepare.encode())
    except BaseException:
        connection.close()
        raise
    return connection


def failed_to_connect(parameters: str, server: str, variable: str, error: Exception) -> Unavailable:
    """Return what to tell of an attempt to connect that failed: whether the server refuses or does not answer."""
    if sqlstate.meaning_of_connecting(parameters, str(error)) is Meaning.REFUSED:
        return sqlstate.login_refused(server, variable, error)
    return sqlstate.away(server, variable, error)


@contextmanager
def translated(server: str, variable: str) -> Iterator[None]:
    """Raise Unavailable, or Refused, for what psycopg raises; `server` begins the sentence."""
    try:
        yield
    except psycopg.Error as error:
        raise failed(server, variable, error) from error


def failed(server: str, variable: str, error: psycopg.Error) -> Unavailable:
    """Return what to tell of a statement that failed."""
    match sqlstate.meaning(error.sqlstate):
        case Meaning.AWAY | Meaning.BUSY:
            return sqlstate.away(server, variable, error)
        case Meaning.REFUSED:
            return Refused(
                f"{server} refuses a right: {sqlstate.one_line(error)}.",
                f"Grant it to the role of {variable}; engagement-platform doctor names what is missing.",
                server=sqlstate.in_sentence(server),
            )
        case _:
            return sqlstate.in_error(server, error)
