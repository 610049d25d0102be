"""How long a loop waits before it does again what has failed, what should be rare, or what had nothing to do."""

import time
from collections.abc import Callable

from engagement_platform.domain.errors import EngagementError, Refused, Unavailable

STEADY_SECONDS = 60.0
"""What has not happened for so long has passed, and is new when it happens again."""


class Backoff:
    """Pauses in seconds that grow from `first` to `longest` by a factor."""

    def __init__(self, first: float, longest: float, factor: float = 2.0) -> None:
        self._first = first
        self._longest = max(longest, first)
        self._factor = factor
        self._next = first

    def pause(self) -> float:
        """Return the seconds to wait now; the next pause is longer."""
        pause, self._next = self._next, min(self._next * self._factor, self._longest)
        return pause

    def reset(self) -> None:
        """Begin with the first pause again."""
        self._next = self._first


class Spacing:
    """Keeps the same thing apart: done at once when it is new, ever later, up to `longest`, while it goes on."""

    def __init__(self, longest: float, first: float = 0.2, clock: Callable[[], float] = time.monotonic) -> None:
        self._backoff = Backoff(first, longest)
        self._clock = clock
        self._last: float | None = None

    def pause(self) -> float:
        """Note that it happens; return the seconds to wait before."""
        now = self._clock()
        pause = 0.0
        if self._last is not None and now - self._last < STEADY_SECONDS:
            pause = self._backoff.pause()
        else:
            self._backoff.reset()
        self._last = now + pause
        return pause


class Outage:
    """Pauses that grow up to `longest` seconds while a server is away, and one log line at each end of that."""

    def __init__(self, log: Callable[[str], None], longest: float = 2.0) -> None:
        self._log = log
        self._backoff = Backoff(0.05, longest)
        self._since: float | None = None
        self._server = ""
        self._refused = False

    def failed(self, error: EngagementError) -> float:
        """Note a failure; return the seconds to wait. Logs at the first failure of an outage only."""
        server = error.server if isinstance(error, Unavailable) else ""
        refused = isinstance(error, Refused)
        if self._since is None or (server, refused) != (self._server, self._refused):
            self._since = self._since or time.monotonic()
            self._server, self._refused = server, refused
            self._log(f"{error} {'Trying again' if refused else 'Waiting for it'}; nothing is lost.")
        return self._backoff.pause()

    def worked(self) -> None:
        """Note that it works (again)."""
        if self._since is not None:
            who = self._server[:1].upper() + self._server[1:] or "It"
            self._log(f"{who} answers again after {time.monotonic() - self._since:.1f} s.")
        self.passed()

    def passed(self) -> None:
        """Note that the outage is over although the loop does not work: something else keeps it from that."""
        self._since = None
        self._backoff.reset()
