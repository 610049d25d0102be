"""A server that is frozen goes on again, whatever its processes do meanwhile."""

import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from engagement_platform_tests.chaos.outages import frozen
from engagement_platform_tests.streaming import wait_for

_SLEEPS = [sys.executable, "-c", "import time; time.sleep(60)"]


class Server:
    """What `frozen` asks of a daemon, of a process whose children are given."""

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
        return self._children


@pytest.fixture
def processes() -> Iterator[list[psutil.Process]]:
    started = [subprocess.Popen(_SLEEPS) for _ in range(3)]
    yield [psutil.Process(one.pid) for one in started]
    for one in started:
        one.kill()
        one.wait()


def test_a_server_one_of_whose_processes_ends_meanwhile_is_frozen_and_goes_on(processes: list[psutil.Process]) -> None:
    server, ended, child = processes
    ended.kill()
    ended.wait()
    with frozen(Server(server, [ended, child])):  # type: ignore[arg-type]
        for one in (server, child):
            wait_for(lambda one=one: one.status() == psutil.STATUS_STOPPED, "a frozen process")
    for one in (server, child):
        wait_for(lambda one=one: one.status() != psutil.STATUS_STOPPED, "a process that goes on")
