"""What the sensor does: launch a run, cancel one that nobody needs, or neither, from the snapshot and Dagster's runs.

At most one run waits beside the one that streams, however long it takes to start. Whether it may claim is not decided
here: a run that was launched without need waits for its turn, or ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from engagement_platform.domain.leases import Lease, LeaseSnapshot, Life, life, missing, silence, waiting

ACCEPTED_WITHIN = timedelta(seconds=30)
"""A run that Dagster has not even queued after so long never will be: its launch failed."""

BEGUN_WITHIN = timedelta(minutes=5)
"""A run registers its loops this long after its launch, or counts no more.

It takes 4 s on a machine at rest and took two minutes on two cores with thirty processes at work. A run whose process
has died fails within two seconds, and one that has not started within two minutes (`start_timeout_seconds` in
dagster.yaml) fails too: this is for what neither the code server nor Dagster's monitoring reports.
"""

FAILURE_PACE = ((timedelta(minutes=1), 6), (timedelta(minutes=15), 30))
"""So many runs may fail within such a time; then launching waits, for a machine must survive a stream that cannot."""


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
    ended: bool = False
    failed: bool = False
    accepted: bool = True
    """Whether the scheduler has queued it."""
    queued: bool = False
    """Whether it is in the queue still."""
    launched_by: str | None = None
    """The code server whose sensor launched it; None for a run that a person launched."""


def needed(snapshot: LeaseSnapshot, lead: timedelta) -> Launch | Skip:
    """Say whether the lease calls for a run: nobody streams, a loop is missing, or the lease ends within `lead`."""
    if waiters := waiting(snapshot):
        return Skip(f"Run {min(waiters)} waits to take epoch {snapshot.epoch + 1}.")
    if snapshot.lease is None:
        return Launch("Nothing has streamed yet.")
    if snapshot.lease.generation < snapshot.declared:
        return Launch(f"The partitions are divided anew among runs: {snapshot.lease.run_id} has those of before.")
    return _called_for(snapshot, snapshot.lease, lead)


def _called_for(snapshot: LeaseSnapshot, lease: Lease, lead: timedelta) -> Launch | Skip:
    if lease.released_at is not None:
        return Launch(f"Run {lease.run_id} has ended and released epoch {lease.epoch}.")
    holder, left = f"run {lease.run_id}, epoch {lease.epoch}", lease.ends_at - snapshot.now
    match life(snapshot):
        case Life.DEAD:
            return Launch(f"No loop of {holder}, lives; the last sign came {_seconds(silence(snapshot, lease))} ago.")
        case Life.LIMPS:
            return Launch(f"{', '.join(sorted(missing(snapshot)))} of {holder}, did not come back.")
        case Life.STREAMS if left <= lead:
            return Launch(f"Epoch {lease.epoch} of run {lease.run_id} ends in {_seconds(left)}.")
        case Life.STREAMS:
            return Skip(f"Run {lease.run_id} streams, epoch {lease.epoch}, for another {_seconds(left)}.")


def decide(snapshot: LeaseSnapshot, runs: Sequence[Run], lead: timedelta, code_server: str) -> Launch | Skip:
    """Say whether to launch a run now, given the job's runs of the last fifteen minutes.

    `code_server` is the one that asks. A run that it launched blocks while it starts up, one that a person launched for
    a short time. One that an earlier code server launched may have died with it, unseen: it counts once it registers.
    """
    decision = needed(snapshot, lead)
    if isinstance(decision, Skip):
        return decision
    for run in runs:
        if run.launched_by in {None, code_server} and starts_up(snapshot, run):
            return Skip(f"Run {run.run_id} starts up. {decision.reason}")
    for span, limit in FAILURE_PACE:
        failed = [run for run in runs if snapshot.now - run.created_at < span and run.failed]
        if len(failed) >= limit:
            newest = max(failed, key=lambda run: run.created_at)
            return Skip(
                f"{len(failed)} runs failed within {_seconds(span)}, the last was {newest.run_id}: waiting a while."
            )
    return decision


def starts_up(snapshot: LeaseSnapshot, run: Run) -> bool:
    """Say whether a run may yet register its loops."""
    if run.ended or snapshot.of(run.run_id):
        return False
    vouched_for = run.accepted and run.launched_by is not None
    return snapshot.now - run.created_at < (BEGUN_WITHIN if vouched_for else ACCEPTED_WITHIN)


def abandoned(runs: Sequence[Run], code_server: str) -> list[Run]:
    """Return the runs that a sensor of an earlier code server left in the queue: they would all start by and by."""
    return [run for run in runs if run.queued and run.launched_by not in {None, code_server}]


def _seconds(span: timedelta) -> str:
    return f"{span.total_seconds():.0f} s"
