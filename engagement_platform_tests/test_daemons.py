"""A server that is frozen goes on again, whatever its processes do meanwhile."""

import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from engagement_platform_tests.daemons import frozen_with_children
from engagement_platform_tests.streaming import wait_for

_SLEEPS = [sys.executable, "-c", "import time; time.sleep(60)"]


class Server:
    """What is asked of a daemon, of a process whose children are given."""

    def __init__(self, own: psutil.Process, children: list[psutil.Process]) -> None:
        self.own, self._children = own, children

    def signal(self, number: int) -> bool:
        self.own.send_signal(number)
        return True

    def process(self) -> "Server":
        return self

    @property
    def pid(self) -> int:
        return self.own.pid

    def children(self, *, recursive: bool) -> list[psutil.Process]:
        assert recursive
        assert is_frozen(self.own), "it could start others behind the look"
        return self._children


@pytest.fixture
def processes() -> Iterator[list[psutil.Process]]:
    started = [subprocess.Popen(_SLEEPS) for _ in range(4)]
    yield [psutil.Process(one.pid) for one in started]
    for one in started:
        one.kill()
        one.wait()


def is_frozen(process: psutil.Process) -> bool:
    return bool(process.status() == psutil.STATUS_STOPPED)


def end(process: psutil.Process) -> None:
    process.kill()
    process.wait()


def test_a_server_some_of_whose_processes_end_meanwhile_is_frozen_and_goes_on(processes: list[psutil.Process]) -> None:
    server, before, child, within = processes
    end(before)
    with frozen_with_children(Server(server, [before, child, within])):  # type: ignore[arg-type]
        assert is_frozen(server)
        wait_for(lambda: is_frozen(child), "a frozen process")
        end(within)
    wait_for(lambda: not is_frozen(server) and not is_frozen(child), "what goes on")
