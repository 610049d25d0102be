"""Among how many shards the partitions are divided, and how one number follows another: decisions, without I/O.

An assignment has a generation, which only rises. A run belongs to one assignment, from its registration to its end. The
first claim of a later one ends all runs of earlier ones, of whichever shard. No loop of the later begins while its
namesake of an earlier one may be at work: it waits until that has ended, or is dead. A process that only seemed dead is
left to the fences of the sinks, as after any takeover.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

from engagement_platform.domain.leases import TURN_PATIENCE, LeaseSnapshot


@dataclass(frozen=True, slots=True)
class Assignment:
    """Among how many shards the partitions are divided."""

    generation: int
    shards: int


FIRST = Assignment(0, 1)
"""Before any was declared: one run reads all partitions."""


def may_divide(ready: Collection[int], shards: int, ready_for: timedelta) -> bool:
    """Say whether a run of a new assignment may claim while runs of former ones stream: its claim ends them all.

    So it waits until each shard has a run that is ready, that no partition is without a reader meanwhile; but not for
    ever.
    """
    return len(ready) >= shards or ready_for >= TURN_PATIENCE


def still_at_work(former: Sequence[LeaseSnapshot], loop: str) -> list[str]:
    """Return the runs, of leases of earlier assignments, in which a loop of this name may be at work."""
    return [
        snapshot.lease.run_id
        for snapshot in former
        if snapshot.lease is not None
        and (begun := snapshot.of(snapshot.lease.run_id).get(loop)) is not None
        and snapshot.lives(begun)
    ]
