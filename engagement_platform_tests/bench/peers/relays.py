"""The relays that are Python: this platform's, and the poller that people write first."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from engagement_platform_tests.bench.peers.budgets import OURS, POLLER
from engagement_platform_tests.bench.peers.harness import Bench, Contender, Running
from engagement_platform_tests.bench.peers.programs import program
from engagement_platform_tests.bench.place import Place
from engagement_platform_tests.integration.dagster_dev import environment

_LOOP = """
from engagement_platform.settings import load
from engagement_platform.stream.control import Standalone
from engagement_platform.stream.relay.loop import run
run(load(), Standalone())
"""
_POLLER = "from engagement_platform_tests.bench.peers.poller import main; main()"


@contextmanager
def _python(code: str, bench: Bench, place: Place, **settings: str) -> Iterator[Running]:
    variables = environment(bench.endpoints, place.settings.state_dir, place.settings) | settings
    with program("relay", [sys.executable, "-c", code], bench.folder, variables) as running:
        yield Running(place.settings.topics.events, running.pid, running.require)


def relay() -> Contender:
    """Return the relay as it runs by default."""
    return Contender(f"{OURS}, kafka-python", partial(_python, _LOOP))


def fast_relay() -> Contender:
    """Return the relay with the client of the extra `fast`, which the bench needs itself."""
    return Contender(f"{OURS}, librdkafka", partial(_python, _LOOP, ENGAGEMENT_KAFKA_CLIENT="librdkafka"))


def poller() -> Contender:
    """Return the poller by the highest id."""
    return Contender(POLLER, partial(_python, _POLLER))
