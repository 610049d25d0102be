"""What to send when, and what becomes of it: the state of a delivery, without clock, thread or client.

Whoever drives it adds events, asks for the next parcel whenever a request could be made, and settles each parcel with
its outcome. Guarantees: parcels under way never share a content; the events of a content leave in their order; an event
is settled once, as delivered or as a dead letter, and until then it is kept here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from engagement_platform.domain.delivery.blame import HALVE_AFTER, Blame
from engagement_platform.domain.delivery.gate import MAX_RETRY_AFTER_SECONDS, BreakerState, Gate, pause
from engagement_platform.domain.delivery.outcome import Outcome, Verdict
from engagement_platform.domain.delivery.parcels import Charges, Failed, Outgoing, Parcel, Policy, Settled, Waiting
from engagement_platform.domain.delivery.tries import Tried

LOOK_AGAIN_SECONDS = 10.0
"""How often it is tried whether a person has acted, or a partner that refused everything takes an event again."""

FIRST_LOOK_SECONDS = 0.5
"""After that it is tried for the first time with another event; then after twice as long each time."""


@dataclass(slots=True)
class Tally:
    """What has happened so far."""

    requests: int = 0
    retries: int = 0
    failed: int = 0
    declined: int = 0
    halved: int = 0
    delivered: int = 0
    dead_letters: int = 0


@dataclass(slots=True)
class _Held:
    """What is kept in memory."""

    events: int = 0
    bytes: int = 0

    def add(self, events: Sequence[Outgoing], sign: int = 1) -> None:
        self.events += sign * len(events)
        self.bytes += sign * sum(len(event.value) for event in events)


class Dispatch:
    """The delivery of one loop. `now` is in seconds, by a clock that never goes back. For one thread."""

    def __init__(self, policy: Policy) -> None:
        self._waiting = Waiting(policy)
        self.blame = Blame()
        """Whose fault the outcomes are, and what may still be given up: the next run goes on with its credit."""
        self._charges = Charges(policy.retry)
        self._gate = Gate(policy)
        self._breaker = self._gate.breaker
        self.tally = Tally()
        self.held = _Held()

    # How it stands

    @property
    def breaker(self) -> BreakerState:
        """What the breaker lets through."""
        return self._breaker.state

    @property
    def in_flight(self) -> int:
        """Requests under way."""
        return self._gate.in_flight

    @property
    def is_idle(self) -> bool:
        """Whether everything that was added is settled."""
        return self.held.events == 0

    def tried(self, now: float) -> dict[tuple[str, int, int], Tried]:
        """Return topic, partition and offset -> for how long it was tried, of the events that were tried in vain."""
        return self._charges.tried(self._breaker.clock(now))

    # Events in, parcels out, outcomes in

    def add(self, event: Outgoing) -> None:
        """Take over an event."""
        self._waiting.add(event)
        self.held.add((event,))

    def give_up(self, events: int, now: float) -> None:
        """Let up to so many events that the partner answers with a failure become dead letters: somebody decided so."""
        self.blame.give_up(events)
        self._breaker.worked(now)
        self._waiting.wake(now, stopped=True)

    def next(self, now: float, at: datetime) -> Parcel | None:
        """Return what is to be sent now, or None. `at` is the time of day, for the dead letters."""
        parcel = self._chosen(now) if self._gate.is_open(now) else None
        if parcel is None:
            return None
        parcel.is_probe = self._gate.let_through(len(parcel.events), now)
        parcel.clock = self._breaker.clock(now)
        parcel.first_try, parcel.last_try = parcel.first_try or at, at
        parcel.tries += 1
        self.tally.requests += 1
        self.tally.retries += parcel.tries > 1
        parcel.sent = self.tally.requests
        return parcel

    def _chosen(self, now: float) -> Parcel | None:
        if self._breaker.state is BreakerState.CLOSED:
            return self._waiting.take_due(now)
        return self._waiting.take_single() if self.blame.is_refusing else self._waiting.take_probe(now)

    def settle(self, parcel: Parcel, outcome: Outcome, now: float, jitter: float) -> Settled:
        """Take in the outcome of a parcel's request. `jitter` is from 0 to below 1."""
        self._gate.in_flight -= 1
        self.tally.failed += outcome.verdict is Verdict.AGAIN
        self.tally.declined += outcome.verdict in (Verdict.REFUSED, Verdict.STOP)
        outcome = self.blame.understood(parcel, outcome)
        tried_in_vain = self._note(parcel, outcome, now)
        if self.blame.is_no_fault(parcel, outcome, tried_in_vain=tried_in_vain):
            return self._hold(parcel, outcome, now)
        match outcome.verdict:
            case Verdict.DELIVERED:
                return self._done(parcel, Settled(delivered=parcel.events))
            case Verdict.STOP:
                parcel.stops, parcel.stopped_at = parcel.stops + 1, now
                self._waiting.rest(parcel, now + LOOK_AGAIN_SECONDS)
            case Verdict.REFUSED if len(parcel.events) > 1:
                self._halve(parcel, now)
            case Verdict.REFUSED:
                return self._bury(parcel, outcome)
            case Verdict.AGAIN if not tried_in_vain:
                self._waiting.rest(parcel, now + pause(parcel.tries, outcome.retry_after, jitter))
            case Verdict.AGAIN if len(parcel.events) > 1:
                asked = outcome.retry_after and pause(parcel.tries, outcome.retry_after, jitter)
                self._halve(parcel, now + (asked or 0.0))
            case Verdict.AGAIN:
                return self._bury(parcel, outcome)
        return Settled()

    def _note(self, parcel: Parcel, outcome: Outcome, now: float) -> bool:
        """Tell the breaker; return whether trying the parcel as it is again would be in vain.

        That is so when its time is over or, of an array, after `HALVE_AFTER` failures of a partner that works
        otherwise. What fails while the partner is down is no fault of the events.
        """
        is_there = self.blame.note(parcel, outcome, now)
        if outcome.verdict is Verdict.STOP:
            self._breaker.trip(now, LOOK_AGAIN_SECONDS)
            return False
        if is_there:
            if self._breaker.worked(now):
                self._waiting.wake(now, stopped=False)  # what a person has to help may itself be why it had to rest
        else:
            wait = min(outcome.retry_after or 0.0, MAX_RETRY_AFTER_SECONDS)
            self._breaker.failed(now, probe=parcel.is_probe, wait=wait)
            parcel.failures += not parcel.is_probe
        if parcel.is_probe or self._breaker.state is not BreakerState.CLOSED:
            return False
        is_again = outcome.verdict is Verdict.AGAIN
        time_is_over = is_again and self._charges.charge(parcel, self._breaker.clock(now))
        return time_is_over or (len(parcel.events) > 1 and parcel.failures >= HALVE_AFTER)

    def _hold(self, parcel: Parcel, outcome: Outcome, now: float) -> Settled:
        """Keep what the partner refuses as it refuses everything, and try one event now and then."""
        blame = self.blame
        blame.stopped = outcome.reason
        if not blame.is_refusing or parcel.is_probe:
            wait = min(FIRST_LOOK_SECONDS * 2.0 ** min(blame.looks, 10), LOOK_AGAIN_SECONDS)
            blame.looks += 1
            self._breaker.trip(now, max(wait, min(outcome.retry_after or 0.0, MAX_RETRY_AFTER_SECONDS)))
        if len(parcel.events) > 1:
            self._halve(parcel, now)
        else:
            self._waiting.rest(parcel, now)
        return Settled()

    def _halve(self, parcel: Parcel, until: float) -> None:
        self.tally.halved += 1
        self._waiting.halve(parcel, until)

    def _bury(self, parcel: Parcel, outcome: Outcome) -> Settled:
        (event,) = parcel.events
        first_try = self._charges.first_try(event) or parcel.first_try
        failed = Failed(event, outcome.reason, outcome.status, outcome.response, first_try, parcel.last_try)
        self.blame.credit.spend()
        return self._done(parcel, Settled(failed=(failed,)))

    def _done(self, parcel: Parcel, settled: Settled) -> Settled:
        """Let go of a parcel's events; what is behind them has its turn."""
        self.tally.delivered += len(settled.delivered)
        self.tally.dead_letters += len(settled.failed)
        self.held.add(parcel.events, -1)
        self._charges.forget(parcel.events)
        self._waiting.follow(parcel)
        return settled
