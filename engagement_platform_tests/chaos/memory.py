"""Faults of Redis' data: emptied, full, read-only."""

import time
from random import Random

import redis

from engagement_platform_tests.chaos.fault import Fault
from engagement_platform_tests.chaos.system import System


def _client(system: System) -> redis.Redis:
    return redis.Redis.from_url(system.addresses()["redis"], decode_responses=True)


def _empty(system: System, luck: Random) -> None:
    with _client(system) as client:
        client.flushall()


def _full(system: System, luck: Random) -> None:
    with _client(system) as client:
        client.config_set("maxmemory", "1mb")
        time.sleep(luck.uniform(5, 10))
        client.config_set("maxmemory", "0")
    system.healed()


def _read_only(system: System, luck: Random) -> None:
    with _client(system) as client:
        client.config_set("min-replicas-to-write", 1)
        time.sleep(luck.uniform(5, 10))
        client.config_set("min-replicas-to-write", 0)
    system.healed()


_REDIS = {"redis": 5.0}

FAULTS: tuple[Fault, ...] = (
    Fault("empty redis", "FLUSHALL", "the tally counts the window anew", _empty, 30.0, {"redis": 10.0}),
    Fault("full redis", "maxmemory 1mb for 5 to 10 s", "memory is given", _full, 30.0, _REDIS, "healed"),
    Fault("read-only redis", "min-replicas-to-write 1 for 5 to 10 s", "no replica is asked for any more", _read_only,
          30.0, _REDIS, "healed"),
)  # fmt: skip
