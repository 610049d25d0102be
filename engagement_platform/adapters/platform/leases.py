"""The lease in the platform's database: what the decisions of `domain.leases` ask for, and the writes they lead to."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from psycopg.types.json import Jsonb

from engagement_platform.adapters import sql
from engagement_platform.adapters.platform.connection import Session, Store
from engagement_platform.domain.leases import SILENT_AFTER, Lease, LeaseSnapshot, Loop, Watch, go_on_watching
from engagement_platform.domain.progress import Figures, from_object, total
from engagement_platform.domain.status import LoopStatus

_SQL = sql.load(__package__, "leases.sql")


class Leases(Store):
    """The tables of the lease and its loops."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._watch: Watch | None = None

    def snapshot(self, run_id: str | None = None) -> LeaseSnapshot:
        """Read the latest lease with its loops, those of `run_id`, and those that have beaten lately."""
        rows = self.session.all(_SQL["snapshot"], run_id=run_id)
        return LeaseSnapshot(
            rows[0]["now"], _lease(rows[0]), tuple(_loop(row) for row in rows if row["loop"] is not None)
        )

    def watch(self, run_id: str) -> LeaseSnapshot:
        """Read the snapshot as one who looks again and again: only what was watched counts as silence."""
        before = self.session.connections if self.session.is_connected else None
        snapshot = self.snapshot(run_id)
        self._watch = go_on_watching(self._watch, snapshot.now, same_session=self.session.connections == before)
        return replace(snapshot, watched_since=self._watch.since)

    def latest(self) -> LeaseSnapshot:
        """Read the latest lease only: cheap."""
        (latest,) = self.session.all(_SQL["latest"])
        return LeaseSnapshot(latest["now"], _lease(latest), ())

    def register(self, run_id: str, loop: str, *, drains: bool = False) -> int:
        """Enter a loop, with a heartbeat; return the epoch that its run awaits or has claimed.

        That is 0 when another run waits already, unless this one drains.
        """
        with self.session.transaction():
            self.session.execute(_SQL["registering"])
            (row,) = self.session.all(
                _SQL["register"], run_id=run_id, loop=loop, drains=drains, silent_after=SILENT_AFTER
            )
        return int(row["awaits"])

    def ready(self, run_id: str, loop: str) -> None:
        """Note that a loop is connected and wants the lease."""
        self.session.execute(_SQL["ready"], run_id=run_id, loop=loop)

    def beat(self, run_id: str, loop: str, awaits: int, progress: Mapping[str, object]) -> None:
        """Give a sign of life."""
        self.session.execute(_SQL["beat"], run_id=run_id, loop=loop, awaits=awaits, progress=Jsonb(progress))

    def claim(self, run_id: str, awaits: int, lease_seconds: float, loops: Sequence[str]) -> None:
        """Try to raise the epoch to `awaits`; at most one run succeeds. Who it was is to be read afterwards."""
        claim = {"run_id": run_id, "awaits": awaits, "lease_seconds": lease_seconds, "loops": list(loops)}
        self.session.execute(_SQL["claim"], **claim)

    def end(self, run_id: str, loop: str, progress: Mapping[str, object]) -> None:
        """Note that a loop has ended as planned; the last one of the run that holds the lease releases it.

        Two statements, each committed by itself: of two loops that end together, the later then sees both.
        """
        self.session.execute(_SQL["end"], run_id=run_id, loop=loop, progress=Jsonb(progress))
        self.session.execute(_SQL["release"], run_id=run_id)

    def prune(self, hours: int) -> None:
        """Forget leases and loops older than `hours`."""
        self.session.execute(_SQL["prune_loops"], hours=hours)
        self.session.execute(_SQL["prune_leases"], hours=hours)


def _lease(row: Mapping[str, Any]) -> Lease | None:
    if row["epoch"] is None:
        return None
    return Lease(
        row["epoch"], row["run_id"], row["claimed_at"], row["ends_at"], row["released_at"], tuple(row["loops"])
    )


def _loop(row: Mapping[str, Any]) -> Loop:
    return Loop(
        run_id=row["loop_run_id"],
        name=row["loop"],
        awaits=row["awaits"],
        ready_at=row["ready_at"],
        heartbeat_at=row["heartbeat_at"],
        ended_at=row["ended_at"],
        connected=row["connected"],
    )


def loops_of(session: Session, run_id: str) -> dict[str, LoopStatus]:
    """Return the loops of a run by name. Raises Unavailable."""
    return {row.loop: row for row in session.objects(LoopStatus, _SQL["loops"], run_id=run_id)}


def loop_of(session: Session, run_id: str, loop: str) -> LoopStatus | None:
    """Return one loop of a run, without its latencies; None where it has not begun. Cheap. Raises Unavailable."""
    return next(iter(session.objects(LoopStatus, _SQL["one_loop"], run_id=run_id, loop=loop)), None)


def totals(session: Session) -> dict[str, Figures]:
    """Return what each loop has done in all runs that are still noted: counters and latencies go on over hand-overs.

    Raises Unavailable.
    """
    runs: dict[str, list[Figures]] = {}
    for row in session.all(_SQL["all_runs"]):
        runs.setdefault(row["loop"], []).append(from_object(row["progress"]))
    return {loop: total(figures) for loop, figures in runs.items()}
