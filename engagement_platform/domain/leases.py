"""Who may stream: decisions about the lease, made from what the platform's database shows at one moment.

A run owns the stream while it holds the highest epoch. It claims at most once, the epoch after the highest one when it
started, so an old run can never take the role back. Life is judged loop by loop, by heartbeats and by whether the
session that sent them still stands, never by a scheduler's status. Fencing makes the streams exact; the lease only
decides who is alive, so a wrong decision costs a hand-over and no event.
Nothing here reads a clock: every time comes from the database.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

GONE_AFTER = timedelta(seconds=2.5)
"""A loop is gone when its database session has ended and it has not come back for this long.

The kernel closes the session of a killed process at once. A live loop whose session was cut is back within 1.4 s: it
beats every second, notices the cut a quarter of a second later, and tries again at most a second after that.
"""

SILENT_AFTER = timedelta(seconds=15)
"""A loop whose session stands is frozen, or cut off, after so long without a beat; before that it is only slow.

Two processes at full speed on two cores made healthy loops miss three seconds.
"""

FROZEN_AFTER = timedelta(seconds=3.5)
"""A run is frozen, or cut off, when all of its loops have been silent for so long while others beat.

One loop may be starved that long. That all are, each in a process of its own, while the observer beside them has its
turns and the beats of others arrive, is no slowness: neither of the machine nor of the database.
"""

PATIENCE = timedelta(seconds=15)
"""How long a run may do without one of its loops: Dagster restarts the op of a dead loop beside its siblings."""

LONG_PATIENCE = timedelta(seconds=60)
"""The same for a loop whose readers wait for seconds: it must not cost relay and tally their lease."""

HURRIED = frozenset({"relay", "tally"})
"""The loops whose readers wait for milliseconds. The readers of all others wait for seconds."""

READY_PATIENCE = timedelta(seconds=10)
"""How long a waiting run that could stream at once waits for its own slower loops: their server may be away."""

TURN_PATIENCE = timedelta(seconds=60)
"""The same while the predecessor still streams: nothing is lost by waiting."""

LOOKED_AWAY = timedelta(seconds=2)
"""Whoever has not looked for so long was starved, or the database was: the silence of others means nothing then."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to stream, as the run claimed it."""

    epoch: int
    run_id: str
    claimed_at: datetime
    ends_at: datetime
    released_at: datetime | None
    loops: tuple[str, ...]
    """Names of the loops that must beat for the lease to be alive."""
    generation: int = 0
    """Of the assignment of partitions to shards, by which the run was made."""
    shards: int = 1
    """Among how many shards that divides them."""

    @property
    def drains(self) -> bool:
        """Whether the run handles what is there, one loop after the other, and ends."""
        return self.ends_at <= self.claimed_at


@dataclass(frozen=True, slots=True)
class Loop:
    """One loop of one run, as it registered and beats."""

    run_id: str
    name: str
    awaits: int
    """The epoch that the run waits for or has claimed; 0 when the run is one too many."""
    ready_at: datetime | None
    """Since when it is connected and wants the lease."""
    heartbeat_at: datetime
    ended_at: datetime | None
    """When it ended as planned."""
    connected: bool | None = None
    """Whether the database session of its last beat still stands; None when that is not known."""
    generation: int = 0
    """Of the assignment of its run."""


@dataclass(frozen=True, slots=True)
class Watch:
    """An unbroken watch over the snapshot by one observer."""

    since: datetime
    last: datetime


def go_on_watching(before: Watch | None, now: datetime, *, same_session: bool) -> Watch:
    """Return the watch that a look at `now` continues, or begins.

    A watch is broken by a new session (the database may have been away, for everybody) and by a long look away.
    """
    if before is None or not same_session or not timedelta(0) <= now - before.last <= LOOKED_AWAY:
        return Watch(now, now)
    return Watch(before.since, now)


@dataclass(frozen=True, slots=True)
class LeaseSnapshot:
    """What the platform's database shows at one moment, by its own clock."""

    now: datetime
    lease: Lease | None
    """The one with the highest epoch."""
    loops: tuple[Loop, ...]
    """Those of the lease's run, and those that have beaten lately."""
    watched_since: datetime | None = None
    """Since when the observer watches: silence before that does not count. None when all silence counts."""
    claimed: int = 0
    """The latest assignment of which a run, of whichever shard, has claimed a lease."""
    declared: int = 0
    """The latest assignment that was declared: runs of an earlier one claim nothing any more."""
    divided: int = 1
    """Among how many shards the assignment `claimed` divides the partitions."""

    @property
    def epoch(self) -> int:
        """The highest epoch; 0 before the first claim."""
        return self.lease.epoch if self.lease else 0

    def of(self, run_id: str) -> dict[str, Loop]:
        """Return the loops of a run by name."""
        return {loop.name: loop for loop in self.loops if loop.run_id == run_id}

    def ready(self, run_id: str) -> frozenset[str]:
        """Return the names of a run's loops that are connected and want the lease."""
        return frozenset(name for name, loop in self.of(run_id).items() if loop.ready_at is not None)

    def ready_for(self, run_id: str) -> timedelta:
        """Return for how long the first of a run's loops has been ready; zero while none is."""
        return max((self.now - at for loop in self.of(run_id).values() if (at := loop.ready_at)), default=timedelta(0))

    def unseen(self, sign: datetime) -> timedelta:
        """Return for how long nothing has followed a sign of life, as far as the observer can tell.

        One that lies in the future was given before the database's clock was set back, and says as little as one that
        is as far in the past; whoever watches has begun anew then.
        """
        watched = self.now - (self.watched_since or sign)
        if sign > self.now:
            return min(sign - self.now, abs(watched))
        return min(self.now - sign, watched)

    def lives(self, loop: Loop) -> bool:
        """Say whether a loop is alive, be it slow."""
        if loop.ended_at is not None:
            return False
        return self.unseen(loop.heartbeat_at) <= (GONE_AFTER if loop.connected is False else SILENT_AFTER)


class Life(Enum):
    """How the holder of the lease is."""

    STREAMS = "streams"
    LIMPS = "limps"
    """A loop of it is missing, and does not come back."""
    DEAD = "dead"


def life(snapshot: LeaseSnapshot) -> Life:
    """Say how the holder of the lease is. Without one, and after it has released the lease, it is dead."""
    lease = snapshot.lease
    if lease is None or lease.released_at is not None:
        return Life.DEAD
    begun = snapshot.of(lease.run_id)
    if not any(snapshot.lives(loop) for loop in begun.values()) and not _between_loops(snapshot, lease):
        return Life.DEAD
    if _is_frozen(snapshot, lease):
        return Life.DEAD
    return Life.LIMPS if missing(snapshot) else Life.STREAMS


def _is_frozen(snapshot: LeaseSnapshot, lease: Lease) -> bool:
    """Say whether the run's loops are silent all together, seen by one who watches, while beats of others arrive."""
    silent = [
        loop.ended_at is None and snapshot.unseen(loop.heartbeat_at) > FROZEN_AFTER
        for loop in snapshot.of(lease.run_id).values()
    ]
    others = [loop.heartbeat_at for loop in snapshot.loops if loop.run_id != lease.run_id]
    beats_arrive = any(abs(snapshot.now - heartbeat) <= LOOKED_AWAY for heartbeat in others)
    return snapshot.watched_since is not None and len(silent) > 1 and all(silent) and beats_arrive


def _between_loops(snapshot: LeaseSnapshot, lease: Lease) -> bool:
    """Say whether the next loop may still begin: of a drain, or of a run that has just claimed."""
    signs = [lease.claimed_at, *(loop.heartbeat_at for loop in snapshot.of(lease.run_id).values())]
    may_begin = lease.drains or not snapshot.of(lease.run_id)
    return may_begin and snapshot.unseen(max(signs)) <= PATIENCE


def missing(snapshot: LeaseSnapshot) -> frozenset[str]:
    """Return the loops that the holder of the lease has done without for longer than it may."""
    lease = snapshot.lease
    if lease is None or lease.drains:
        return frozenset()
    begun = snapshot.of(lease.run_id)
    return frozenset(name for name in lease.loops if not _is_excused(snapshot, lease, name, begun.get(name)))


def _is_excused(snapshot: LeaseSnapshot, lease: Lease, name: str, loop: Loop | None) -> bool:
    """Say whether a loop lives, or may yet come back. One that has ended as planned does not."""
    sign = lease.claimed_at if loop is None else loop.heartbeat_at
    hurried = name in HURRIED
    if loop is not None and loop.ended_at is not None:
        return snapshot.unseen(sign) <= (GONE_AFTER if hurried else PATIENCE)
    return snapshot.unseen(sign) <= (PATIENCE if hurried else LONG_PATIENCE)


def alive(snapshot: LeaseSnapshot) -> bool:
    """Say whether somebody streams."""
    return life(snapshot) is not Life.DEAD


def silence(snapshot: LeaseSnapshot, lease: Lease) -> timedelta:
    """Return for how long the lease's run has not given any sign of life."""
    return snapshot.now - max([lease.claimed_at, *(loop.heartbeat_at for loop in snapshot.of(lease.run_id).values())])


def waiting(snapshot: LeaseSnapshot) -> frozenset[str]:
    """Return the runs that live and wait for a turn that is still to come."""
    return frozenset(
        loop.run_id
        for loop in snapshot.loops
        if loop.awaits > snapshot.epoch and loop.generation >= snapshot.declared and snapshot.lives(loop)
    )


# What a run does


class ClaimState(Enum):
    """How a run stands to the lease."""

    OWNER = "owner"
    WAITS = "waits"
    LOST = "lost"
    SURPLUS = "surplus"


def claim_state(lease: Lease | None, run_id: str, awaits: int) -> ClaimState:
    """Say how a run stands that waits for, or has claimed, the epoch `awaits`.

    A loop that is started anew in the run that holds the lease joins it; in any other run that had its turn, or let it
    pass, it has lost. A run that found another one waiting when it started is surplus.
    """
    if lease is not None and lease.run_id == run_id:
        return ClaimState.OWNER
    if awaits == 0:
        return ClaimState.SURPLUS
    return ClaimState.WAITS if lease is None or lease.epoch < awaits else ClaimState.LOST


def may_claim(snapshot: LeaseSnapshot, run_id: str, loops: Sequence[str]) -> bool:
    """Say whether a waiting run, one of whose loops is ready, may raise the epoch now.

    Either its predecessor is dead, or lacks a loop that does not come back, or its time is over. In each case all loops
    of the run have to be ready, so that none of them pauses; those whose server is away are waited for, not for ever.
    """
    ready, ready_for = snapshot.ready(run_id) & set(loops), snapshot.ready_for(run_id)
    all_ready = ready >= set(loops)
    lease = snapshot.lease
    match life(snapshot):
        case Life.DEAD:
            return all_ready or ready_for >= READY_PATIENCE
        case Life.LIMPS:
            return all_ready or (ready_for >= TURN_PATIENCE and ready >= missing(snapshot) & set(loops))
        case Life.STREAMS:
            assert lease is not None, "somebody streams"  # noqa: S101
            return snapshot.now >= lease.ends_at + (timedelta(0) if all_ready else TURN_PATIENCE)


def pause_before_claim(snapshot: LeaseSnapshot, longest: timedelta) -> timedelta:
    """Return for how long a waiting run may look away: up to `longest`, but not past the end of the lease."""
    if snapshot.lease is None or snapshot.lease.ends_at <= snapshot.now or life(snapshot) is not Life.STREAMS:
        return longest / 10
    return min(longest, snapshot.lease.ends_at - snapshot.now)


def is_overruled(snapshot: LeaseSnapshot, generation: int) -> bool:
    """Say whether a run of an assignment has lost its partitions, as one of a later assignment has claimed a lease."""
    return snapshot.claimed > generation


def outlived(snapshot: LeaseSnapshot, grace: timedelta) -> bool:
    """Say whether a run that nobody superseded has outlived its lease by more than `grace`."""
    lease = snapshot.lease
    return lease is not None and not lease.drains and snapshot.now > lease.ends_at + grace
