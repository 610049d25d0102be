"""Redis' clock, by which the window slides, held against Kafka's, which every message carries as its time of arrival.

Neither clock can be read at will from here: Kafka shows its own only in messages. So what is known are bounds. Times of
the two servers are integers, milliseconds since 1970; `steady` times are seconds of a clock that nobody sets.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

CLOCKS_APART_MS: Final = 10_000
"""How far the clocks of Redis and Kafka may be apart; the same as in apply.lua."""


@dataclass(frozen=True, slots=True)
class Between:
    """Bounds of Kafka's clock at one moment; None where nothing is known."""

    at_least_ms: int | None = None
    at_most_ms: int | None = None


UNKNOWN: Final = Between()


class Clocks(StrEnum):
    """How Redis' clock stands to Kafka's."""

    AGREE = "agree"
    BEHIND = "behind"
    """Views that are built by it would miss the newest events."""
    AHEAD = "ahead"
    """Views that are built by it would miss the oldest events."""


def compare(redis_ms: int, kafka: Between) -> Clocks:
    """Say how Redis' clock stands to Kafka's; where nothing is known they agree."""
    if kafka.at_least_ms is not None and kafka.at_least_ms - redis_ms > CLOCKS_APART_MS:
        return Clocks.BEHIND
    if kafka.at_most_ms is not None and redis_ms - kafka.at_most_ms > CLOCKS_APART_MS:
        return Clocks.AHEAD
    return Clocks.AGREE


def apart_ms(redis_ms: int, kafka: Between) -> int:
    """Return by how much the clocks are apart at least; negative where Redis' is behind."""
    if kafka.at_least_ms is not None and redis_ms < kafka.at_least_ms:
        return redis_ms - kafka.at_least_ms
    if kafka.at_most_ms is not None and redis_ms > kafka.at_most_ms:
        return redis_ms - kafka.at_most_ms
    return 0


class KafkaClock:
    """What the messages tell of Kafka's clock.

    A message arrived before it was read, whatever its age: that is the lower bound. An upper bound needs a message that
    arrived after the end of the log had been seen; its transaction may have been open then, for `transaction_ms` at
    most.
    """

    def __init__(self, transaction_ms: int) -> None:
        self._transaction_ms = transaction_ms
        self._read: tuple[int, float] | None = None
        self._fresh: tuple[int, float] | None = None
        self._end_seen_at: float | None = None

    def polled(self, arrived_ms: int | None, steady: float, *, at_end: bool) -> None:
        """Note a poll that ended at a steady time: the latest arrival that it returned, and whether all was read."""
        if arrived_ms is not None:
            self._read = (arrived_ms, steady)
            if self._end_seen_at is not None:
                self._fresh = (arrived_ms + self._transaction_ms, self._end_seen_at)
        self._end_seen_at = steady if at_end else None

    def written(self, arrived_ms: int, steady: float) -> None:
        """Note that a message arrived at that time, however long ago."""
        self._read = (arrived_ms, steady)

    def moved(self) -> None:
        """Note that reading goes on elsewhere: the next message may be an old one."""
        self._end_seen_at = None

    def doubt(self) -> None:
        """Forget the upper bound: it holds only if Kafka's answers come without long delay, and new ones will tell."""
        self._fresh = None

    def between(self, steady: float) -> Between:
        """Return the bounds at a steady time."""
        return Between(_extrapolated(self._read, steady), _extrapolated(self._fresh, steady))


def _extrapolated(noted: tuple[int, float] | None, steady: float) -> int | None:
    return None if noted is None else noted[0] + round((steady - noted[1]) * 1000)
