"""All faults: one entry each. What cannot be done on this machine is left out, visibly."""

import os
from collections.abc import Sequence

from engagement_platform_tests.chaos import (
    backfills,
    clocks,
    disks,
    losses,
    memory,
    outages,
    processes,
    shim,
    sources,
    topics,
)
from engagement_platform_tests.chaos.fault import Fault

FAULTS: tuple[Fault, ...] = (
    *processes.FAULTS, *outages.FAULTS, *memory.FAULTS, *backfills.FAULTS, *clocks.FAULTS, *disks.FAULTS,
    *sources.FAULTS, *topics.FAULTS, *losses.FAULTS,
)  # fmt: skip

_THERE = {
    "root": lambda: os.geteuid() == 0,
    "gcc": shim.is_possible,
}


def possible(faults: Sequence[Fault], *, has_dagster: bool = True) -> tuple[list[Fault], dict[str, str]]:
    """Return what can be done here, and what cannot: name -> what is missing."""
    there = {need: is_there() for need, is_there in _THERE.items()} | {"Dagster": has_dagster}
    missing = {fault.name: fault.needs for fault in faults if not all(there[need] for need in fault.needs.split())}
    return [fault for fault in faults if fault.name not in missing], missing
