"""What a loop is offered and what it does, in events a second, over the last seconds."""

from collections import deque
from typing import NamedTuple


class Rate(NamedTuple):
    """Events a second."""

    offered: float | None
    """What came in: what was done, and by how much more waits. None where nobody knows what waits."""
    done: float


class Rates:
    """Tells the rates of the last ten seconds or so from a count that only grows, and from what waits."""

    SECONDS = 10.0

    def __init__(self) -> None:
        self._kept: deque[tuple[float, int, int | None]] = deque()

    def of(self, events: int, lag: int | None, now: float) -> Rate | None:
        """Return the rates, given all events and those that wait; None at first. `now` by a clock that nobody sets."""
        while len(self._kept) > 1 and now - self._kept[1][0] >= self.SECONDS:
            self._kept.popleft()
        kept, present = list(self._kept), (now, events, lag)
        self._kept.append(present)
        if not kept or now <= kept[0][0]:
            return None
        known = [one for one in kept if one[2] is not None]  # not so while the loop had to wait for its first look
        return Rate(_offered(known[0], present) if known else None, (events - kept[0][1]) / (now - kept[0][0]))


_Look = tuple[float, int, int | None]


def _offered(before: _Look, present: _Look) -> float | None:
    (began, events, waited), (now, handled, waits) = before, present
    if waits is None or waited is None or now <= began:
        return None
    return max(0.0, (handled - events + waits - waited) / (now - began))
