"""Whether a request may leave now: as the circuit breaker, the rates and the requests under way allow."""

from engagement_platform.domain.delivery.breaker import Breaker
from engagement_platform.domain.delivery.parcels import Policy
from engagement_platform.domain.delivery.rates import Rate


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
