"""The gap ledger: which ids of a sequence have been seen, and which could still be committed.

Ids are given out before their transactions commit, so they become visible out of order. The ledger keeps the
highest id seen and every missing id below it, with the transactions ("holders") that could still commit it: those
that held the sequence's lock after the gap was noticed. `nextval` takes that lock and keeps it to the end of the
transaction. An id is given up only when all its holders have ended and a read that began later did not find it.

The order in which the caller looks is part of the proof:

1. `holders` before the read, if anything is missing;
2. one read of `worth_probing(...)` and of everything above `hi`;
3. `holders` after the read, if it opened gaps;
4. `absorb(...)`.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engagement_platform.domain.ids import IdRange, count, gaps_between, split_after, without


@dataclass(frozen=True, slots=True)
class Holders:
    """The transactions that hold the sequence's lock at one moment."""

    virtual: frozenset[str] = frozenset()
    """Virtual transaction ids."""
    prepared: frozenset[str] = frozenset()
    """Those among them that are prepared transactions.

    Their virtual ids change when the server restarts while their rows can still commit, so nothing that is missing is
    given up while there is one.
    """


NOBODY = Holders()

_ENDED_UNSEEN = "ended unseen"
"""Stands for a transaction that committed after the read and before the look at the locks.

Nobody saw it hold the lock. As a recorded holder that has ended it makes the next read look for the new gap once;
else the id would be found only when some other holder ends, however long that takes.
"""


@dataclass(frozen=True, slots=True)
class Gap:
    """Missing ids that have the same recorded holders."""

    holders: frozenset[str]
    ranges: tuple[IdRange, ...]

    def is_worth_probing(self, now: Holders) -> bool:
        """Say whether one of these ids can have become visible, or can be given up."""
        return not self.holders <= now.virtual or self.is_provable(now)

    def is_provable(self, now: Holders) -> bool:
        """Say whether a read from now on shows every one of these ids that will ever exist."""
        return not now.prepared and self.holders.isdisjoint(now.virtual)


@dataclass(frozen=True, slots=True)
class Ledger:
    """What has been seen of the sequence. A value: it is replaced when a batch is safely in Kafka, never changed."""

    hi: int
    gaps: tuple[Gap, ...] = ()

    @property
    def missing(self) -> tuple[IdRange, ...]:
        """All missing ids, ascending."""
        if len(self.gaps) == 1:
            return self.gaps[0].ranges
        return tuple(sorted(r for gap in self.gaps for r in gap.ranges))

    @property
    def open_ids(self) -> int:
        """How many ids are missing."""
        return sum(count(gap.ranges) for gap in self.gaps)


@dataclass(frozen=True, slots=True)
class Seen:
    """What one read returned."""

    ids: Sequence[int]
    """Ascending: probed ids, then those above `hi`."""
    cut: bool
    """Whether a limit ended the read: then nothing is known about ids above the last one returned."""


def begin(hi: int, missing: Iterable[IdRange], holders: Holders) -> Ledger:
    """Return the ledger of a relay that starts, or reconnects.

    Every missing id counts as a new gap whose holders are those of now: without recorded holders it would read as
    given up, while its transaction may be open. `holders` must be taken after `hi` and `missing` were known.
    """
    return Ledger(hi, _merge([_new_gap(holders, tuple(missing))]))


def worth_probing(ledger: Ledger, now: Holders) -> tuple[IdRange, ...]:
    """Return the missing ids that the next read should look for, ascending."""
    return Ledger(ledger.hi, tuple(gap for gap in ledger.gaps if gap.is_worth_probing(now))).missing


def opens_gaps(ledger: Ledger, seen: Seen) -> bool:
    """Say whether a read skipped ids, so that the holders have to be read after it."""
    new = _above(ledger.hi, seen.ids)
    return bool(new) and new[-1] - ledger.hi > len(new)


def absorb(ledger: Ledger, before: Holders, seen: Seen, after: Holders) -> Ledger:
    """Return the ledger after a read.

    `before` are the holders that chose the probes, taken before the read; `after` those taken after it. A provable
    id that the read did not return leaves the ledger for good, unless the read was cut off before it.
    """
    new = _above(ledger.hi, seen.ids)
    found = seen.ids[: len(seen.ids) - len(new)]
    horizon = seen.ids[-1] if seen.cut else ledger.hi
    gaps = [part for gap in ledger.gaps for part in _after_probe(gap, before, found, horizon)]
    gaps.append(_new_gap(after, gaps_between(ledger.hi, new)))
    return Ledger(new[-1] if new else ledger.hi, _merge(gaps))


def _new_gap(holders: Holders, ranges: tuple[IdRange, ...]) -> Gap:
    return Gap(holders.virtual | {_ENDED_UNSEEN}, ranges)


def _after_probe(gap: Gap, now: Holders, found: Sequence[int], horizon: int) -> Iterable[Gap]:
    if not gap.is_worth_probing(now):
        yield gap
        return
    looked_at, beyond = split_after(gap.ranges, horizon)
    yield Gap(gap.holders, beyond)
    if not gap.is_provable(now):
        # A prepared holder may have another id than the recorded one: with its present id, its end will be noticed.
        yield Gap((gap.holders & now.virtual) | now.prepared, without(looked_at, found))


def _above(hi: int, ids: Sequence[int]) -> Sequence[int]:
    return ids[bisect_right(ids, hi) :]


def _merge(gaps: Iterable[Gap]) -> tuple[Gap, ...]:
    by_holders: dict[frozenset[str], tuple[IdRange, ...]] = {}
    for gap in gaps:
        if gap.ranges:
            held = by_holders.get(gap.holders)
            by_holders[gap.holders] = tuple(sorted(held + gap.ranges)) if held else gap.ranges
    return tuple(Gap(holders, ranges) for holders, ranges in by_holders.items())
