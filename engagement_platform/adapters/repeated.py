"""What is done every so many seconds: by a loop that asks whether it is due, or by a thread of its own."""

import logging
import threading
import time
from collections.abc import Callable
from contextvars import copy_context
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


class Repeated:
    """A thread that acts every so many seconds, until it is closed. Whatever `act` raises, it goes on.

    An EngagementError is left to `failures`, by default to the log of details; another exception is logged in full. The
    thread calls `at_end` last.
    """

    def __init__(
        self,
        name: str,
        act: Callable[[], object],
        seconds: float,
        *,
        log: logging.Logger,
        first: float | None = None,
        failures: Failures | None = None,
        at_end: Callable[[], object] = lambda: None,
        patience: float = 1.0,
    ) -> None:
        """`first` is the pause before the first act; a thread that is stuck is left behind after `patience` seconds."""
        self.works = True
        """Whether the last act went well."""
        self._name = name
        self._act = act
        self._seconds = seconds
        self._first = seconds if first is None else first
        self._log = log
        self._failures = failures
        self._at_end = at_end
        self._patience = patience
        self._ended = threading.Event()
        self._thread = threading.Thread(target=copy_context().run, args=(self._run,), name=name, daemon=True)

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
            self._thread.join(self._patience if patience is None else patience)

    def _run(self) -> None:
        pause = self._first
        while not self._ended.wait(pause):
            pause = self._attempt(self._act, self._failures)
        self._attempt(self._at_end, None)

    def _attempt(self, act: Callable[[], object], failures: Failures | None) -> float:
        """Act; return the seconds to wait before the next time."""
        try:
            act()
        except EngagementError as error:
            self.works = False
            if failures is not None:
                return failures.failed(error)
            self._log.debug("%s: %s", self._name, error)
            return self._seconds
        except Exception:  # whatever it is: without the thread nobody would notice what it is for
            self.works = False
            level = logging.DEBUG if self._ended.is_set() else logging.ERROR  # perhaps a client was closed under it
            self._log.log(level, "%s failed in a way that nobody foresaw", self._name, exc_info=True)
            return max(self._seconds, FAULT_SECONDS)
        self.works = True
        if failures is not None:
            failures.worked()
        return self._seconds
