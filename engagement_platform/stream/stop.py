"""A request to stop, and the signals that make it: the batch in hand is finished first."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """A flag that wakes the one who waits for it.

    A signal handler may set it. (It must not set a threading.Event: the code that it interrupts may hold its lock.)
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        """Why to stop; None while there is no reason to."""
        self._wake: SimpleQueue[None] = SimpleQueue()

    def set(self, reason: str) -> None:
        """Ask to stop. The first reason stays."""
        if self.reason is None:
            self.reason = reason
            self._wake.put(None)

    def wait(self, seconds: float) -> None:
        """Pause for some seconds, or until asked to stop."""
        if self.reason is not None or seconds <= 0:
            return
        try:
            self._wake.get(timeout=seconds)
        except Empty:
            return
        self._wake.put(None)


@contextmanager
def stop_on_signals(stop: Stop) -> Iterator[None]:
    """Let SIGTERM and SIGINT ask to stop while the block runs. Outside the main thread nothing can be done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, _frame: FrameType | None) -> None:
        stop.set(f"It received {signal.Signals(number).name}.")

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
