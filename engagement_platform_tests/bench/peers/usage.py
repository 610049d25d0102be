"""CPU seconds by part: each program that is looked at, with everything it has started."""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Usage:
    """CPU seconds that each part had taken at a time."""

    at: float
    """Seconds since 1970."""
    seconds: Mapping[str, float]

    def until(self, later: "Usage") -> dict[str, float]:
        """Return what each part took between the two. A part that was not there before began at nothing."""
        return {name: total - self.seconds.get(name, 0.0) for name, total in later.seconds.items()}


def own_seconds() -> float:
    """Return the CPU seconds of this process without its children."""
    return time.process_time()


def tree_seconds(pid: int) -> float:
    """Return the CPU seconds of a process and its descendants, also of those that ended and were waited for."""
    try:
        root = psutil.Process(pid)
        members = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    total = 0.0
    for member in members:
        with suppress(psutil.NoSuchProcess):
            times = member.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total
