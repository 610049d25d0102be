"""Events on their way out: waiting in lanes, in the parcel of one request, and for how long they were tried in vain."""

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

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
    """Waiting events by content.

    A lane holds the events of one content in their order. It is either free, or taken by the one parcel that is under
    way with events of it, so no two parcels with events of one content are ever under way together.
    """

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


class Charges:
    """The events that were tried in vain, and since when, by a clock that stands still while the partner is down.

    An event's time is over after `retry` seconds.
    """

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


class Waiting:
    """The events and parcels that wait. Contents of parcels that rest or are under way have no other parcel."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._lanes = Lanes()
        self._resting: list[Parcel] = []

    def add(self, event: Outgoing) -> None:
        """Let a new event wait."""
        self._lanes.add(event)

    def take_due(self, now: float) -> Parcel | None:
        """Return the parcel whose turn it is: those that rested long enough come before new ones."""
        first = min(self._resting, key=lambda parcel: parcel.not_before, default=None)
        return self._taken(first) if first and first.not_before <= now else self._gathered(now)

    def take_probe(self, now: float) -> Parcel | None:
        """Return a parcel for a probe: rather with new events, else what was tried longest ago.

        Were it always the same, one event that breaks the partner could keep the breaker open.
        """
        return self._gathered(now) or self._taken(min(self._resting, key=lambda parcel: parcel.sent, default=None))

    def take_single(self) -> Parcel | None:
        """Return a new event alone, or the smallest parcel: to see whether the partner takes any event."""
        one = self._lanes.take(1)
        return Parcel(one) if one else self._taken(min(self._resting, key=by_size, default=None))

    def _taken(self, parcel: Parcel | None) -> Parcel | None:
        if parcel is not None:
            self._resting.remove(parcel)
        return parcel

    def _gathered(self, now: float) -> Parcel | None:
        """Return a new parcel when it is full, or its first event has waited long enough."""
        since = self._lanes.waits_since()
        if since is None or (self._lanes.ready < self._policy.batch_size and now - since < self._policy.wait):
            return None
        return Parcel(self._lanes.take(self._policy.batch_size))

    def rest(self, parcel: Parcel, until: float) -> None:
        """Let a parcel wait until a time before it is sent again."""
        parcel.not_before = until
        self._resting.append(parcel)

    def halve(self, parcel: Parcel, until: float) -> None:
        """Go on with two halves: of different contents side by side, of a single one in their order."""
        contents = list(dict.fromkeys(event.lane for event in parcel.events))
        if len(contents) == 1:
            middle = len(parcel.events) // 2
            first, second = parcel.events[:middle], parcel.events[middle:]
            self.rest(part_of(parcel, first, (second, *parcel.behind)), until)
            return
        left = set(contents[: len(contents) // 2])
        for chosen in (
            tuple(event for event in parcel.events if event.lane in left),
            tuple(event for event in parcel.events if event.lane not in left),
        ):
            self.rest(part_of(parcel, chosen), until)

    def follow(self, parcel: Parcel) -> None:
        """Give the turn to what is behind a parcel that is settled: its own second half, or its contents' events."""
        if parcel.behind:
            self.rest(part_of(parcel, parcel.behind[0], parcel.behind[1:]), 0.0)
        else:
            self._lanes.release(parcel.lanes)

    def wake(self, now: float, *, stopped: bool) -> None:
        """Let nothing rest any longer; with `stopped` also what only a person seemed to be able to help."""
        for parcel in self._resting:
            if stopped or not parcel.stops:
                parcel.not_before = min(parcel.not_before, now)
