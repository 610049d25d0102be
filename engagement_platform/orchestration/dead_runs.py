"""The sensor that ends runs whose process is gone: Dagster takes them for at work, and they would hold the queue.

Dagster learns of the death of a process from the code server that started it. When both die (with the machine, with the
container), the run stays as it was for ever. What the sensor reports as failed, Dagster launches again by `run_retries`
of `dagster.yaml`; streaming jobs are exempt, for their own sensors replace their runs.
"""

import dagster as dg
import msgspec

from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.platform.run_beats import RunBeats
from engagement_platform.adapters.streams import settings_of_location, streams
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.workers import SILENT, Memory, Seen, judge
from engagement_platform.orchestration import private
from engagement_platform.orchestration.runs import ACTIVE, runs_of
from engagement_platform.orchestration.stream_job import job_names

LOOK_SECONDS = 15
_MAX_RUNS = 200


@dg.sensor(
    minimum_interval_seconds=LOOK_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Reports runs as failed whose process is gone, so that they hold up nothing and are launched again.",
)
def end_dead_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Look at the runs that seem to be at work; end those whose heartbeat has stopped."""
    try:
        settings = settings_of_location()
        ensure_schema(settings)
        runs = at_work(context)
        with RunBeats.opened(settings, "dead-runs") as beats:
            now, signs = beats.look([run.run_id for run in runs])
            # How long a streaming run may start up is for its own sensor to say.
            streaming = {job for stream in streams() for job in job_names(stream)}
            begun = {
                run.run_id: signs[run.run_id] for run in runs if run.job_name not in streaming or signs[run.run_id]
            }
            started = {run.run_id for run in runs if run.status is dg.DagsterRunStatus.STARTED}
            verdict = judge(begun, remembered(context.cursor), now, started)
            beats.close_others(list(signs), SILENT.total_seconds())
            dead = [
                (run, seen)
                for run in runs
                if (seen := verdict.dead.get(run.run_id)) is not None
                and beats.give_up(run.run_id, run.job_name, seen.beat_at)
            ]
    except EngagementError as error:
        return dg.SkipReason(str(error))
    context.update_cursor(kept(verdict.memory))
    for run, seen in dead:
        report_dead(context.instance, run, seen)
        context.log.warning(f"Run {run.run_id} of {run.job_name} is dead: {reason(seen)}")
    ended = ", ".join(run.run_id for run, _ in dead)
    return dg.SkipReason(f"Ended without a living process: {ended}." if dead else f"{len(runs)} runs are at work.")


def at_work(context: dg.SensorEvaluationContext) -> list[dg.DagsterRun]:
    """Return the runs of this code location that Dagster takes for at work."""
    runs = runs_of(context.instance, dg.RunsFilter(statuses=list(ACTIVE)), limit=_MAX_RUNS)
    location = private.location_of_sensor(context)
    return [run for run in runs if location is None or private.location_of_run(run) in (None, location)]


def report_dead(instance: dg.DagsterInstance, run: dg.DagsterRun, seen: Seen) -> None:
    """End a run in Dagster: as canceled where it was to be canceled, else as failed."""
    present = instance.get_run_by_id(run.run_id)
    if present is None or present.is_finished:
        return
    if present.status is dg.DagsterRunStatus.CANCELING:
        private.report_canceled(instance, present, reason(seen))
    else:
        private.report_failed(instance, present, reason(seen))


def reason(seen: Seen) -> str:
    """Say why a run is taken for dead."""
    if seen.beat_at is None:
        return f"It was launched, but no process has begun to work on it since {seen.since:%H:%M:%S} UTC."
    return f"Its process has given no sign of life since {seen.beat_at:%H:%M:%S} UTC: it was killed, or its machine."


def kept(memory: Memory) -> str:
    """Return a memory as a cursor."""
    return msgspec.json.encode(memory).decode()


def remembered(cursor: str | None) -> Memory | None:
    """Return the memory that a cursor holds; None for one that cannot be read."""
    try:
        return msgspec.json.decode(cursor or "", type=Memory)
    except msgspec.DecodeError:
        return None
