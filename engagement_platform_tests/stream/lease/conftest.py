"""Loops in processes of their own, which tests signal and kill."""

import multiprocessing
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess

import pytest

from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.local.stack import Endpoints
from engagement_platform.settings import Settings
from engagement_platform_tests.conftest import make_settings
from engagement_platform_tests.stream.lease import process as program

LOOPS = ("relay", "tally")

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["__main__", program.__name__])
"""As the ops of a run: what they import is imported once. A process from the start takes a second of a processor."""


@pytest.fixture
def platform(stack: Endpoints, platform_db: str) -> Settings:
    """A migrated platform database; the source is not used."""
    settings = make_settings(stack, "postgresql://nobody@127.0.0.1:1/unused", platform_db)
    ensure_schema(settings)
    return settings


@dataclass
class Process:
    """A loop in a process, and the lines that it printed so far."""

    process: ForkServerProcess
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

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def ended(self, seconds: float) -> int | None:
        """Wait for its end; return its exit code, None where it goes on."""
        self.process.join(seconds)
        return self.process.exitcode


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
        reads, writes = FORKS.Pipe(duplex=False)
        process = FORKS.Process(target=program.main, args=(writes, environment, run_id, loop, loops, seconds))
        process.start()
        writes.close()
        lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=_copy, args=(os.dup(reads.fileno()), lines), daemon=True).start()
        reads.close()
        started.append(Process(process, lines))
        return started[-1]

    yield begin
    for each in started:
        each.process.kill()
        each.process.join()


def _copy(reads: int, lines: "queue.Queue[str]") -> None:
    with open(reads) as output:
        for line in output:
            lines.put(line.strip())
