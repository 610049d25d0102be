"""The time for which events were tried in vain: by a clock that stands still while the partner is down."""

from collections.abc import Iterable
from datetime import UTC, datetime

from engagement_platform.domain.delivery.lanes import Outgoing
from engagement_platform.domain.delivery.parcels import Parcel
from engagement_platform.domain.delivery.tries import Tried


class Charges:
    """The events that were tried in vain, and since when. An event's time is over after `retry` seconds."""

    def __init__(self, retry: float) -> None:
        self._retry = retry
        self._tried_since: dict[tuple[str, int, int], tuple[float, datetime]] = {}
        """Topic, partition and offset -> what the clock showed at the first try, and when that was."""

    def charge(self, parcel: Parcel, clock: float) -> bool:
        """Count the time of a try in vain; return whether the time of one of the events is over."""
        oldest = clock
        for event in parcel.events:
            before = event.tried
            seconds, first = (before.seconds, datetime.fromtimestamp(before.first, UTC)) if before else (0, None)
            since = (parcel.clock - seconds, first or parcel.first_try or datetime.fromtimestamp(0, UTC))
            oldest = min(oldest, self._tried_since.setdefault(event.record_position, since)[0])
        return clock - oldest >= self._retry

    def first_try(self, event: Outgoing) -> datetime | None:
        """Return when an event was tried first, in this run or an earlier one; None where it was not charged."""
        charged = self._tried_since.get(event.record_position)
        return None if charged is None else charged[1]

    def forget(self, events: Iterable[Outgoing]) -> None:
        """Let go of events that are settled."""
        for event in events:
            self._tried_since.pop(event.record_position, None)

    def tried(self, clock: float) -> dict[tuple[str, int, int], Tried]:
        """Return topic, partition and offset -> for how long it was tried."""
        return {
            position: Tried(max(0, int(clock - began)), max(0, int(first.timestamp())))
            for position, (began, first) in self._tried_since.items()
        }
