"""What README.md tells a newcomer, done as it stands there: nothing at first, an event of one's own at the end.

And the demo from the wheel. Both install everything anew.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from engagement_platform_tests.conftest import reachable_folder
from engagement_platform_tests.streaming import wait_for

ROOT = Path(__file__).parents[2]
MINUTES = 10
STARTED = "commit to Redis"

pytestmark = [pytest.mark.newcomer, pytest.mark.slow, pytest.mark.timeout(900)]


def block(heading: str) -> str:
    """Return the first block of commands below a heading of README.md."""
    section = (ROOT / "README.md").read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    (found, *_) = re.findall(r"(?:^ {4}.*\n)+", section, re.MULTILINE)
    return textwrap.dedent(found)


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder, which servers that run as another user can reach."""
    made = reachable_folder()
    yield made
    shutil.rmtree(made)


@pytest.fixture
def clone(folder: Path) -> Path:
    """What `git clone` gives."""
    subprocess.run(["git", "clone", "--quiet", ROOT, folder / "clone"], check=True)
    return folder / "clone"


@pytest.fixture
def environment(folder: Path) -> dict[str, str]:
    """An environment with nothing of ours, and a home folder without anything in it."""
    home = folder / "home"
    home.mkdir()
    ours = ("ENGAGEMENT_", "DAGSTER_", "VIRTUAL_ENV", "PYTHON", "PYTEST", "MAKE", "ARGS")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | {"HOME": str(home)}


@contextmanager
def running(command: list[str], folder: Path, environment: dict[str, str]) -> Iterator[Path]:
    """Run a command while the block runs, and end it with Ctrl-C; yield the file with what it says."""
    said = folder.parent / "said.log"
    with said.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out, process_group=0
        )
    try:
        wait_for(lambda: process.poll() is not None or STARTED in said.read_text(), "events in Redis", 60 * MINUTES)
        assert process.poll() is None, said.read_text()[-3_000:]
        yield said
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        process.wait(90)
        subprocess.run([".venv/bin/engagement-platform", "reset", "--yes"], cwd=folder, env=environment, check=False)


def test_from_nothing_to_an_event_of_ones_own(clone: Path, environment: dict[str, str]) -> None:
    began = time.monotonic()

    def shell(script: str) -> str:
        done = subprocess.run(
            ["sh", "-euc", script], cwd=clone, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    demo = block("Try it").splitlines()[0].split("#")[0].split()
    assert demo == ["make", "demo"]
    own = block("Your own event")
    to_environment, *_, ask_warehouse = own.splitlines()
    with running(demo, clone, environment) as said:
        assert "90000.0 milliseconds in Redis" in shell(own)
        wait_for(lambda: "90000" in shell(f"{to_environment}\n{ask_warehouse}"), "the event in the warehouse")
        assert time.monotonic() - began < 60 * MINUTES
    assert "Everything is stopped" in said.read_text()


def test_the_demo_from_the_wheel_in_an_environment_of_its_own(folder: Path, environment: dict[str, str]) -> None:
    def run(*command: str | Path) -> str:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", "dist", ROOT)
    (wheel,) = (folder / "dist").iterdir()
    run(sys.executable, "-m", "venv", "own")
    own = folder / "own" / "bin"
    lock = (ROOT / "requirements.lock", "--project", ROOT / "pyproject.toml", "--extra", "local")
    (folder / "own.lock").write_text(run(sys.executable, ROOT / "docker" / "locked.py", *lock))
    run("sh", ROOT / "docker" / "install-locked.sh", "own.lock", own / "pip")
    run(own / "pip", "--quiet", "install", "--no-deps", "--no-index", wheel)
    run(own / "pip", "check")
    try:
        run(own / "engagement-platform", "demo", "--for", "30", "--rate", "200", "--report", "report.json")
    finally:
        run(own / "engagement-platform", "reset", "--yes")
    figures = json.loads((folder / "report.json").read_text())
    assert figures["committed"] == figures["in_kafka"] == figures["in_redis"] == figures["measured"] >= 5_000
    assert figures["lost"] == figures["doubled"] == figures["late"] == figures["hand_overs"] == 0
