"""Overload as a state: when the stream is saturated, and who takes less while it is. Redis goes first.

Of all that the stream feeds, Redis alone is promised within seconds. So a loop whose readers wait for longer gives way
while the tally is behind: it uses a share of its time, less the further Redis is behind, and never less than `LEAST`.
Two rules keep that from holding anything up for ever:

- Only a tally that *streams*, and said so a moment ago, is given way to. Else: the tally is paused, or Redis is away,
  and stage and forward wait for what no waiting of theirs can bring; or its process is gone, and its last word stands.
- Whoever gives way goes on all the same. Else: more is offered than can be done for days, and what waits in Kafka for
  the warehouse and the partner expires.

Times and spans are in seconds; nothing here reads a clock.
"""

from dataclasses import dataclass
from typing import Final

from engagement_platform.domain.loop_state import Activity, LoopState
from engagement_platform.domain.progress import BEHIND
from engagement_platform.domain.status import LoopStatus

GIVES_WAY_FROM: Final = 0.1
"""How far Redis is behind when others begin to take less. A stream that keeps up is below it, but for hand-overs."""
GIVES_WAY_MOST: Final = 0.5
"""How far it is behind when they take the least."""
LEAST: Final = 0.1
"""The share of its time that a loop always has."""
MAX_DEBT: Final = 5.0
"""For how long a loop takes nothing, at most: a batch on its way to the warehouse costs much at once."""
TOLD_WITHIN: Final = 3.0
"""How old the word of a tally may be that is given way to. It beats every second."""

SATURATED_FROM: Final = 1.0
"""How far Redis is behind when the stream begins to be saturated."""
SATURATED_FOR: Final = 3.0
"""For how long it has to be: a hand-over or a burst is over sooner."""
CAUGHT_UP: Final = 0.5
"""Below which it has caught up."""


def behind_of(tally: LoopStatus | None) -> float:
    """Return how far Redis is behind, as a reason to take less: 0 unless its tally is at work and just said so."""
    if tally is None or tally.ended or tally.silent_seconds > TOLD_WITHIN:
        return 0.0
    figures = tally.figures
    if figures.state is None or not figures.state.is_streaming:
        return 0.0
    return max(0.0, figures.gauge(BEHIND) or 0.0)


def share_of(behind: float) -> float:
    """Return which part of its time a loop that gives way may use; 1 while Redis is not behind."""
    excess = (behind - GIVES_WAY_FROM) / (GIVES_WAY_MOST - GIVES_WAY_FROM)
    return 1.0 - (1.0 - LEAST) * min(max(excess, 0.0), 1.0)


def debt_after(debt: float, worked: float, passed: float, share: float) -> float:
    """Return for how long a loop has to rest, after it has worked for a part of the time that passed."""
    return min(max(0.0, debt + worked / share - passed), MAX_DEBT) if share < 1.0 else 0.0


@dataclass(frozen=True, slots=True)
class Saturation:
    """Whether more is offered than is done, as it shows in how far Redis is behind."""

    since: float | None = None
    """When Redis began to be behind; None while it is not."""

    def after(self, behind: float, now: float) -> "Saturation":
        """Return what is true after another look."""
        if behind >= (CAUGHT_UP if self.since is not None else SATURATED_FROM):
            return self if self.since is not None else Saturation(now)
        return Saturation()

    def state(self, behind: float, now: float) -> LoopState | None:
        """Return the state of a tally that is saturated; None of one that keeps up."""
        if self.since is None or now - self.since < SATURATED_FOR:
            return None
        return LoopState(Activity.SATURATED, self.since, "Redis", f"Redis is {behind:,.1f} s behind")
