"""What there is of dead letters at one moment, summed up: by state, and by source of those that wait for somebody."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from engagement_platform.domain.dead_letters import UNSETTLED, DeadLetterState, Letter
from engagement_platform.domain.letter_reasons import reason_of

_REASON_CHARACTERS = 200
_MOST_REASONS = 1_000
"""Of one source, that are told apart: each letter may have a reason of its own."""


@dataclass(frozen=True, slots=True)
class OpenLetters:
    """The letters of one source that wait for somebody."""

    source: str
    number: int
    since: float
    """When the oldest was written, in seconds since 1970."""
    reason: str
    """The most frequent one."""


@dataclass(frozen=True, slots=True)
class LetterCounts:
    """All letters of a stream."""

    states: Mapping[DeadLetterState, int] = field(default_factory=dict, hash=False)
    open: tuple[OpenLetters, ...] = ()
    """By source; none of a source without open letters."""
    by_reason: Mapping[tuple[str, str, str], int] = field(default_factory=dict, hash=False)
    """Source, word for the reason and state -> how many: see `letter_reasons`."""

    def get(self, state: DeadLetterState, default: int = 0) -> int:
        """Return how many letters are in a state."""
        return self.states.get(state, default)


def counted(letters: Iterable[Letter]) -> LetterCounts:
    """Sum letters up; they may come one after the other."""
    states: Counter[DeadLetterState] = Counter()
    by_reason: Counter[tuple[str, str, str]] = Counter()
    numbers: Counter[str] = Counter()
    reasons: dict[str, Counter[str]] = {}
    oldest: dict[str, float] = {}
    for letter in letters:
        state, content = letter.state, letter.content
        states[state] += 1
        by_reason[content.source, reason_of(content).value, state.value] += 1
        if state in UNSETTLED:
            some = reasons.setdefault(content.source, Counter())
            reason = content.reason[:_REASON_CHARACTERS]
            if reason in some or len(some) < _MOST_REASONS:
                some[reason] += 1
            numbers[content.source] += 1
            at = content.at.timestamp()
            oldest[content.source] = min(at, oldest.get(content.source, at))
    return LetterCounts(
        states,
        tuple(
            OpenLetters(source, numbers[source], oldest[source], some.most_common(1)[0][0])
            for source, some in sorted(reasons.items())
        ),
        by_reason,
    )
