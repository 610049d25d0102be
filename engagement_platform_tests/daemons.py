"""What tests do to a server's process: kill it as a crash would, freeze it, and let it go on."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP

import psutil

from engagement_platform.local import stack, state
from engagement_platform.local.process import Daemon
from engagement_platform.local.server import Server
from engagement_platform_tests.streaming import wait_for


def server(folder: Path, name: str) -> Server:
    """Return one server of a stack, to stop or break it on its own: `.start()` starts it again."""
    return next(one for one in stack.servers(state.load(folder)) if one.name == name)


def kill(daemon: Daemon) -> None:
    """Kill a process as a crash would, and return when it is gone; its file stays, as after a crash."""
    if daemon.signal(SIGKILL):
        wait_for(lambda: not daemon.is_running, "the end of a killed process")


def pause(daemon: Daemon) -> None:
    """Freeze a process, and return when it stands still: its connections stay open and nobody answers."""
    if daemon.signal(SIGSTOP):
        wait_for(lambda: _stands_still(daemon), "a frozen process to stand still")


def resume(daemon: Daemon) -> None:
    """Let a frozen process go on."""
    daemon.signal(SIGCONT)


@contextmanager
def frozen_with_children(daemon: Daemon) -> Iterator[None]:
    """Freeze a server with all its processes while the block runs: its connections stay, and nobody answers.

    It comes first itself, so that it starts no more of them. Some may end before their turn.
    """
    with ExitStack() as thawing:
        thawing.callback(resume, daemon)
        pause(daemon)
        process = daemon.process()
        assert process is not None, "there is no server to freeze"
        for child in process.children(recursive=True):
            thawing.callback(_resume, child)
            with suppress(psutil.NoSuchProcess):
                child.suspend()
        yield


def _resume(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.resume()


def _stands_still(daemon: Daemon) -> bool:
    """Say whether all threads are stopped: a busy machine lets some go on for a while after the signal."""
    process = daemon.process()
    return process is None or all(state in "TtZX" for state in _states(process.pid))


def _states(pid: int) -> Iterator[str]:
    """Yield the state of each thread of a process, as Linux' proc(5) has them; nothing off Linux."""
    for thread in Path("/proc").glob(f"{pid}/task/*"):
        with suppress(OSError):
            yield (thread / "stat").read_text().rpartition(")")[2].split()[0]
