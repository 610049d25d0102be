"""The executor of the warehouse's runs: one process for all steps, which gives signs of life while it works.

Dagster does not learn of the death of a process whose code server died with it; `orchestration.dead_runs` does, from
the heartbeats that are written here.
"""

import logging
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import dagster as dg
from dagster._core.events import DagsterEvent
from dagster._core.execution.context.system import PlanOrchestrationContext
from dagster._core.execution.plan.plan import ExecutionPlan
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.in_process import InProcessExecutor

from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.platform.run_beats import RunBeats
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.workers import BEAT_SECONDS
from engagement_platform.settings import load

_INTERRUPT = signal.SIGTERM if signal.getsignal(signal.SIGINT) is signal.SIG_IGN else signal.SIGINT
"""What ends this process: what a shell's `nohup … &` has started ignores SIGINT."""

log = logging.getLogger("engagement_platform.living")

_DAY = "dagster/partition"
_FIRST_DAY, _LAST_DAY = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


def subject_of(tags: Mapping[str, str]) -> str:
    """Return the days that a run is for, as its tags tell them; nothing for a run without days."""
    if _FIRST_DAY in tags and _LAST_DAY in tags:
        return f"{tags[_FIRST_DAY]} to {tags[_LAST_DAY]}"
    return tags.get(_DAY, "")


@contextmanager
def beating(run_id: str, job: str, subject: str) -> Iterator[None]:
    """Write a heartbeat for a run every `BEAT_SECONDS`, from a thread, while the block runs.

    Nothing that happens to the thread ends the block, except that the run was given up: then another run does its
    work, and this process is interrupted as by a termination from the UI.
    """
    ended = threading.Event()
    thread = threading.Thread(target=_beat, args=(run_id, job, subject, ended), name="run-beat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(2.0)


def _beat(run_id: str, job: str, subject: str, ended: threading.Event) -> None:
    try:
        settings = load()
    except EngagementError as error:  # the run says so itself as soon as it needs them
        log.warning("no heartbeat for run %s: %s", run_id, error)
        return
    with RunBeats.opened(settings, "run-beat") as beats:
        while True:
            try:
                ensure_schema(settings)
                while beats.beat(run_id, job, subject):
                    if ended.wait(BEAT_SECONDS):
                        beats.end(run_id)
                        return
                log.error("Run %s was taken for dead: it gave no sign of life for too long. It ends.", run_id)
                os.kill(os.getpid(), _INTERRUPT)
                return
            except Exception as error:  # a thread that is gone would let the run be taken for dead
                log.warning("no heartbeat for run %s: %s", run_id, error)
                if ended.wait(1.0):
                    with suppress(EngagementError):
                        beats.end(run_id)
                    return


class _LivingExecutor(InProcessExecutor):
    """Dagster's executor of one process, with heartbeats."""

    def execute(self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan) -> Iterator[DagsterEvent]:
        """Execute the steps one after the other."""
        run = plan_context.dagster_run
        with beating(run.run_id, run.job_name, subject_of(run.tags)):
            yield from super().execute(plan_context, execution_plan)


@dg.executor(name="in_one_living_process")
def in_one_living_process(_: dg.InitExecutorContext) -> InProcessExecutor:
    """Execute all steps in the run's process: they follow each other, and a process each would cost seconds."""
    return _LivingExecutor(retries=RetryMode.ENABLED)
