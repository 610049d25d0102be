"""Faults of disks, each a small file system of its own: full, and read-only. Needs root, to mount them."""

import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from signal import SIGKILL

from engagement_platform_tests.chaos.fault import Fault
from engagement_platform_tests.chaos.system import System
from engagement_platform_tests.streaming import wait_for

_FILLER = "filler"
_SECONDS = (6.0, 12.0)


def fill(folder: Path) -> None:
    """Write until there is no room left."""
    with (folder / _FILLER).open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"\0" * (1 << 20))


def _full(name: str) -> Callable[[System, Random], None]:
    def inflict(system: System, luck: Random) -> None:
        folder = system.disks[name]
        try:
            fill(folder)
            time.sleep(luck.uniform(*_SECONDS))
        finally:
            (folder / _FILLER).unlink()
        _start_again(system, name)
        system.healed()

    return inflict


def _read_only(name: str) -> Callable[[System, Random], None]:
    def inflict(system: System, luck: Random) -> None:
        folder = system.disks[name]

        def remounted(how: str) -> bool:  # not while a file is open to be written
            done = subprocess.run(["mount", "-o", f"remount,{how}", folder], check=False, capture_output=True)
            return done.returncode == 0

        wait_for(lambda: remounted("ro"), "the disk to be read-only")
        try:
            time.sleep(luck.uniform(*_SECONDS))
        finally:
            wait_for(lambda: remounted("rw"), "the disk to be writable")
        system.healed()

    return inflict


def _start_again(system: System, name: str) -> None:
    """Start the server anew whose disk was full, as an operator does: one may have ended, or hang."""
    server = system.servers.all.get({"kafka disk": "kafka", "source disk": "source"}.get(name, ""))
    if server is not None:
        server.daemon.signal(SIGKILL)
        wait_for(lambda: not server.daemon.is_running, "the end of the server")
        server.start()


_STAGE = {"warehouse": 15.0}
_ALL = {"kafka": 10.0, "redis": 10.0, "warehouse": 15.0, "partner": 25.0}
_ROOM = "there is room again"


def _of(name: str, what: str, kind: str, inflict: Callable[[System, Random], None], heals: str) -> Fault:
    budgets = _ALL if name in {"kafka disk", "source disk"} else _STAGE
    return Fault(f"{kind} {name}", what, heals, inflict, 50.0, budgets, "healed", needs="root")


FAULTS: tuple[Fault, ...] = (
    _of("batches", "the folder of batches is full for 6 to 12 s", "full", _full("batches"), _ROOM),
    _of("warehouse", "the disk of the tables is full for 6 to 12 s", "full", _full("warehouse"), _ROOM),
    _of("kafka disk", "Kafka's disk is full for 6 to 12 s", "full", _full("kafka disk"), f"{_ROOM}; Kafka is started"),
    _of("source disk", "PostgreSQL's disk is full for 6 to 12 s", "full", _full("source disk"),
        f"{_ROOM}; PostgreSQL is started"),
    _of("batches", "the folder of batches is read-only for 6 to 12 s", "read-only", _read_only("batches"), "it is not"),
    _of("warehouse", "the disk of the tables is read-only for 6 to 12 s", "read-only", _read_only("warehouse"),
        "it is not"),
)  # fmt: skip
