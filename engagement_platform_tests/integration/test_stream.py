"""The whole stream under `dagster dev`, as an operator runs it: events in, views out, kills in between."""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from engagement_platform.adapters.redis.views import Views
from engagement_platform.local import stack as local_stack
from engagement_platform.local.demo.programs import Dagster
from engagement_platform.local.stack import Endpoints
from engagement_platform.settings import Settings
from engagement_platform_tests.conftest import SourceDatabase, make_settings, make_source
from engagement_platform_tests.streaming import insert, read_all, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
PATIENCE = 300.0


@pytest.fixture
def source(own_stack: Endpoints) -> SourceDatabase:
    return make_source(own_stack)[1]


@pytest.fixture
def own_settings(own_stack: Endpoints, source: SourceDatabase) -> Settings:
    return make_settings(own_stack, source.dsn, own_stack.platform_dsn, lease_seconds=600)


@pytest.fixture
def dagster(
    own_stack: Endpoints, own_stack_folder: Path, own_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Dagster]:
    monkeypatch.chdir(ROOT)
    own = {
        "ENGAGEMENT_SOURCE_DSN": own_settings.source_dsn.get_secret_value(),
        "ENGAGEMENT_TOPIC": own_settings.topic,
        "ENGAGEMENT_CHECKPOINT_TOPIC": own_settings.checkpoint_topic,
        "ENGAGEMENT_DEAD_LETTER_TOPIC": own_settings.dead_letter_topic,
        "ENGAGEMENT_REDIS_NAMESPACE": own_settings.redis_namespace,
    }
    program = Dagster(own_stack_folder)
    program.start(os.environ | local_stack.environment(own_stack, own_stack_folder) | own)
    try:
        yield program
    finally:
        program.stop()


def counted(settings: Settings) -> int:
    views = Views.connect(settings)
    try:
        return views.totals().count
    finally:
        views.close()


def run_processes(dagster: Dagster) -> list[psutil.Process]:
    """The worker of the streaming run with its ops: all that Dagster starts through multiprocessing."""
    leader = dagster.daemon.process()
    assert leader is not None
    return [child for child in leader.children(recursive=True) if "multiprocessing" in " ".join(child.cmdline())]


def write(source: SourceDatabase, n: int) -> None:
    with psycopg.connect(source.writer_dsn) as connection:
        insert(connection, n)


def committed(source: SourceDatabase) -> list[int]:
    with psycopg.connect(source.writer_dsn) as connection:
        return [row[0] for row in connection.execute("SELECT id FROM engagement_events ORDER BY id")]


def test_events_reach_redis_and_a_killed_run_loses_and_doubles_nothing(
    dagster: Dagster, own_settings: Settings, source: SourceDatabase
) -> None:
    write(source, 20)
    wait_for(lambda: counted(own_settings) == 20, "the first events in Redis", PATIENCE)
    with psycopg.connect(source.writer_dsn) as late:
        insert(late, 3)
        write(source, 20)
        wait_for(lambda: counted(own_settings) == 40, "events beside an open transaction")
        victims = run_processes(dagster)
        assert len(victims) > 2
        for process in victims:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        write(source, 20)
        late.commit()
    write(source, 5)
    wait_for(lambda: counted(own_settings) >= 68, "events after the kill", PATIENCE)
    published = sorted(json.loads(record.value)["id"] for record in read_all(own_settings, own_settings.topic))
    assert published == committed(source)
    assert counted(own_settings) == 68
