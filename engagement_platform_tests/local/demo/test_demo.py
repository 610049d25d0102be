"""The whole demo, as a person starts it."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engagement_platform.local import stack, state
from engagement_platform_tests import daemons
from engagement_platform_tests.conftest import reachable_folder
from engagement_platform_tests.streaming import wait_for

ROOT = Path(__file__).parents[3]
DEMO = [sys.executable, "-c", "from engagement_platform.cli import main; main()", "demo"]

BEGUN: list[subprocess.Popen[str]] = []

pytestmark = [pytest.mark.slow, pytest.mark.servers, pytest.mark.timeout(700)]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Not one of pytest's: another pytest of the same user makes those private again, while PostgreSQL works there."""
    made = reachable_folder()
    yield made / "state"
    for demo in BEGUN:
        if demo.poll() is None:  # a test has failed; what the demo runs would outlive its servers
            demo.terminate()
            demo.communicate(timeout=60)
    stack.reset(made / "state")
    shutil.rmtree(made)


def begin(folder: Path, *options: str) -> subprocess.Popen[str]:
    demo = subprocess.Popen(
        [*DEMO, "--state-dir", str(folder), *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={name: value for name, value in os.environ.items() if not name.startswith(("ENGAGEMENT_", "DAGSTER_"))},
    )
    BEGUN.append(demo)
    return demo


def read_until(demo: subprocess.Popen[str], text: str) -> None:
    """Read what the demo says up to a line with this text; fail when it ends before."""
    assert demo.stdout is not None
    said = []
    for line in demo.stdout:
        if text in line:
            return
        said.append(line)
    raise AssertionError("".join(said))


def is_down(folder: Path) -> bool:
    running = [server.name for server in stack.servers(state.load(folder)) if server.daemon.is_running]
    return not running and not any((folder / "run" / f"{name}.json").exists() for name in ("dagster", "page"))


@pytest.mark.newcomer
def test_a_timed_run_proves_that_nothing_was_lost_by_a_kill_of_everything(folder: Path, tmp_path: Path) -> None:
    demo = begin(folder, "--rate", "100")
    read_until(demo, "hand-overs")
    second = begin(folder)
    said, _ = second.communicate(timeout=60)
    assert second.returncode == 1
    assert "busy with demo" in said
    demo.kill()
    demo.communicate()
    for name in ("postgres", "kafka", "valkey"):
        if process := daemons.server(folder, name).daemon.process():
            os.killpg(process.pid, signal.SIGKILL)
    report = tmp_path / "report.json"
    timed = begin(folder, "--for", "10", "--rate", "100", "--report", str(report))
    said, _ = timed.communicate(timeout=400)
    assert timed.returncode == 0, said
    assert is_down(folder)
    figures = json.loads(report.read_text())
    assert figures["committed"] == figures["in_kafka"] == figures["in_redis"] > 800
    assert figures["lost"] == figures["doubled"] == figures["late"] == figures["hand_overs"] == 0


def kafka_starts(folder: Path, _: subprocess.Popen[str]) -> None:
    wait_for(lambda: daemons.server(folder, "kafka").daemon.is_running, "Kafka to start", 120)


def dagster_starts(_: Path, demo: subprocess.Popen[str]) -> None:
    read_until(demo, "The page that says whether all is well: http://127.0.0.1:")
    read_until(demo, "Dagster starts")


@pytest.mark.parametrize(("number", "until"), [(signal.SIGTERM, kafka_starts), (signal.SIGINT, dagster_starts)])
def test_a_signal_stops_everything_and_says_how_to_go_on(
    folder: Path, number: int, until: Callable[[Path, subprocess.Popen[str]], None]
) -> None:
    """Each signal does the same at any time: see `test_stopping.py`."""
    demo = begin(folder)
    until(folder, demo)
    demo.send_signal(number)
    said, _ = demo.communicate(timeout=60)
    assert demo.returncode == 0, said
    assert "make demo" in said
    assert is_down(folder)
