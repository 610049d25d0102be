"""Connections to PostgreSQL that wait for a bounded time, also behind a server that is frozen.

Such a server enforces no timeout of its own, and TCP's do not help: the kernel goes on acknowledging for a process
that is stopped. So it is the waiting itself that ends here.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.abc import RV, PQGen
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import Row

from engagement_platform.domain.errors import SettingsError, Unavailable


class BoundedConnection(psycopg.Connection[Row]):
    """A connection that breaks with an OperationalError when the server is silent for `patience` seconds.

    Silent means that nothing was sent or received while a command waits, so a long result is not cut off. `patience`
    should exceed the session's statement_timeout: a server that lives then speaks first, and says why.
    """

    patience = 10.0

    def wait(self, gen: PQGen[RV], *args: Any, **kwargs: Any) -> RV:
        """Wait as psycopg does, within `patience`. Every command of the connection passes through here."""
        return super().wait(self._impatient(gen), *args, **kwargs)

    def _impatient(self, gen: PQGen[RV]) -> PQGen[RV]:
        """Stand between psycopg's protocol and its waiting, which reports silence ten times a second."""
        heard = time.monotonic()
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                now = time.monotonic()
                if ready:
                    heard = now
                elif now - heard > self.patience:
                    self.close()  # so that no later command waits for the answer to this one
                    raise psycopg.OperationalError(f"the server was silent for {self.patience:.0f} s")
                wanted = gen.send(ready)
        except StopIteration as end:
            result: RV = end.value
            return result


def require_understood(dsn: str, variable: str) -> None:
    """Raise SettingsError, which names the `variable` but not its value, for a DSN that libpq does not understand."""
    try:
        conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:  # it quotes the part of the DSN, perhaps of the password, that it stumbled over
        raise SettingsError(
            f"{variable} is not a DSN that PostgreSQL's client understands.",
            "It must be a URL with special characters percent-encoded, or key=value pairs with known keys.",
        ) from None


def connect(
    dsn: str, variable: str, *, patience: float, connect_timeout: int, **options: Any
) -> BoundedConnection[tuple[Any, ...]]:
    """Connect, each statement being its own transaction. Raises psycopg.Error, and SettingsError for a bad DSN."""
    require_understood(dsn, variable)
    connection: BoundedConnection[tuple[Any, ...]] = BoundedConnection.connect(
        dsn, autocommit=True, connect_timeout=connect_timeout, **options
    )
    connection.patience = patience
    return connection


@contextmanager
def translated(server: str, variable: str) -> Iterator[None]:
    """Raise Unavailable for what psycopg raises; `server` begins the sentence."""
    try:
        yield
    except psycopg.Error as error:
        said = " ".join(str(error).split())
        raise Unavailable(
            f"{server} does not answer ({type(error).__name__}: {said}).",
            f"Check that it runs and {variable} is right.",
        ) from error
