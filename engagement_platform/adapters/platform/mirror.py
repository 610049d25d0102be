"""Copies of the relay's checkpoint in the platform database.

The last one is for display, and to notice that Kafka lost its own; those of each minute tell what was published since a
time (`published`).

Written in the background about once a second, and never waited for: without this database the relay goes on.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from engagement_platform.adapters import sql
from engagement_platform.adapters.platform.connection import CONNECT_SECONDS, connect_platform, translated
from engagement_platform.domain.checkpoint import Checkpoint, from_bytes, to_bytes
from engagement_platform.domain.errors import Unavailable
from engagement_platform.settings import Settings

log = logging.getLogger(__name__)

_SQL = sql.load(__package__, "mirror.sql")
_SECONDS = 1.0
_CLOSE_SECONDS = CONNECT_SECONDS + 1


def read(settings: Settings) -> Checkpoint | None:
    """Return the copy; None when none was ever written. Raises Unavailable, and StreamStopped when it is unreadable."""
    with translated(), connect_platform(settings, "checkpoint") as connection:
        try:
            found = connection.execute(_SQL["read"], {"topic": settings.topic}).fetchone()
        except psycopg.errors.UndefinedTable:
            return None  # the schema is made at the first start
    return None if found is None else from_bytes(found[0])


def topics(settings: Settings) -> tuple[str, ...]:
    """Return the topics to which a relay of this platform has published. Raises Unavailable."""
    with translated(), connect_platform(settings, "mirror") as connection:
        try:
            return tuple(row[0] for row in connection.execute(_SQL["topics"]))
        except psycopg.errors.UndefinedTable:
            return ()  # the schema is made at the first start


def replace(settings: Settings, checkpoint: Checkpoint) -> None:
    """Set the copy to a checkpoint that an operator has chosen, be it lower. Raises Unavailable."""
    with translated(), connect_platform(settings, "checkpoint") as connection:
        connection.execute(_SQL["replace"], _parameters(settings, checkpoint))
        connection.execute(_SQL["keep"], _parameters(settings, checkpoint))


def _parameters(settings: Settings, checkpoint: Checkpoint) -> dict[str, object]:
    return {
        "topic": settings.topic,
        "generation": checkpoint.generation,
        "hi": checkpoint.hi,
        "unseen_at": checkpoint.unseen_at,
        "checkpoint": to_bytes(checkpoint),
    }


class Mirror:
    """Keeps the copy up to date from a thread of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._first: Checkpoint | None = None
        self._has_kept = False  # of the thread
        self._latest: Checkpoint | None = None
        self._connection: psycopg.Connection[Any] | None = None  # of the thread
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
        self._first = self._first or checkpoint
        self._latest = checkpoint

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def close(self) -> None:
        """Write what is left, within a few seconds; behind a frozen database the thread is left to end by itself."""
        self._closing.set()
        self._thread.join(_CLOSE_SECONDS)

    def _write_until_closed(self) -> None:
        written: Checkpoint | None = None
        closing = False
        while not closing:
            closing = self._closing.wait(_SECONDS)
            latest = self._latest
            if latest is not None and latest is not written and self._write(latest):
                written = latest
        self._disconnect()

    def _write(self, checkpoint: Checkpoint) -> bool:
        """Write a checkpoint; say whether that worked. The next try connects anew when it did not."""
        try:
            self._connection = self._connection or connect_platform(self._settings, "relay-mirror")
            # The first one says where the relay began.
            kept = checkpoint if self._has_kept else self._first or checkpoint
            self._connection.execute(_SQL["keep"], _parameters(self._settings, kept))
            self._has_kept = True
            self._connection.execute(_SQL["write"], _parameters(self._settings, checkpoint))
        except (psycopg.Error, Unavailable) as error:
            log.debug("the checkpoint's copy was not written: %s", error)
        except Exception:  # whatever it is: without the thread the copy would grow old unnoticed
            log.exception("the checkpoint's copy was not written")
        else:
            return True
        self._disconnect()
        return False

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


@contextmanager
def open_mirror(settings: Settings) -> Iterator[Mirror]:
    """Run a mirror while the block runs."""
    mirror = Mirror(settings)
    mirror.start()
    try:
        yield mirror
    finally:
        mirror.close()
