"""Brings services up as compose would: in order, each once those that it needs are as it needs them."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil

from engagement_platform_tests.docker import others, scratch
from engagement_platform_tests.docker.files import Service

_PATIENCE_SECONDS = 150


@dataclass
class Machine:
    """The containers of an image's root. `folder` gets volumes and logs, `jars` is the class path of Kafka."""

    root: Path
    folder: Path
    jars: str
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _started: dict[str, Service] = field(default_factory=dict)

    def up(self, found: Mapping[str, Service]) -> dict[str, float]:
        """Start services; return when all are healthy, with the seconds that each took."""
        scratch.prepare(self.root, found, self.folder / "volumes")
        others.prepare(self.root, found.values())
        awaited = {(name, condition) for service in found.values() for name, condition in service.needs.items()}
        left, took = dict(found), {}
        while left:
            ready = [service for service in left.values() if not service.needs.keys() & left.keys()]
            assert ready, f"services that wait for each other: {sorted(left)}"
            began = time.monotonic()
            for service in ready:
                self._started[service.name] = service
                self.running[service.name] = self._start(service)
            for service in ready:
                if (service.name, "service_completed_successfully") in awaited:
                    assert self.running[service.name].wait(30) == 0, self.log(service.name)
                else:
                    wait_for(partial(self.is_healthy, service), f"{service.name} to be healthy")
                took[service.name] = round(time.monotonic() - began, 1)
                del left[service.name]
        return took

    def is_healthy(self, service: Service) -> bool:
        """Run the health check of a service, in its container; a service without one only has to live."""
        assert self.running[service.name].poll() is None, f"{service.name} has ended:\n{self.log(service.name)[-3000:]}"
        if service.health is None:
            return True
        how, *test = service.health
        assert how == "CMD"
        return self.run(service, test).wait(60) == 0

    def run(self, service: Service, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        """Run a command in a container like the service's own."""
        environment = service.environment if service.is_ours else others.start_of(service, self.jars)[1]
        return self._spawn(service, argv, environment, f"{service.name}.extra")

    def log(self, name: str) -> str:
        return (self.folder / "logs" / f"{name}.log").read_text(errors="replace")

    def megabytes(self) -> dict[str, int]:
        """Return the memory that the processes of each service have for themselves, shared pages in parts."""
        return {name: _memory(process.pid) for name, process in self.running.items() if process.poll() is None}

    def end(self) -> dict[str, int]:
        """End everything as compose does, the last started first; return the exit codes. What stays on is killed.

        Of a process that a signal has ended it is that of Docker's init: 128 and the signal. The page ends so.
        """
        for name, process in reversed(self.running.items()):
            service = self._started[name]
            if process.poll() is None:
                number = signal.Signals[service.raw.get("stop_signal", "SIGTERM")]
                # The variable by which Docker's init is told to signal all processes, not the first alone.
                to_all = "TINI_KILL_PROCESS_GROUP" in service.environment
                (os.killpg if to_all else os.kill)(process.pid, number)
            try:
                process.wait(service.grace_seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        codes = {name: process.returncode for name, process in self.running.items()}
        return {name: 128 - code if code < 0 else code for name, code in codes.items()}

    def _start(self, service: Service) -> subprocess.Popen[bytes]:
        if service.is_ours:
            return self._spawn(service, service.argv, service.environment, service.name)
        return self._spawn(service, *others.start_of(service, self.jars), service.name)

    def _spawn(
        self, service: Service, argv: Sequence[str], environment: Mapping[str, str], log: str
    ) -> subprocess.Popen[bytes]:
        logs = self.folder / "logs"
        logs.mkdir(exist_ok=True)
        command = scratch.container(self.root, service, self.folder / "volumes", argv, environment)
        with (logs / f"{log}.log").open("ab") as out:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)


def _memory(pid: int) -> int:
    total = 0
    for each in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # some live for a moment only
            total += each.memory_full_info().pss
    return total >> 20


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.25)
