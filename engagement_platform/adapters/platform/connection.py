"""How the platform's own database is connected to."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from engagement_platform.adapters import bounded
from engagement_platform.settings import Settings

CONNECT_SECONDS = 3
_STATEMENT_MS = 5_000
_PATIENCE_SECONDS = 7.0
_VARIABLE = "ENGAGEMENT_PLATFORM_DSN"
_SERVER = "The platform database"
# Under another isolation level a statement would not see what was committed while it waited for a lock.
_SESSION = "SET timezone = 'UTC'; SET default_transaction_isolation = 'read committed'; SET statement_timeout = {ms}"


def connect(settings: Settings, purpose: str) -> psycopg.Connection[Any]:
    """Connect, each statement being its own transaction. Raises Refused, Unavailable and SettingsError.

    A server that does not answer any more, be it frozen, is noticed within seconds.
    """
    return bounded.connect(
        settings.platform_dsn.get_secret_value(),
        _VARIABLE,
        server=_SERVER,
        patience=_PATIENCE_SECONDS,
        prepare=_SESSION.format(ms=_STATEMENT_MS),
        connect_timeout=CONNECT_SECONDS,
        application_name=f"engagement-{purpose}",
        tcp_user_timeout=_STATEMENT_MS,
    )


@contextmanager
def translated() -> Iterator[None]:
    """Raise Unavailable, or Refused, for what psycopg raises."""
    with bounded.translated(_SERVER, _VARIABLE):
        yield


class Session:
    """A connection that is made when it is first needed, and anew after an error. For one thread at a time.

    Operations raise Unavailable, or Refused, when the database does not answer or refuses.
    """

    def __init__(self, settings: Settings, purpose: str) -> None:
        self._settings = settings
        self._purpose = purpose
        self._connection: psycopg.Connection[Any] | None = None

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _connected(self) -> Iterator[psycopg.Connection[Any]]:
        try:
            with translated():
                self._connection = self._connection or connect(self._settings, self._purpose)
                yield self._connection
        except BaseException:
            self.close()
            raise
