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


def connect(settings: Settings, purpose: str) -> psycopg.Connection[Any]:
    """Connect, each statement being its own transaction. Raises psycopg.Error.

    A server that does not answer any more, be it frozen, is noticed within seconds.
    """
    return bounded.connect(
        settings.platform_dsn.get_secret_value(),
        _VARIABLE,
        patience=_PATIENCE_SECONDS,
        connect_timeout=CONNECT_SECONDS,
        application_name=f"engagement-{purpose}",
        options=f"-c statement_timeout={_STATEMENT_MS} -c timezone=UTC",
        tcp_user_timeout=_STATEMENT_MS,
    )


@contextmanager
def translated() -> Iterator[None]:
    """Raise Unavailable for what psycopg raises."""
    with bounded.translated("The platform database", _VARIABLE):
        yield
