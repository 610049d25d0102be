"""How long the relay waits between two polls."""

SHORTEST_IDLE = 0.004
"""Seconds after a first poll that brought nothing."""
BUSY_SHARE = 0.5
"""Of what a cycle costs: the pause after it."""
LONGEST_BUSY = 0.005
"""Seconds after which a busy relay polls again at the latest: events wait for dear cycles, and not for pauses."""
IDLE_FACTOR = 1.2
"""By which the pauses between polls grow while no events come."""
_WEIGHT = 1 / 8
"""Of one cycle in what cycles cost of late."""


class Pace:
    """Pauses that follow from what cycles cost.

    After a cycle that published, the relay rests for half as long as such cycles take of late: a third of its time is
    left to others, and a transaction takes the more events with it the dearer it is. After a poll that brought nothing,
    which is cheap, it polls again soon, then ever later.
    """

    def __init__(self, longest: float) -> None:
        """`longest` is the pause that an idle relay comes to, in seconds."""
        self._longest = longest
        self._cost = self._next = SHORTEST_IDLE

    def pause(self, took: float, *, has_events: bool) -> float:
        """Return the seconds to wait after a poll that took so many."""
        if has_events:
            self._next = SHORTEST_IDLE
            self._cost += (took - self._cost) * _WEIGHT
            return min(self._cost * BUSY_SHARE, LONGEST_BUSY)
        pause = min(self._next, self._longest)
        self._next = pause * IDLE_FACTOR
        return pause
