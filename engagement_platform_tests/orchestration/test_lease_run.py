"""A lease run in Dagster's own processes, with stand-ins for the loops."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engagement_platform.adapters.platform.connection import Session
from engagement_platform.adapters.platform.leases import Leases
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.domain.leases import alive
from engagement_platform.settings import Settings, load
from engagement_platform.stream.registry import NAMES
from engagement_platform_tests.orchestration import stand_ins
from engagement_platform_tests.streams import write_folder

pytestmark = pytest.mark.slow


@pytest.fixture
def stream(
    request: pytest.FixtureRequest, platform: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """The settings of the stream whose run it is: of the packaged one, unless the test names another."""
    name = getattr(request, "param", platform.stream)
    if name != platform.stream:
        monkeypatch.setenv("ENGAGEMENT_STREAMS", str(write_folder(tmp_path / name, name)))
    monkeypatch.setenv(stand_ins.STREAM, name)
    settings = load(name)
    ensure_schema(settings)
    return settings


@pytest.fixture
def lease_run(stream: Settings, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that executes the job. It leads its session, so that nothing outlives the test."""
    assert stream.stream
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    environment = os.environ | {"DAGSTER_HOME": str(tmp_path), stand_ins.NOTES: str(tmp_path)}
    program = f"from {stand_ins.__name__} import execute; execute()"
    with (tmp_path / "lines").open("w") as lines:
        command = [sys.executable, "-c", program]
        process = subprocess.Popen(command, env=environment, start_new_session=True, stderr=lines)
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def leases(stream: Settings) -> Iterator[Leases]:
    made = Leases(Session(stream, "test"))
    yield made
    made.close()


def pids(folder: Path, loop: str) -> list[int]:
    file = folder / loop
    return [int(line) for line in file.read_text().splitlines()] if file.exists() else []


def until(condition: Callable[[], bool], seconds: float) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"not within {seconds} s"
        time.sleep(0.05)
    return time.monotonic() - began


def test_a_lease_run(lease_run: subprocess.Popen[bytes], leases: Leases, tmp_path: Path) -> None:
    until(lambda: all(pids(tmp_path, loop) for loop in NAMES), 60)
    assert alive(leases.snapshot()), "the ops run side by side"
    assert leases.snapshot().epoch == 1
    niceness = {os.getpriority(os.PRIO_PROCESS, pids(tmp_path, loop)[0]) for loop in NAMES}
    assert len(niceness) == 1, "a heartbeat that is starved costs a healthy run its lease"

    os.kill(pids(tmp_path, "relay")[0], signal.SIGKILL)
    until(lambda: len(pids(tmp_path, "relay")) == 2, 10)
    assert leases.snapshot().epoch == 1, "a restarted op joins its run"
    assert len(pids(tmp_path, "tally")) == 1, "its sibling is left alone"

    leases.claim("successor", leases.register("successor", "relay"), 60, ["relay"])
    until(lambda: lease_run.poll() is not None, 30)
    assert lease_run.returncode == 0, "a superseded run ends successfully"

    printed = (tmp_path / "lines").read_text().splitlines()
    of_loops = [told for line in printed if line.startswith("{") and "loop" in (told := json.loads(line))]
    assert {(told["loop"], told["stream"]) for told in of_loops} == {(loop, "engagement") for loop in NAMES}
    assert len({told["run"] for told in of_loops}) == 1, "nobody reads them on a terminal, so they are JSON"


@pytest.mark.parametrize("stream", ["orders"], indirect=True)
def test_ending_a_run_gives_the_lease_of_its_stream_back(
    lease_run: subprocess.Popen[bytes], leases: Leases, platform: Settings, tmp_path: Path
) -> None:
    until(lambda: all(pids(tmp_path, loop) for loop in NAMES), 60)
    assert {(tmp_path / f"{loop} streams").read_text() for loop in NAMES} == {"orders"}
    with Leases.opened(platform, "test") as others:
        assert others.latest().lease is None
    lease_run.send_signal(signal.SIGINT)
    until(lambda: leases.latest().lease.released_at is not None, 10)  # type: ignore[union-attr]
    until(lambda: lease_run.poll() is not None, 30)
