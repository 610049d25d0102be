"""The examples of docs/extending.md, done as they stand there."""

import re
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import psycopg
import pytest

from engagement_platform.settings import Settings
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.warehouse import DAY, write

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "extending.md").read_text()
_ASK = """
from datetime import date
from engagement_platform.adapters.warehouse.connect import open_warehouse
from engagement_platform.history.marts import refresh_day
from engagement_platform.history.rebuild import rebuild_days
from engagement_platform.adapters.streams import stream_of
from engagement_platform.settings import load
import engagement_platform

day, settings = date.fromisoformat("{day}"), load()
rebuild_days(settings, [day], "example")
refresh_day(settings, stream_of(settings).marts["daily_device_engagement"], day)
print(engagement_platform.__file__)
print(open_warehouse(settings).query("SELECT device, pauses FROM daily_device_engagement ORDER BY device").to_pylist())
"""


def blocks(language: str) -> list[str]:
    """Return the page's blocks of code, those of a list without its indentation."""
    return [textwrap.dedent(code) for code in re.findall(rf"```{language}\n(.*?)(?<=\n) *```", PAGE, re.DOTALL)]


def insert_before(file: Path, mark: str, text: str) -> None:
    """Put lines before the first line behind the table's name that has the mark."""
    content = file.read_text()
    at = content.rindex("\n", 0, content.index(mark, content.index("daily_device_engagement"))) + 1
    file.write_text(content[:at] + text + content[at:])


@pytest.mark.servers
@pytest.mark.usefixtures("in_environment")
def test_a_column(settings: Settings, source_db: SourceDatabase, tmp_path: Path) -> None:
    with psycopg.connect(source_db.writer_dsn) as connection:
        write(connection, 3, event_type="pause")
        write(connection, 2, event_type="play", device="web")
    package = tmp_path / "engagement_platform"
    shutil.copytree(ROOT / "engagement_platform", package, ignore=shutil.ignore_patterns("__pycache__"))
    (sql,), (column,) = blocks("sql"), blocks("toml")
    folder = package / "streams" / "engagement"
    insert_before(folder / "marts" / "daily_device_engagement.sql", "COUNT(DISTINCT user_id)", sql)
    insert_before(folder / "stream.toml", "unique_users", column)
    done = subprocess.run(
        [sys.executable, "-c", _ASK.format(day=DAY)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    where, found = done.stdout.splitlines()[-2:]
    assert Path(where).is_relative_to(tmp_path)
    assert found == "[{'device': 'ios', 'pauses': 3}, {'device': 'web', 'pauses': 0}]"


_RUN = """
import sys
import dagster as dg
from click.testing import CliRunner
from engagement_platform.cli import group
from engagement_platform.definitions import definitions
from engagement_platform.settings import load
from engagement_platform.stream.registry import loop_named
import engagement_platform

def drain(instance):
    job = definitions.resolve_job_def("engagement_stream")
    assert job.execute_in_process(run_config={"lease_seconds": 0}, instance=instance).success

def told(instance):
    event = instance.get_latest_materialization_event(dg.AssetKey(["sqlite", "finished"]))
    return {name: value.value for name, value in event.asset_materialization.metadata.items()}

def use(*arguments, code=0):
    done = CliRunner().invoke(group, arguments, env={"COLUMNS": "200"})
    assert done.exit_code == code, done.output
    return done.output

def tell(*words):
    print("told:", *words, flush=True)

dg.Definitions.validate_loadable(definitions)
tell(engagement_platform.__file__)
with dg.DagsterInstance.ephemeral() as instance:
    drain(instance)
    tell(told(instance)["events"], loop_named("finished").imported().backlog(load()))
    tell(use("pause", "finished", "--why", "the disk is full").strip())
    sys.stdin.readline()  # more events are written
    drain(instance)
    tell(loop_named("finished").imported().backlog(load()) >= 2, "the disk is full" in use("status", code=1))
    tell(use("resume", "finished").strip())
    drain(instance)
    tell(told(instance)["events"], loop_named("finished").imported().backlog(load()))
"""


def add_sink(package: Path) -> None:
    """Do what the page says: one file, one entry in the registry, one asset."""
    module, entry, asset = (block for block in blocks("python") if not block.startswith("run("))
    (package / "stream" / "finished.py").write_text(module)
    registry, assets = package / "stream" / "registry.py", package / "orchestration" / "assets.py"
    registry.write_text(registry.read_text().replace("\n)\n\nNAMES", f"\n{entry.rstrip()},\n)\n\nNAMES"))
    last = '_streamed(stream, "forward", "api", [topic.key]),\n'
    assert last in assets.read_text()
    assets.write_text(assets.read_text().replace(last, f"{last}        {asset.rstrip()},\n"))


@pytest.mark.servers
@pytest.mark.usefixtures("in_environment")
def test_a_sink(settings: Settings, source_db: SourceDatabase, tmp_path: Path) -> None:
    package = tmp_path / "engagement_platform"
    shutil.copytree(ROOT / "engagement_platform", package, ignore=shutil.ignore_patterns("__pycache__"))
    add_sink(package)
    with psycopg.connect(source_db.writer_dsn) as connection:
        finished = write(connection, 5, event_type="finish")
        write(connection, 5, event_type="play")
    with subprocess.Popen(
        [sys.executable, "-c", _RUN], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        told = (line.removeprefix("told: ").strip() for line in process.stdout if line.startswith("told: "))
        assert Path(next(told)).is_relative_to(tmp_path)
        assert next(told) == "10 0"
        assert next(told) == "finished is paused. The file stands still; events wait in Kafka."
        with psycopg.connect(source_db.writer_dsn) as connection:
            finished += write(connection, 2, event_type="finish")
        process.stdin.write("\n")
        process.stdin.flush()
        assert next(told) == "True True", "what was written while it was paused waits for it"
        assert next(told) == "finished goes on from where it stood."
        assert next(told) == "2 0", "it goes on where it was"
    assert process.returncode == 0
    with sqlite3.connect(settings.state_dir / "engagement-finished.db") as database:
        assert [row[0] for row in database.execute("SELECT id FROM finished ORDER BY id")] == finished
