"""How long a loop waits: before it does again what should be rare, and between two polls."""

import time
from collections.abc import Callable

STEADY_SECONDS = 60.0
"""What has not happened for so long has passed, and is new when it happens again."""


class Spacing:
    """Keeps the same thing apart: done at once when it is new, ever later, up to `longest`, while it goes on."""

    def __init__(self, longest: float, first: float = 0.2, clock: Callable[[], float] = time.monotonic) -> None:
        self._first = first
        self._longest = longest
        self._clock = clock
        self._next = 0.0
        self._last: float | None = None

    def pause(self) -> float:
        """Note that it happens; return the seconds to wait before."""
        now = self._clock()
        lasts = self._last is not None and now - self._last < STEADY_SECONDS
        pause = self._next if lasts else 0.0
        self._next = min(max(2 * pause, self._first), self._longest)
        self._last = now + pause
        return pause


class PollPauses:
    """How long to wait between polls: short while events come, growing to the idle pause while none do."""

    def __init__(self, busy_ms: float, idle_ms: float) -> None:
        self._busy = busy_ms / 1000
        self._idle = max(idle_ms / 1000, self._busy)
        self._pause = self._busy

    def after(self, events: int) -> float:
        """Return the seconds from the begin of one poll to that of the next."""
        self._pause = self._busy if events else min(self._pause * 1.2, self._idle)
        return self._pause
