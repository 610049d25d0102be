"""Keeps the rate of committed events, whatever the sizes of the transactions and however many writers there are."""

import threading
import time
from collections.abc import Callable

CATCH_UP_SECONDS = 2.0


class Pacer:
    """Gives every transaction the time at which it is due, so that `rate` events a second are committed.

    A writer that is late makes up for it, by at most `CATCH_UP_SECONDS`: after an outage there is no flood.
    """

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._next = clock()
        self._lock = threading.Lock()

    def reserve(self, events: int) -> float:
        """Return the seconds to wait before a transaction with so many events; never negative."""
        with self._lock:
            now = self._clock()
            due = max(self._next, now - CATCH_UP_SECONDS)
            self._next = due + events / self._rate
            return max(due - now, 0.0)

    def give_back(self, events: int) -> None:
        """Take back what was reserved for events that were not committed."""
        with self._lock:
            self._next -= events / self._rate
