"""The transactions in which events are written: pure plans, the same for the same seed.

Some are rolled back, some roll back to a savepoint, some take their ids early and commit late, so that ids commit
out of order and leave gaps.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Literal

from engagement_platform.local.generator.sessions import Event, Sessions

LARGEST = 2_000
HOLDING_SHARE = 0.2
"""The part of a writer's time that it spends with a transaction held open."""
_MEAN_HOLD_SECONDS = 0.35


@dataclass(frozen=True, slots=True)
class Insert:
    """Write events; the ids come from the column's default."""

    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class InsertUndone:
    """Write events after a savepoint and roll back to it: their ids are gaps for ever."""

    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class ReserveThenInsert:
    """Take ids from the sequence, wait, and only then write the events that have them."""

    events: tuple[Event, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Hold:
    """Keep the transaction open."""

    seconds: float


Step = Insert | InsertUndone | ReserveThenInsert | Hold


@dataclass(frozen=True, slots=True)
class Plan:
    """One transaction."""

    steps: tuple[Step, ...]
    end: Literal["commit", "rollback"] = "commit"

    @property
    def kept(self) -> int:
        """How many events are there once the transaction has ended."""
        if self.end == "rollback":
            return 0
        return sum(len(step.events) for step in self.steps if isinstance(step, Insert | ReserveThenInsert))


@dataclass(frozen=True, slots=True)
class Workload:
    """What the generator is asked for."""

    rate: float = 200
    """Committed events a second, of all writers together."""
    writers: int = 4
    seed: int = 7

    @property
    def mean_events(self) -> float:
        """Events in a transaction on average: about a hundred transactions a second, with few events at low rates."""
        return max(2.0, self.rate / 100)

    @property
    def hold_chance(self) -> float:
        """The share of transactions that are held open, so that writers spend HOLDING_SHARE of their time with it."""
        transactions = self.rate / self.mean_events / self.writers
        return min(0.1, HOLDING_SHARE / (transactions * _MEAN_HOLD_SECONDS))


def plans(random: Random, sessions: Sessions, workload: Workload) -> Iterator[Plan]:
    """Yield one writer's transactions, without end."""
    while True:
        yield _plan(random, sessions, workload)


def _plan(random: Random, sessions: Sessions, workload: Workload) -> Plan:
    events = tuple(islice(sessions, _size(random, workload.mean_events)))
    chance = random.random()
    if chance < workload.hold_chance:
        return _late(random, events, workload)
    chance = random.random()
    if chance < 0.04:
        return Plan((Insert(events),), end="rollback")
    if chance < 0.10:
        undone = tuple(islice(sessions, _size(random, 3)))
        cut = random.randrange(len(events)) + 1
        rest = (Insert(events[cut:]),) if events[cut:] else ()
        return Plan((Insert(events[:cut]), InsertUndone(undone), *rest))
    return Plan((Insert(events),))


def _late(random: Random, events: tuple[Event, ...], workload: Workload) -> Plan:
    seconds = _hold_seconds(random, workload)
    if random.random() < 0.3:
        return Plan((ReserveThenInsert(events, seconds),))
    return Plan((Insert(events), Hold(seconds)), end="rollback" if random.random() < 0.1 else "commit")


def _hold_seconds(random: Random, workload: Workload) -> float:
    """Return tens to hundreds of milliseconds, at times seconds; one or two writers could not keep the rate then."""
    if workload.writers > 2 and random.random() < 0.1:
        return random.uniform(1, 3)
    return random.uniform(0.02, 0.3)


def _size(random: Random, mean: float) -> int:
    return min(1 + int(random.expovariate(1 / max(mean - 0.5, 0.1))), LARGEST)
