"""The lease in the platform's database: what the decisions of `domain.leases` ask for, and the writes they lead to."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Self

from psycopg.types.json import Jsonb

from engagement_platform.adapters import sql
from engagement_platform.adapters.platform.connection import Session, Store
from engagement_platform.domain import latency
from engagement_platform.domain.assignment import FIRST, Assignment
from engagement_platform.domain.latency import Latencies
from engagement_platform.domain.leases import SILENT_AFTER, Lease, LeaseSnapshot, Loop, Watch, go_on_watching
from engagement_platform.domain.progress import Figures, from_object, since, to_object, together, total
from engagement_platform.domain.status import LoopStatus
from engagement_platform.settings import Settings

_SQL = sql.load(__package__, "leases.sql")


class Leases(Store):
    """The tables of the lease of one shard and its loops."""

    def __init__(self, session: Session, shard: int = 0) -> None:
        super().__init__(session)
        self._shard = shard
        self._watch: Watch | None = None

    @classmethod
    @contextmanager
    def opened(cls, settings: Settings, purpose: str, shard: int = 0) -> Iterator[Self]:
        """Make the store over a session of its own while the block runs."""
        with Session(settings, purpose) as session:
            yield cls(session, shard)

    def snapshot(self, run_id: str | None = None, *, before: int | None = None) -> LeaseSnapshot:
        """Read the latest lease with its loops, those of `run_id`, and those that have beaten lately.

        With `before` it is the latest lease of the assignments before that one.
        """
        rows = self.session.all(_SQL["snapshot"], run_id=run_id, shard=self._shard, before=before)
        return LeaseSnapshot(
            rows[0]["now"],
            _lease(rows[0]),
            tuple(_loop(row) for row in rows if row["loop"] is not None),
            claimed=rows[0]["claimed"] or 0,
            declared=rows[0]["declared"] or 0,
            divided=rows[0]["divided"] or 1,
        )

    def watch(self, run_id: str) -> LeaseSnapshot:
        """Read the snapshot as one who looks again and again: only what was watched counts as silence."""
        before = self.session.connections if self.session.is_connected else None
        snapshot = self.snapshot(run_id)
        self._watch = go_on_watching(self._watch, snapshot.now, same_session=self.session.connections == before)
        return replace(snapshot, watched_since=self._watch.since)

    def latest(self) -> LeaseSnapshot:
        """Read the latest lease only: cheap."""
        (latest,) = self.session.all(_SQL["latest"], shard=self._shard)
        return LeaseSnapshot(latest["now"], _lease(latest), (), claimed=latest["claimed"] or 0)

    def recent(self, n: int) -> list[Lease]:
        """Read the newest leases, the newest first."""
        return [
            lease
            for row in self.session.all(_SQL["recent"], n=n, shard=self._shard)
            if (lease := _lease(row)) is not None
        ]

    def assignment(self) -> Assignment:
        """Return among how many shards the partitions are divided, as was declared last."""
        row = self.session.one(_SQL["assignment"])
        return FIRST if row is None else Assignment(row["generation"], row["shards"])

    def declare(self, shards: int, by: str) -> None:
        """Divide the partitions among so many shards from now on; nothing happens where that is so already.

        Runs of another number that wait can claim nothing any more; those that stream go on until one of the new number
        has claimed a lease. Of two that declare at the same moment one does.
        """
        self.session.execute(_SQL["declare"], shards=shards, declared_by=by)

    def register(self, run_id: str, loop: str, *, drains: bool = False, shards: int = 1) -> int:
        """Enter a loop, with a heartbeat; return the epoch that its run awaits or has claimed.

        That is 0 when another run waits already, unless this one drains, and when `shards` is not the number that was
        declared and somebody lives by that. Where nobody does, it is declared.
        """
        with self.session.transaction():
            self.session.execute(_SQL["registering"])
            generation, is_declared = self._generation_of(run_id, shards)
            place = {"shard": self._shard, "generation": generation, "surplus": not is_declared}
            (row,) = self.session.all(
                _SQL["register"], run_id=run_id, loop=loop, drains=drains, silent_after=SILENT_AFTER, **place
            )
            self._add_up(loop, run_id)
            self.session.execute(_SQL["begun_anew"], run_id=run_id, loop=loop)
        return int(row["awaits"])

    def generation_of(self, run_id: str) -> int:
        """Return the assignment of a run that has registered."""
        row = self.session.one(_SQL["generation_of"], run_id=run_id)
        return 0 if row is None else int(row["generation"])

    def _generation_of(self, run_id: str, shards: int) -> tuple[int, bool]:
        """Return the assignment of a run, and whether it is by its number of shards. Within a transaction."""
        begun = self.session.one(_SQL["generation_of"], run_id=run_id)
        if begun is not None:
            return int(begun["generation"]), True
        present = self.assignment()
        if present.shards == shards:
            return present.generation, True
        (row,) = self.session.all(
            _SQL["lives_of"], generation=present.generation, run_id=run_id, silent_after=SILENT_AFTER
        )
        if row["lives"]:
            return present.generation, False
        self.declare(shards, f"run {run_id}")
        return self.assignment().generation, True

    def _add_up(self, loop: str, run_id: str = "") -> None:
        """Add to the total of a loop what its runs have done that have come to an end, each part of it once.

        So what it has done in all only ever grows: over hand-overs, where a loop begins anew in its run, and after its
        old runs are forgotten. Within a transaction.
        """
        total_before = self.session.all(_SQL["total"], loop=loop)[0]["progress"]  # which locks it
        rows = self.session.all(_SQL["uncounted"], loop=loop, run_id=run_id)
        if not rows:
            return
        more = [since(from_object(row["progress"]), from_object(row["counted"])) for row in rows]
        sums = total([from_object(total_before), *more])
        kept = to_object(Figures(counters=sums.counters, latency=sums.latency))
        self.session.execute(_SQL["keep_total"], loop=loop, progress=Jsonb(kept))
        self.session.execute(_SQL["counted"], loop=loop, run_ids=[row["run_id"] for row in rows])

    def ready(self, run_id: str, loop: str) -> None:
        """Note that a loop is connected and wants the lease."""
        self.session.execute(_SQL["ready"], run_id=run_id, loop=loop)

    def not_ready(self, run_id: str, loop: str) -> None:
        """Note that a loop that waits for its turn is connected no more."""
        self.session.execute(_SQL["not_ready"], run_id=run_id, loop=loop)

    def beat(self, run_id: str, loop: str, awaits: int, progress: Mapping[str, object], *, generation: int = 0) -> None:
        """Give a sign of life."""
        place = {"shard": self._shard, "generation": generation, "awaits": awaits}
        self.session.execute(_SQL["beat"], run_id=run_id, loop=loop, progress=Jsonb(progress), **place)

    def claim(
        self,
        run_id: str,
        awaits: int,
        lease_seconds: float,
        loops: Sequence[str],
        *,
        assignment: Assignment = FIRST,
    ) -> None:
        """Try to raise the epoch to `awaits`; at most one run succeeds. Who it was is to be read afterwards.

        None does once another assignment was declared.
        """
        claim = {"run_id": run_id, "awaits": awaits, "lease_seconds": lease_seconds, "loops": list(loops)}
        place = {"shard": self._shard, "generation": assignment.generation, "shards": assignment.shards}
        self.session.execute(_SQL["claim"], **claim, **place)

    def former(self, generation: int) -> list[LeaseSnapshot]:
        """Read the leases of earlier assignments that were not released, the latest of each of their shards.

        Whoever has called `watch` before counts as silence only what was watched.
        """
        rows = self.session.all(_SQL["former_shards"], generation=generation)
        since = None if self._watch is None else self._watch.since
        return [
            replace(Leases(self.session, row["shard"]).snapshot(before=generation), watched_since=since) for row in rows
        ]

    def ready_shards(self, generation: int, loops: int) -> frozenset[int]:
        """Return the shards of an assignment of which a run streams, or has so many loops that are ready."""
        parameters = {"generation": generation, "loops": loops, "silent_after": SILENT_AFTER}
        return frozenset(row["shard"] for row in self.session.all(_SQL["ready_shards"], **parameters))

    def shards_seen(self) -> range:
        """Return the shards that there are or have been: the first at least."""
        (row,) = self.session.all(_SQL["highest_shard"])
        return range(row["shard"] + 1)

    def end(self, run_id: str, loop: str, progress: Mapping[str, object]) -> None:
        """Note that a loop has ended as planned; the last one of the run that holds the lease releases it.

        Two statements, each committed by itself: of two loops that end together, the later then sees both.
        """
        self.session.execute(_SQL["end"], run_id=run_id, loop=loop, progress=Jsonb(progress))
        self.session.execute(_SQL["release"], run_id=run_id)

    def prune(self, hours: int) -> None:
        """Forget leases and loops older than `hours`."""
        with self.session.transaction():
            for row in self.session.all(_SQL["loop_names"]):
                self._add_up(row["loop"])
            self.session.execute(_SQL["prune_loops"], hours=hours)
        self.session.execute(_SQL["prune_leases"], hours=hours)


def _lease(row: Mapping[str, Any]) -> Lease | None:
    if row["epoch"] is None:
        return None
    return Lease(
        row["epoch"],
        row["run_id"],
        row["claimed_at"],
        row["ends_at"],
        row["released_at"],
        tuple(row["loops"]),
        row["generation"],
        row["shards"],
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
        generation=row["loop_generation"],
    )


def loops_of(session: Session, run_id: str) -> dict[str, LoopStatus]:
    """Return the loops of a run by name. Raises Unavailable."""
    return {row.loop: row for row in session.objects(LoopStatus, _SQL["loops"], run_id=run_id)}


def loop_of(session: Session, run_id: str, loop: str) -> LoopStatus | None:
    """Return one loop of a run, without its latencies; None where it has not begun. Cheap. Raises Unavailable."""
    return next(iter(session.objects(LoopStatus, _SQL["one_loop"], run_id=run_id, loop=loop)), None)


def totals(session: Session, shards: int = 1) -> dict[str, Figures]:
    """Return what each loop has done in all its runs: counters and latencies only grow, whatever becomes of the runs.

    Of `shards` it is what they have done together, and what former ones did. A dozen rows for each, and a look at each
    run of the last week. Raises Unavailable.
    """
    runs: dict[tuple[str, int], list[Figures]] = defaultdict(list)
    for row in session.all(_SQL["totals"]):
        figures = since(from_object(row["progress"]), from_object(row["counted"]))
        if row["shard"] < shards:
            runs[row["loop"], row["shard"]].append(figures)
        else:  # a former one says nothing of how the loop stands
            runs[row["loop"], 0].insert(0, Figures(counters=figures.counters, latency=figures.latency))
    loops = dict.fromkeys(loop for loop, _ in runs)
    return {loop: together([total(figures) for (of, _), figures in runs.items() if of == loop]) for loop in loops}


def latencies_since(session: Session, seconds: float) -> dict[tuple[str, str], Latencies]:
    """Return run and loop -> all latencies of that run, of those that have lived within a time. Raises Unavailable."""
    rows = session.all(_SQL["lately"], seconds=seconds)
    return {(row["run_id"], row["loop"]): latency.from_object(row["latency"]) for row in rows}
