"""What to send when, and what becomes of it: the state of a delivery, without clock, thread or client.

Whoever drives it adds events, asks for the next parcel whenever a request could be made, and settles each parcel with
its outcome. Guarantees: parcels under way never share a content; the events of a content leave in their order; an event
is settled once, as delivered or as a dead letter, and until then it is kept here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from engagement_platform.domain.delivery.breaker import Breaker, BreakerState
from engagement_platform.domain.delivery.credit import MOST, Credit
from engagement_platform.domain.delivery.lanes import Lanes, Outgoing
from engagement_platform.domain.delivery.outcome import Outcome, Verdict
from engagement_platform.domain.delivery.parcels import Failed, Parcel, Policy, Settled, by_size, part_of
from engagement_platform.domain.delivery.rates import Rate
from engagement_platform.domain.delivery.retry_delay import MAX_RETRY_AFTER_SECONDS, pause
from engagement_platform.domain.delivery.tries import Tried

HALVE_AFTER = 3
"""So many failures of a partner that works otherwise, and an array is halved: one of its events may be the reason."""

OF_ONE_PERHAPS = frozenset({403, 404})
"""Refusals for a person, unless they come again and again for some events while others are taken: a firewall's, say."""

LOOK_AGAIN_SECONDS = 10.0
"""How often it is tried whether a person has acted, or a partner that refused everything takes an event again."""

FIRST_LOOK_SECONDS = 0.5
"""After that it is tried for the first time with another event; then after twice as long each time."""


@dataclass(slots=True)
class Tally:
    """What has happened so far."""

    requests: int = 0
    retries: int = 0
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
        self._policy = policy
        self._lanes = Lanes()
        self._resting: list[Parcel] = []
        self._breaker = Breaker(policy.opens_after, policy.probe)
        self._events, self._requests = Rate(policy.events_per_second), Rate(policy.requests_per_second)
        self.tally = Tally()
        self.held = _Held()
        self.in_flight = 0
        """Requests under way."""
        self._delivered_at = 0.0
        self.failing = ""
        """Why the last request failed, when none has been answered since."""
        self.stopped = ""
        """What a person has to put right, as long as nothing shows that it was; then empty."""
        self.looks = 0
        """How often it was looked whether a partner that refuses everything takes an event again; 0 when none does."""
        self._credit = Credit()
        self._tried_since: dict[tuple[str, int, int], tuple[float, datetime]] = {}
        """Of the events that were tried in vain: what the breaker's clock showed at the first try, and when it was."""

    @property
    def breaker(self) -> BreakerState:
        """What the breaker lets through."""
        return self._breaker.state

    @property
    def resting(self) -> int:
        """How many parcels wait to be sent again."""
        return len(self._resting)

    def add(self, event: Outgoing) -> None:
        """Take over an event."""
        self._lanes.add(event)
        self.held.add((event,))

    def next(self, now: float, at: datetime) -> Parcel | None:
        """Return what is to be sent now, or None. `at` is the time of day, for the dead letters."""
        if self._pause_of_partner(now) > 0:
            return None
        parcel = self._chosen(now)
        if parcel is None:
            return None
        parcel.is_probe = self._breaker.send(now)
        parcel.clock = self._breaker.clock(now)
        parcel.first_try, parcel.last_try = parcel.first_try or at, at
        parcel.tries += 1
        self._events.take(len(parcel.events), now)
        self._requests.take(1, now)
        self.in_flight += 1
        self.tally.requests += 1
        self.tally.retries += parcel.tries > 1
        parcel.sent = self.tally.requests
        return parcel

    def _pause_of_partner(self, now: float) -> float:
        """Return the seconds before any request may be made; 0 when one may be made now."""
        if self.in_flight >= self._policy.in_flight or not self._breaker.may_send(now):
            return 1.0
        return max(self._events.pause(now), self._requests.pause(now))

    def _chosen(self, now: float) -> Parcel | None:
        """Return the parcel whose turn it is: those that rested long enough come before new ones.

        A probe is rather made with new events, else with what was tried longest ago: were it always the same, one event
        that breaks the partner could keep the breaker open.
        """
        if self._breaker.state is BreakerState.CLOSED:
            first = min(self._resting, key=lambda parcel: parcel.not_before, default=None)
            return self._taken(first) if first and first.not_before <= now else self._gathered(now)
        if self.is_refusing:
            one = self._lanes.take(1)
            return Parcel(one) if one else self._taken(min(self._resting, key=by_size, default=None))
        return self._gathered(now) or self._taken(min(self._resting, key=lambda p: p.sent, default=None))

    def _taken(self, parcel: Parcel | None) -> Parcel | None:
        if parcel is not None:
            self._resting.remove(parcel)
        return parcel

    def _gathered(self, now: float) -> Parcel | None:
        """Return a new parcel when it is full, or its first event has waited long enough."""
        since = self._lanes.waits_since()
        if since is None or (self._lanes.ready < self._policy.batch_size and now - since < self._policy.wait):
            return None
        return Parcel(self._lanes.take(self._policy.batch_size))

    def settle(self, parcel: Parcel, outcome: Outcome, now: float, jitter: float) -> Settled:
        """Take in the outcome of a parcel's request. `jitter` is from 0 to below 1."""
        self.in_flight -= 1
        outcome = self._understood(parcel, outcome)
        tried_in_vain = self._note(parcel, outcome, now)
        if self._is_no_fault(parcel, outcome, tried_in_vain=tried_in_vain):
            return self._hold(parcel, outcome, now)
        match outcome.verdict:
            case Verdict.DELIVERED:
                self._delivered_at = now
                return self._done(parcel, Settled(delivered=parcel.events))
            case Verdict.STOP:
                parcel.stops, parcel.stopped_at = parcel.stops + 1, now
                self._rest(parcel, now + LOOK_AGAIN_SECONDS)
            case Verdict.REFUSED if len(parcel.events) > 1:
                self._halve(parcel, now)
            case Verdict.REFUSED:
                return self._bury(parcel, outcome)
            case Verdict.AGAIN if not tried_in_vain:
                self._rest(parcel, now + pause(parcel.tries, outcome.retry_after, jitter))
            case Verdict.AGAIN if len(parcel.events) > 1:
                asked = outcome.retry_after and pause(parcel.tries, outcome.retry_after, jitter)
                self._halve(parcel, now + (asked or 0.0))
            case Verdict.AGAIN:
                return self._bury(parcel, outcome)
        return Settled()

    def give_up(self, events: int, now: float) -> None:
        """Let up to so many events that the partner answers with a failure become dead letters: somebody decided so."""
        self._credit.grant(events)
        self.stopped, self.looks = "", 0
        self._breaker.worked(now)
        for parcel in self._resting:
            parcel.not_before = min(parcel.not_before, now)

    @property
    def credit(self) -> int:
        """How many events may become dead letters: what the next run begins with."""
        return self._credit.left

    @property
    def granted(self) -> int:
        """How many more events become dead letters when the partner refuses them, as an operator has decided."""
        return self._credit.granted

    def carry(self, credit: int) -> None:
        """Begin with what an earlier run left."""
        self._credit.left = min(credit, MOST)

    @property
    def is_refusing(self) -> bool:
        """Whether the partner takes no event at all, so that it is no event's fault: each waits to be tried again."""
        return self.looks > 0

    def tried(self, now: float) -> dict[tuple[str, int, int], Tried]:
        """Return topic, partition and offset -> for how long it was tried, of the events that were tried in vain."""
        clock = self._breaker.clock(now)
        return {
            position: Tried(max(0, int(clock - began)), max(0, int(first.timestamp())))
            for position, (began, first) in self._tried_since.items()
        }

    def _understood(self, parcel: Parcel, outcome: Outcome) -> Outcome:
        """Return the outcome with what it means beside others, and after what an operator has decided."""
        is_failure = outcome.verdict in (Verdict.STOP, Verdict.AGAIN) and outcome.status is not None
        if is_failure and self._credit.is_granted:
            return replace(outcome, verdict=Verdict.REFUSED)
        if outcome.verdict is Verdict.STOP and self._is_of_these_events(parcel, outcome):
            return replace(outcome, verdict=Verdict.REFUSED)
        return outcome

    def _is_no_fault(self, parcel: Parcel, outcome: Outcome, *, tried_in_vain: bool) -> bool:
        """Say whether a refusal, or a failure for too long, is none of the events', as others meet it too."""
        is_refused = outcome.verdict is Verdict.REFUSED
        if is_refused and self._credit.is_refusal_of_all:
            return True
        is_last = is_refused or (outcome.verdict is Verdict.AGAIN and tried_in_vain)
        return is_last and len(parcel.events) == 1 and self._credit.is_spent

    def _hold(self, parcel: Parcel, outcome: Outcome, now: float) -> Settled:
        """Keep what the partner refuses as it refuses everything, and try one event now and then."""
        is_first = not self.is_refusing
        self.stopped = outcome.reason
        if is_first or parcel.is_probe:
            wait = min(FIRST_LOOK_SECONDS * 2.0 ** min(self.looks, 10), LOOK_AGAIN_SECONDS)
            self.looks += 1
            self._breaker.trip(now, max(wait, min(outcome.retry_after or 0.0, MAX_RETRY_AFTER_SECONDS)))
        if len(parcel.events) > 1:
            self._halve(parcel, now)
        else:
            self._rest(parcel, now)
        return Settled()

    def _is_of_these_events(self, parcel: Parcel, outcome: Outcome) -> bool:
        """Say whether a refusal for a person is rather one of these events, as others were taken in between."""
        return (
            outcome.status in OF_ONE_PERHAPS
            and parcel.stops >= HALVE_AFTER - 1
            and self._delivered_at > parcel.stopped_at
        )

    def _note(self, parcel: Parcel, outcome: Outcome, now: float) -> bool:
        """Tell the breaker; return whether trying the parcel as it is again would be in vain.

        That is so when its time is over or, of an array, after `HALVE_AFTER` failures of a partner that works
        otherwise.
        What fails while the partner is down is no fault of the events.
        """
        if outcome.verdict is Verdict.STOP:
            self.stopped = outcome.reason
            self._breaker.trip(now, LOOK_AGAIN_SECONDS)
            return False
        if outcome.verdict is Verdict.DELIVERED:
            self._credit.taken(len(parcel.events))
            self.looks = 0
        elif outcome.verdict is Verdict.REFUSED:
            self._credit.refused()
        if outcome.is_alive and not self.is_refusing:
            self.failing = self.stopped = ""
            if self._breaker.worked(now):
                self._wake(now)
        else:
            self.failing = outcome.reason
            self._breaker.failed(
                now, probe=parcel.is_probe, wait=min(outcome.retry_after or 0.0, MAX_RETRY_AFTER_SECONDS)
            )
            parcel.failures += not parcel.is_probe
        if parcel.is_probe or self._breaker.state is not BreakerState.CLOSED:
            return False
        time_is_over = self._charge(parcel, now) if outcome.verdict is Verdict.AGAIN else False
        return time_is_over or (len(parcel.events) > 1 and parcel.failures >= HALVE_AFTER)

    def _charge(self, parcel: Parcel, now: float) -> bool:
        """Count the time of a try in vain; return whether the time of one of the events is over."""
        oldest = clock = self._breaker.clock(now)
        for event in parcel.events:
            before = event.tried
            seconds, first = (before.seconds, datetime.fromtimestamp(before.first, UTC)) if before else (0, None)
            since = (parcel.clock - seconds, first or parcel.first_try or datetime.fromtimestamp(0, UTC))
            oldest = min(oldest, self._tried_since.setdefault(event.record_position, since)[0])
        return clock - oldest >= self._policy.retry

    def _wake(self, now: float) -> None:
        """Let nothing rest any longer, but for what may itself be why it had to: the partner is back."""
        for parcel in self._resting:
            if not parcel.stops:
                parcel.not_before = min(parcel.not_before, now)

    def _rest(self, parcel: Parcel, until: float) -> None:
        parcel.not_before = until
        self._resting.append(parcel)

    def _halve(self, parcel: Parcel, until: float) -> None:
        """Go on with two halves: of different contents side by side, of a single one in their order."""
        self.tally.halved += 1
        contents = list(dict.fromkeys(event.lane for event in parcel.events))
        if len(contents) == 1:
            middle = len(parcel.events) // 2
            first, second = parcel.events[:middle], parcel.events[middle:]
            self._rest(part_of(parcel, first, (second, *parcel.behind)), until)
            return
        left = set(contents[: len(contents) // 2])
        for chosen in (
            tuple(event for event in parcel.events if event.lane in left),
            tuple(event for event in parcel.events if event.lane not in left),
        ):
            self._rest(part_of(parcel, chosen), until)

    def _bury(self, parcel: Parcel, outcome: Outcome) -> Settled:
        (event,) = parcel.events
        _, first = self._tried_since.get(event.record_position, (0.0, parcel.first_try))
        failed = Failed(event, outcome.reason, outcome.status, outcome.response, first, parcel.last_try)
        self._credit.spend()
        return self._done(parcel, Settled(failed=(failed,)))

    def _done(self, parcel: Parcel, settled: Settled) -> Settled:
        """Let go of a parcel's events; what is behind them has its turn."""
        self.tally.delivered += len(settled.delivered)
        self.tally.dead_letters += len(settled.failed)
        self.held.add(parcel.events, -1)
        for event in parcel.events:
            self._tried_since.pop(event.record_position, None)
        if parcel.behind:
            self._rest(part_of(parcel, parcel.behind[0], parcel.behind[1:]), 0.0)
        else:
            self._lanes.release(parcel.lanes)
        return settled

    @property
    def is_idle(self) -> bool:
        """Whether everything that was added is settled."""
        return self.held.events == 0

    def next_due(self, now: float) -> float | None:
        """Return in how many seconds there may be something to send; None when only an outcome or an event can tell."""
        if self.in_flight >= self._policy.in_flight:
            return None
        since = self._lanes.waits_since()
        full = self._lanes.ready >= self._policy.batch_size
        times = [] if since is None else [now if full else since + self._policy.wait]
        times += [min(parcel.not_before for parcel in self._resting)] if self._resting else []
        return max(0.0, min(times) - now) if times else None
