"""What is sent in one request, how it has fared, and what becomes of its events."""

from collections.abc import Hashable
from dataclasses import dataclass, replace
from datetime import datetime

from engagement_platform.domain.delivery.lanes import Outgoing


@dataclass(frozen=True, slots=True)
class Policy:
    """How to deliver. Times are in seconds, rates in things a second."""

    batch_size: int
    wait: float
    """For how long an event waits for others to fill its array."""
    in_flight: int
    retry: float
    """For how long an event is tried before it is a dead letter; time with the breaker open does not count."""
    opens_after: int
    """Consecutive failures that open the circuit breaker."""
    probe: float
    """Between requests while the breaker is open."""
    events_per_second: float | None = None
    requests_per_second: float | None = None


@dataclass(slots=True, eq=False)
class Parcel:
    """The events of one request, and how it has fared. `events` is what to send; the rest is for `Dispatch` only."""

    events: tuple[Outgoing, ...]
    behind: tuple[tuple[Outgoing, ...], ...] = ()
    """Parts that were halved off, of the same single content: they follow one after the other."""
    tries: int = 0
    failures: int = 0
    """Of tries while the breaker was closed, with just these events."""
    stops: int = 0
    """Of tries that only a person seemed to be able to help, with these events among others."""
    stopped_at: float = 0.0
    not_before: float = 0.0
    sent: int = 0
    """The number of the last request that was made with it."""
    clock: float = 0.0
    """What the breaker's clock showed at the last try."""
    first_try: datetime | None = None
    last_try: datetime | None = None
    is_probe: bool = False

    @property
    def lanes(self) -> set[Hashable]:
        """The contents of its events."""
        return {event.lane for event in self.events}


@dataclass(frozen=True, slots=True)
class Failed:
    """An event that could not be delivered."""

    event: Outgoing
    reason: str
    status: int | None
    response: str
    first_try: datetime | None
    last_try: datetime | None


@dataclass(frozen=True, slots=True)
class Settled:
    """What one outcome has settled."""

    delivered: tuple[Outgoing, ...] = ()
    failed: tuple[Failed, ...] = ()


def by_size(parcel: Parcel) -> tuple[int, int]:
    """Sort parcels by size, then by when they were sent last."""
    return len(parcel.events), parcel.sent


def part_of(parcel: Parcel, events: tuple[Outgoing, ...], behind: tuple[tuple[Outgoing, ...], ...] = ()) -> Parcel:
    """Return a part of a parcel: tried anew, its time as far gone as the parcel's."""
    return replace(parcel, events=events, behind=behind, tries=0, failures=0, not_before=0.0, is_probe=False)
