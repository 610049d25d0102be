"""Faults of clocks and names: the time of processes and of Redis moves both ways, and names cannot be looked up."""

import time
from collections.abc import Callable
from random import Random

from engagement_platform_tests.chaos.fault import Fault
from engagement_platform_tests.chaos.system import System

_SECONDS = (6.0, 10.0)


def _moved(which: str, seconds: float) -> Callable[[System, Random], None]:
    def inflict(system: System, luck: Random) -> None:
        shim = system.shims[which]
        shim.tell(seconds=seconds * luck.uniform(0.5, 1.5))
        time.sleep(luck.uniform(*_SECONDS))
        shim.tell()
        system.healed()

    return inflict


def _nameless(system: System, luck: Random) -> None:
    """Let no name be looked up, and cut all connections, so that new ones need one."""
    shim = system.shims["platform"]
    shim.tell(nameless=True)
    for route in system.servers.proxies.ports:
        system.servers.proxies.tell(route, cut=True)
    time.sleep(luck.uniform(*_SECONDS))
    shim.tell()
    system.healed()


_ALL = {"kafka": 10.0, "redis": 10.0, "warehouse": 15.0, "partner": 25.0}
_BACK = "the clock is right again"

FAULTS: tuple[Fault, ...] = (
    Fault("processes ahead", "the clock of all of Dagster's processes a minute ahead, for 6 to 10 s", _BACK,
          _moved("platform", 60), 60.0, since="healed", needs="gcc"),
    Fault("processes behind", "the clock of all of Dagster's processes a minute back, for 6 to 10 s", _BACK,
          _moved("platform", -60), 60.0, since="healed", needs="gcc"),
    Fault("redis ahead", "the clock of Redis a minute ahead, for 6 to 10 s", _BACK, _moved("redis", 60), 30.0,
          since="healed", needs="gcc"),
    Fault("redis behind", "the clock of Redis a minute back, for 6 to 10 s", _BACK, _moved("redis", -60), 30.0,
          since="healed", needs="gcc"),
    Fault("no names", "no name can be looked up and all connections are cut, for 6 to 10 s", "names are there again",
          _nameless, 45.0, _ALL, "healed", needs="gcc"),
)  # fmt: skip
