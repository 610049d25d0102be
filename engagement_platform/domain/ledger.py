"""The gap ledger: which ids of a sequence have been seen, and which could still be committed.

Ids are given out before their transactions commit, so they become visible out of order. The ledger keeps the
highest id seen and every missing id below it, with the transactions ("holders") that could still commit it: those
that held the sequence's lock after the gap was noticed. `nextval` takes that lock and keeps it to the end of the
transaction. An id is given up only when all its holders have ended and a read that began later did not find it.

That holds for ids that the sequence has given. A row may also come under an id that somebody wrote, above all that the
sequence gave: it is published, and the ids below it that the sequence has yet to give stay open (`ungiven`), because no
lock can say anything about them before. Where the sequence cannot be seen, nobody knows which these are: ids are then
given up as before, but the largest and the newest of them are still looked for.

The order in which the caller looks is part of the proof:

1. `holders` before the read, if anything is missing;
2. one read of `worth_probing(...)` and of everything above `hi`;
3. `holders` after the read, if it opened gaps;
4. `absorb(...)`.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import nlargest

from engagement_platform.domain.ids import IdRange, count, gaps_between, merged, split_after, without

EVERYTHING = (1 << 63) - 1
"""Given by the sequence: whatever the column can hold."""
PROBED_AT_ONCE = 16
"""How many ranges of ids yet to be given are looked at by every read; the others by those that look at everything."""
KEPT_UNSEEN = 256
"""How many ranges of given-up ids are remembered where the sequence cannot be seen."""


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
    ungiven: tuple[IdRange, ...] = ()
    """Ids below `hi` that the sequence may still give, ascending."""

    @property
    def missing(self) -> tuple[IdRange, ...]:
        """All ids below `hi` that were not seen and may still come, ascending."""
        if not self.ungiven and len(self.gaps) == 1:
            return self.gaps[0].ranges
        return tuple(sorted((*self.ungiven, *(r for gap in self.gaps for r in gap.ranges))))

    @property
    def open_ids(self) -> int:
        """How many ids were given and are missing."""
        return sum(count(gap.ranges) for gap in self.gaps)


@dataclass(frozen=True, slots=True)
class Seen:
    """What one read returned."""

    ids: Sequence[int]
    """Ascending: probed ids, then those above `hi`."""
    cut: bool
    """Whether a limit ended the read: then nothing is known about ids above the last one returned."""
    given: int | None = EVERYTHING
    """The id that the sequence had given last, asked after the read's snapshot was taken; None where it is not seen."""


def begin(hi: int, missing: Iterable[IdRange], holders: Holders, given: int | None = EVERYTHING) -> Ledger:
    """Return the ledger of a relay that starts, or reconnects.

    Every missing id that was given counts as a new gap whose holders are those of now: without recorded holders it
    would read as given up, while its transaction may be open. `given` is the id that the sequence gave last, None where
    that is not seen. `hi`, `missing` and `given` must be known before `holders` are taken.
    """
    given_ids, ungiven = split_after(tuple(missing), EVERYTHING if given is None else given)
    return Ledger(hi, _merge([_new_gap(holders, given_ids)]), ungiven)


def reopened(ledger: Ledger, ids: Sequence[int], holders: Holders) -> Ledger:
    """Return the ledger with ascending ids up to `hi` missing again. `holders` are taken after they were not seen."""
    ranges = tuple(IdRange(one, one) for one in ids)
    return Ledger(ledger.hi, _merge([*ledger.gaps, _new_gap(holders, ranges)]), without(ledger.ungiven, ids))


def worth_probing(ledger: Ledger, now: Holders, *, everything: bool = True) -> tuple[IdRange, ...]:
    """Return the ids up to `hi` that the next read should look for, ascending.

    Of those that are yet to be given, the lowest and the largest ranges only, unless `everything` is asked for.
    """
    gaps = tuple(gap for gap in ledger.gaps if gap.is_worth_probing(now))
    ungiven = ledger.ungiven
    if not everything and len(ungiven) > PROBED_AT_ONCE:
        half = PROBED_AT_ONCE // 2
        ungiven = tuple(sorted((*ungiven[:half], *_largest(ungiven[half:], half))))
    return Ledger(ledger.hi, gaps, ungiven).missing


def opens_gaps(ledger: Ledger, seen: Seen) -> bool:
    """Say whether a read skipped ids that were given, so that the holders have to be read after it."""
    return bool(_advance(ledger, seen).skipped)


def absorb(ledger: Ledger, before: Holders, seen: Seen, after: Holders) -> Ledger:
    """Return the ledger after a read.

    `before` are the holders that chose the probes, taken before the read; `after` those taken after it. A provable
    id that the read did not return leaves the ledger for good, unless the read was cut off before it.
    """
    step = _advance(ledger, seen)
    visible = seen.ids[: bisect_right(seen.ids, ledger.hi)]
    horizon = seen.ids[-1] if seen.cut else ledger.hi
    gaps = [part for gap in ledger.gaps for part in _after_probe(gap, before, visible, horizon)]
    gaps.append(_new_gap(after, step.skipped))
    ungiven = step.ungiven
    if seen.given is None:
        ungiven = _remembered((*ungiven, *_given_up(ledger, before, visible, horizon)))
    return Ledger(step.hi, _merge(gaps), ungiven)


@dataclass(frozen=True, slots=True)
class _Advance:
    """What a read changes above the ids that were known to be given."""

    hi: int
    skipped: tuple[IdRange, ...]
    """Ids that were given for sure, and not seen."""
    ungiven: tuple[IdRange, ...]


def _advance(ledger: Ledger, seen: Seen) -> _Advance:
    ids, hi = seen.ids, ledger.hi
    new = ids[bisect_right(ids, hi) :]
    top = new[-1] if new else hi
    above = gaps_between(hi, new) if top - hi > len(new) else ()
    if not ledger.ungiven and (seen.given is None or top <= seen.given):
        return _Advance(top, above, ())
    open_ = without(ledger.ungiven, ids[: len(ids) - len(new)])
    if seen.given is None:
        skipped, ungiven = _passed_unseen(ledger.ungiven, open_, ids)
        return _Advance(top, (*skipped, *above), ungiven)
    last_given = bisect_right(ids, seen.given) - 1
    passed = ids[last_given] if last_given >= 0 else 0
    skipped, ungiven = split_after((*open_, *above), passed)
    return _Advance(top, skipped, ungiven)


def _passed_unseen(
    before: Sequence[IdRange], after: Sequence[IdRange], ids: Sequence[int]
) -> tuple[tuple[IdRange, ...], tuple[IdRange, ...]]:
    """Tell apart what the sequence has passed, where it cannot be seen: in each range, what lies below a row."""
    skipped: list[IdRange] = []
    ungiven: list[IdRange] = []
    for part in after:
        whole = before[bisect_right(before, part.first, key=lambda r: r.first) - 1]
        at = bisect_right(ids, part.last)
        is_passed = at < len(ids) and ids[at] <= whole.last
        (skipped if is_passed else ungiven).append(part)
    return tuple(skipped), tuple(ungiven)


def _given_up(ledger: Ledger, now: Holders, visible: Sequence[int], horizon: int) -> Iterable[IdRange]:
    for gap in ledger.gaps:
        if gap.is_provable(now):
            yield from without(split_after(gap.ranges, horizon)[0], visible)


def _remembered(ranges: Iterable[IdRange]) -> tuple[IdRange, ...]:
    """Return, of ranges that were given up unproved, the newest and the largest, ascending."""
    ascending = merged(ranges)
    half = KEPT_UNSEEN // 2
    if len(ascending) <= KEPT_UNSEEN:
        return ascending
    return tuple(sorted((*_largest(ascending[:-half], half), *ascending[-half:])))


def _largest(ranges: Sequence[IdRange], n: int) -> list[IdRange]:
    return nlargest(n, ranges, key=lambda r: r.last - r.first)


def _new_gap(holders: Holders, ranges: tuple[IdRange, ...]) -> Gap:
    return Gap(holders.virtual | {_ENDED_UNSEEN}, ranges)


def _after_probe(gap: Gap, now: Holders, visible: Sequence[int], horizon: int) -> Iterable[Gap]:
    if not gap.is_worth_probing(now):
        yield gap
        return
    looked_at, beyond = split_after(gap.ranges, horizon)
    yield Gap(gap.holders, beyond)
    if not gap.is_provable(now):
        # A prepared holder may have another id than the recorded one: with its present id, its end will be noticed.
        yield Gap((gap.holders & now.virtual) | now.prepared, without(looked_at, visible))


def _merge(gaps: Iterable[Gap]) -> tuple[Gap, ...]:
    by_holders: dict[frozenset[str], tuple[IdRange, ...]] = {}
    for gap in gaps:
        if gap.ranges:
            held = by_holders.get(gap.holders)
            by_holders[gap.holders] = tuple(sorted(held + gap.ranges)) if held else gap.ranges
    return tuple(Gap(holders, ranges) for holders, ranges in by_holders.items())
