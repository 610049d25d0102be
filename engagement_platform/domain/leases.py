"""Who may stream: decisions about the lease, made from what the platform's database shows at one moment.

A run owns the stream while it holds the highest epoch. It claims at most once, the epoch after the one it found when
it started, so an old run can never take the role back. Life is judged by heartbeats, never by a scheduler's status.
Nothing here reads a clock: every time comes from the database.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

DEAD_AFTER = timedelta(seconds=3)
"""A loop beats every second; one that has been silent for longer than this is taken for dead."""

BEGIN_GRACE = timedelta(seconds=15)
"""How long after the claim a loop of the run may take to begin."""

READY_PATIENCE = timedelta(seconds=10)
"""How long beyond its turn a run waits for its own slower loops, while the predecessor still streams."""

YOUNG = timedelta(seconds=30)
"""A launched run younger than this may still be starting up."""

FAILURE_PACE = ((timedelta(minutes=1), 6), (timedelta(minutes=15), 30))
"""So many runs may fail within such a time; then launching waits, for a machine must survive a stream that cannot."""


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
    """The epoch that the run waits for or has claimed."""
    ready_at: datetime | None
    """Since when it is connected and wants the lease."""
    heartbeat_at: datetime
    ended_at: datetime | None
    """When it ended as planned."""


@dataclass(frozen=True, slots=True)
class Board:
    """What the platform's database shows at one moment, by its own clock."""

    now: datetime
    lease: Lease | None
    """The one with the highest epoch."""
    loops: tuple[Loop, ...]
    """Those of the lease's run, and those that have beaten lately."""

    @property
    def epoch(self) -> int:
        """The highest epoch; 0 before the first claim."""
        return self.lease.epoch if self.lease else 0

    def of(self, run_id: str) -> dict[str, Loop]:
        """Return the loops of a run by name."""
        return {loop.name: loop for loop in self.loops if loop.run_id == run_id}

    def beats(self, loop: Loop) -> bool:
        """Say whether a loop is alive."""
        return loop.ended_at is None and self.now - loop.heartbeat_at <= DEAD_AFTER


def silence(board: Board, lease: Lease) -> timedelta:
    """Return for how long the lease's run has not shown that all its loops live.

    The loops of a draining run come one after the other, so there one that beats is enough.
    """
    begun = board.of(lease.run_id)
    if lease.drains:
        return board.now - max([lease.claimed_at, *(loop.heartbeat_at for loop in begun.values())])
    signs = [begun[name].heartbeat_at if name in begun else lease.claimed_at + BEGIN_GRACE for name in lease.loops]
    return board.now - min(signs, default=board.now)


def alive(board: Board) -> bool:
    """Say whether somebody streams."""
    lease = board.lease
    return lease is not None and lease.released_at is None and silence(board, lease) <= DEAD_AFTER


def waiting(board: Board) -> frozenset[str]:
    """Return the runs that live and wait for a turn that is still to come."""
    return frozenset(loop.run_id for loop in board.loops if loop.awaits > board.epoch and board.beats(loop))


# What the sensor does


@dataclass(frozen=True, slots=True)
class Launch:
    """Launch a run."""

    reason: str


@dataclass(frozen=True, slots=True)
class Skip:
    """Launch nothing."""

    reason: str


@dataclass(frozen=True, slots=True)
class Run:
    """A run of the streaming job, as the scheduler knows it."""

    run_id: str
    created_at: datetime
    ended: bool
    failed: bool


def wanted(board: Board, lead: timedelta) -> Launch | Skip:
    """Say whether the lease calls for a run: nobody streams, or the lease ends within `lead`."""
    lease = board.lease
    if waiters := waiting(board):
        return Skip(f"Run {min(waiters)} is ready to take epoch {board.epoch + 1}.")
    if lease is None:
        return Launch("Nothing has streamed yet.")
    if lease.released_at is not None:
        return Launch(f"Run {lease.run_id} has ended and released epoch {lease.epoch}.")
    if not alive(board):
        return Launch(
            f"Run {lease.run_id}, epoch {lease.epoch}, has been silent for {_seconds(silence(board, lease))}."
        )
    if lease.ends_at - board.now <= lead:
        return Launch(f"Epoch {lease.epoch} of run {lease.run_id} ends in {_seconds(lease.ends_at - board.now)}.")
    return Skip(f"Run {lease.run_id} streams, epoch {lease.epoch}, for another {_seconds(lease.ends_at - board.now)}.")


def decide(board: Board, runs: Sequence[Run], lead: timedelta) -> Launch | Skip:
    """Say whether to launch a run now, given the job's runs of the last fifteen minutes.

    A run that was launched and neither claimed nor beat blocks for as long as it is young: a launch that failed stays
    not started for ever, and one whose processes were killed may stay started for ever.
    """
    decision = wanted(board, lead)
    if isinstance(decision, Skip):
        return decision
    for run in runs:
        if board.now - run.created_at < YOUNG and _starts_up(board, run):
            return Skip(f"Run {run.run_id} starts up. {decision.reason}")
    for span, limit in FAILURE_PACE:
        failed = [run for run in runs if board.now - run.created_at < span and run.failed]
        if len(failed) >= limit:
            newest = max(failed, key=lambda run: run.created_at)
            return Skip(
                f"{len(failed)} runs failed within {_seconds(span)}, the last was {newest.run_id}: waiting a while."
            )
    return decision


def _starts_up(board: Board, run: Run) -> bool:
    known = board.of(run.run_id)
    has_held = board.lease is not None and board.lease.run_id == run.run_id
    if run.ended or has_held:
        return False
    return not known or any(board.beats(loop) and loop.awaits > board.epoch for loop in known.values())


# What a run does


class Standing(Enum):
    """How a run stands to the lease."""

    OWNER = "owner"
    WAITS = "waits"
    LOST = "lost"


def standing(lease: Lease | None, run_id: str, awaits: int) -> Standing:
    """Say how a run stands that waits for, or has claimed, the epoch `awaits`.

    A loop that is started anew in the run that holds the lease joins it; in any other run that had its turn, or let it
    pass, it has lost.
    """
    if lease is None or lease.epoch < awaits:
        return Standing.WAITS
    return Standing.OWNER if lease.run_id == run_id else Standing.LOST


def may_claim(board: Board, run_id: str, loops: Sequence[str]) -> bool:
    """Say whether a waiting run may raise the epoch now.

    Either nobody streams, or the predecessor's time is over and all loops of the run are ready, so that none of them
    pauses; a run whose loops are not all ready in time does not let the predecessor stream for ever.
    """
    lease = board.lease
    if lease is None or not alive(board):
        return True
    begun = board.of(run_id)
    ready = all(name in begun and begun[name].ready_at is not None for name in loops)
    return board.now >= lease.ends_at + (timedelta(0) if ready else READY_PATIENCE)


def pause_before_claim(board: Board, longest: timedelta) -> timedelta:
    """Return for how long a waiting run may look away: up to `longest`, but not past the end of the lease."""
    if board.lease is None or board.lease.ends_at <= board.now:
        return longest / 5
    return min(longest, board.lease.ends_at - board.now)


def outlived(board: Board, grace: timedelta) -> bool:
    """Say whether a run that nobody superseded has outlived its lease by more than `grace`."""
    lease = board.lease
    return lease is not None and not lease.drains and board.now > lease.ends_at + grace


def _seconds(span: timedelta) -> str:
    return f"{span.total_seconds():.0f} s"
