"""What a loop is told from outside, and what it tells: the seam between the loops and whoever runs them.

The loops are plain functions `run(settings, control)`. Dagster, a test or a script supplies the `Control`.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, Self

from engagement_platform.domain.errors import Superseded, Unavailable
from engagement_platform.domain.shards import WHOLE, Shard
from engagement_platform.stream.progress import Progress


def look_at_nothing() -> None:
    """Look whether connections hold, where there are none that could be cut."""


class Control(Protocol):
    """The lease as a loop sees it."""

    drain: bool
    """End once everything that was there at the start is done."""
    progress: Progress
    shard: Shard
    """The partitions that the loop reads."""

    def claim(self, look: Callable[[], None] = look_at_nothing) -> None:
        """Wait until this run holds the lease. Called with all clients connected, until it has returned once.

        `look` sees whether they still are: it is called every few seconds, and what it raises ends the waiting.
        Raises Superseded when another run has taken the turn that this one waited for.
        """

    def should_stop(self) -> bool:
        """Say whether to finish the batch in hand and return. Cheap: called before each batch."""

    def owns_lease(self) -> bool:
        """Ask the platform database whether no later epoch has been claimed. Raises Unavailable."""

    def behind(self) -> float:
        """Return by how many seconds Redis is behind, as far as others have to take less for it. Cheap."""

    def wait(self, seconds: float) -> bool:
        """Pause, at most until it is time to stop; return should_stop()."""

    def expect(self, seconds: float) -> None:
        """Say that the next should_stop() may be so far away: the loop waits for a server, and does not hang."""


class Standalone:
    """A Control without a lease: for tests, scripts and benchmarks."""

    def __init__(self, *, drain: bool = False, until: Callable[[], bool] = lambda: False, shard: Shard = WHOLE) -> None:
        self.drain = drain
        self.shard = shard
        self.progress = Progress()
        self.stop = threading.Event()
        self.redis_is_behind = 0.0
        """What `behind` returns."""
        self._until = until

    def claim(self, look: Callable[[], None] = look_at_nothing) -> None:
        """Nothing to wait for."""

    def should_stop(self) -> bool:
        """Stop when told, or when the condition given holds."""
        return self.stop.is_set() or self._until()

    def owns_lease(self) -> bool:
        """Nobody else is there."""
        return True

    def behind(self) -> float:
        """Return what was set: there is no tally that tells it."""
        return self.redis_is_behind

    def wait(self, seconds: float) -> bool:
        """Pause, or stop at once when told."""
        self.stop.wait(seconds)
        return self.should_stop()

    def expect(self, seconds: float) -> None:
        """Nobody watches."""


def require_lease(control: Control) -> None:
    """Raise Superseded when another run has taken over.

    Without the platform database it is taken for true that none has: Kafka's fence, and Redis, decide.
    """
    with suppress(Unavailable):
        if not control.owns_lease():
            raise Superseded("Another run has taken over.")


class Claim:
    """The claim of a lease: a loop makes it a single time, however often it begins anew."""

    def __init__(self, claim: Callable[[Callable[[], None]], None]) -> None:
        self._claim = claim
        self.is_made = False
        """Whether it has succeeded."""

    @classmethod
    def of(cls, claim: Callable[[Callable[[], None]], None]) -> Self:
        """Return a claim as one that is made a single time: itself, if it is one, as between two pauses."""
        return claim if isinstance(claim, cls) else cls(claim)

    def __call__(self, look: Callable[[], None] = look_at_nothing) -> None:
        """Wait until the run holds the lease, unless it does. Raises Superseded, and what `look` does."""
        if not self.is_made:
            self._claim(look)
            self.is_made = True
