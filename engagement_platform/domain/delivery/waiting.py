"""What waits to be sent: new events, and parcels that rest before they are sent again, perhaps in halves."""

from engagement_platform.domain.delivery.parcels import Lanes, Outgoing, Parcel, Policy, by_size, part_of


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

    def next_due(self, now: float) -> float | None:
        """Return in how many seconds something is due; None when nothing waits."""
        since = self._lanes.waits_since()
        full = self._lanes.ready >= self._policy.batch_size
        times = [] if since is None else [now if full else since + self._policy.wait]
        times += [min(parcel.not_before for parcel in self._resting)] if self._resting else []
        return max(0.0, min(times) - now) if times else None
