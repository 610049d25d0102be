"""The programs that a bench starts: each has a log, and ends with the block that it is for."""

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from engagement_platform.domain.errors import EngagementError
from engagement_platform.local.generator import notes
from engagement_platform.local.generator.plans import Workload
from engagement_platform_tests.bench.peers.results import Note

_END_SECONDS = 10
_LOG_LINES = 15


class Program:
    """A process of the bench's own."""

    def __init__(self, name: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.name = name
        self.pid = process.pid
        self._process = process
        self._log = log

    def require(self) -> bool:
        """Return True. Raises EngagementError with the end of its log when it has ended."""
        if self._process.poll() is not None:
            raise EngagementError(f"{self.name} has ended. Its log ends with:\n{self.log_tail()}", f"See {self._log}.")
        return True

    def log_tail(self) -> str:
        """Return the last lines of its log."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-_LOG_LINES:])

    def end(self) -> None:
        """Ask it to end, and kill what is left of it and of all that it started."""
        with suppress(psutil.NoSuchProcess):
            members = psutil.Process(self.pid).children(recursive=True)
            self._process.terminate()
            _, left = psutil.wait_procs([*members, psutil.Process(self.pid)], timeout=_END_SECONDS)
            for member in left:
                with suppress(psutil.NoSuchProcess):
                    member.kill()
        self._process.wait()


@contextmanager
def program(
    name: str, command: Sequence[str | Path], folder: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Program]:
    """Run a program while the block runs; its output goes to a log in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=None if environment is None else dict(environment),
        )
    running = Program(name, process, log)
    try:
        yield running
    finally:
        running.end()


class Generator:
    """The generator at work; what it has committed is in its notes."""

    def __init__(self, running: Program, file: Path) -> None:
        self.pid = running.pid
        self._running = running
        self._file = file

    def stop(self) -> list[Note]:
        """End it; return the notes of all that it has committed."""
        self._running.require()
        self._running.end()
        return [Note(*notes.decode(line)) for line in self._file.read_bytes().splitlines(keepends=True)]


@contextmanager
def generating(writer_dsn: str, workload: Workload, folder: Path) -> Iterator[Generator]:
    """Write events while the block runs."""
    file = folder / f"notes-{time.time_ns()}"
    options = f"--rate {workload.rate} --writers {workload.writers} --seed {workload.seed}"
    module = "engagement_platform.local.generator"
    command = [sys.executable, "-m", module, *options.split(), "--notes", str(file), "--dsn", writer_dsn]
    with program("generator", command, folder) as running:
        yield Generator(running, file)
