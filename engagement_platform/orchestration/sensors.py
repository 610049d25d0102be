"""The sensor that keeps a stream alive. It reads, asks `domain.leases`, and acts."""

from datetime import datetime, timedelta
from uuid import uuid4

import dagster as dg

from engagement_platform.adapters.platform.leases import Leases
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.launches import Run, Skip, abandoned, decide, needed
from engagement_platform.orchestration.private import cancel_run
from engagement_platform.orchestration.stream_job import TAGS, job_name
from engagement_platform.settings import about, load

LAUNCHED_AT = "engagement/launched_at"
"""Tag with the platform database's time; Dagster's own note depends on the time zone of its session."""

LAUNCHED_BY = "engagement/launched_by"
"""Tag with the code server whose sensor launched the run."""

CODE_SERVER = uuid4().hex
"""This process. While it lives, it fails the runs that it launched and whose processes have died."""

_REMEMBERED = 50
"""Runs that are looked at: more than may fail before launching waits."""


def keep_stream_alive_of(stream: EventStream, shard: int = 0) -> dg.SensorDefinition:
    """Return the sensor of a stream, or of one of its shards."""
    job = job_name(stream.name, shard)

    @dg.sensor(
        name=sensor_name(stream.name, shard),
        job_name=job,
        minimum_interval_seconds=1,  # the loop wakes every 5 s; 5 here would make every other tick come too early
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Launches the next run of {job} before the present one ends, and at once when none lives.",
    )
    def keep_alive(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        with about(stream.name):
            return _tick(context, stream.name, shard)

    return keep_alive


def sensor_name(stream: str, shard: int = 0) -> str:
    """Return the name of the sensor of a stream, or of one of its shards."""
    return f"keep_{job_name(stream, shard)}_alive"


def _tick(context: dg.SensorEvaluationContext, stream: str, shard: int) -> dg.RunRequest | dg.SkipReason:
    """Launch a run or say why not. What could not be read is never taken for an absent lease."""
    try:
        settings = load(stream)
        if settings.lease.seconds == 0:
            setting = settings.lease.variable("seconds")
            return dg.SkipReason(f"{setting} is 0, so nothing is kept alive: launch the job to drain.")
        ensure_schema(settings)
        with Leases.opened(settings, "sensor", shard) as leases:
            leases.declare(settings.lease.shards, "the sensor")
            snapshot = leases.snapshot()
    except EngagementError as error:
        return dg.SkipReason(str(error))
    lead = timedelta(seconds=settings.lease.effective_lead_seconds)
    decision = needed(snapshot, lead)
    if not isinstance(decision, Skip):
        records = context.instance.get_run_records(dg.RunsFilter(job_name=job_name(stream, shard)), limit=_REMEMBERED)
        runs = [_as_run(record) for record in records]
        for run in abandoned(runs, CODE_SERVER):
            cancel_run(context.instance, run.run_id)
        decision = decide(snapshot, runs, lead, CODE_SERVER)
    if isinstance(decision, Skip):
        return dg.SkipReason(decision.reason)
    context.log.info(decision.reason)
    return dg.RunRequest(
        # Dagster never uses a key again, whatever became of its run: hence the time.
        run_key=f"epoch {snapshot.epoch + 1} at {snapshot.now.isoformat()}",
        tags={
            **TAGS,
            LAUNCHED_AT: snapshot.now.isoformat(),
            LAUNCHED_BY: CODE_SERVER,
            "engagement/reason": decision.reason,
        },
    )


def _as_run(record: dg.RunRecord) -> Run:
    run = record.dagster_run
    launched_at = run.tags.get(LAUNCHED_AT)
    return Run(
        run_id=run.run_id,
        created_at=datetime.fromisoformat(launched_at) if launched_at else record.create_timestamp,
        ended=run.is_finished,
        failed=run.status is dg.DagsterRunStatus.FAILURE,
        accepted=run.status is not dg.DagsterRunStatus.NOT_STARTED,
        queued=run.status is dg.DagsterRunStatus.QUEUED,
        launched_by=run.tags.get(LAUNCHED_BY),
    )
