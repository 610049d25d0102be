"""Faults of servers and of the ways to them: killed, frozen, cut, delayed, and answers that never arrive."""

import time
from collections.abc import Callable, Mapping
from random import Random
from signal import SIGKILL

from engagement_platform_tests import daemons
from engagement_platform_tests.chaos.fault import Fault
from engagement_platform_tests.chaos.servers import NAMES
from engagement_platform_tests.chaos.system import System
from engagement_platform_tests.streaming import wait_for

SERVERS = ("source", "platform", "kafka", "redis")
_MIDDLE_SECONDS = (3.0, 6.0)

Inflict = Callable[[System, Random], None]


def _kill(name: str) -> Inflict:
    def inflict(system: System, luck: Random) -> None:
        server = system.servers.all[name]
        server.daemon.signal(SIGKILL)
        wait_for(lambda: not server.daemon.is_running, f"the end of {name}")
        time.sleep(luck.uniform(*_MIDDLE_SECONDS))
        server.start()
        system.healed()

    return inflict


def _freeze(name: str) -> Inflict:
    def inflict(system: System, luck: Random) -> None:
        with daemons.frozen_with_children(system.servers.all[name].daemon):
            time.sleep(luck.uniform(6, 12))
        system.healed()

    return inflict


def _way(name: str, seconds: tuple[float, float], **told: object) -> Inflict:
    def inflict(system: System, luck: Random) -> None:
        """Let a way misbehave for a while, then cut what is still open on it."""
        tell = system.servers.proxies.tell
        tell(name, **told)
        time.sleep(luck.uniform(*seconds))
        tell(name, mode="pass", delay=0.0, cut=told.get("mode") in {"swallow", "hang"})
        system.healed()

    return inflict


def _cut(name: str) -> Inflict:
    def inflict(system: System, luck: Random) -> None:
        for _ in range(luck.randrange(3, 8)):
            system.servers.proxies.tell(name, cut=True)
            time.sleep(luck.uniform(0.1, 1.5))
        system.healed()

    return inflict


def _distrusted(name: str) -> Inflict:
    def inflict(system: System, luck: Random) -> None:
        """Let a server show a certificate that nobody should trust, to all who connect from now on."""
        tell, certificates = system.servers.proxies.tell, system.servers.certificates
        tell(name, certificate=str(luck.choice(certificates.wrong)), cut=True)
        time.sleep(luck.uniform(5, 10))
        tell(name, certificate=str(certificates.good))
        system.healed()

    return inflict


def _partner_away(system: System, luck: Random) -> None:
    system.partner.down()
    time.sleep(luck.uniform(15, 25))
    system.partner.up()
    system.healed()


def _partner_worse(system: System, luck: Random) -> None:
    system.partner.misbehave(0.6)
    time.sleep(luck.uniform(15, 25))
    system.partner.misbehave(0.15)
    system.healed()


_ALL: Mapping[str, float] = {"kafka": 10.0, "redis": 10.0, "warehouse": 15.0, "partner": 25.0}
"""Beyond the outage of a server that all need; forward's circuit breaker looks for the partner each five seconds."""
_BEYOND: Mapping[str, Mapping[str, float]] = {
    "source": _ALL,
    "platform": {"kafka": 5.0, "redis": 5.0, "warehouse": 15.0, "partner": 15.0},
    "kafka": _ALL,
    "redis": {"redis": 5.0},
    "partner": {"partner": 25.0},
}
_STARTED = "the server is started again"


def _of(kind: str, name: str, what: str, heals: str, inflict: Inflict, takes: float = 45.0) -> Fault:
    return Fault(f"{kind} {name}", what, heals, inflict, takes, _BEYOND[name], "healed")


FAULTS: tuple[Fault, ...] = (
    *(_of("kill", n, f"kill -9 of the server {n}, away for 3 to 6 s", _STARTED, _kill(n)) for n in SERVERS),
    *(_of("freeze", n, f"SIGSTOP of the server {n} for 6 to 12 s", "SIGCONT", _freeze(n)) for n in SERVERS),
    *(
        _of("cut", n, f"all connections to {n} are cut, three to seven times", "new connections", _cut(n), 25.0)
        for n in (*SERVERS, "partner")
    ),
    *(
        _of("delay", n, f"each message to and from {n} takes 300 ms longer, for 6 to 10 s", "the way is as before",
            _way(n, (6, 10), delay=0.3), 25.0)
        for n in (*SERVERS, "partner")
    ),
    *(
        _of("swallow", n, f"requests reach {n} and its answers are dropped, for 3 to 8 s; then all is cut",
            "the way is as before", _way(n, (3, 8), mode="swallow"))
        for n in (*SERVERS, "partner")
    ),
    *(
        _of("distrust", n, f"{n} shows a stranger's certificate, or one that has expired, for 5 to 10 s; all is cut",
            "the right certificate", _distrusted(n))
        for n in NAMES
    ),
    _of("refuse", "partner", "the partner is gone for 15 to 25 s", "it is back", _partner_away, 60.0),
    _of("annoy", "partner", "six in ten requests go wrong, for 15 to 25 s", "fewer do", _partner_worse, 60.0),
)  # fmt: skip
