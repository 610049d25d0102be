"""Which event ids a rebuilt day holds already, so that the live stream does not add them a second time.

A rebuild reads the source in one snapshot. An event that the stream may still bring is in the rebuilt day exactly when
that snapshot saw it: its id is at most `hi`, and not among the `missing` ones.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter

from engagement_platform.domain.ids import IdRange, gaps_between, without


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


def advanced(known: Coverage, found: Iterable[int], above: Sequence[int]) -> Coverage:
    """Return the coverage of a snapshot, from what the relay had seen when it was taken.

    `known` is the relay's checkpoint, read before the snapshot. `found` are the ids missing in it that the snapshot
    sees, ascending: they committed in between, and the relay is still to publish them. `above` are all ids above
    `known.hi` that the snapshot sees, ascending.
    """
    missing = without(known.missing, found) + gaps_between(known.hi, above)
    return Coverage(above[-1] if above else known.hi, missing)
