"""Which event ids a rebuilt day holds already, so that the live stream does not add them a second time.

A rebuild reads the source in one snapshot. An event that the stream may still bring is in the rebuilt day exactly when
that snapshot saw it: its id is at most `hi`, and not among the `missing` ones.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from operator import itemgetter

from engagement_platform.domain.checkpoint import Checkpoint, missing_ranges
from engagement_platform.domain.ids import IdRange, merged, split_after, without


@dataclass(frozen=True, slots=True)
class Coverage:
    """The ids that a snapshot has seen: those up to `hi` without the `missing` ranges, ascending."""

    hi: int
    missing: tuple[IdRange, ...] = ()

    def covers(self, event_id: int) -> bool:
        """Say whether the snapshot saw the id, or the id was deleted before it: then the stream must not add it."""
        if event_id > self.hi:
            return False
        at = bisect_right(self.missing, event_id, key=itemgetter(0)) - 1
        return at < 0 or event_id > self.missing[at].last


@dataclass(frozen=True, slots=True)
class Published:
    """The ids that were published within a time: those that `until` covers and `since` did not."""

    since: Coverage
    until: Coverage

    def has(self, event_id: int) -> bool:
        """Say whether the id was published in that time."""
        return self.until.covers(event_id) and not self.since.covers(event_id)


def coverage_of(checkpoint: Checkpoint) -> Coverage:
    """Return the ids that were published, or given up, when a checkpoint was written."""
    return Coverage(checkpoint.hi, tuple(missing_ranges(checkpoint)))


def common(one: Coverage, other: Coverage) -> Coverage:
    """Return the coverage of the ids that both have."""
    hi = min(one.hi, other.hi)
    return Coverage(hi, merged(split_after((*one.missing, *other.missing), hi)[0]))


def advanced(covered: Coverage, visible: Iterable[int], above: Iterable[int]) -> Coverage:
    """Return the coverage of a snapshot, from what the relay had seen when it was taken.

    `covered` is the relay's checkpoint, read before the snapshot. `visible` are the ids missing in it that the snapshot
    sees, ascending: they committed in between, and the relay is still to publish them. `above` are all ids above
    `covered.hi` that the snapshot sees, ascending; they are read once, and not kept.
    """
    hi, gaps = covered.hi, []
    for event_id in above:
        if event_id > hi + 1:
            gaps.append(IdRange(hi + 1, event_id - 1))
        hi = event_id
    return Coverage(hi, (*without(covered.missing, visible), *gaps))
