"""How the demo is told to stop: Ctrl-C, SIGTERM or a closed terminal."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """Somebody asked to stop while the demo was busy with a long step. No Exception, so that nothing swallows it."""


class Stop:
    """Whether to stop. A plain flag: a handler may run between any two instructions, so it takes no lock."""

    def __init__(self) -> None:
        self.requested = False
        self.interrupts = True
        """Whether a request breaks off the step in hand at once. Off where steps look at `requested` themselves."""

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        """Handle a signal. A second request during the cleaning-up changes nothing."""
        first, self.requested = not self.requested, True
        if first and self.interrupts:
            raise Stopped

    def wait(self, seconds: float) -> bool:
        """Pause, at most until a stop is asked for; return whether it was."""
        deadline = time.monotonic() + seconds
        while not self.requested and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, 0.05))
        return self.requested


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Turn the signals into a Stop for the duration of the block."""
    stop = Stop()
    before = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
