"""How a stream stands, as it was read: the facts by which it is judged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from engagement_platform.domain.leases import LeaseSnapshot
from engagement_platform.domain.loop_state import LoopState, Pause
from engagement_platform.domain.open_letters import LetterCounts
from engagement_platform.domain.shard_status import ShardStatus, left_of, somebody_streams
from engagement_platform.domain.status import LoopStatus


@dataclass(frozen=True, slots=True)
class Expected:
    """A loop that there should be, in the order of the stream."""

    name: str
    destination: str
    promise: float
    """Seconds from the commit of an event until it is there."""
    is_divided: bool = True
    """Whether each shard has one; else the first shard has it alone."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a stream stands, as it was read."""

    stream: str
    snapshot: LeaseSnapshot
    loops: Mapping[str, LoopStatus]
    """Each as it stands over the shards that somebody has."""
    pauses: Mapping[str, Pause]
    expected: Sequence[Expected]
    letters: LetterCounts | None = None
    """None where nobody knows it."""
    is_kept_alive: bool = True
    """Whether there should be a run at any time; a stream that is drained now and then has none in between."""
    retry_seconds: float = 300.0
    """For how long an event is tried before it is a dead letter."""
    settled_to: datetime | None = None
    """Every event that came to Kafka before is delivered or a dead letter; None where that is not known."""
    shards: Sequence[ShardStatus] = ()
    """The runs that divide the partitions; empty where one reads all."""

    @property
    def somebody_streams(self) -> bool:
        """Whether a run lives that has the stream, or a shard of it."""
        return somebody_streams(self.shards, self.snapshot)

    @property
    def left(self) -> Sequence[ShardStatus]:
        """The shards that nobody has, where others have one."""
        return left_of(self.shards)

    def has_run(self, loop: Expected) -> bool:
        """Return whether a run lives that should have a loop."""
        return loop.is_divided or not any(shard.index == 0 for shard in self.left)

    def voiceless(self, loop: Expected) -> ShardStatus | None:
        """Return the shard of which a loop gives no sign of life, though its run lives; None where it is none."""
        for shard in self.shards:
            status = shard.loops.get(loop.name)
            if shard.lives and (loop.is_divided or shard.index == 0) and (status is None or status.is_silent):
                return shard
        return None

    def state_of(self, loop: Expected) -> LoopState | None:
        """Return what a loop says of itself; None where it says nothing, or nothing that still holds."""
        status = self.loops.get(loop.name)
        return None if status is None or status.is_silent or status.ended else status.state

    def waiting(self, loops: Sequence[Expected]) -> int | None:
        """Return how many events wait for the loop that has most of them to do; None where nobody knows."""
        lags = [
            status.lag for loop in loops if (status := self.loops.get(loop.name)) is not None and status.lag is not None
        ]
        return max(lags, default=None)
