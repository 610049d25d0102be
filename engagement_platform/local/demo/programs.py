"""The programs that the demo runs: dagster dev, the page, the generator and the measuring process."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import psutil

from engagement_platform.domain.errors import EngagementError
from engagement_platform.local import state
from engagement_platform.local.demo.visibility import Sighting, decode
from engagement_platform.local.generator.plans import Workload
from engagement_platform.local.process import Daemon, Identity

USUAL_DAGSTER_PORT = 3000
USUAL_PAGE_PORT = 3010
_MAX_STARTS = 3
"""Of a program with pages, each on another port, when other programs are faster."""
_STEPS: Sequence[tuple[int, float]] = ((signal.SIGINT, 15), (signal.SIGTERM, 5), (signal.SIGKILL, 5))
"""What a session is sent until it has ended, and how many seconds it is given each time."""

_AS_FRESH = (
    "import os, signal, sys\n"
    "for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP): signal.signal(number, signal.SIG_DFL)\n"
    "os.execv(sys.argv[1], sys.argv[1:])"
)
"""A shell's `nohup … &` lets programs ignore signals, and their children inherit that; dagster could not be ended."""


def as_fresh(*command: str) -> list[str]:
    """Return the command of a Python program so that signals act on it as usual, whoever started the demo."""
    return [sys.executable, "-c", _AS_FRESH, sys.executable, *command]


class Web:
    """A program with pages, with all its processes in a session of their own that survives nothing of the demo."""

    def __init__(self, name: str, daemon: Daemon, usual_port: int) -> None:
        self.name = name
        self.daemon = daemon
        self.url = ""
        self._usual_port = usual_port
        self._port = 0
        self._starts = 0
        self._environment: Mapping[str, str] = {}

    def start(self, environment: Mapping[str, str]) -> None:
        """Start. Returns at once."""
        self._environment = environment
        self._start_on(state.choose_port(None, self._usual_port))

    def command(self, port: int) -> Sequence[str]:
        """Return what Python is to run, with its pages on a port of loopback."""
        raise NotImplementedError

    def _start_on(self, port: int) -> None:
        self._port = port
        self._starts += 1
        self.url = f"http://127.0.0.1:{port}"
        self.daemon.spawn(as_fresh(*self.command(port)), environment=self._environment, folder=Path.cwd())

    def check(self) -> None:
        """Raise EngagementError when it has ended; start it on another port when its own was taken meanwhile."""
        if self.daemon.is_running:
            return
        if 0 < self._starts < _MAX_STARTS and not state.is_free(self._port):
            self.kill_leftovers()
            self._start_on(state.choose_port(None, None))
        else:
            raise EngagementError(
                f"{self.name} has ended. Its log ends with:\n{self.daemon.log_tail()}",
                f"The log: {self.daemon.log_file}",
            )

    def stop(self) -> None:
        """End it and everything it started: interrupt, then terminate, then kill. Bounded to about 30 seconds."""
        self._end(_STEPS)

    def kill_leftovers(self) -> None:
        """Kill what an earlier demo left behind when it was killed: there is nothing to wait for."""
        self._end(((signal.SIGKILL, 5),))

    def _end(self, steps: Sequence[tuple[int, float]]) -> None:
        session = self.daemon.noted()
        for number, patience in steps:
            if session is None or not _signal_session(session, number):
                break
            _wait_for_session(session, patience)
        self.daemon.process()  # reaps the leader, where it is our child
        self.daemon.pid_file.unlink(missing_ok=True)


class Dagster(Web):
    """`dagster dev`."""

    def __init__(self, folder: Path) -> None:
        folder = folder.absolute()
        daemon = Daemon("dagster dev", folder / "run" / "dagster.json", folder / "logs" / "dagster.log")
        super().__init__("dagster dev", daemon, USUAL_DAGSTER_PORT)

    def command(self, port: int) -> Sequence[str]:
        """Return what Python is to run."""
        where = (
            ("-w", "workspace.yaml") if Path("workspace.yaml").exists() else ("-m", "engagement_platform.definitions")
        )
        return ("-m", "dagster", "dev", "-h", "127.0.0.1", "-p", str(port), *where)


_GENTLY = "import os; os.nice(10); from engagement_platform.cli import main; main()"
"""It starts while everything else does, and is not to cost the first event a second, nor any other one its latency."""


class Page(Web):
    """`engagement-platform serve`, which gives way to the stream."""

    def __init__(self, folder: Path) -> None:
        folder = folder.absolute()
        daemon = Daemon("the page", folder / "run" / "page.json", folder / "logs" / "page.log")
        super().__init__("engagement-platform serve", daemon, USUAL_PAGE_PORT)
        self.dagster_url = ""
        """Where its links to Dagster lead."""

    def command(self, port: int) -> Sequence[str]:
        """Return what Python is to run."""
        return ("-c", _GENTLY, "serve", "--port", str(port), "--dagster", self.dagster_url)


def _members(session: Identity) -> list[psutil.Process]:
    """Return the living processes of a session, also when its leader has been killed.

    None of them can be older than the leader was: else the number belongs to somebody else by now.
    """
    members = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if os.getsid(process.pid) == session.pid and process.status() != psutil.STATUS_ZOMBIE:
                if not session.is_older_than(process):
                    return []
                members.append(process)
    leader = next((member for member in members if member.pid == session.pid), None)
    is_foreign = leader is not None and not session.is_of(leader) and leader.is_running()
    return [] if is_foreign else members


def _signal_session(session: Identity, number: int) -> bool:
    members = _members(session)
    for member in members:
        with suppress(psutil.Error):
            member.send_signal(number)
    return bool(members)


def _wait_for_session(session: Identity, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while _members(session) and time.monotonic() < deadline:
        time.sleep(0.1)


class Measuring:
    """The measuring process, and behind it the generator whose notes it reads."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._logs = folder.absolute() / "logs"
        self._environment = environment
        self._notes: int | None = None
        self._reader: subprocess.Popen[bytes] | None = None
        self._generator: subprocess.Popen[bytes] | None = None
        self._told = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self.seen = Sighting()
        """What was told last."""

    def start_reader(self, seconds: float = 60) -> None:
        """Start the measuring process; return when it watches. Raises EngagementError."""
        read_end, self._notes = os.pipe()
        try:
            self._reader = self._run("measure", "-m", "engagement_platform.local.demo.measure", stdin=read_end)
        finally:
            os.close(read_end)
        self._thread.start()
        deadline = time.monotonic() + seconds
        while not self._told.wait(0.1):
            self.check()
            if time.monotonic() > deadline:
                raise self._broken("The measuring process did not begin in time.", "measure")

    def start_generator(self, workload: Workload) -> None:
        """Start the generator. It ends with the demo, whatever happens to that: it watches its standard input."""
        options = f"--rate {workload.rate} --writers {workload.writers} --seed {workload.seed}".split()
        command = ("-m", "engagement_platform.local.generator", *options, "--notes", "-", "--while-stdin-is-open")
        self._generator = self._run("generator", *command, stdin=subprocess.PIPE, stdout=self._notes)
        self._close_notes()

    def check(self) -> None:
        """Raise EngagementError when one of them has ended."""
        if self._generator is not None and self._generator.poll() is not None:
            raise self._broken("The generator has ended.", "generator")
        if self._reader is not None and self._reader.poll() is not None:
            raise self._broken("The measuring process has ended.", "measure")

    def stop_generator(self) -> None:
        """End the generator; its last transactions are committed or rolled back, and noted."""
        _end(self._generator, 3)
        self._generator = None

    def finish(self, seconds: float = 45) -> Sighting:
        """Return the last word of the measuring process, which waits until it has seen everything."""
        self._close_notes()
        if self._reader is not None:
            with suppress(subprocess.TimeoutExpired):
                self._reader.wait(seconds)
            self._thread.join(2)
        if not self.seen.final:
            raise self._broken("The measuring process did not finish.", "measure")
        return self.seen

    def stop(self) -> None:
        """End both."""
        self._close_notes()
        _end(self._generator, 3)
        _end(self._reader, 2)

    def _run(
        self, name: str, *command: str, stdin: int, stdout: int | None = subprocess.PIPE
    ) -> subprocess.Popen[bytes]:
        self._logs.mkdir(parents=True, exist_ok=True)
        with (self._logs / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                as_fresh(*command),
                stdin=stdin,
                stdout=stdout,
                stderr=log,
                env=dict(self._environment),
                start_new_session=True,
            )

    def _listen(self) -> None:
        lines: IO[bytes] | None = self._reader.stdout if self._reader else None
        for line in lines or ():
            self.seen = decode(line)
            self._told.set()

    def _close_notes(self) -> None:
        if self._notes is not None:
            os.close(self._notes)
            self._notes = None

    def _broken(self, what: str, name: str) -> EngagementError:
        file = self._logs / f"{name}.log"
        with suppress(OSError):
            what += "".join(f"\n{line}" for line in file.read_text(errors="replace").splitlines()[-6:])
        return EngagementError(what, f"The log: {file}")


def _end(child: subprocess.Popen[bytes] | None, seconds: float) -> None:
    if child is None:
        return
    child.terminate()
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait(5)
