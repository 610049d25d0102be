"""Deletes old runs of the streams: one is born every few minutes, and Dagster keeps them, and killed ones, for ever."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from engagement_platform.adapters.platform import deliveries, published
from engagement_platform.adapters.platform.alerts import Alerts
from engagement_platform.adapters.platform.connection import Session
from engagement_platform.adapters.platform.leases import Leases
from engagement_platform.adapters.platform.loads import Loads
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.platform.rebuilds import Rebuilds
from engagement_platform.adapters.platform.run_beats import RunBeats
from engagement_platform.adapters.streams import stream_of
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.launches import BEGUN_WITHIN
from engagement_platform.domain.leases import LeaseSnapshot
from engagement_platform.domain.stream_names import own_name
from engagement_platform.orchestration import evidence
from engagement_platform.orchestration.dead_letters import COUNT, dead_letters_key
from engagement_platform.orchestration.failures import for_each_stream
from engagement_platform.orchestration.keeps_up import forget_outcomes
from engagement_platform.orchestration.living import in_one_living_process
from engagement_platform.orchestration.private import report_failed
from engagement_platform.orchestration.runs import ENDED, UNFINISHED, runs_of
from engagement_platform.orchestration.stream_job import job_name
from engagement_platform.orchestration.superseded import delete_superseded_runs
from engagement_platform.orchestration.warehouse.marts import REFRESH_MARTS, mart_key
from engagement_platform.settings import Settings

_AT_ONCE = 100
_LEASES_HOURS = 24 * 7
_UPKEEP_HOURS = 24 * 7
"""How long runs are kept that do upkeep, and make nothing."""
_SUNDAY = 6
"""The day on which Dagster forgets the outcomes of the loops' checks, which it keeps beyond the run that told them."""


def fail_dead_runs(instance: dg.DagsterInstance, leases: Leases, job: str, created_before: datetime) -> int:
    """Report runs of a stream's job as failed that were killed and look unfinished; return how many.

    Looked at are those created before a time and old enough to have started. Heartbeats tell which of them live, as
    they do for the sensor: Dagster never learns of the death of a run whose processes were killed. Raises Unavailable.
    """
    old_enough = min(created_before, datetime.now(UTC) - BEGUN_WITHIN)
    unfinished = dg.RunsFilter(job_name=job, statuses=list(UNFINISHED), created_before=old_enough)
    dead = [run for run in runs_of(instance, unfinished) if not _lives(leases.snapshot(run.run_id), run.run_id)]
    for run in dead:
        report_failed(
            instance, run, "The run neither holds the lease nor gives a sign of life: it was killed or never began."
        )
    return len(dead)


def _lives(snapshot: LeaseSnapshot, run_id: str) -> bool:
    holds_lease = snapshot.lease is not None and snapshot.lease.run_id == run_id
    return holds_lease or any(snapshot.lives(loop) for loop in snapshot.of(run_id).values())


def delete_ended_runs(instance: dg.DagsterInstance, job: str, created_before: datetime) -> int:
    """Delete the ended runs of a stream's job that were created before a time; return how many.

    Runs of other jobs stay: when one that materialized days is deleted, its days look missing.
    """
    old = dg.RunsFilter(job_name=job, statuses=list(ENDED), created_before=created_before)
    deleted = 0
    while runs := runs_of(instance, old, limit=_AT_ONCE):
        for run in runs:
            instance.delete_run(run.run_id)
        deleted += len(runs)
    return deleted


@dg.op(
    description="Deletes runs older than ENGAGEMENT_RETAIN_RUNS_HOURS that nobody will look at any more: those of the "
    "streams' jobs that have ended or were killed, and those whose days a later run has made anew; and old leases."
)
def delete_old_stream_runs(context: dg.OpExecutionContext) -> None:
    """Delete what nobody will look at any more."""

    def prune(settings: Settings) -> None:
        created_before = datetime.now(UTC) - timedelta(hours=settings.lease.retain_runs_hours)
        with Leases.opened(settings, "retention") as leases:
            shards = leases.shards_seen()
            leases.prune(_LEASES_HOURS)
        for shard in shards:
            job = job_name(settings.stream, shard)
            with Leases.opened(settings, "retention", shard) as leases:
                dead = fail_dead_runs(context.instance, leases, job, created_before)
            deleted = delete_ended_runs(context.instance, job, created_before)
            context.log.info(f"Deleted {deleted} runs of {job}, {dead} of which had been killed.")
        stream = stream_of(settings)
        replaced = delete_superseded_runs(context.instance, *_refreshes(stream), created_before)
        context.log.info(f"Deleted {replaced} runs of {stream.name} whose days later ones have made anew.")
        proofs = own_name(stream.name, evidence.PROVE)
        deleted = delete_ended_runs(context.instance, proofs, datetime.now(UTC) - evidence.KEPT)
        context.log.info(f"Deleted {deleted} runs of {proofs}, whose hours nobody can compare any more.")
        if datetime.now(UTC).weekday() == _SUNDAY:
            forget_outcomes(context.instance, stream)

    for_each_stream(prune)
    created_before = datetime.now(UTC) - timedelta(hours=_UPKEEP_HOURS)
    upkeep = [prune_engagement_stream_runs.name, keep_warehouse_small.name]
    replaced = delete_superseded_runs(context.instance, upkeep, [], created_before)
    context.log.info(f"Deleted {replaced} runs of the upkeep.")


def _refreshes(stream: EventStream) -> tuple[list[str], list[dg.AssetKey]]:
    """Return the jobs that make the same days again and again, and the assets whose days they make."""
    jobs = [own_name(stream.name, name) for name in (REFRESH_MARTS, COUNT)]
    return jobs, [*map(mart_key, stream.marts), dead_letters_key(stream)]


@dg.job(
    description="Deletes old runs of the streams, which come every few minutes.", executor_def=in_one_living_process
)
def prune_engagement_stream_runs() -> None:
    """One op."""
    delete_old_stream_runs()


prune_engagement_stream_runs_daily = dg.ScheduleDefinition(
    name="prune_engagement_stream_runs_daily",
    job=prune_engagement_stream_runs,
    cron_schedule="17 4 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Keeps the list of runs, and Dagster's tables, from growing without end.",
)


_ROWS_KEPT_HOURS = 24 * 30


@dg.op(
    description="Compacts the warehouse's tables, removes what nobody needs, forgets old notes of loads, and tells the "
    "partner of erasures that it has not taken yet."
)
def tidy_up(context: dg.OpExecutionContext) -> None:
    """Do the warehouse's upkeep."""
    from engagement_platform.adapters.warehouse.connect import open_warehouse  # noqa: PLC0415
    from engagement_platform.history.erasure import deliver_waiting  # noqa: PLC0415

    figures: dict[str, int] = {}
    tended: set[str] = set()

    def tidy(settings: Settings) -> None:
        ensure_schema(settings)
        if settings.effective_warehouse_uri not in tended:
            figures.update(open_warehouse(settings).upkeep())
            tended.add(settings.effective_warehouse_uri)
        with Session(settings, "upkeep") as session:
            for table in (Loads(session), Rebuilds(session), RunBeats(session), Alerts(session)):
                table.prune(_ROWS_KEPT_HOURS)
        published.thin(settings, _ROWS_KEPT_HOURS)
        deliveries.prune(settings)
        deliver_waiting(settings)

    for_each_stream(tidy)
    context.add_output_metadata(figures)
    context.log.info(", ".join(f"{name}: {number}" for name, number in figures.items()) or "Nothing to do.")


@dg.job(description="Keeps the warehouse fast and small.", executor_def=in_one_living_process)
def keep_warehouse_small() -> None:
    """One op."""
    tidy_up()


keep_warehouse_small_hourly = dg.ScheduleDefinition(
    name="keep_warehouse_small_hourly",
    job=keep_warehouse_small,
    cron_schedule="47 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="A load every few seconds makes thousands of small files a day.",
)
