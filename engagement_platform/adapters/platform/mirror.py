"""Copies of the relay's checkpoint in the platform database.

The last one is for display, and to notice that Kafka lost its own; those of each minute tell what was published since a
time (`published`).

Written in the background about once a second, and never waited for: without this database the relay goes on. With them
the database gets back what it has lost of the schemas of messages.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from engagement_platform.adapters import sql
from engagement_platform.adapters.platform.connection import NoTable, Session
from engagement_platform.adapters.platform.copies import Copier, Write
from engagement_platform.adapters.platform.schemas import Schemas
from engagement_platform.domain.checkpoint import Checkpoint, from_bytes, messages_of, schemas_of, to_bytes
from engagement_platform.domain.errors import Unavailable
from engagement_platform.settings import Settings

log = logging.getLogger(__name__)

_SQL = sql.load(__package__, "mirror.sql")


def read(settings: Settings) -> Checkpoint | None:
    """Return the copy; None when none was ever written. Raises Unavailable, and StreamStopped when it is unreadable."""
    with Session(settings, "checkpoint") as session, suppress(NoTable):
        row = session.one(_SQL["read"], topic=settings.topics.events)
        return None if row is None else from_bytes(row["checkpoint"])
    return None


def topics(settings: Settings) -> tuple[str, ...]:
    """Return the topics to which a relay of this platform has published. Raises Unavailable."""
    with Session(settings, "mirror") as session, suppress(NoTable):
        return tuple(row["topic"] for row in session.all(_SQL["topics"]))
    return ()


def replace(settings: Settings, checkpoint: Checkpoint) -> None:
    """Set the copy to a checkpoint that an operator has chosen, be it lower. Raises Unavailable."""
    with Session(settings, "checkpoint") as session:
        session.execute(_SQL["write"], **_parameters(settings, checkpoint), chosen=True)
        session.execute(_SQL["keep"], **_parameters(settings, checkpoint))


def _parameters(settings: Settings, checkpoint: Checkpoint) -> dict[str, object]:
    return {
        "topic": settings.topics.events,
        "generation": checkpoint.generation,
        "hi": checkpoint.hi,
        "unseen_at": checkpoint.unseen_at,
        "checkpoint": to_bytes(checkpoint),
    }


class Mirror(Copier):
    """Keeps the copy up to date from a thread of its own, while the block runs."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, "relay-mirror", log)
        self._settings = settings
        self._first: Checkpoint | None = None
        self._latest: Checkpoint | None = None
        self._written: Checkpoint | None = None  # of the thread, as the next
        self._has_kept = False
        self._healed = 0
        """The last connection over which schemas were put back."""

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

    def _news(self) -> Sequence[Write]:
        latest = self._latest
        return () if latest is None or latest is self._written else (partial(self._write, latest),)

    def _write(self, checkpoint: Checkpoint, session: Session) -> None:
        self._put_back_schemas(checkpoint, session)
        # The first one says where the relay began.
        kept = checkpoint if self._has_kept else self._first or checkpoint
        session.execute(_SQL["keep"], **_parameters(self._settings, kept))
        self._has_kept = True
        session.execute(_SQL["write"], **_parameters(self._settings, checkpoint), chosen=False)
        self._written = checkpoint

    def _put_back_schemas(self, checkpoint: Checkpoint, session: Session) -> None:
        """Put back what the database has lost of them, once a connection: an earlier copy of it ends them all."""
        if session.is_connected and session.connections == self._healed:
            return
        Schemas(session).put_back(schemas_of(messages_of(checkpoint)))
        self._healed = session.connections
