"""The linter's contracts fail where they are to: a copy of the package breaks one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package and of its contracts."""
    shutil.copytree(
        ROOT / "engagement_platform", tmp_path / "engagement_platform", ignore=shutil.ignore_patterns("*.pyc")
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_client_outside_of_the_adapters_breaks_a_contract(copy: Path) -> None:
    added = {"console": "import psycopg", "stream": "from redis import Redis", "history": "import requests"}
    for room, line in added.items():
        (copy / "engagement_platform" / room / "added.py").write_text(f"{line}\n")
    done = lint(copy)
    assert done.returncode == 1
    assert "Only adapters know a client BROKEN" in done.stdout
    for importer in ("console.added -> psycopg", "stream.added -> redis", "history.added -> requests"):
        assert f"engagement_platform.{importer}" in done.stdout


def test_an_exception_that_nothing_needs_any_more_is_told(copy: Path) -> None:
    file = copy / "engagement_platform" / "local" / "valkey.py"
    file.write_text(file.read_text().replace("import redis\n", ""))
    done = lint(copy)
    assert done.returncode == 1
    assert "engagement_platform.local.valkey -> redis" in done.stdout


def test_the_packaged_streams_table_is_named_by_its_folder_and_by_who_writes_it_alone() -> None:
    package = ROOT / "engagement_platform"
    texts = (file for file in package.rglob("*") if file.suffix in {".py", ".sql", ".lua", ".toml"})
    naming = {file.relative_to(package) for file in texts if "engagement_events" in file.read_text()}
    rooms = {Path("streams/engagement"), Path("local/generator")}
    assert {file for file in naming if rooms.isdisjoint(file.parents)} == set()
