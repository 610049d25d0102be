"""Runs whose process is gone are ended in Dagster, and only those."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import dagster as dg
import pytest

from engagement_platform.adapters.platform.leases import Leases
from engagement_platform.adapters.platform.run_beats import RunBeats
from engagement_platform.definitions import definitions
from engagement_platform.domain.workers import BEGIN, BOOT, SILENT
from engagement_platform.orchestration.dead_runs import end_dead_runs, kept, remembered
from engagement_platform.orchestration.living import beating, subject_of
from engagement_platform.orchestration.retention import keep_warehouse_small
from engagement_platform.settings import Settings
from engagement_platform_tests.streaming import wait_for

engagement_stream = definitions.resolve_job_def("engagement_stream")

ACTIVE = (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING)


@pytest.fixture
def beats(platform: Settings) -> Iterator[RunBeats]:
    with RunBeats.opened(platform, "test") as made:
        yield made


class Observer:
    """The sensor with its cursor; `after` lets time go by since its last look."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._cursor: str | None = None

    def look(self) -> str:
        context = dg.build_sensor_context(
            instance=self._instance, cursor=self._cursor, repository_def=definitions.get_repository_def()
        )
        result = end_dead_runs(context)
        assert isinstance(result, dg.SkipReason)
        self._cursor = context.cursor
        return result.skip_message or ""

    def after(self, span: timedelta) -> str:
        """Look for as long as that, as seldom as it may be."""
        memory = remembered(self._cursor)
        assert memory is not None
        seen = {run: replace(one, since=one.since - span) for run, one in memory.runs.items()}
        self._cursor = kept(type(memory)(memory.looked_at - timedelta(seconds=15), seen))
        return self.look()


def launched(instance: dg.DagsterInstance, status: dg.DagsterRunStatus = dg.DagsterRunStatus.STARTED) -> str:
    return instance.create_run_for_job(keep_warehouse_small, status=status).run_id


def status_of(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


@pytest.mark.parametrize("status", ACTIVE)
def test_a_run_whose_heartbeat_has_stopped_is_ended_whatever_it_seems_to_do(
    instance: dg.DagsterInstance, beats: RunBeats, status: dg.DagsterRunStatus
) -> None:
    run_id, observer = launched(instance, status), Observer(instance)
    beats.beat(run_id, "job", "")
    observer.look()
    assert "1 runs are at work" in observer.after(SILENT / 2)
    assert status_of(instance, run_id) is status
    assert run_id in observer.after(SILENT)
    canceled = status is dg.DagsterRunStatus.CANCELING
    assert status_of(instance, run_id) is (dg.DagsterRunStatus.CANCELED if canceled else dg.DagsterRunStatus.FAILURE)
    said = [entry.message for entry in instance.all_logs(run_id)]
    assert any("no sign of life" in message for message in said)


def test_a_run_that_beats_goes_on(instance: dg.DagsterInstance, beats: RunBeats) -> None:
    run_id, observer = launched(instance), Observer(instance)
    beats.beat(run_id, "job", "")
    observer.look()
    beats.beat(run_id, "job", "")
    observer.after(SILENT)
    assert status_of(instance, run_id) is dg.DagsterRunStatus.STARTED


@pytest.mark.usefixtures("beats")
def test_a_run_on_which_nobody_begins_to_work_is_ended_later(instance: dg.DagsterInstance) -> None:
    run_id, observer = launched(instance, dg.DagsterRunStatus.STARTING), Observer(instance)
    observer.look()
    observer.after(SILENT)
    assert status_of(instance, run_id) is dg.DagsterRunStatus.STARTING
    observer.after(BOOT)
    assert status_of(instance, run_id) is dg.DagsterRunStatus.FAILURE


@pytest.mark.usefixtures("beats")
def test_a_run_that_started_and_never_beat_is_ended_within_two_minutes(instance: dg.DagsterInstance) -> None:
    run_id, observer = launched(instance, dg.DagsterRunStatus.STARTED), Observer(instance)
    observer.look()
    observer.after(SILENT)
    assert status_of(instance, run_id) is dg.DagsterRunStatus.STARTED
    observer.after(BEGIN)
    assert status_of(instance, run_id) is dg.DagsterRunStatus.FAILURE


def test_a_streaming_run_whose_loops_are_silent_is_ended_and_never_retried_by_dagster(
    instance: dg.DagsterInstance, platform: Settings
) -> None:
    silent, starts = (
        instance.create_run_for_job(engagement_stream, status=dg.DagsterRunStatus.STARTED).run_id for _ in range(2)
    )
    with Leases.opened(platform, "test") as leases:
        leases.register(silent, "relay")
    observer = Observer(instance)
    observer.look()
    observer.after(BOOT)
    assert status_of(instance, silent) is dg.DagsterRunStatus.FAILURE
    assert status_of(instance, starts) is dg.DagsterRunStatus.STARTED, "its own sensor says how long that may take"
    assert engagement_stream.tags["dagster/max_retries"] == "0"


def test_while_the_platform_database_is_away_nothing_is_concluded(
    instance: dg.DagsterInstance, beats: RunBeats, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, observer = launched(instance), Observer(instance)
    beats.beat(run_id, "job", "")
    observer.look()
    with monkeypatch.context() as away:
        away.setenv("ENGAGEMENT_PLATFORM_DSN", "postgresql://nobody@127.0.0.1:1/unused")
        assert "does not answer" in observer.after(SILENT)
    assert status_of(instance, run_id) is dg.DagsterRunStatus.STARTED


def test_a_cursor_of_another_version_is_no_obstacle() -> None:
    assert remembered("epoch 7") is None
    assert remembered(None) is None


# The process of a run

WORKS = """
import sys, time
from engagement_platform.orchestration.living import beating
with beating(sys.argv[1], "job", "2026-03-01"):
    print("at work", flush=True)
    time.sleep(120)
"""


@pytest.fixture
def worker(platform: Settings) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, "-c", WORKS, "run"], stdout=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.wait()


def beat_of(beats: RunBeats, run_id: str = "run") -> datetime | None:
    return beats.look([run_id])[1][run_id]


def test_a_process_beats_until_it_is_killed(worker: subprocess.Popen[str], beats: RunBeats) -> None:
    first = wait_for(lambda: beat_of(beats), "a heartbeat", 30)
    wait_for(lambda: beat_of(beats) != first, "another heartbeat", 30)
    assert [(run.run_id, run.pid) for run in beats.at_work()] == [("run", worker.pid)]
    worker.kill()
    worker.wait()
    last = beat_of(beats)
    assert beats.give_up("run", "job", last)


def test_a_process_that_was_given_up_ends(worker: subprocess.Popen[str], beats: RunBeats) -> None:
    """It was frozen or starved for so long that another run does its work by now."""
    wait_for(lambda: beat_of(beats), "a heartbeat", 30)
    os.kill(worker.pid, signal.SIGSTOP)
    assert beats.give_up("run", "job", beat_of(beats))
    os.kill(worker.pid, signal.SIGCONT)
    assert worker.wait(30) != 0


def test_the_end_is_told_at_once(beats: RunBeats) -> None:
    with beating("run", "job", ""):
        wait_for(lambda: beat_of(beats), "a heartbeat", 30)
    assert beats.at_work() == []


def test_a_run_says_for_which_days_it_is() -> None:
    ends = {"dagster/asset_partition_range_start": "2026-03-01", "dagster/asset_partition_range_end": "2026-03-07"}
    assert subject_of(ends) == "2026-03-01 to 2026-03-07"
    assert subject_of({"dagster/partition": "2026-03-01"}) == "2026-03-01"
    assert subject_of({}) == ""


def test_every_job_but_the_stream_works_in_a_process_that_beats() -> None:
    jobs = [*definitions.resolve_all_job_defs()]
    assert {job.name for job in jobs if job.executor_def.name != "in_one_living_process"} == {engagement_stream.name}
