"""Processes that outlive the program which started them, known by files that cannot lie about them.

A file holds the process id together with the time at which that process began, so a number that the system has
given to another process is not taken for ours.
"""

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGTERM

import msgspec
import psutil

from engagement_platform.domain.errors import EngagementError

_LOG_LINES = 12


class Identity(msgspec.Struct, frozen=True):
    """Which process it is, also when its number has been given to another one."""

    pid: int
    began: float
    """Seconds since 1970, by a clock that may have been set since."""
    birth: str | None = None
    """The boot in which it began, and when, in clock ticks since that; None off Linux."""

    def is_of(self, process: psutil.Process) -> bool:
        """Say whether a process is this one, not another with its number."""
        if self.birth is None:
            return bool(abs(process.create_time() - self.began) <= 1)
        return _birth(process.pid) == self.birth

    def is_older_than(self, process: psutil.Process) -> bool:
        """Say whether a process, which may be gone by now, did not begin before this one."""
        if self.birth is None:
            return bool(process.create_time() >= self.began - 1)
        began = _ticks(process.pid)
        return began is None or began >= int(self.birth.split()[-1])


@dataclass(frozen=True, slots=True)
class Daemon:
    """A process in a session of its own, with its identity and its log in files."""

    name: str
    pid_file: Path
    log_file: Path

    def noted(self) -> Identity | None:
        """Return which process was started last; None where no file says it."""
        try:
            return msgspec.json.decode(self.pid_file.read_bytes(), type=Identity)
        except (OSError, msgspec.DecodeError):
            return None

    def process(self) -> psutil.Process | None:
        """Return the process if it lives and is the one that was started.

        It lives as long as one of its threads does: of a killed server the first one may end before the others, which
        still hold its ports and files.
        """
        noted = self.noted()
        if noted is None:
            return None
        try:
            process = psutil.Process(noted.pid)
            if not noted.is_of(process):
                return None
            if process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1:
                _reap(process.pid)
                return None
        except (OSError, ValueError, psutil.Error):
            return None
        return process

    @property
    def is_running(self) -> bool:
        """Whether the process lives."""
        return self.process() is not None

    def listens_on(self, port: int) -> bool:
        """Say whether the process itself is the server on a port of loopback.

        Another server on the port may answer just as well, so an answer alone says nothing about who gave it.
        """
        process = self.process()
        try:
            connections = [] if process is None else process.net_connections(kind="tcp")
        except psutil.Error:  # it has ended meanwhile, or the system does not tell
            return False
        return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in connections)

    def spawn(
        self,
        command: Sequence[str | Path],
        *,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        user: int | None = None,
    ) -> None:
        """Start the process, detached, with signals as a fresh program has them. Its output is added to the log."""
        for file in (self.pid_file, self.log_file):
            file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            child = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=dict(environment) if environment is not None else None,
                start_new_session=True,
                user=user,
                extra_groups=None if user is None else (),
            )
        noted = Identity(child.pid, psutil.Process(child.pid).create_time(), _birth(child.pid))
        temporary = self.pid_file.with_suffix(".new")
        temporary.write_bytes(msgspec.json.encode(noted))
        temporary.replace(self.pid_file)

    def wait_until(self, is_ready: Callable[[], bool], seconds: float) -> None:
        """Wait for a condition. Raises EngagementError with the end of the log when the process ends before it."""
        deadline = time.monotonic() + seconds
        while not is_ready():
            if not self.is_running:
                raise EngagementError(
                    f"{self.name} ended while starting. Its log ends with:\n{self.log_tail()}",
                    f"The log: {self.log_file}",
                )
            if time.monotonic() > deadline:
                raise EngagementError(
                    f"{self.name} did not answer within {seconds:.0f} s. Its log ends with:\n{self.log_tail()}",
                    f"Try again when the machine is less busy. The log: {self.log_file}",
                )
            time.sleep(0.05)

    def signal(self, number: int) -> bool:
        """Send a signal to the process; say whether it was there."""
        process = self.process()
        if process is None:
            return False
        process.send_signal(number)
        return True

    def stop(self, number: int = SIGTERM, seconds: float = 20) -> None:
        """End the process: ask, wait, then kill. Returns when it is gone and its file is removed."""
        process = self.process()
        if process is not None:
            self.signal(number)
            self.signal(SIGCONT)  # a frozen process does not hear the first
            if not self._ends_within(seconds):
                self.signal(SIGKILL)
                self._ends_within(5)
        self.pid_file.unlink(missing_ok=True)

    def _ends_within(self, seconds: float) -> bool:
        """Wait for the end; a dead process counts as ended also while its parent has not noticed."""
        deadline = time.monotonic() + seconds
        while self.is_running:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def log_tail(self) -> str:
        """Return the last lines of the log."""
        try:
            return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-_LOG_LINES:])
        except OSError:
            return "(no log)"


def _ticks(pid: int) -> int | None:
    """Return when a process began, in clock ticks since boot, which setting the clock does not change.

    None off Linux, and for a process that there is not.
    """
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return None


def _birth(pid: int) -> str | None:
    """Return the boot in which a process began, and its ticks; None off Linux."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {_ticks(pid)}"
    except OSError:
        return None


def _reap(pid: int) -> None:
    """Forget a dead child; another's is left to its own parent."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
