"""How the shards of a stream stand, and how its loops stand over all of them: each loop once, as if it were one."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from engagement_platform.domain.leases import LeaseSnapshot, alive
from engagement_platform.domain.progress import Figures, to_object, together
from engagement_platform.domain.status import LoopStatus


@dataclass(frozen=True, slots=True)
class ShardStatus:
    """One shard: its lease, and the loops of the run that has it."""

    index: int
    snapshot: LeaseSnapshot
    loops: Mapping[str, LoopStatus]

    @property
    def lives(self) -> bool:
        """Whether somebody has the shard, and lives."""
        return alive(self.snapshot)


def somebody_streams(shards: Sequence[ShardStatus], snapshot: LeaseSnapshot) -> bool:
    """Return whether a run lives that has a shard, or the whole stream by its snapshot where it is not divided."""
    return any(shard.lives for shard in shards) if shards else alive(snapshot)


def left_of(shards: Sequence[ShardStatus]) -> list[ShardStatus]:
    """Return the shards that nobody has, where others have one."""
    left = [shard for shard in shards if not shard.lives]
    return left if len(left) < len(shards) else []


def over_all(shards: Sequence[ShardStatus], divided: Collection[str]) -> Mapping[str, LoopStatus]:
    """Return each loop as it stands over all shards: a loop that has not begun in one of them is left out.

    `divided` are the loops that each shard has; any other the first has alone. A loop is as silent as the shard of
    which nothing was heard for longest.
    """
    if len(shards) == 1:
        return shards[0].loops
    loops: dict[str, LoopStatus] = {}
    for name in dict.fromkeys(name for shard in shards for name in shard.loops):
        places = shards if name in divided else shards[:1]
        begun = [(shard, shard.loops[name]) for shard in places if name in shard.loops]
        if len(begun) == len(places):
            loops[name] = _as_one(begun)
    return loops


def _as_one(loops: Sequence[tuple[ShardStatus, LoopStatus]]) -> LoopStatus:
    return LoopStatus(
        loop=loops[0][1].loop,
        silent_seconds=max(loop.silent_seconds for _, loop in loops),
        ended=all(loop.ended and shard.lives for shard, loop in loops),  # else a loop that ended as planned is missing
        progress=to_object(together([_named(shard, loop.figures) for shard, loop in loops]))
        if len(loops) > 1
        else loops[0][1].progress,
    )


def _named(shard: ShardStatus, figures: Figures) -> Figures:
    """Return figures whose state says of which shard it is, where somebody may have to look there."""
    state = figures.state
    if state is None or state.is_healthy:
        return figures
    return replace(figures, state=replace(state, reason=f"shard {shard.index}: {state.reason}".removesuffix(": ")))
