"""Loops in processes of their own, which tests signal and kill."""

import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.local.stack import Endpoints
from engagement_platform.settings import Settings
from engagement_platform_tests.conftest import make_settings

LOOPS = ("relay", "tally")


@pytest.fixture
def platform(stack: Endpoints, platform_db: str) -> Settings:
    """A migrated platform database; the source is not used."""
    settings = make_settings(stack, "postgresql://nobody@127.0.0.1:1/unused", platform_db)
    ensure_schema(settings)
    return settings


@dataclass
class Process:
    """A loop in a process, and the lines that it printed so far."""

    process: subprocess.Popen[str]
    lines: "queue.Queue[str]"
    seen: list[str] = field(default_factory=list)

    def sees(self, beginning: str, seconds: float = 20) -> str:
        """Wait for a line."""
        until = time.monotonic() + seconds
        while True:
            try:
                line = self.lines.get(timeout=max(until - time.monotonic(), 0))
            except queue.Empty:
                raise AssertionError(f"no line {beginning!r} within {seconds} s, but {self.seen}") from None
            self.seen.append(line)
            if line.startswith(beginning):
                return line


Start = Callable[..., Process]


@pytest.fixture
def start(platform: Settings) -> Iterator[Start]:
    """Start the loop of a run in a process: start("a", "relay", seconds=60)."""
    started: list[Process] = []

    def begin(run_id: str, loop: str = "relay", *, loops: Sequence[str] = ("relay",), seconds: float = 60) -> Process:
        environment = os.environ | {
            "ENGAGEMENT_SOURCE_DSN": "postgresql://unused/unused",
            "ENGAGEMENT_PLATFORM_DSN": platform.platform.dsn.get_secret_value(),
            "ENGAGEMENT_LEASE_GRACE_SECONDS": "2",
        }
        command = [sys.executable, "-m", f"{__package__}.process", run_id, loop, ",".join(loops), str(seconds)]
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=_copy, args=(process, lines), daemon=True).start()
        started.append(Process(process, lines))
        return started[-1]

    yield begin
    for each in started:
        each.process.kill()
        each.process.wait()


def _copy(process: subprocess.Popen[str], lines: "queue.Queue[str]") -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line.strip())
