"""Whose fault an outcome is: the events', the partner's, or that of something that a person has to put right."""

from dataclasses import replace

from engagement_platform.domain.delivery.outcome import Outcome, Verdict
from engagement_platform.domain.delivery.parcels import Parcel
from engagement_platform.domain.rejections import Allowance

FIRST_CREDIT = 3
"""What there is at the very first: an event that comes alone and is refused is a dead letter."""
MAX_CREDIT = 20
REFUSED_IN_A_ROW = 20
"""Refused requests without a taken one between them, and it is the partner: halving arrays further would be in vain."""


class Credit:
    """How many events may become dead letters. The next run begins with what this one leaves.

    A partner that refuses everything, or a setting that is wrong, looks like an endless row of bad events. Each event
    that was taken allows for one that becomes a dead letter, up to `MAX_CREDIT`. So a partner that takes at least half
    of the events gets rid of the others at once, and one that begins to refuse everything makes at most `MAX_CREDIT`.
    """

    def __init__(self) -> None:
        self._allowance = Allowance(FIRST_CREDIT, MAX_CREDIT)
        self.granted = 0
        """How many more events an operator has decided to give up."""
        self._refused_in_a_row = 0

    @property
    def left(self) -> int:
        """How many events may become dead letters, without what an operator has granted."""
        return self._allowance.left

    @property
    def is_spent(self) -> bool:
        """Whether no event may become a dead letter now."""
        return self._allowance.is_spent and not self.granted

    @property
    def is_refusal_of_all(self) -> bool:
        """Whether so many requests were refused in a row that it is no fault of their events."""
        return self._refused_in_a_row >= REFUSED_IN_A_ROW and not self.granted

    def carry(self, left: int) -> None:
        """Begin with what an earlier run left."""
        self._allowance = Allowance(min(left, MAX_CREDIT), MAX_CREDIT)

    def grant(self, events: int) -> None:
        """Allow for so many dead letters, as an operator has decided."""
        self.granted += events

    def taken(self, events: int) -> None:
        """Note that the partner has taken events."""
        self._allowance = self._allowance.accept(events)
        self._refused_in_a_row = 0

    def refused(self) -> None:
        """Note that a request was refused."""
        self._refused_in_a_row += 1

    def spend(self) -> None:
        """Note that an event becomes a dead letter, which was not `is_spent`."""
        if self.granted:
            self.granted -= 1
        else:
            self._allowance = self._allowance.reject()


HALVE_AFTER = 3
"""So many failures of a partner that works otherwise, and an array is halved: one of its events may be the reason."""

OF_ONE_PERHAPS = frozenset({403, 404})
"""Refusals for a person, unless they come again and again for some events while others are taken: a firewall's, say."""


class Blame:
    """What the outcomes together say of the partner and of the events."""

    def __init__(self) -> None:
        self.credit = Credit()
        self.failing = ""
        """Why the last request failed, when none has been answered since."""
        self.stopped = ""
        """What a person has to put right, as long as nothing shows that it was; then empty."""
        self.looks = 0
        """How often it was looked whether a partner that refuses everything takes an event again; 0 when none does."""
        self._delivered_at = 0.0

    @property
    def is_refusing(self) -> bool:
        """Whether the partner takes no event at all, so that it is no event's fault: each waits to be tried again."""
        return self.looks > 0

    def give_up(self, events: int) -> None:
        """Blame up to so many events for any failure that they are answered with: somebody decided so."""
        self.credit.grant(events)
        self.stopped, self.looks = "", 0

    def understood(self, parcel: Parcel, outcome: Outcome) -> Outcome:
        """Return the outcome with what it means beside others, and after what an operator has decided."""
        is_failure = outcome.verdict in (Verdict.STOP, Verdict.AGAIN) and outcome.status is not None
        if is_failure and self.credit.granted:
            return replace(outcome, verdict=Verdict.REFUSED)
        if outcome.verdict is Verdict.STOP and self._is_of_these_events(parcel, outcome):
            return replace(outcome, verdict=Verdict.REFUSED)
        return outcome

    def note(self, parcel: Parcel, outcome: Outcome, now: float) -> bool:
        """Take note of an outcome; return whether it shows that the partner is there."""
        if outcome.verdict is Verdict.STOP:
            self.stopped = outcome.reason
            return False
        if outcome.verdict is Verdict.DELIVERED:
            self.credit.taken(len(parcel.events))
            self.looks, self._delivered_at = 0, now
        elif outcome.verdict is Verdict.REFUSED:
            self.credit.refused()
        is_there = outcome.is_alive and not self.is_refusing
        if is_there:
            self.failing = self.stopped = ""
        else:
            self.failing = outcome.reason
        return is_there

    def is_no_fault(self, parcel: Parcel, outcome: Outcome, *, tried_in_vain: bool) -> bool:
        """Say whether a refusal, or a failure for too long, is none of the events', as others meet it too."""
        is_refused = outcome.verdict is Verdict.REFUSED
        if is_refused and self.credit.is_refusal_of_all:
            return True
        is_last = is_refused or (outcome.verdict is Verdict.AGAIN and tried_in_vain)
        return is_last and len(parcel.events) == 1 and self.credit.is_spent

    def _is_of_these_events(self, parcel: Parcel, outcome: Outcome) -> bool:
        """Say whether a refusal for a person is rather one of these events, as others were taken in between."""
        return (
            outcome.status in OF_ONE_PERHAPS
            and parcel.stops >= HALVE_AFTER - 1
            and self._delivered_at > parcel.stopped_at
        )
