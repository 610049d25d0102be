"""Whether a loop keeps up with its asset, and its latency with its promise: what Dagster's checks say.

A check fails by the conditions that page and alerts show, and is red where one of them breaks a promise. That of the
latencies is amber for what the last hour was like, and goes away by itself.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from engagement_platform.domain.conditions import Condition, Kind, Severity
from engagement_platform.domain.latency import ENOUGH_EVENTS, Latencies
from engagement_platform.domain.loop_state import clock


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a check says."""

    passed: bool
    said: str
    is_severe: bool = False
    """Whether a promise is broken; else somebody has to act before one is."""
    about: tuple[str, ...] = ()
    """What is wrong, by names that stay."""

    def is_about_the_same(self, other: "Outcome") -> bool:
        """Say whether nobody has to be told anew: figures within the sentences may differ."""
        return (self.passed, self.is_severe, self.about) == (other.passed, other.is_severe, other.about)


def keeps_up(loops: Collection[str], conditions: Iterable[Condition]) -> Outcome:
    """Say whether what these loops bring is up to date."""
    wrong = [one for one in conditions if _concerns(one, loops)]
    if not wrong:
        return Outcome(passed=True, said="As promised.")
    return Outcome(
        passed=False,
        said="\n".join(map(_in_words, wrong)),
        is_severe=any(one.severity is Severity.CRITICAL for one in wrong),
        about=tuple(sorted(f"{one.kind} {one.subject}".strip() for one in wrong)),
    )


def _concerns(condition: Condition, loops: Collection[str]) -> bool:
    if condition.kind is Kind.UNREADABLE:
        return True
    if condition.kind is Kind.DEAD_LETTERS:
        return condition.subject in loops
    return not set(condition.loops).isdisjoint(loops)


def _in_words(condition: Condition) -> str:
    parts = (f"Since {clock(condition.since)}: {condition.what}", condition.means, condition.todo)
    return " ".join(part for part in parts if part)


def is_as_promised(latencies: Latencies, promise: float) -> Outcome:
    """Say whether 99 of 100 events of a span came within a promise, in seconds from the commit."""
    slowest = latencies.quantile(0.99)
    if slowest is None or latencies.count < ENOUGH_EVENTS:
        return Outcome(passed=True, said=f"{latencies.count} events in the last hour: too few to tell.")
    said = f"99 of 100 events of the last hour came within {slowest:,.3g} s; promised are {promise:g} s."
    if slowest <= promise:
        return Outcome(passed=True, said=said)
    todo = "It is green again when the hour has passed without; until then see what the check keeps_up said meanwhile."
    return Outcome(passed=False, said=f"{said} {todo}", about=("late",))
