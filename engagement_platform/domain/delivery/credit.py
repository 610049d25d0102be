"""Whether it is an event's fault that the partner does not take it: only beside others that the partner takes.

A partner that refuses everything, or a setting that is wrong, looks like an endless row of bad events. Each event that
was taken allows for one that becomes a dead letter, up to `MAX_CREDIT`. So a partner that takes at least half of the
events gets rid of the others at once, and one that begins to refuse everything makes at most `MAX_CREDIT` dead letters.
"""

from engagement_platform.domain.rejections import Allowance

FIRST_CREDIT = 3
"""What there is at the very first: an event that comes alone and is refused is a dead letter."""
MAX_CREDIT = 20
REFUSED_IN_A_ROW = 20
"""Refused requests without a taken one between them, and it is the partner: halving arrays further would be in vain."""


class Credit:
    """How many events may become dead letters. The next run begins with what this one leaves."""

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
    def is_granted(self) -> bool:
        """Whether an operator has decided that what is refused becomes dead letters."""
        return self.granted > 0

    @property
    def is_spent(self) -> bool:
        """Whether no event may become a dead letter now."""
        return self._allowance.is_spent and not self.is_granted

    @property
    def is_refusal_of_all(self) -> bool:
        """Whether so many requests were refused in a row that it is no fault of their events."""
        return self._refused_in_a_row >= REFUSED_IN_A_ROW and not self.is_granted

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
        if self.is_granted:
            self.granted -= 1
        else:
            self._allowance = self._allowance.reject()
