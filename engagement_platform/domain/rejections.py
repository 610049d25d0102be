"""How many messages may be given up: the rule that tells a single bad message from a deploy that breaks them all.

A message that cannot be published, counted, loaded or delivered is given up, so that it does not stop the others. After
a bad deploy that would be all of them. So what is accepted allows for what is rejected: one rejection for so many
accepted messages, saved up to a few. Who has used that up stops, and goes on from there after the fix. The rule counts
messages and no minutes, so a stream that catches up has the same limit as one with a message an hour.

What is left is kept in the platform database, so that the rule holds over leases and drains.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Self

from engagement_platform.domain.errors import StreamStopped

ACCEPTED_FOR_ONE: Final = 9
"""Accepted messages that allow for one rejected: more than a tenth is no accident."""
FIRST_ALLOWED: Final = 10
"""Rejections that are allowed for before anything was accepted."""
MAX_ALLOWED: Final = 20
"""Rejections that are saved up at most."""
MAX_IN_A_ROW: Final = 20
"""Rejected messages of one partition without an accepted one between them."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many rejections are allowed for by what was accepted."""

    left: int
    most: int
    accepted_for_one: int = 1
    """Accepted messages that allow for one rejection."""
    accepted: int = 0
    """Those that do not make one more yet."""

    @property
    def credit(self) -> int:
        """What is left, in accepted messages."""
        return self.left * self.accepted_for_one + self.accepted

    @property
    def max_credit(self) -> int:
        """How many accepted messages are saved up at most."""
        return self.most * self.accepted_for_one

    def with_credit(self, credit: int) -> Self:
        """Return the allowance with so much left, as far as that is saved up."""
        left, accepted = divmod(min(max(0, credit), self.max_credit), self.accepted_for_one)
        return replace(self, left=left, accepted=accepted)

    @property
    def is_spent(self) -> bool:
        """Whether no rejection is allowed for now."""
        return self.left <= 0

    def accept(self, number: int) -> Self:
        """Return what is allowed for after more messages were accepted."""
        if self.left == self.most:
            return self
        more, accepted = divmod(self.accepted + number, self.accepted_for_one)
        left = min(self.most, self.left + more)
        return replace(self, left=left, accepted=0 if left == self.most else accepted)

    def reject(self) -> Self:
        """Return what is left after a rejection, which was allowed for."""
        return replace(self, left=self.left - 1)


FIRST: Final = Allowance(FIRST_ALLOWED, MAX_ALLOWED, ACCEPTED_FOR_ONE)
"""What a loop has that has never given anything up."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The messages that are in hand, as far as the rule asks. A lane is a partition, or what else keeps an order."""

    sizes: Mapping[Hashable, int]
    """Lane -> number of messages."""
    rejected: Mapping[Hashable, Sequence[int]] = field(default_factory=dict)
    """Lane -> which of them were rejected, ascending from 0. Only lanes with such."""

    @property
    def messages(self) -> int:
        """How many messages are in hand."""
        return sum(self.sizes.values())

    @property
    def rejections(self) -> int:
        """How many of them were rejected."""
        return sum(map(len, self.rejected.values()))


@dataclass(frozen=True, slots=True)
class Rejections:
    """What a loop has given up lately, and what it may give up still.

    The messages in hand are given up together or not at all: whoever is over the limit has made no dead letter of them,
    and meets the same limit when it reads them again.
    """

    allowance: Allowance = FIRST
    granted: int = 0
    """How many more an operator has decided to give up."""
    in_a_row: Mapping[Hashable, int] = field(default_factory=dict)
    """Lane -> rejected messages since the last accepted one. Only lanes with such."""
    given_up: int = 0
    """How many were given up so far."""

    def after(self, judged: Judged) -> "Rejections | None":
        """Return what is true once the messages in hand are handled; None when too many of them were rejected."""
        if not judged.rejected and not self.in_a_row:
            allowance = self.allowance.accept(judged.messages)
            return self if allowance is self.allowance else replace(self, allowance=allowance)
        present: Rejections | None = self
        for lane, size in judged.sizes.items():
            present = present and present._after_lane(lane, size, judged.rejected.get(lane, ()))
        return present

    def _after_lane(self, lane: Hashable, size: int, rejected: Sequence[int]) -> "Rejections | None":
        allowance, granted, in_a_row, begin = self.allowance, self.granted, self.in_a_row.get(lane, 0), 0
        for at in rejected:
            allowance, in_a_row = allowance.accept(at - begin), 1 + (in_a_row if at == begin else 0)
            begin = at + 1
            if not allowance.is_spent and in_a_row <= MAX_IN_A_ROW:
                allowance = allowance.reject()
            elif granted > 0:
                granted -= 1
            else:
                return None
        in_a_row = in_a_row if begin == size else 0
        others = {name: number for name, number in self.in_a_row.items() if name != lane}
        return Rejections(
            allowance.accept(size - begin),
            granted,
            {**others, lane: in_a_row} if in_a_row else others,
            self.given_up + len(rejected),
        )

    def with_credit(self, credit: int) -> "Rejections":
        """Return what is true where the runs before have left so much."""
        return replace(self, allowance=self.allowance.with_credit(credit))

    def grant(self, number: int) -> "Rejections":
        """Return what is true after an operator has decided that so many more may be given up."""
        return replace(self, granted=self.granted + number)


def too_many(loop: str, judged: Judged, reason: str, given_up: int) -> StreamStopped:
    """Return what is said of a loop that would give up too many messages; `reason` is that of the first."""
    before = f", after {given_up} that it has given up" if given_up else ""
    return StreamStopped(
        f"{loop} rejects {judged.rejections} of the {judged.messages} messages in hand{before}; the first: {reason}. "
        "So many are no accident, and none of these is given up.",
        "Put right what was changed last: what writes them, or what reads them. It goes on by itself from there, and "
        f"nothing is lost. To give them up all the same: engagement-platform give-up {loop}",
    )
