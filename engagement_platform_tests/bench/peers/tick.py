"""A Dagster run for each tick: a sensor that asks for a run, whose one op polls what has come. Dagster loads this file.

The sensor's loop looks every five seconds, whatever it is told; a run is asked for once the last one has ended, since
two at once would publish the same rows twice. The op keeps its cursor in a file.
"""

import os
import time
from pathlib import Path

import dagster as dg

from engagement_platform.settings import load
from engagement_platform_tests.bench.peers.poller import ROWS, Poller

_UNFINISHED = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]


@dg.op
def publish() -> None:
    """Publish what lies above the cursor."""
    file = Path(os.environ["DAGSTER_HOME"]) / "cursor"
    poller = Poller(load(), int(file.read_text()) if file.exists() else 0)
    while poller.poll() == ROWS:
        pass
    file.write_text(str(poller.cursor))
    poller.close()


@dg.job(executor_def=dg.in_process_executor)
def poll() -> None:
    """One poll."""
    publish()


@dg.sensor(job=poll, minimum_interval_seconds=1, default_status=dg.DefaultSensorStatus.RUNNING)
def tick(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Ask for a run unless one is under way."""
    if context.instance.get_runs_count(dg.RunsFilter(statuses=_UNFINISHED)):
        return dg.SkipReason("the last one has not ended")
    return dg.RunRequest(run_key=str(time.time_ns()))


defs = dg.Definitions(jobs=[poll], sensors=[tick])
