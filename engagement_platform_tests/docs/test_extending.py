"""The examples of docs/extending.md, done as they stand there."""

import re
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path
from types import ModuleType

import psycopg
import pytest

from engagement_platform.settings import Settings
from engagement_platform.stream.relay import loop as relay
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.streaming import drain
from engagement_platform_tests.warehouse import DAY, write

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "extending.md").read_text()
_ASK = """
from datetime import date
from engagement_platform.adapters.warehouse.connect import open_warehouse
from engagement_platform.domain.marts import DAILY_DEVICE
from engagement_platform.history.marts import refresh_day
from engagement_platform.history.rebuild import rebuild_days
from engagement_platform.settings import load
import engagement_platform

day, settings = date.fromisoformat("{day}"), load()
rebuild_days(settings, [day], "example")
refresh_day(settings, DAILY_DEVICE, day)
print(engagement_platform.__file__)
print(open_warehouse(settings).query("SELECT device, pauses FROM daily_device_engagement ORDER BY device").to_pylist())
"""


def blocks(language: str) -> list[str]:
    return [textwrap.dedent(found) for found in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)]


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
    (sql,), (column,) = blocks("sql"), blocks("diff")
    insert_before(package / "history" / "marts" / "daily_device_engagement.sql", "COUNT(DISTINCT user_id)", sql)
    insert_before(package / "domain" / "marts.py", "_USERS,", column.removeprefix("+"))
    done = subprocess.run(
        [sys.executable, "-c", _ASK.format(day=DAY)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    where, found = done.stdout.splitlines()[-2:]
    assert Path(where).is_relative_to(tmp_path)
    assert found == "[{'device': 'ios', 'pauses': 3}, {'device': 'web', 'pauses': 0}]"


@pytest.fixture
def sink() -> ModuleType:
    module = ModuleType("finished")
    exec(compile(blocks("python")[0], "docs/extending.md", "exec"), module.__dict__)
    return module


@pytest.mark.servers
def test_a_sink(settings: Settings, source_db: SourceDatabase, sink: ModuleType) -> None:
    with psycopg.connect(source_db.writer_dsn) as connection:
        wanted = write(connection, 5, event_type="finish")
        write(connection, 5, event_type="play")
    drain(relay.run, settings)
    assert drain(sink.run, settings).progress.events == 10
    with psycopg.connect(source_db.writer_dsn) as connection:
        wanted += write(connection, 2, event_type="finish")
    drain(relay.run, settings)
    assert drain(sink.run, settings).progress.events == 2, "it goes on where it was"
    with sqlite3.connect(settings.state_dir / "finished.db") as database:
        assert [row[0] for row in database.execute("SELECT id FROM finished ORDER BY id")] == wanted
