"""Deletes old runs of the stream: one is born every few minutes, and Dagster itself keeps them for ever."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from engagement_platform.adapters.platform.leases import Leases
from engagement_platform.orchestration.stream_job import NAME
from engagement_platform.settings import load

ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
_AT_ONCE = 100
_LEASES_HOURS = 24 * 7


def delete_ended_runs(instance: dg.DagsterInstance, created_before: datetime) -> int:
    """Delete the ended runs of engagement_stream that were created before a time; return how many.

    Runs of other jobs stay: when one that materialized days is deleted, its days look missing.
    """
    old = dg.RunsFilter(job_name=NAME, statuses=list(ENDED), created_before=created_before)
    deleted = 0
    while runs := instance.get_runs(old, limit=_AT_ONCE):
        for run in runs:
            instance.delete_run(run.run_id)
        deleted += len(runs)
    return deleted


@dg.op(description="Deletes ended runs of engagement_stream older than ENGAGEMENT_RETAIN_RUNS_HOURS, and old leases.")
def delete_old_stream_runs(context: dg.OpExecutionContext) -> None:
    """Delete what nobody will look at any more."""
    settings = load()
    deleted = delete_ended_runs(context.instance, datetime.now(UTC) - timedelta(hours=settings.retain_runs_hours))
    leases = Leases(settings, "retention")
    try:
        leases.prune(_LEASES_HOURS)
    finally:
        leases.close()
    context.log.info(f"Deleted {deleted} runs.")


@dg.job(
    description="Deletes old runs of the stream, which come every few minutes.", executor_def=dg.in_process_executor
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
