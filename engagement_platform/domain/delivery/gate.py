"""Whether a request may leave now: as the circuit breaker, the rates and the requests under way allow."""

from enum import Enum

from engagement_platform.domain.delivery.parcels import Policy

FIRST_SECONDS = 0.25
MAX_RETRY_SECONDS = 30.0
MAX_RETRY_AFTER_SECONDS = 300.0
"""Cap on Retry-After: a partner that asks for more is asked again after this time."""


def pause(tries: int, retry_after: float | None, jitter: float) -> float:
    """Return the seconds to wait after so many failed tries, at least one.

    As long as the partner asked for, and up to a tenth longer; else twice as long each time, less up to a half.
    `jitter`, from 0 to below 1, keeps requests that failed together from coming back together.
    """
    if retry_after:
        return min(retry_after, MAX_RETRY_AFTER_SECONDS) * (1 + jitter / 10)
    longest = min(MAX_RETRY_SECONDS, FIRST_SECONDS * 2.0 ** min(tries - 1, 20))
    return longest * (1 - jitter / 2)


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


class Rate:
    """A token bucket that holds what comes within `SAVED_SECONDS`. Without a limit nothing ever waits."""

    SAVED_SECONDS = 0.5

    def __init__(self, per_second: float | None) -> None:
        self._per_second = per_second
        self._tokens = 0.0
        self._at: float | None = None

    def take(self, number: float, now: float) -> None:
        """Take tokens. More than there are may be taken: who comes next waits for the debt."""
        if self._per_second is not None:
            self._tokens = self._filled(now) - number
            self._at = now

    def pause(self, now: float) -> float:
        """Return the seconds until tokens may be taken."""
        if self._per_second is None:
            return 0.0
        return max(-self._filled(now) / self._per_second, 0.0)

    def _filled(self, now: float) -> float:
        assert self._per_second is not None  # noqa: S101
        most = self._per_second * self.SAVED_SECONDS
        gained = 0.0 if self._at is None else (now - self._at) * self._per_second
        return min(most, self._tokens + gained)


class Gate:
    """Lets requests through. `now` is in seconds, by a clock that never goes back."""

    def __init__(self, policy: Policy) -> None:
        self.breaker = Breaker(policy.opens_after, policy.probe)
        self.in_flight = 0
        """Requests under way."""
        self._max_in_flight = policy.in_flight
        self._events, self._requests = Rate(policy.events_per_second), Rate(policy.requests_per_second)

    @property
    def is_full(self) -> bool:
        """Whether as many requests are under way as may be."""
        return self.in_flight >= self._max_in_flight

    def is_open(self, now: float) -> bool:
        """Say whether a request may be made."""
        if self.is_full or not self.breaker.may_send(now):
            return False
        return max(self._events.pause(now), self._requests.pause(now)) <= 0

    def let_through(self, events: int, now: float) -> bool:
        """Note that a request with so many events is made; return whether it is a probe."""
        self._events.take(events, now)
        self._requests.take(1, now)
        self.in_flight += 1
        return self.breaker.send()
