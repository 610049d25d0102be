"""A copy of the relay's checkpoint in the platform database: for display, and to notice that Kafka lost its own.

Written in the background about once a second, and never waited for: without this database the relay goes on.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from engagement_platform.adapters import sql
from engagement_platform.domain.checkpoint import Checkpoint, from_bytes, to_bytes
from engagement_platform.domain.errors import Unavailable
from engagement_platform.settings import Settings

log = logging.getLogger(__name__)

_SQL = sql.load(__package__, "mirror.sql")
_SECONDS = 1.0
_CONNECT_SECONDS = 3


def read(settings: Settings) -> Checkpoint | None:
    """Return the copy; None when none was ever written. Raises Unavailable."""
    try:
        with psycopg.connect(settings.platform_dsn.get_secret_value(), connect_timeout=_CONNECT_SECONDS) as connection:
            found = connection.execute(_SQL["read"], {"topic": settings.topic}).fetchone()
    except psycopg.errors.UndefinedTable:
        return None  # the schema is made at the first start
    except psycopg.Error as error:
        raise Unavailable(
            f"The platform database does not answer ({type(error).__name__}: {error}).".replace("\n", " "),
            "Check that it runs and ENGAGEMENT_PLATFORM_DSN is right.",
        ) from error
    return None if found is None else from_bytes(found[0])


def replace(settings: Settings, checkpoint: Checkpoint) -> None:
    """Set the copy to a checkpoint that an operator has chosen, be it lower. Raises psycopg.Error."""
    with psycopg.connect(settings.platform_dsn.get_secret_value(), connect_timeout=_CONNECT_SECONDS) as connection:
        connection.execute(_SQL["replace"], _parameters(settings, checkpoint))


def _parameters(settings: Settings, checkpoint: Checkpoint) -> dict[str, object]:
    return {
        "topic": settings.topic,
        "generation": checkpoint.generation,
        "hi": checkpoint.hi,
        "checkpoint": to_bytes(checkpoint),
    }


class Mirror:
    """Keeps the copy up to date from a thread of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._latest: Checkpoint | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._write_until_closed, name="checkpoint-mirror", daemon=True)

    def last(self, *, required: bool) -> Checkpoint | None:
        """Return the copy; None when there is none.

        When the database does not answer: raises Unavailable if the answer is `required`, else returns None.
        """
        try:
            return read(self._settings)
        except Unavailable:
            if required:
                raise
            return None

    def record(self, checkpoint: Checkpoint) -> None:
        """Take note of a checkpoint that is safely in Kafka. Returns at once."""
        self._latest = checkpoint

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def close(self) -> None:
        """Write what is left, within a few seconds."""
        self._closing.set()
        self._thread.join(_CONNECT_SECONDS + 1)

    def _write_until_closed(self) -> None:
        written: Checkpoint | None = None
        connection: psycopg.Connection | None = None
        while True:
            last_round = self._closing.wait(_SECONDS)
            latest = self._latest
            try:
                if latest is not None and latest is not written:
                    connection = connection or self._connect()
                    connection.execute(_SQL["write"], _parameters(self._settings, latest))
                    written = latest
            except psycopg.Error as error:
                log.debug("the checkpoint's copy was not written: %s", error)
                connection = None
            if last_round:
                break
        if connection is not None:
            connection.close()

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(
            self._settings.platform_dsn.get_secret_value(),
            autocommit=True,
            connect_timeout=_CONNECT_SECONDS,
            application_name="engagement-relay-mirror",
            tcp_user_timeout=5_000,
        )


@contextmanager
def open_mirror(settings: Settings) -> Iterator[Mirror]:
    """Run a mirror while the block runs."""
    mirror = Mirror(settings)
    mirror.start()
    try:
        yield mirror
    finally:
        mirror.close()
