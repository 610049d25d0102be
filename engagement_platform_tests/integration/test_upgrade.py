"""The version before a stream became one value streams, is stopped, and this one goes on over the same state."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from engagement_platform.adapters.redis.views import Views
from engagement_platform.local.stack import Endpoints
from engagement_platform.settings import Settings
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.integration.dagster_dev import environment
from engagement_platform_tests.integration.writing import beside
from engagement_platform_tests.streaming import insert, read_all, wait_for
from engagement_platform_tests.warehouse import table_ids

ROOT = Path(__file__).parents[2]
BEFORE = "a1b3776"
"""The last commit that knew one table only."""
CONTENTS = 20
PATIENCE = 90.0

NAMES = """
import json, sys
import engagement_platform
from engagement_platform.definitions import definitions
repository = definitions.get_repository_def()
json.dump({
    "file": engagement_platform.__file__,
    "assets": sorted(key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()),
    "versions": {
        key.to_user_string(): repository.asset_graph.get(key).code_version
        for key in repository.asset_graph.get_all_asset_keys()
    },
    "jobs": sorted(job.name for job in repository.get_all_jobs()),
    "sensors": sorted(sensor.name for sensor in repository.sensor_defs),
    "schedules": sorted(schedule.name for schedule in repository.schedule_defs),
}, sys.stdout)
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@dataclass(frozen=True)
class Version:
    """A version's code, and the home of its Dagster."""

    code: Path
    home: Path
    variables: Mapping[str, str]

    @property
    def environment(self) -> dict[str, str]:
        return {**self.variables, "PYTHONPATH": str(self.code), "DAGSTER_HOME": str(self.home)}

    def names(self) -> dict[str, Any]:
        """Return what Dagster knows it by."""
        done = subprocess.run(
            [sys.executable, "-c", NAMES], env=self.environment, cwd=self.home, capture_output=True, check=True
        )
        made: dict[str, Any] = json.loads(done.stdout)
        return made

    @contextmanager
    def streaming(self) -> Iterator[None]:
        """Run the job of the stream while the block runs, then interrupt it as a person would."""
        job = ["job", "execute", "-m", "engagement_platform.definitions", "-j", "engagement_stream"]
        with (self.home / "log").open("ab") as log:
            run = subprocess.Popen(
                [sys.executable, "-m", "dagster", *job, "-c", self.home / "run.yaml"],
                env=self.environment,
                cwd=self.home,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield
            run.send_signal(signal.SIGINT)
            run.wait(60)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{(self.home / 'log').read_text()[-5_000:]}") from None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(run.pid, signal.SIGKILL)
            run.wait()


RENAMED = {
    "kafka/engagement_events": "kafka/engagement_events_topic",
    "postgres/engagement_events": "postgres/engagement_events_source",
    "postgres/content": "postgres/content_source",
}
"""Assets that are not materialized by Dagster, and had the last name of another one."""


def version(folder: Path, code: Path, variables: Mapping[str, str]) -> Version:
    folder.mkdir()
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    (folder / "run.yaml").write_text("lease_seconds: 600\n")
    return Version(code, folder, variables)


@pytest.fixture
def platform_db(empty_platform_db: str) -> str:
    """The version before makes it: it would not know the newest schema."""
    return empty_platform_db


@pytest.fixture
def before(tmp_path: Path) -> Path:
    """The code of the version before."""
    archive = subprocess.run(
        ["git", "archive", BEFORE, "engagement_platform", "dagster.yaml"], cwd=ROOT, capture_output=True, check=False
    )
    if archive.returncode:
        pytest.skip(f"the history has no commit {BEFORE}: {archive.stderr.decode().strip()}")
    folder = tmp_path / "before"
    folder.mkdir()
    subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
    return folder


def write_on(source: SourceDatabase, stop: threading.Event) -> None:
    """Commits some 100 events a second, of twenty contents, until it is stopped; one transaction is late each time."""
    with psycopg.connect(source.writer_dsn) as quick, psycopg.connect(source.writer_dsn) as late:
        contents = [row[0] for row in quick.execute("SELECT id FROM content")]
        turn = 0
        while not stop.wait(0.1):
            turn += 1
            insert(late, 1, contents[turn % CONTENTS])
            insert(quick, 9, contents[turn % CONTENTS])
            quick.commit()
            if turn % 20 == 0:
                late.commit()
        late.commit()


def rows(source: SourceDatabase, statement: str) -> list[Any]:
    with psycopg.connect(source.dsn, options="-c timezone=UTC") as connection:
        return connection.execute(statement.encode()).fetchall()


def counted(settings: Settings) -> tuple[int, str]:
    """Return how many events the views hold, and the generation of them."""
    views = Views.connect(settings)
    try:
        return views.totals().count, views.snapshot().meta["generation"]
    finally:
        views.close()


def test_what_was_before_goes_on(
    stack: Endpoints, settings: Settings, source_db: SourceDatabase, before: Path, tmp_path: Path
) -> None:
    variables = environment(stack, tmp_path, settings) | {"ENGAGEMENT_STAGE_SECONDS": "1"}
    old = version(tmp_path / "old", before, variables)
    new = version(tmp_path / "new", ROOT, variables)
    with psycopg.connect(source_db.writer_dsn) as owner:
        for number in range(CONTENTS):
            owner.execute(
                "INSERT INTO content (id, slug, title, content_type, length_seconds, publish_ts)"
                " VALUES (gen_random_uuid(), %s, %s, 'podcast', 300, now())",
                (f"slug-{number}", f'Title "{number}", ü'),
            )
    with ExitStack() as until_stopped:
        until_stopped.enter_context(beside(partial(write_on, source_db)))
        with old.streaming():
            wait_for(lambda: counted_or_none(settings) > 100, "the version before in Redis", PATIENCE)
            wait_for(lambda: len(table_ids(settings)) > 100, "the version before in the warehouse", PATIENCE)
        _, generation = counted(settings)
        upto = max(row[0] for row in rows(source_db, "SELECT id FROM engagement_events"))
        with new.streaming():
            wait_for(lambda: max(table_ids(settings)) > upto + 100, "this version in the warehouse", PATIENCE)
            until_stopped.close()
            ids = sorted(row[0] for row in rows(source_db, "SELECT id FROM engagement_events"))
            wait_for(lambda: counted(settings)[0] >= len(ids), "all events in Redis", PATIENCE)
            wait_for(lambda: len(table_ids(settings)) >= len(ids), "all events in the warehouse", PATIENCE)
    assert counted(settings) == (len(ids), generation), "the views were built once"
    assert table_ids(settings) == ids
    records = read_all(settings, settings.topics.events)
    assert sorted(json.loads(record.value)["id"] for record in records) == ids
    text = (before / "engagement_platform" / "adapters" / "source" / "enriched.sql").read_text()
    enriched = text.split("-- name: enriched\n")[1].split("-- name:")[0]
    expected = rows(source_db, f"SELECT row_to_json(event)::text FROM ({enriched}) AS event")
    assert {record.value.decode() for record in records} == {row[0] for row in expected}, "byte for byte"
    assert {header for record in records for header in record.headers if header[0] == "schema-version"} == {
        ("schema-version", b"1")
    }
    was, now = old.names(), new.names()
    assert was["file"].startswith(str(before)), "the version before is another code"
    versions = {RENAMED.get(asset, asset): version for asset, version in was["versions"].items()}
    assert versions.items() <= now["versions"].items(), "else days would be shown as made by another formula"
    assert {RENAMED.get(asset, asset) for asset in was["assets"]} <= set(now["assets"])
    for kind in ("jobs", "sensors", "schedules"):
        assert set(was[kind]) <= set(now[kind])


def counted_or_none(settings: Settings) -> int:
    try:
        return counted(settings)[0]
    except KeyError:
        return 0
