"""What is done every so many seconds: by a loop that asks whether it is due, or by a thread of its own."""

import logging
import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import KW_ONLY, dataclass
from typing import Protocol, Self

from engagement_platform.domain.errors import EngagementError

FAULT_SECONDS = 1.0
"""The shortest pause after a failure that nobody foresaw."""


class Interval:
    """Says when something is due that is done every so many seconds, by a clock that nobody sets."""

    def __init__(self, seconds: float, *, is_due: bool) -> None:
        self._seconds = seconds
        self._restarted_at = float("-inf") if is_due else time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether the seconds have passed."""
        return time.monotonic() - self._restarted_at >= self._seconds

    def restart(self) -> None:
        """Begin anew: it is done at this moment."""
        self._restarted_at = time.monotonic()

    def expire(self) -> None:
        """Make it due."""
        self._restarted_at = float("-inf")


class Failures(Protocol):
    """Decides how long is waited after a failure, and what is logged of it."""

    def failed(self, error: EngagementError) -> float:
        """Note a failure; return the seconds to wait."""

    def worked(self) -> None:
        """Note that it works (again)."""


@dataclass(eq=False)
class Repeated:
    """A thread that acts every so many seconds, until it is closed. Whatever `act` raises, it goes on.

    An EngagementError is left to `failures`, by default to the log of details; another exception is logged in full. The
    thread calls `at_end` last.
    """

    name: str
    act: Callable[[], object]
    seconds: float
    _: KW_ONLY
    log: logging.Logger
    first: float | None = None
    """The pause before the first act; by default as before any other."""
    failures: Failures | None = None
    at_end: Callable[[], object] = lambda: None
    patience: float = 1.0
    """A thread that is stuck is left behind after so many seconds."""

    def __post_init__(self) -> None:
        self.works = True
        """Whether the last act went well."""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=copy_context().run, args=(self._run,), name=self.name, daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self) -> None:
        """Let the thread end once it does not act. It may be called from there."""
        self._ended.set()

    def close(self, patience: float | None = None) -> None:
        """End the thread and wait for it, but not for longer than the patience."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(self.patience if patience is None else patience)

    def _run(self) -> None:
        pause = self.seconds if self.first is None else self.first
        while not self._ended.wait(pause):
            pause = self._attempt(self.act, self.failures)
        self._attempt(self.at_end, None)

    def _attempt(self, act: Callable[[], object], failures: Failures | None) -> float:
        """Act; return the seconds to wait before the next time."""
        try:
            act()
        except EngagementError as error:
            self.works = False
            if failures is not None:
                return failures.failed(error)
            self.log.debug("%s: %s", self.name, error)
            return self.seconds
        except Exception:  # whatever it is: without the thread nobody would notice what it is for
            self.works = False
            level = logging.DEBUG if self._ended.is_set() else logging.ERROR  # perhaps a client was closed under it
            self.log.log(level, "%s failed in a way that nobody foresaw", self.name, exc_info=True)
            return max(self.seconds, FAULT_SECONDS)
        self.works = True
        if failures is not None:
            failures.worked()
        return self.seconds
