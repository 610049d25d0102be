"""The circuit breaker: while the partner is out, one request every few seconds asks whether it is back."""

from enum import Enum


class BreakerState(Enum):
    """What the breaker lets through."""

    CLOSED = "closed"
    """Everything."""
    OPEN = "open"
    """Nothing, until the next probe is due."""
    PROBING = "probing"
    """Nothing but the probe that is under way."""


class Breaker:
    """Opened by failures in a row, or by a partner that asks to be left alone. Times are in seconds."""

    def __init__(self, opens_after: int, probe: float) -> None:
        self._opens_after = opens_after
        self._probe = probe
        self._failures = 0
        self._next_probe = 0.0
        self._open_since: float | None = None
        self._open_before = 0.0
        self.state = BreakerState.CLOSED

    def may_send(self, now: float) -> bool:
        """Say whether a request may be made: any, or as a probe."""
        return self.state is BreakerState.CLOSED or (self.state is BreakerState.OPEN and now >= self._next_probe)

    def send(self) -> bool:
        """Note that a request is made, which `may_send` allowed; return whether it is a probe."""
        if self.state is BreakerState.CLOSED:
            return False
        self.state = BreakerState.PROBING
        return True

    def worked(self, now: float) -> bool:
        """Note that the partner is there, whatever it said of the events; return whether this closes the breaker.

        Also the late answer to a request that was made before it opened shows that the partner is there.
        """
        self._failures = 0
        if self._open_since is None:
            return False
        self._open_before += now - self._open_since
        self._open_since = None
        self.state = BreakerState.CLOSED
        return True

    def failed(self, now: float, *, probe: bool, wait: float = 0.0) -> None:
        """Note that a request failed. `wait` is for how long the partner asked to be left alone."""
        self._failures += 1
        if probe or wait > 0 or self._failures >= self._opens_after:
            self._open(now, max(wait, self._probe) if probe or wait <= 0 else wait, probe=probe)

    def trip(self, now: float, seconds: float) -> None:
        """Open, and send the next probe after that time."""
        self._open(now, seconds, probe=True)

    def clock(self, now: float) -> float:
        """Return a time that stands still while the breaker is open: what an event's tries are charged with."""
        return now - self._open_before - (0.0 if self._open_since is None else now - self._open_since)

    def _open(self, now: float, seconds: float, *, probe: bool) -> None:
        """Stay open for so long. What was under way when it opened, and fails now, does not put the probe off."""
        if self._open_since is None:
            self._open_since = now
            self._next_probe = now + seconds
            self.state = BreakerState.OPEN
        elif probe:
            self._next_probe = now + seconds
            self.state = BreakerState.OPEN
