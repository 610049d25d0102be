"""What Dagster tells the page, read in a thread of its own. Dagster is imported there, for that takes seconds."""

import gc
import logging
import os
import time
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Protocol

from engagement_platform.domain.dagster_facts import DagsterFacts
from engagement_platform.domain.errors import EngagementError, Unavailable
from engagement_platform.domain.loop_state import clock

if TYPE_CHECKING:
    from engagement_platform.orchestration.dagster_facts import FactsReader

OLD_SECONDS = 60.0
"""What was read longer ago is not known any more: six looks are missing, each takes parts of a second."""

log = logging.getLogger(__name__)


def present(dagster: DagsterFacts | EngagementError | None, now: float) -> DagsterFacts | EngagementError | None:
    """Return what is known of Dagster at a time in seconds since 1970: not what was read too long ago."""
    if isinstance(dagster, DagsterFacts) and now - dagster.at > OLD_SECONDS:
        return _silent(f"Dagster was last read at {clock(dagster.at)}: its storage has given no answer since.")
    return dagster


def _silent(what: str) -> Unavailable:
    todo = "See that the database that ENGAGEMENT_PLATFORM_DSN names answers. If it does, start the page again."
    return Unavailable(what, todo, server="Dagster's storage")


class ReadsFacts(Protocol):
    """What `FactsReader` has."""

    def read(self) -> DagsterFacts:
        """Look at everything. Raises EngagementError."""


def open_reader() -> "FactsReader":
    """Open Dagster's instance, and find out what there is to look at: seconds. Raises EngagementError."""
    from engagement_platform.adapters.streams import streams
    from engagement_platform.console.stale import instance
    from engagement_platform.definitions import shared
    from engagement_platform.orchestration.dagster_facts import FactsReader, watched_of
    from engagement_platform.orchestration.location import told_apart
    from engagement_platform.orchestration.private import keep_connections

    usable = told_apart(streams()).usable
    leave_imported_alone()
    dagster = instance()
    keep_connections(dagster)
    return FactsReader(dagster, watched_of(usable, shared(usable)))


@cache
def leave_imported_alone() -> None:
    """Let Python's collector pass over what was imported, which stays: looking through it stops requests for 0.3 s."""
    gc.freeze()


class DagsterReading:
    """The latest look at Dagster. `read` is for one thread; others may look at `latest` at any time."""

    def __init__(self, opened: Callable[[], ReadsFacts] = open_reader) -> None:
        self._open = opened
        self._reader: ReadsFacts | None = None
        self.latest: DagsterFacts | EngagementError | None = None
        """What it told, or why that cannot be read; None before the first look, and where there is no Dagster."""
        self._asked_at: float | None = None

    @property
    def is_there(self) -> bool:
        """Whether somebody has said where Dagster is."""
        return bool(os.environ.get("DAGSTER_HOME"))

    def present(self, now: float) -> DagsterFacts | EngagementError | None:
        """Return what is known of it at a time in seconds since 1970, also while a look does not come to an end."""
        if self.latest is None and self._asked_at is not None and now - self._asked_at > OLD_SECONDS:
            return _silent(f"Dagster has given no answer since {clock(self._asked_at)}, when it was first asked.")
        return present(self.latest, now)

    def read(self) -> None:
        """Look at it. After an error it is opened anew: at once where it told something before, else with the next."""
        if not self.is_there:
            return
        self._asked_at = self._asked_at or time.time()
        try:
            self.latest = self._look()
        except EngagementError as error:
            self._reader, self.latest = None, error

    def _look(self) -> DagsterFacts:
        if self._reader is not None:
            try:
                return self._reader.read()
            except EngagementError as error:  # a connection that was kept may have been cut meanwhile
                log.info("Dagster is opened anew: %s", error)
        self._reader = self._open()
        return self._reader.read()
