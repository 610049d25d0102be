"""The whole platform under `dagster dev`, as an operator runs it, with kills: the stream, then a backfill beside it.

All tests share one platform: what is killed comes back.
"""

import json
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import dagster as dg
import psutil
import psycopg
import pytest

from engagement_platform.adapters.redis.views import Views
from engagement_platform.cli import main
from engagement_platform.local import stack as local_stack
from engagement_platform.local.demo.programs import Dagster
from engagement_platform.local.stack import Endpoints
from engagement_platform.orchestration.stream_job import job_name
from engagement_platform.settings import Settings
from engagement_platform_tests.alert_receiver import AlertReceiver
from engagement_platform_tests.conftest import SourceDatabase, make_settings, make_source
from engagement_platform_tests.integration.dagster_dev import (
    PATIENCE,
    ROOT,
    children,
    dagster_dev,
    environment,
    kill,
    started_processes,
)
from engagement_platform_tests.integration.writing import beside
from engagement_platform_tests.streaming import insert, read_all, wait_for
from engagement_platform_tests.warehouse import ids_by_day, source_ids, source_ids_by_day, table_ids, write

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

DAYS = 15  # three runs of the backfill, for a week each at most: two are at work and one waits
ROWS = 100
TODAY = datetime.now(UTC).date()
FIRST = TODAY - timedelta(days=DAYS - 1)


@pytest.fixture(scope="module")
def endpoints(own_stack_folder: Path) -> Endpoints:
    return local_stack.up(own_stack_folder, durable=False, use_usual_ports=False)


@pytest.fixture(scope="module")
def source(endpoints: Endpoints) -> SourceDatabase:
    return make_source(endpoints)[1]


@pytest.fixture(scope="module")
def receiver() -> Iterator[AlertReceiver]:
    with AlertReceiver() as made:
        yield made


@pytest.fixture(scope="module")
def own_settings(
    endpoints: Endpoints, own_stack_folder: Path, source: SourceDatabase, receiver: AlertReceiver
) -> Settings:
    return make_settings(
        endpoints,
        source.dsn,
        endpoints.platform_dsn,
        lease_seconds=600,
        first_day=FIRST,
        stage_seconds=5.0,  # each load writes a file for each of its days, and every scan plans over all of them
        state_dir=own_stack_folder,
        warehouse_uri=str(own_stack_folder / "backfill-warehouse"),
        alert_url=receiver.url,
    )


@pytest.fixture(scope="module")
def variables(endpoints: Endpoints, own_stack_folder: Path, own_settings: Settings) -> Iterator[Mapping[str, str]]:
    """The environment of every program of the platform, and of this process."""
    made = environment(endpoints, own_stack_folder, own_settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        for name, value in made.items():
            if name.startswith(("ENGAGEMENT_", "DAGSTER_")):
                patch.setenv(name, value)
        yield made


@pytest.fixture(scope="module")
def dagster(own_stack_folder: Path, variables: Mapping[str, str]) -> Iterator[Dagster]:
    with dagster_dev(own_stack_folder, variables) as program:
        yield program


def counted(settings: Settings) -> int:
    views = Views.connect(settings)
    try:
        return views.totals().count
    finally:
        views.close()


def commit(source: SourceDatabase, n: int) -> None:
    with psycopg.connect(source.writer_dsn) as connection:
        insert(connection, n)


def committed(source: SourceDatabase) -> list[int]:
    with psycopg.connect(source.writer_dsn) as connection:
        return [row[0] for row in connection.execute("SELECT id FROM engagement_events ORDER BY id")]


def test_events_reach_redis_and_a_killed_run_loses_and_doubles_nothing(
    dagster: Dagster, own_settings: Settings, source: SourceDatabase, receiver: AlertReceiver
) -> None:
    commit(source, 20)
    wait_for(lambda: counted(own_settings) == 20, "the first events in Redis", PATIENCE)
    assert main_says("pause", "forward") == 0
    with psycopg.connect(source.writer_dsn) as late:
        insert(late, 3)
        commit(source, 20)
        wait_for(lambda: counted(own_settings) == 40, "events beside an open transaction")
        victims = children(dagster, "multiprocessing")  # the worker of the streaming run with its ops
        assert len(victims) > 2
        kill(victims)
        commit(source, 20)
        late.commit()
    commit(source, 5)
    wait_for(lambda: counted(own_settings) >= 68, "events after the kill", PATIENCE)
    published = sorted(json.loads(record.value)["id"] for record in read_all(own_settings, own_settings.topics.events))
    assert published == committed(source)
    assert counted(own_settings) == 68
    wait_for(lambda: PAUSED in receiver.told, "the alert of a loop that is paused", PATIENCE)
    assert main_says("resume", "forward") == 0
    wait_for(lambda: ("over", *PAUSED[1:]) in receiver.told, "the alert to be over", PATIENCE)
    assert receiver.told.count(PAUSED) == 1


PAUSED = ("began", "loop_paused", "forward")


def main_says(*arguments: str) -> int:
    """Run a command in this process; return its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


def write_on(source: SourceDatabase, stop: threading.Event) -> None:
    """Writes some 60 events a second: most of them of today, some of any day of the last weeks, some late."""
    chance = random.Random(7)
    with psycopg.connect(source.writer_dsn) as quick, psycopg.connect(source.writer_dsn) as slow:
        while not stop.wait(0.5):
            write(quick, 20, TODAY)
            write(quick, 5, FIRST + timedelta(days=chance.randrange(DAYS)))
            write(slow, 5, FIRST + timedelta(days=chance.randrange(DAYS)))
            quick.commit()
            if chance.random() < 0.1:
                (slow.rollback if chance.random() < 0.2 else slow.commit)()


def command(variables: Mapping[str, str], *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "engagement_platform", *arguments],
        env=dict(variables),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finished(process: "subprocess.Popen[str]") -> str:
    out, _ = process.communicate(timeout=600)
    return out


def stage_process(instance: dg.DagsterInstance) -> list[psutil.Process]:
    """The process of the stage of the run that streams, as it told Dagster."""
    (run,) = instance.get_runs(
        dg.RunsFilter(job_name=job_name("engagement"), statuses=[dg.DagsterRunStatus.STARTED]), limit=1
    )
    pids = [
        int(str(event.event_specific_data.metadata["pid"].value))  # type: ignore[union-attr]
        for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_WORKER_STARTED)
        if (event := entry.dagster_event) is not None and event.step_key == "stage"
    ]
    return [psutil.Process(pid) for pid in pids[-1:] if psutil.pid_exists(pid)]


def backfill_workers(instance: dg.DagsterInstance) -> list[psutil.Process]:
    """The workers of the backfill's runs that are at work."""
    runs = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]), limit=20)
    mine = [run.run_id for run in runs if "dagster/backfill" in run.tags]
    return [each for run_id in mine for each in started_processes(instance, run_id, "Started process for run")]


@pytest.mark.whole
def test_weeks_are_rebuilt_while_events_come_and_processes_are_killed(
    dagster: Dagster, variables: Mapping[str, str], own_settings: Settings, source: SourceDatabase
) -> None:
    with psycopg.connect(source.writer_dsn) as connection:
        for n in range(DAYS):
            write(connection, ROWS, FIRST + timedelta(days=n))
    with beside(partial(write_on, source)), dg.DagsterInstance.get() as instance:
        wait_for(lambda: len(table_ids(own_settings)) > ROWS * DAYS, "the stream in the warehouse", PATIENCE)
        backfill = command(variables, "backfill", "--since", FIRST.isoformat())
        kill(wait_for(lambda: backfill_workers(instance), "a run of the backfill", PATIENCE))
        victims = stage_process(instance)
        assert victims
        kill(victims)
        said = finished(backfill)
        assert backfill.returncode == 0, said
        assert f"{DAYS} of {DAYS} days done" in said, "the days of the killed run were launched again"
    wanted = source_ids(source)
    wait_for(lambda: len(table_ids(own_settings)) >= len(wanted), "the stream to catch up", PATIENCE)
    assert ids_by_day(own_settings) == source_ids_by_day(source)
    assert len(ids_by_day(own_settings)) == DAYS


@pytest.fixture
def backfill(variables: Mapping[str, str], capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[str, object]]:
    """Run the command in this process, for a tenth of the time of one of its own: what it says, and its exit code."""

    def run(*arguments: str) -> tuple[str, object]:
        with pytest.raises(SystemExit) as end:
            main(["backfill", *arguments])
        return " ".join("".join(capsys.readouterr()).split()), end.value.code

    return run


def test_a_dry_run_only_says_which_days(backfill: Callable[..., tuple[str, object]]) -> None:
    before = datetime.now(UTC).date()
    said, _ = backfill("--since", f"{FIRST}T00:00:00", "--dry-run")
    todays = {before, datetime.now(UTC).date()}  # two, where midnight came meanwhile
    assert said in {f"{(today - FIRST).days + 1} days, {FIRST} to {today}." for today in todays}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--since", "2020-01-01"], "ENGAGEMENT_FIRST_DAY"),
        (["--since", "yesterday"], "not a time"),
        (["--since", str(TODAY), "--until", str(TODAY)], "after --since"),
        (["--since", str(TODAY), "--until", str(TODAY + timedelta(days=3))], "after today"),
        (["--resume", "nothing"], "no backfill nothing"),
        (["--cancel", "nothing", "--dry-run"], "goes with --since"),
        ([], "Give one of"),
    ],
)
def test_what_cannot_be_done_is_said(
    backfill: Callable[..., tuple[str, object]], arguments: list[str], said: str
) -> None:
    out, code = backfill(*arguments)
    assert said in out
    assert code != 0


def test_without_a_daemon_nobody_would_take_a_backfill_up(backfill: Callable[..., tuple[str, object]]) -> None:
    with dg.DagsterInstance.get() as instance:
        instance.wipe_daemon_heartbeats()
    assert "daemon does not run" in backfill("--since", str(TODAY))[0]
