"""The executor of the warehouse's runs: one process for all steps, which gives signs of life while it works.

Dagster does not learn of the death of a process whose code server died with it; `orchestration.dead_runs` does, from
the heartbeats that are written here.
"""

import logging
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, cast

import dagster as dg

from engagement_platform.adapters import logs
from engagement_platform.adapters.platform.connection import Session
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.platform.run_beats import RunBeats
from engagement_platform.adapters.repeated import Repeated
from engagement_platform.adapters.streams import settings_of_location
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.workers import BEAT_SECONDS
from engagement_platform.orchestration.private import consoles
from engagement_platform.settings import Settings

_INTERRUPT = signal.SIGTERM if signal.getsignal(signal.SIGINT) is signal.SIG_IGN else signal.SIGINT
"""What ends this process: what a shell's `nohup … &` has started ignores SIGINT."""

_AGAIN_SECONDS = 1.0
"""After how long a heartbeat that failed is tried again."""

log = logging.getLogger("engagement_platform.living")

_DAY = "dagster/partition"
_FIRST_DAY, _LAST_DAY = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
DAY_TAGS = (_DAY, _FIRST_DAY, _LAST_DAY)
"""The tags that tell the days of a run."""


def span_of(tags: Mapping[str, str]) -> tuple[str, str]:
    """Return the first and the last partition that a run is for, as its tags tell them; twice nothing for none."""
    if _FIRST_DAY in tags and _LAST_DAY in tags:
        return tags[_FIRST_DAY], tags[_LAST_DAY]
    return tags.get(_DAY, ""), tags.get(_DAY, "")


def subject_of(tags: Mapping[str, str]) -> str:
    """Return the days that a run is for, as its tags tell them; nothing for a run without days."""
    first, last = span_of(tags)
    return first if first == last else f"{first} to {last}"


@contextmanager
def beating(run_id: str, job: str, subject: str) -> Iterator[None]:
    """Write a heartbeat for a run every `BEAT_SECONDS`, from a thread, while the block runs.

    Nothing that happens to the thread ends the block, except that the run was given up: then another run does its
    work, and this process is interrupted as by a termination from the UI.
    """
    try:
        settings = settings_of_location()
    except EngagementError as error:  # the run says so itself as soon as it needs them
        log.warning("no heartbeat for run %s: %s", run_id, error)
        yield
        return
    with _Heart(settings, run_id, job, subject).thread:
        yield


class _Heart:
    """What the thread does that gives signs of life for a run."""

    def __init__(self, settings: Settings, run_id: str, job: str, subject: str) -> None:
        self._settings = settings
        self._run = (run_id, job, subject)
        self._beats = RunBeats(Session(settings, "run-beat"))
        self._is_given_up = self._has_schema = False
        self.thread = Repeated(
            "run-beat", self._beat, BEAT_SECONDS, log=log, first=0.0, failures=self, at_end=self._end, patience=2.0
        )

    def failed(self, error: EngagementError) -> float:
        """Say that the run may be taken for dead; return the seconds until the next beat."""
        self._has_schema = False  # perhaps it is that
        log.warning("no heartbeat for run %s: %s", self._run[0], error)
        return _AGAIN_SECONDS

    def worked(self) -> None:
        """Nothing is to be said."""

    def _beat(self) -> None:
        if not self._has_schema:
            ensure_schema(self._settings)
            self._has_schema = True
        if not self._beats.beat(*self._run):
            self._is_given_up = True
            self.thread.end()
            log.error("Run %s was taken for dead: it gave no sign of life for too long. It ends.", self._run[0])
            os.kill(os.getpid(), _INTERRUPT)

    def _end(self) -> None:
        with closing(self._beats):
            if not self._is_given_up:
                self._beats.end(self._run[0])


class _LivingExecutor(dg.Executor):
    """Another executor, with heartbeats."""

    def __init__(self, executor: dg.Executor) -> None:
        self._executor = executor

    @property
    def retries(self) -> Any:
        """Whether steps are tried again."""
        return self._executor.retries

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[dg.DagsterEvent]:
        """Execute the steps one after the other."""
        run = plan_context.dagster_run
        logs.reform(consoles(plan_context.log))
        with beating(run.run_id, run.job_name, subject_of(run.tags)):
            yield from self._executor.execute(plan_context, execution_plan)


@dg.executor(name="in_one_living_process")
def in_one_living_process(context: dg.InitExecutorContext) -> dg.Executor:
    """Execute all steps in the run's process: they follow each other, and a process each would cost seconds."""
    make = cast("Callable[[dg.InitExecutorContext], dg.Executor]", dg.in_process_executor.executor_creation_fn)
    return _LivingExecutor(make(context._replace(executor_config={"retries": {"enabled": {}}})))
