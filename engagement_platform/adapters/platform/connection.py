"""How the platform's own database is connected to."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from engagement_platform.domain.errors import Unavailable
from engagement_platform.settings import Settings

CONNECT_SECONDS = 3
_STATEMENT_MS = 5_000


def connect(settings: Settings, purpose: str) -> psycopg.Connection[Any]:
    """Connect, each statement being its own transaction. Raises psycopg.Error.

    A server that does not answer any more is noticed within seconds.
    """
    return psycopg.connect(
        settings.platform_dsn.get_secret_value(),
        autocommit=True,
        connect_timeout=CONNECT_SECONDS,
        application_name=f"engagement-{purpose}",
        options=f"-c statement_timeout={_STATEMENT_MS} -c timezone=UTC",
        tcp_user_timeout=_STATEMENT_MS,
    )


@contextmanager
def translated() -> Iterator[None]:
    """Raise Unavailable for what psycopg raises."""
    try:
        yield
    except psycopg.Error as error:
        said = " ".join(str(error).split())
        raise Unavailable(
            f"The platform database does not answer ({type(error).__name__}: {said}).",
            "Check that it runs and ENGAGEMENT_PLATFORM_DSN is right.",
        ) from error
