"""The job with stand-ins for its loops, to be run as a process of its own. Each loop notes its pid."""

import os
import sys
from pathlib import Path

import dagster as dg

from engagement_platform.adapters.streams import stream_named
from engagement_platform.domain.progress import EVENTS
from engagement_platform.orchestration.loop_op import RunLoop
from engagement_platform.orchestration.stream_job import stream_job_of
from engagement_platform.settings import Settings
from engagement_platform.stream.control import Control
from engagement_platform.stream.registry import NAMES
from engagement_platform_tests.streams import PACKAGED

NOTES = "STAND_IN_NOTES"
STREAM = "STAND_IN_STREAM"
"""The stream whose job it is; by default the packaged one."""


def stand_in(name: str) -> RunLoop:
    """Return a loop that claims, notes its pid in a file of its own, and goes on until told to stop."""

    def run(settings: Settings, control: Control) -> None:
        control.claim()
        with (Path(os.environ[NOTES]) / name).open("a") as notes:
            notes.write(f"{os.getpid()}\n")
        (Path(os.environ[NOTES]) / f"{name} streams").write_text(settings.stream)
        while not control.wait(0.05):
            control.progress.count(EVENTS)

    return run


def job() -> dg.JobDefinition:
    """Return the job."""
    return stream_job_of(stream_named(os.environ.get(STREAM, PACKAGED.name)), {name: stand_in(name) for name in NAMES})


def execute() -> None:
    """Execute the job; exit with 0 when it succeeded. The ops' processes import this module by its name."""
    with (
        dg.DagsterInstance.get() as instance,
        dg.execute_job(dg.reconstructable(job), instance, run_config={"lease_seconds": 60}) as result,
    ):
        sys.exit(0 if result.success else 1)
