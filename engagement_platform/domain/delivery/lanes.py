"""Events on their way out, in order for each content.

A lane holds the events of one content in their order. It is either free, or taken by the one parcel that is under way
with events of it, so no two parcels with events of one content are ever under way together.
"""

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from engagement_platform.domain.delivery.tries import Tried


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One event to deliver."""

    id: int
    lane: Hashable
    """The content that its order is kept for."""
    value: bytes
    """The message's value, JSON."""
    record_position: tuple[str, int, int]
    """Topic, partition and offset."""
    arrived: float
    """When it was read, by the clock of the loop."""
    unseen_at: int | None = None
    """As in the message's header, in microseconds since 1970."""
    tried: Tried | None = None
    """How it fared in earlier runs."""


class Lanes:
    """Waiting events by content."""

    def __init__(self) -> None:
        self._free: OrderedDict[Hashable, deque[Outgoing]] = OrderedDict()  # whose turn is next
        self._taken: dict[Hashable, deque[Outgoing]] = {}
        self._ready = 0

    @property
    def ready(self) -> int:
        """How many events could leave now."""
        return self._ready

    def add(self, event: Outgoing) -> None:
        """Let an event wait behind those of its content."""
        if event.lane in self._taken:
            self._taken[event.lane].append(event)
            return
        self._free.setdefault(event.lane, deque()).append(event)
        self._ready += 1

    def waits_since(self) -> float | None:
        """Return when the event arrived that has its turn next; None when no lane is free."""
        for lane in self._free.values():
            return lane[0].arrived
        return None

    def take(self, most: int) -> tuple[Outgoing, ...]:
        """Return up to `most` events, and take their lanes. Lanes have their turns one after the other."""
        chosen: list[Outgoing] = []
        while self._free and len(chosen) < most:
            name, lane = self._free.popitem(last=False)
            self._ready -= len(lane)
            chosen.extend(lane.popleft() for _ in range(min(len(lane), most - len(chosen))))
            self._taken[name] = lane
        return tuple(chosen)

    def release(self, lanes: Iterable[Hashable]) -> None:
        """Free the lanes of a parcel that has arrived; those with events that wait have their turn last."""
        for name in set(lanes):
            waiting = self._taken.pop(name)
            if waiting:
                self._free[name] = waiting
                self._ready += len(waiting)
