"""When which fault begins: a pure function of the seed. Every kind occurs, none before the last has healed."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

QUIET_SECONDS = (1.5, 5.0)
"""Between the end of a fault's time and the next fault, at random within."""


class Kind(Protocol):
    """What the schedule has to know of a fault."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def takes(self) -> float:
        """Seconds from its beginning until everything is as before."""

    @property
    def once(self) -> bool:
        """Whether it is for the end, and occurs once: what it breaks stays different from before."""


@dataclass(frozen=True)
class Moment:
    """A fault that is to come."""

    at: float
    """Seconds after the beginning, when each fault takes as long as it may."""
    pause: float
    """Seconds after the one before has healed: that is when it begins, as most heal sooner than they may."""
    name: str
    until: float
    """When it should have healed."""
    seed: int
    """Of what is random within the fault."""


def schedule(seed: int, seconds: float, kinds: Sequence[Kind]) -> tuple[Moment, ...]:
    """Return the faults in their order: rounds in each of which every kind occurs once, in an order of its own.

    The first round is whole, however short the time is; then it goes on as long as there is time. Those that occur once
    come last.
    """
    luck = random.Random(f"schedule {seed}")
    moments: list[Moment] = []
    for kind in _order(luck, kinds, seconds):
        pause = luck.uniform(*QUIET_SECONDS)
        at = (moments[-1].until if moments else 0.0) + pause
        moments.append(Moment(at, pause, kind.name, at + kind.takes, luck.randrange(1 << 32)))
    return tuple(moments)


def _order(luck: random.Random, kinds: Sequence[Kind], seconds: float) -> Iterator[Kind]:
    repeated = [kind for kind in kinds if not kind.once]
    last = [kind for kind in kinds if kind.once]
    left = seconds - sum(_time_of(kind) for kind in last)
    rounds = 0
    while repeated:
        for kind in luck.sample(repeated, len(repeated)):
            left -= _time_of(kind)
            if rounds and left < 0:
                break
            yield kind
        rounds += 1
        if left <= 0:
            break
    yield from luck.sample(last, len(last))


def _time_of(kind: Kind) -> float:
    return kind.takes + sum(QUIET_SECONDS) / 2
