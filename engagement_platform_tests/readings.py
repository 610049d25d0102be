"""A reading of everything that metrics can tell, for tests of them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from engagement_platform.domain import progress
from engagement_platform.domain.conditions import Condition, Kind, Severity
from engagement_platform.domain.dagster_facts import (
    Automation,
    Backfill,
    BackfillStatus,
    Check,
    CheckStatus,
    Daemon,
    DagsterFacts,
    Day,
    DayStatus,
    FailedRun,
    Runs,
    RunStatus,
    Table,
    Tick,
    Ticks,
)
from engagement_platform.domain.latency import Histogram
from engagement_platform.domain.leases import Lease, LeaseSnapshot, Loop
from engagement_platform.domain.loop_state import Activity, LoopState
from engagement_platform.domain.metric_values import Kept, Reading, StreamReading
from engagement_platform.domain.progress import COUNTERS, GAUGES, Figures, to_object
from engagement_platform.domain.shard_status import ShardStatus
from engagement_platform.domain.status import LoopStatus

NOW = 1_800_000_000.0
DESTINATIONS = {"relay": "kafka", "tally": "redis", "stage": "warehouse", "forward": "partner"}


def figures(state: Activity = Activity.STREAMS, subject: str = "", *, latency: float = 0.02) -> Figures:
    """Return figures of which none is missing."""
    histogram = Histogram()
    histogram.add(latency, 10)
    return Figures(
        {counter: number for number, counter in enumerate(COUNTERS, 1)},
        {gauge: NOW - 3.0 if gauge is progress.AS_OF else 0.5 for gauge in GAUGES},
        {progress.BREAKER: "closed"},
        histogram.present(),
        histogram.present(),
        LoopState(state, NOW - 100.0, subject, "why"),
    )


def status(loop: str, told: Figures | None = None, *, silent: float = 1.0, ended: bool = False) -> LoopStatus:
    return LoopStatus(loop, silent, ended, to_object(told or figures()))


def snapshot(*, lives: bool = True) -> LeaseSnapshot:
    now = datetime.fromtimestamp(NOW, UTC)
    lease = Lease(7, "run", now - timedelta(minutes=5), now + timedelta(minutes=5), None, tuple(DESTINATIONS))
    beat = now if lives else now - timedelta(minutes=5)
    loops = tuple(Loop("run", name, 7, now, beat, None, connected=True) for name in DESTINATIONS)
    return LeaseSnapshot(now, lease, loops)


def stream(**changes: LoopStatus) -> StreamReading:
    return StreamReading(
        "engagement",
        DESTINATIONS,
        {"kafka": 2.0, "redis": 5.0, "warehouse": 10.0, "partner": 15.0},
        is_kept_alive=True,
        snapshot=snapshot(),
        loops={loop: status(loop) for loop in DESTINATIONS} | changes,
        totals={loop: figures() for loop in DESTINATIONS},
        letters={("forward", "status_422", "open"): 2, ("relay", "too_large", "discarded"): 1},
        kept=Kept(NOW - 1.0, 4_711, 3, NOW - 60.0, 1, NOW - 5.0, 2),
    )


def shard(index: int, *, lives: bool = True, **changes: LoopStatus) -> ShardStatus:
    return ShardStatus(index, snapshot(lives=lives), {loop: status(loop) for loop in DESTINATIONS} | changes)


def facts() -> DagsterFacts:
    return DagsterFacts(
        at=NOW,
        runs=[Runs(one, 2, 30.0) if one is RunStatus.QUEUED else Runs(one, 0, None) for one in RunStatus],
        failed_runs=[
            FailedRun("a", "settle_day", "engagement", "2026-11-26", NOW, will_retry=False),
            FailedRun("b", "settle_day", "engagement", "2026-11-25", NOW, will_retry=False),
            FailedRun("c", "settle_day", "engagement", "2026-11-24", NOW, will_retry=True),
            FailedRun("d", "engagement_stream", "engagement", "", NOW, will_retry=False),
        ],
        ticks=[Ticks("end_dead_runs", Automation.SENSOR, "", is_on=True, at=NOW - 4.0, outcome=Tick.FAILURE)],
        daemons=[Daemon("SENSOR", NOW - 2.0, is_healthy=True), Daemon("BACKFILL", None, is_healthy=False)],
        checks=[
            Check("warehouse/e", "days_known", "engagement", CheckStatus.FAILED, False, NOW, "", "d", "3 events"),
            Check("warehouse/e", "unique_ids", "engagement", CheckStatus.SUCCEEDED, True, NOW, "2026-11-26", "e", ""),
        ],
        backfills=[Backfill("x", BackfillStatus.FAILED, NOW - 60.0, NOW - 6.0, "a month", "")],
        tables=[
            Table(
                "e",
                "engagement",
                "warehouse/e",
                {
                    "2026-11-25": Day(DayStatus.MATERIALIZED, is_stale=True),
                    "2026-11-26": Day(DayStatus.FAILED, failed_checks=("unique_ids",)),
                    "2026-11-27": Day(DayStatus.MISSING),
                },
            )
        ],
        streams=["engagement"],
        streaming_jobs=["engagement_stream"],
    )


def conditions() -> list[Condition]:
    return [
        Condition(Kind.BREAKER_OPEN, Severity.CRITICAL, "engagement", "forward", NOW, "It is down."),
        Condition(Kind.BACKFILL_FAILED, Severity.WARNING, "", "x", NOW, "A backfill failed."),
        Condition(Kind.BACKFILL_FAILED, Severity.WARNING, "", "y", NOW, "A backfill failed."),
        Condition(Kind.RUN_FAILED, Severity.WARNING, "engagement", "settle_day", NOW, "A run failed."),
    ]


def reading() -> Reading:
    """Return a reading of which nothing is missing."""
    streams = {"engagement": replace(stream(), shards=(shard(0), shard(1))), "orders": None}
    return Reading(NOW, "1.2.3", "3.11.0", streams, conditions(), facts(), is_dagster_asked=True)
